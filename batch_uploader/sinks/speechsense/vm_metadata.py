"""IAM tokens of the service account of a VM, from its metadata service."""

import http.client
import io
import json
import time
from collections.abc import Callable
from typing import Any, Final

import anyio

from batch_uploader.core.checks import require_word
from batch_uploader.core.errors import ConfigError, NoSuchService, NotSent, SinkError, Unauthorized
from batch_uploader.sinks.speechsense.redaction import remember, shown
from batch_uploader.sinks.speechsense.renewal import IssuedToken, Renewable
from batch_uploader.sinks.speechsense.secret import is_secret

DEFAULT_METADATA_ADDRESS: Final = "169.254.169.254"

_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"
_FLAVOR: Final = "Metadata-Flavor: Google"
_PORT: Final = 80
_ANOTHER_CLOUDS: Final = "ya29."
"""A VM of Google Cloud has a service at the same address; its token is nobody else's business."""
_LARGEST_ANSWER: Final = 64 * 1024
_LONGEST_LIFE: Final = 1e9
_QUOTED: Final = 120
_ELSEWHERE: Final = (
    "only a VM of Yandex Cloud has this service; elsewhere use --service-account-key-file or"
    " --api-key-file"
)


class VmMetadataToken(Renewable):
    """The IAM token of the service account that is attached to this VM.

    ``address`` is HOST or HOST:PORT of the metadata service. Raises ConfigError if it is malformed.
    """

    def __init__(
        self,
        address: str = DEFAULT_METADATA_ADDRESS,
        *,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        require_word("address", address)
        self._address = address
        self._host, self._port = _host_and_port(address)
        self._timeout = timeout
        self._connected = False

    def __repr__(self) -> str:
        return f"VmMetadataToken({self._address!r})"

    @property
    def kind(self) -> str:
        """What it is and where it comes from."""
        return f"the IAM token of {self._where}"

    @property
    def _where(self) -> str:
        return f"the metadata service of this VM ({self._address})"

    async def _obtain(self) -> IssuedToken:
        try:
            with anyio.fail_after(self._timeout):
                answer = await self._ask()
        except TimeoutError:
            failed = _failed if self._connected else _unreachable
            raise failed(f"{self._where} did not answer in time", _ELSEWHERE) from None
        except OSError as error:
            why = error.strerror or "the connection failed"
            raise _unreachable(f"{self._where} cannot be reached ({why})", _ELSEWHERE) from None
        status, body = self._read(answer)
        if status in {403, 404}:
            raise Unauthorized(
                f'{self._where} has no token (HTTP {status}, "{shown(body, _QUOTED)}")',
                hint="attach a service account to the VM: yc compute instance update NAME"
                " --service-account-name ACCOUNT",
                code="NO_SERVICE_ACCOUNT",
            )
        if status != http.HTTPStatus.OK:
            raise _failed(f'{self._where} failed (HTTP {status}, "{shown(body, _QUOTED)}")')
        token, life = _token(body)
        if token is None or token.startswith(_ANOTHER_CLOUDS):
            raise _unreachable(f"{self._where} returned no IAM token", _ELSEWHERE)
        remember(token)
        return IssuedToken(token, life)

    async def _ask(self) -> bytes:
        """The whole answer, as it was received. One byte more than allowed if it is too large."""
        # Its address is on this machine's own link: never through a proxy.
        request = f"GET {_PATH} HTTP/1.0\r\nHost: {self._address}\r\n{_FLAVOR}\r\n\r\n"
        answer = bytearray()
        self._connected = False
        async with await anyio.connect_tcp(self._host, self._port) as stream:
            self._connected = True
            await stream.send(request.encode("ascii"))
            try:
                while len(answer) <= _LARGEST_ANSWER:
                    answer += await stream.receive()
            except anyio.EndOfStream:
                pass
            except anyio.BrokenResourceError:
                raise ConnectionResetError(0, "the connection broke") from None
        return bytes(answer)

    def _read(self, answer: bytes) -> tuple[int, str]:
        refusal = _unreachable(f"the answer of {self._where} is not HTTP", _ELSEWHERE)
        if len(answer) > _LARGEST_ANSWER:
            raise _unreachable(f"the answer of {self._where} is too large", _ELSEWHERE)
        socket: Any = _Received(answer)
        response = http.client.HTTPResponse(socket)
        try:
            response.begin()
            return response.status, response.read().decode("utf-8", "replace")
        except Exception:  # noqa: BLE001 - http.client may raise anything, as OverflowError
            raise refusal from None


class _Received:
    """What http.client takes for a socket."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makefile(self, mode: str) -> io.BytesIO:  # noqa: ARG002 - as of sockets
        return io.BytesIO(self._answer)


def _host_and_port(address: str) -> tuple[str, int]:
    # The vendor's own programs take both HOST and HOST:PORT.
    host, colon, digits = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, digits = address, str(_PORT)
    sound = digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) <= 65535  # noqa: PLR2004
    host = host.removeprefix("[").removesuffix("]")
    if not sound or not host or not host.isascii() or "/" in host:
        raise ConfigError(
            f"the address of the metadata service {address!r} is not HOST or HOST:PORT",
            hint=f"write it like {DEFAULT_METADATA_ADDRESS}, without http://",
        )
    return host, int(digits)


def _token(body: str) -> tuple[str | None, float | None]:
    try:
        content = json.loads(body)
        token, life = content["access_token"], content.get("expires_in")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None, None
    known = isinstance(life, int | float) and abs(life) < _LONGEST_LIFE and life is not True
    return (token, float(life) if known else None) if is_secret(token) else (None, None)


def _failed(problem: str, hint: str | None = None) -> SinkError:
    return NotSent(problem, hint=hint, code="IAM_TOKEN_UNAVAILABLE")


def _unreachable(problem: str, hint: str) -> SinkError:
    """On another machine than a VM it will never be there."""
    return NoSuchService(problem, hint=hint, code="IAM_TOKEN_UNAVAILABLE")
