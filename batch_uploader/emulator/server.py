"""The emulator: options, the running server, and its own process."""

import asyncio
import ipaddress
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import grpc
from msgspec import Struct, field

from batch_uploader.core.errors import ConfigError
from batch_uploader.emulator.certificates import Certificates, certificates
from batch_uploader.emulator.control import Control
from batch_uploader.emulator.faults import Faults, LostAnswer, Outage
from batch_uploader.emulator.queries import Queries
from batch_uploader.emulator.relay import Relay
from batch_uploader.emulator.rules import MESSAGE_LIMIT, Connection
from batch_uploader.emulator.service import Service
from batch_uploader.emulator.store import TalkStore
from batch_uploader.emulator.tokens import (
    TOKEN_LIFETIME,
    Authenticator,
    LackedRight,
    RegisteredKey,
)
from batch_uploader.emulator.uploads import Policy, Uploads
from batch_uploader.emulator.vm_metadata import MetadataService

API_KEY: Final = "emulator-key"
"""Accepted if no credential is declared."""
CONNECTION: Final = Connection("demo")
"""The connection if none is declared."""
_GRACE: Final = 2.0


class EmulatorOptions(Struct, frozen=True):
    """The options of an emulator. ``port`` 0 chooses one; the host must be loopback.

    Without any credential, ``API_KEY`` is accepted. ``tls_dir`` has the certificates, None is
    plaintext. ``keep_audio`` is a folder for the bytes of talks, by ID. ``keep_truncated`` stores
    the received part of broken streams. ``connection_age`` in seconds ends connections gracefully,
    with a GOAWAY, and a second later forcibly. ``relay`` adds a relay, which LostAnswer.RESET needs
    and which costs speed. ``missing`` is what all credentials lack, ``clock_off`` by how many
    seconds the emulator's clock is ahead. ``metadata_port`` serves the metadata service of a VM; 0
    chooses a port.
    """

    store: Path
    host: str = "127.0.0.1"
    port: int = 0
    connections: tuple[Connection, ...] = (CONNECTION,)
    api_keys: frozenset[str] = frozenset()
    iam_tokens: frozenset[str] = frozenset()
    service_accounts: tuple[RegisteredKey, ...] = ()
    token_lifetime: float = TOKEN_LIFETIME
    missing: frozenset[LackedRight] = frozenset()
    clock_off: float = 0.0
    metadata_port: int | None = None
    tls_dir: Path | None = None
    keep_audio: Path | None = None
    keep_truncated: bool = False
    connection_age: float | None = None
    relay: bool = False
    faults: Faults = field(default_factory=Faults)

    @property
    def admitted_keys(self) -> frozenset[str]:
        """The accepted API keys, including the default."""
        declared = self.api_keys or self.iam_tokens or self.service_accounts
        return self.api_keys if declared else frozenset({API_KEY})

    @property
    def has_relay(self) -> bool:
        """Whether single connections can be reset."""
        return self.relay or self.faults.lost_answer is LostAnswer.RESET


class Emulator:
    """A SpeechSense on loopback, as an async context manager.

    ``address`` is HOST:PORT, ``ca_file`` the CA that clients must trust (None: plaintext),
    ``control`` shows what it stored and changes its faults. Entering raises ConfigError if the
    address, the store or the folders cannot be used.
    """

    def __init__(self, options: EmulatorOptions) -> None:
        self._options = options
        self._host = _loopback(options.host)
        self._authenticator = Authenticator(
            options.admitted_keys,
            options.iam_tokens,
            options.service_accounts,
            options.token_lifetime,
            clock=lambda: time.time() + options.clock_off,
            missing=options.missing,
        )
        self.control = Control(options.store, self._authenticator, options.faults)
        self.ca_file: Path | None = None
        self._certificates: Certificates | None = None
        self._port = options.port
        self._backend_port = 0
        self._server: grpc.aio.Server | None = None
        self._relay: Relay | None = None
        self._metadata_port: int | None = None
        self._outages: set[asyncio.Task[None]] = set()
        self._switching = asyncio.Lock()

    @property
    def address(self) -> str:
        """Its address, as a gRPC target."""
        return _target(self._host, self._port)

    @property
    def metadata_address(self) -> str | None:
        """The address of its metadata service, as YC_METADATA_ADDR; None: it serves none."""
        return _target(self._host, self._metadata_port) if self._metadata_port else None

    async def __aenter__(self) -> Self:
        """Open the store and listen."""
        options = self._options
        connections = {connection.id: connection for connection in options.connections}
        if len(connections) < len(options.connections):
            raise ConfigError("a connection is declared twice", hint="declare each one once")
        if options.tls_dir is not None:
            self._certificates = await asyncio.to_thread(certificates, options.tls_dir)
            self.ca_file = self._certificates.ca_file
        if options.keep_audio is not None:
            await asyncio.to_thread(_make_folder, options.keep_audio)
        async with AsyncExitStack() as stack:
            self._store = store = await stack.enter_async_context(TalkStore(options.store))
            policy = Policy(connections, options.keep_audio, options.keep_truncated)
            uploads = Uploads(store, self.control, policy)
            stack.push_async_callback(uploads.aclose)
            queries = Queries(store, self.control, frozenset(connections))
            self._service = Service(uploads, queries, self._authenticator, self.control, self._cut)
            await self.listen()
            stack.push_async_callback(self.stop_listening)
            await self._serve_metadata(stack)
            self.control.on_change = self._arm
            self._arm(self.control.faults)
            stack.push_async_callback(self._disarm)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Finish what finishes quickly, cut off the rest, close the store."""
        self.control.on_change = None
        if self._server is not None:
            await self._server.stop(_GRACE)
        await self._stack.aclose()

    async def listen(self) -> None:
        """Listen again, on the same port, after ``stop_listening``."""
        async with self._switching:
            if self._server is not None:
                return
            try:
                if self._options.has_relay:
                    self._backend_port = await self._start(self._backend_port)
                    self._relay = Relay(self._host, self._backend_port)
                    self._port = await self._relay.listen(self._port)
                else:
                    self._port = await self._start(self._port)
            except (RuntimeError, OSError) as error:
                await self._close()
                raise ConfigError(
                    f"cannot listen on {self.address}: the port is taken or not allowed",
                    hint="choose another with --port",
                ) from error

    async def _serve_metadata(self, stack: AsyncExitStack) -> None:
        port = self._options.metadata_port
        if port is None:
            return
        metadata = MetadataService(self._authenticator, self.control)
        try:
            self._metadata_port = await metadata.listen(self._host, port)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {_target(self._host, port)}: the port is taken or not allowed",
                hint="choose another with --metadata-port",
            ) from error
        stack.callback(metadata.close)

    async def stop_listening(self) -> None:
        """Refuse connections from now on and close those that are open."""
        async with self._switching:
            await self._close()

    async def _close(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            await relay.close()
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    async def _start(self, port: int) -> int:
        options: list[tuple[str, int]] = [
            ("grpc.max_receive_message_length", MESSAGE_LIMIT),
            # Otherwise two emulators on one port would share its requests.
            ("grpc.so_reuseport", 0),
            # With it windows grow to tens of MB, and a bandwidth is felt only after that.
            ("grpc.http2.bdp_probe", 0),
        ]
        if self._options.connection_age is not None:
            age = max(1, round(self._options.connection_age * 1000))
            options.append(("grpc.max_connection_age_ms", age))
            options.append(("grpc.max_connection_age_grace_ms", 1000))
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((self._service,))
        target = _target(self._host, port)
        if self._certificates is None:
            chosen = server.add_insecure_port(target)
        else:
            pairs = [(self._certificates.key, self._certificates.chain)]
            chosen = server.add_secure_port(target, grpc.ssl_server_credentials(pairs))
        await server.start()
        self._server = server
        return chosen

    def _cut(self, peer: str) -> None:
        if self._relay is not None:
            self._relay.cut(peer)

    def _arm(self, faults: Faults) -> None:
        if faults.lost_answer is LostAnswer.RESET and not self._options.has_relay:
            raise ConfigError(
                "resetting connections needs the relay", hint="start the emulator with it"
            )
        for outage in self._outages:
            outage.cancel()
        if faults.outage is not None:
            task = asyncio.create_task(self._go_down(faults.outage))
            self._outages.add(task)
            task.add_done_callback(self._outages.discard)

    async def _go_down(self, outage: Outage) -> None:
        await asyncio.sleep(outage.start)
        try:
            await self.stop_listening()
            await asyncio.sleep(outage.length)
        finally:
            await self.listen()

    async def _disarm(self) -> None:
        for outage in self._outages:
            outage.cancel()
        if self._outages:
            await asyncio.wait(self._outages)


def _target(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _loopback(host: str) -> str:
    """The address to listen on. Raises ConfigError unless it is loopback."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ConfigError(
            f"the emulator listens on loopback only, not on {host}",
            hint="leave out --host, or specify 127.0.0.1 or ::1",
        )
    return str(address)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder {path} cannot be made ({error.strerror})",
            hint="specify another with --keep-audio",
        ) from error


async def serve(options: EmulatorOptions) -> None:
    """Run an emulator until SIGINT or SIGTERM; a second signal ends the process at once.

    When ready it prints ``listening on HOST:PORT`` on stdout, and then on stderr how to reach it.
    At its end it prints the number of requests on stdout, one line a method: ``served 12 Upload``.
    Raises ConfigError.
    """
    with _stop_signals() as stop:
        async with Emulator(options) as emulator:
            sys.stdout.write(f"listening on {emulator.address}\n")
            sys.stdout.flush()
            sys.stderr.write("".join(f"hint: {hint}\n" for hint in _hints(options, emulator)))
            sys.stderr.flush()
            await stop.wait()
    requests = sorted(emulator.control.requests.items())
    sys.stdout.write("".join(f"served {count} {method}\n" for method, count in requests))


def _hints(options: EmulatorOptions, emulator: Emulator) -> Iterator[str]:
    if API_KEY in options.admitted_keys:
        yield f"export API_KEY={API_KEY}"
    if emulator.metadata_address:
        yield f"export YC_METADATA_ADDR={emulator.metadata_address}; use --metadata-credentials"
    trust = f"--ca-file {emulator.ca_file}" if emulator.ca_file else "--plaintext"
    names = [connection.id for connection in options.connections] or ["ID"]
    yield (
        f"batch-uploader upload DIRECTORY --connection-id {names[0]} "
        f"--endpoint {emulator.address} {trust}"
    )


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        restore()
        loop.call_soon_threadsafe(stop.set)

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    # Not with the loop's add_signal_handler, which Windows does not have.
    for each in (signal.SIGINT, signal.SIGTERM):
        before[each] = signal.signal(each, handle)
    try:
        yield stop
    finally:
        restore()
