"""The way to an endpoint step by step, as gRPC goes it: names, TCP, the proxy's tunnel, HTTP/2.

gRPC tells only that it did not arrive; here each step says what stopped it. Nothing of a request is
sent. Everything blocks, each read and write for ``SECONDS`` at most, and raises Obstacle.
"""

import errno
import os
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import unquote

from batch_uploader.core.errors import UploaderError
from batch_uploader.core.text import sentence
from batch_uploader.sinks.speechsense.channel import DEFAULT_ENDPOINT, Endpoint, proxy_authority
from batch_uploader.sinks.speechsense.redaction import shown

SECONDS: Final = 4.0
_PORT_OF_A_PROXY: Final = 443  # gRPC's default, also where the URL begins with http
_LONGEST_HEAD: Final = 16 * 1024
_QUOTED: Final = 80
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
"""The client's first bytes: the magic of HTTP/2 and an empty SETTINGS frame."""
_FRAME_HEAD: Final = 9
_SETTINGS: Final = 4
_AUTHORIZATION_REQUIRED: Final = 407


class Obstacle(UploaderError):  # noqa: N818 - a finding, not a mistake
    """What stops the way to the service; ``code`` is a word for programs."""

    def __init__(self, code: str, problem: str, *hints: str) -> None:
        super().__init__(problem, hint=hints)
        self.code = code


class Route:
    """The way to an endpoint; its repr does not show the proxy's password.

    ``host`` and ``port`` are connected to first: the proxy's, or the endpoint's. Raises ConfigError
    if the environment does not name the host of its proxy.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.host, self.port = endpoint.host, endpoint.port
        self.proxy: str | None = None
        self._login: str | None = None
        if authority := proxy_authority(endpoint):
            login, _, self.proxy = authority.rpartition("@")
            self._login = unquote(login) or None
            self.host, self.port = _host_and_port(self.proxy)

    def __repr__(self) -> str:
        return f"Route({self.endpoint!s}, {self.proxy!r})"

    @property
    def first(self) -> str:
        """What is connected to first, for messages."""
        return f"the proxy {self.proxy}" if self.proxy else str(self.endpoint)

    @contextmanager
    def open(self, address: str) -> Iterator[socket.socket]:
        """A connection to the endpoint by this address, through the proxy if there is one."""
        with self.connect(address) as connection:
            if self.proxy:
                self._tunnel(connection)
            yield connection

    def addresses(self) -> list[str]:
        """The addresses of the host that is connected to first."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise self.unresolved(error) from error
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    def connect(self, address: str, seconds: float = SECONDS) -> socket.socket:
        """A connection to this address of the host that is connected to first."""
        try:
            return socket.create_connection((address, self.port), timeout=seconds)
        except OSError as error:
            raise self._unreached(error) from error

    def _tunnel(self, connection: socket.socket) -> None:
        lines = [f"CONNECT {self.endpoint} HTTP/1.1", f"Host: {self.endpoint}"]
        if self._login:
            secret = b64encode(self._login.encode()).decode("ascii")
            lines.append(f"Proxy-Authorization: Basic {secret}")
        try:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            status = _head_of(connection).partition(b"\r\n")[0].decode("ascii", "replace")
        except TimeoutError as error:
            raise Obstacle(
                "proxy_silent",
                f"the proxy {self.proxy} accepts connections, and does not answer",
                _ASK_ADMIN,
            ) from error
        except OSError as error:
            raise Obstacle(
                "proxy_refuses",
                f"the proxy {self.proxy} ends the connection when it is asked to connect to"
                f" {self.endpoint} ({_reason(error)})",
                _ASK_ADMIN,
            ) from error
        self._judge(status)

    def _judge(self, status: str) -> None:
        """Raise Obstacle unless the proxy's status line says that the tunnel is there."""
        version, _, rest = status.partition(" ")
        if not version.startswith("HTTP/"):
            raise Obstacle(
                "not_a_proxy",
                f"what listens at {self.proxy} does not answer like an HTTP proxy",
                "check the host and port in the environment variable of the proxy",
            )
        code = rest[:3]
        password = (self._login or "").partition(":")[2]
        said = shown(sentence(rest), _QUOTED, filter(None, (self._login, password)))
        if code == str(_AUTHORIZATION_REQUIRED):
            how = "refuses this user and password" if self._login else "wants a user and a password"
            raise Obstacle(
                "proxy_authorization",
                f"the proxy {self.proxy} {how} ({said})",
                "write them into its URL: http://USER:PASSWORD@HOST:PORT, special characters as"
                " %XX; a proxy that takes only NTLM or Kerberos cannot be used",
            )
        if not code.startswith("2"):
            raise Obstacle(
                "proxy_refuses",
                f"the proxy {self.proxy} refuses to connect to {self.endpoint} ({said})",
                f"have it allow CONNECT to {self.endpoint}; or bypass it with --ignore-proxy, or"
                " no_proxy",
            )

    def unresolved(self, error: Exception | None = None) -> Obstacle:
        """The obstacle of a host without addresses; None: no server answered in time."""
        whose = f"the proxy's host {self.host}" if self.proxy else f"the host {self.host}"
        silent = error is None or getattr(error, "errno", None) == socket.EAI_AGAIN
        if silent or self.host == DEFAULT_ENDPOINT.host:
            return Obstacle(
                "no_dns",
                f"{whose} cannot be resolved: no DNS server of this machine knows it",
                "check the network, and the DNS servers in /etc/resolv.conf",
                "where only a proxy knows the names of the internet, set https_proxy",
            )
        name = "the environment variable of the proxy" if self.proxy else "the endpoint"
        return Obstacle(
            "no_such_host", f"{whose} is not known to the DNS", f"check the host name in {name}"
        )

    def _unreached(self, error: OSError) -> Obstacle:
        if isinstance(error, TimeoutError):
            return Obstacle(
                "no_answer",
                f"{self.first} does not answer on port {self.port}",
                "have the firewall let this machine connect to it"
                + ("" if self.proxy else ", or set https_proxy if there is a proxy"),
            )
        if isinstance(error, ConnectionRefusedError):
            return Obstacle(
                "refused",
                f"{self.first} refuses connections to port {self.port}",
                "check the host and the port, and whether a firewall refuses them",
            )
        return Obstacle(
            "unreachable",
            f"{self.first} cannot be reached ({_reason(error)})",
            "check the network of this machine",
        )


_ASK_ADMIN: Final = "ask whoever runs the proxy; or bypass it with --ignore-proxy, or no_proxy"


def greet(connection: socket.socket, where: str) -> None:
    """Begin HTTP/2: send the client's preface and wait for the server's SETTINGS."""
    try:
        connection.sendall(_PREFACE)
        head = _receive(connection, _FRAME_HEAD)
    except TimeoutError as error:
        raise Obstacle(
            "silent", f"{where} accepts connections, and does not answer HTTP/2", _IN_BETWEEN
        ) from error
    except OSError as error:
        raise Obstacle(
            "http2_broken",
            f"{where} ends the connection at the first bytes of HTTP/2 ({_reason(error)})",
            _IN_BETWEEN,
        ) from error
    if head.startswith(b"HTTP/1"):
        raise no_http2(where)
    if head[3] != _SETTINGS or any(head[5:]):
        raise Obstacle("http2_broken", f"{where} does not answer with HTTP/2", _IN_BETWEEN)


def no_http2(where: str) -> Obstacle:
    """The obstacle of a peer that speaks only HTTP/1."""
    return Obstacle(
        "no_http2",
        f"{where} speaks HTTP/1 only, and gRPC needs HTTP/2",
        "check the endpoint",
        _IN_BETWEEN,
    )


_IN_BETWEEN: Final = (
    "if a proxy or a firewall inspects the traffic, have it let HTTP/2 (ALPN h2) through for this"
    " host, or exempt the host from inspection"
)


def _host_and_port(proxy: str) -> tuple[str, int]:
    host, colon, digits = proxy.rpartition(":")
    if not colon or proxy.endswith("]"):
        host, digits = proxy, str(_PORT_OF_A_PROXY)
    return host.strip("[]"), int(digits)


def _head_of(connection: socket.socket) -> bytes:
    """The head of an HTTP answer, and not a byte behind it."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _LONGEST_HEAD:
        head += _receive(connection, 1)
        if len(head) == 5 and head != b"HTTP/":  # noqa: PLR2004 - the length of that
            break
    return head


def _receive(connection: socket.socket, count: int) -> bytes:
    """Exactly ``count`` bytes. Raises ConnectionError at the end of the stream."""
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise ConnectionResetError(errno.ECONNRESET, "it closed it")
        received += part
    return received


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or os.strerror(errno.ECONNRESET)
