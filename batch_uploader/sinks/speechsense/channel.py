"""Endpoints, and the gRPC channels to them."""

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import grpc
from msgspec import Struct
from msgspec.structs import force_setattr

from batch_uploader import __version__
from batch_uploader.core.checks import as_path, require_type, require_whole, require_word
from batch_uploader.core.errors import ConfigError
from batch_uploader.sinks.speechsense.resources import require_resources

_LARGEST_ANSWER: Final = 4 * 1024 * 1024
_LARGEST_PORT: Final = 65535
_HOST_AND_PORT: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[\w.-]+)(?::\d{1,5})?")
# gRPC core servers treat pings of an idle client more often than every 300 seconds as abuse.
_FIRST_RECONNECT_MS: Final = 500
_LAST_RECONNECT_MS: Final = 5_000
_KEEPALIVE_MS: Final = 330_000
# After this time without an answer the connection ends, and all uploads on it are in doubt.
_KEEPALIVE_TIMEOUT_MS: Final = 60_000

# Where systems keep their root certificates in one file; OpenSSL's default is often a directory,
# which gRPC cannot use.
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


_CAPITALS: Final = "HTTPS_PROXY"
_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy", _CAPITALS)
_EXEMPT: Final = ("no_grpc_proxy", "no_proxy", "NO_PROXY")


class Security(StrEnum):
    """How the connection is protected."""

    TLS = "tls"
    PLAINTEXT = "plaintext"
    """Not protected; only for loopback."""


class Proxy(StrEnum):
    """Whether an HTTP proxy is used; never for loopback."""

    ENVIRONMENT = "environment"
    """The one that ``grpc_proxy``, ``https_proxy``, ``http_proxy`` or ``HTTPS_PROXY`` names."""
    IGNORED = "ignored"


class Endpoint(Struct, frozen=True):
    """The address of a service and how to connect to it; an IPv6 address without brackets.

    ``ca_file`` holds the certificates to trust, as PEM, in place of the system's. Raises
    ConfigError for plaintext to any host but loopback; ``parse`` reads ``HOST:PORT``.
    """

    host: str
    port: int
    security: Security = Security.TLS
    ca_file: Path | None = None
    proxy: Proxy = Proxy.ENVIRONMENT

    def __post_init__(self) -> None:
        require_word("host", self.host)
        require_whole("port", self.port, least=1, most=_LARGEST_PORT)
        require_type("security", self.security, Security)
        require_type("proxy", self.proxy, Proxy)
        if self.ca_file is not None:
            force_setattr(self, "ca_file", as_path("ca_file", self.ca_file))
        if self.security is Security.PLAINTEXT and not self.loopback:
            raise ConfigError(
                f"plaintext is for loopback only: on the way to {self.host} anyone could read the"
                " credentials and the calls",
                hint="leave it off",
            )

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        security: Security = Security.TLS,
        ca_file: str | os.PathLike[str] | None = None,
        proxy: Proxy = Proxy.ENVIRONMENT,
    ) -> Self:
        """Read ``HOST:PORT`` or ``[IPv6]:PORT``. Raises ConfigError."""
        host, colon, digits = text.strip().rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            sound = _address(host) is not None
        else:
            sound = bool(host) and all(c.isascii() and (c.isalnum() or c in "-._") for c in host)
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0  # noqa: PLR2004
        if not (colon and sound and 0 < number <= _LARGEST_PORT):
            raise ConfigError(
                f"the endpoint {text!r} is not HOST:PORT",
                hint="write it like api.speechsense.yandexcloud.net:443 or [::1]:50051, without"
                " https://",
            )
        ca_path = None if ca_file is None else as_path("ca_file", ca_file)
        return cls(host, number, security, ca_path, proxy)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine for sure."""
        address = _address(self.host)
        return address.is_loopback if address else self.host.lower() == "localhost"


DEFAULT_ENDPOINT: Final = Endpoint("api.speechsense.yandexcloud.net", 443)


def channel_credentials(endpoint: Endpoint) -> grpc.ChannelCredentials | None:
    """The certificates to trust; None for plaintext.

    Blocks briefly to read them. Raises ConfigError if the CA file or the proxy cannot be used.
    """
    if endpoint.security is Security.PLAINTEXT:
        return None
    proxy_in_use(endpoint)
    return grpc.ssl_channel_credentials(trusted_roots(endpoint))


def trusted_roots(endpoint: Endpoint) -> bytes | None:
    """The certificates of the authorities to trust, as PEM; None for those that gRPC has built in.

    Blocks briefly to read them. Raises ConfigError if the CA file cannot be used.
    """
    return _read_roots(endpoint.ca_file) if endpoint.ca_file else _system_roots()


def open_channel(
    endpoint: Endpoint, credentials: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """A channel without retries of its own. Connects when first used.

    Reads the certificates as ``channel_credentials`` does unless they are given. Raises ConfigError
    also if the system lacks the resources that gRPC needs.
    """
    proxied = proxy_in_use(endpoint) is not None
    options = (
        # The ledger must see each attempt.
        ("grpc.enable_retries", 0),
        # Pauses are ours, too: while gRPC backs off, attempts fail without being tried.
        ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", _LAST_RECONNECT_MS),
        # A new channel makes a new connection instead of sharing a stuck one.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", int(proxied)),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", _LARGEST_ANSWER),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.primary_user_agent", f"batch-uploader/{__version__}"),
        # gRPC itself reads only the names in small letters.
        *((("grpc.http_proxy", os.environ[_CAPITALS]),) if _named_in_capitals(os.environ) else ()),
    )
    require_resources()
    credentials = credentials or channel_credentials(endpoint)
    if credentials is None:
        return grpc.aio.insecure_channel(str(endpoint), options=options)
    return grpc.aio.secure_channel(str(endpoint), credentials, options=options)


def proxy_in_use(endpoint: Endpoint, environment: Mapping[str, str] = os.environ) -> str | None:
    """The HTTP proxy that the environment names, as ``host:port``, for the log.

    Raises ConfigError for a URL that has no host where gRPC expects it: gRPC would wait for it for
    ever, and take a part of its password for its name.
    """
    authority = proxy_authority(endpoint, environment)
    # Without the user and the password, which must not be logged.
    return None if authority is None else authority.rpartition("@")[2]


def proxy_authority(endpoint: Endpoint, environment: Mapping[str, str] = os.environ) -> str | None:
    """The proxy with its user and password, ``user:password@host:port``: a secret.

    Raises as ``proxy_in_use`` does.
    """
    variable = _proxy_variable(endpoint, environment)
    if variable is None:
        return None
    named = environment[variable]
    authority = _authority(named)
    proxy = authority.rpartition("@")[2]
    if proxy and not (_HOST_AND_PORT.fullmatch(proxy) and authority.count("@") == named.count("@")):
        raise ConfigError(
            f"the environment variable {variable} does not name the host of a proxy",
            hint="write it as http://HOST:PORT, with the special characters of its user and"
            " password as %XX; or bypass the proxy with --ignore-proxy",
        )
    return authority if _is_http(named) else None


def ignored_proxy(endpoint: Endpoint, environment: Mapping[str, str] = os.environ) -> str | None:
    """The variable that names a proxy of a kind that gRPC passes by; None if there is none."""
    variable = _proxy_variable(endpoint, environment)
    return variable if variable and not _is_http(environment[variable]) else None


def _proxy_variable(endpoint: Endpoint, environment: Mapping[str, str]) -> str | None:
    """The variable that counts for the proxy to this endpoint, None without one."""
    if endpoint.proxy is Proxy.IGNORED or endpoint.loopback:
        return None
    exempt = next(filter(None, map(environment.get, _EXEMPT)), "")
    if any(_covers(entry.strip(), endpoint.host) for entry in exempt.split(",")):
        return None
    return next((name for name in _PROXIES if environment.get(name)), None)


def _is_http(url: str) -> bool:
    # gRPC connects directly for any other, even without a scheme.
    return url.lower().startswith("http://")


def named(endpoint: Endpoint) -> str:
    """The endpoint for messages, with the proxy on the way to it."""
    proxy = proxy_in_use(endpoint)
    return f"{endpoint} (through the proxy {proxy})" if proxy else str(endpoint)


def _named_in_capitals(environment: Mapping[str, str]) -> bool:
    return next((name for name in _PROXIES if environment.get(name)), None) == _CAPITALS


def _authority(url: str) -> str:
    try:
        return urlsplit(url if "://" in url else f"//{url}").netloc
    except ValueError:
        # An unclosed bracket.
        return "["


def _covers(entry: str, host: str) -> bool:
    address = _address(host)
    if address is not None and "/" in entry:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    return bool(entry) and host.lower().endswith(entry.lower())


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _read_roots(ca_file: Path) -> bytes:
    try:
        roots = ca_file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the CA file {ca_file} cannot be read ({error.strerror})",
            hint="check its name and mode",
            setting="ca-file",
        ) from error
    try:
        # Comments between certificates may have any bytes; the certificates are ASCII.
        pem = roots.decode("ascii", "backslashreplace")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ValueError, ssl.SSLError) as error:
        raise ConfigError(
            f"the CA file {ca_file} does not hold a certificate",
            hint="it must be PEM, starting with -----BEGIN CERTIFICATE-----",
            setting="ca-file",
        ) from error
    return roots


def _system_roots() -> bytes | None:
    # None lets gRPC use its built-in roots.
    if os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        return None
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    if found:
        return "".join(map(ssl.DER_cert_to_PEM_cert, found)).encode("ascii")
    for bundle in _BUNDLES:
        try:
            return Path(bundle).read_bytes()
        except OSError:
            continue
    return None
