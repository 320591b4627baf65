"""The TLS of an endpoint as gRPC wants it: who signed the certificate, and why it is refused.

Everything blocks, and raises Obstacle.
"""

import os
import socket
import ssl
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

import grpc
from msgspec import Struct

from batch_uploader.core.text import sentence
from batch_uploader.sinks.speechsense.channel import Endpoint, trusted_roots
from batch_uploader.sinks.speechsense.route import Obstacle, Route

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_OTHER_NAME: Final = frozenset({62, 64})
"""OpenSSL's codes of verification."""
_OF_PLAIN_TEXT: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
)
"""OpenSSL's reasons for an answer that is not TLS."""
_NAMES: Final = 5
_CLOCK: Final = "check the clock of this machine"


class Signed(Struct, frozen=True):
    """Who signed a certificate that is accepted, and whether that is as expected.

    It is if a public authority stands behind it, or one of the CA file.
    """

    issuer: str
    expected: bool


class Presented(Struct, frozen=True):
    """A certificate that was presented, accepted or not; times as ISO dates."""

    issuer: str
    names: tuple[str, ...]
    begins: str
    ends: str


def shake_hands(
    connection: socket.socket, endpoint: Endpoint, roots: bytes | None, *protocols: str
) -> ssl.SSLSocket:
    """Begin TLS with the endpoint, trusting these authorities. Raises ssl.SSLError or OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(list(protocols))
    context.load_verify_locations(cadata=_text(roots if roots is not None else built_in()))
    # As gRPC's: an authority that is trusted needs none above it.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context.wrap_socket(connection, server_hostname=endpoint.host)


def examine(route: Route, address: str) -> Signed:
    """Who signed the endpoint's certificate, which gRPC would accept."""
    endpoint = route.endpoint
    roots = trusted_roots(endpoint)
    try:
        with (
            route.open(address) as connection,
            shake_hands(connection, endpoint, roots, "h2", "http/1.1") as secured,
        ):
            issuer = _read(secured).issuer
    except ssl.SSLCertVerificationError as error:
        raise _refused(route, address, error) from error
    except TimeoutError as error:
        raise Obstacle(
            "silent",
            f"{endpoint} accepts connections, and does not answer TLS",
            "check the host and the port in the endpoint",
        ) from error
    except (ssl.SSLError, OSError) as error:
        raise _broken(endpoint, error) from error
    # What --ca-file names is trusted on purpose.
    return Signed(issuer, endpoint.ca_file is not None or _accepted(route, address, built_in()))


def built_in() -> bytes:
    """The public authorities that gRPC has built in, as PEM."""
    if path := os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        return Path(path).read_bytes()
    return files(grpc).joinpath("_cython/_credentials/roots.pem").read_bytes()


def _accepted(route: Route, address: str, roots: bytes | None) -> bool:
    """Whether the endpoint's certificate would be accepted with these authorities."""
    try:
        with (
            route.open(address) as connection,
            shake_hands(connection, route.endpoint, roots, "h2", "http/1.1"),
        ):
            return True
    except (OSError, Obstacle):
        return False


def _refused(route: Route, address: str, error: ssl.SSLCertVerificationError) -> Obstacle:
    endpoint = route.endpoint
    shown = _presented(route, address)
    whose = f"the certificate of {endpoint}"
    if error.verify_code == _EXPIRED:
        return Obstacle(
            "certificate_expired",
            f"{whose}, signed by {shown.issuer}, expired on {shown.ends}, and this"
            f" machine's date is {_today()}",
            _CLOCK,
            "if it is right, whoever runs the server, or a proxy that inspects TLS, must renew it",
        )
    if error.verify_code == _NOT_YET_VALID:
        return Obstacle(
            "certificate_not_yet_valid",
            f"{whose}, signed by {shown.issuer}, is valid from {shown.begins} on,"
            f" and this machine's date is {_today()}",
            _CLOCK,
        )
    if error.verify_code in _OTHER_NAME:
        return Obstacle(
            "certificate_host",
            f"{whose} is for {', '.join(shown.names) or 'no host'}, not for {endpoint.host}",
            "check the host name in the endpoint",
        )
    if endpoint.ca_file is not None and _accepted(route, address, built_in()):
        return Obstacle(
            "wrong_ca_file",
            f"{whose} is signed by {shown.issuer}, a public authority, and not by one of the CA"
            f" file {endpoint.ca_file}",
            "leave out --ca-file",
        )
    if endpoint.loopback:
        return Obstacle(
            "untrusted",
            f"{whose} is signed by {shown.issuer}, which is not trusted",
            "specify the certificate of that authority (PEM) with --ca-file; an emulator has it in"
            " the folder of its --tls",
        )
    trusting = f"the CA file {endpoint.ca_file}" if endpoint.ca_file else "this machine"
    return Obstacle(
        "intercepted",
        f"{whose} is signed by {shown.issuer}, which {trusting} does not trust: probably a proxy or"
        " a firewall that intercepts TLS",
        "get the certificate of that authority (PEM) from whoever runs your network, and specify it"
        " with --ca-file",
        "or have the host exempted from inspection",
    )


def _presented(route: Route, address: str) -> Presented:
    """What the certificate of the endpoint says, although it is not accepted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Only to say what is wrong with it: nothing is sent on this connection.
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            route.open(address) as connection,
            context.wrap_socket(connection, server_hostname=route.endpoint.host) as secured,
        ):
            return _read(secured)
    except (OSError, ValueError, Obstacle):
        return Presented("an unknown authority", (), "an unknown date", "an unknown date")


def _read(secured: ssl.SSLSocket) -> Presented:
    """What the peer's certificate says."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    certificate = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")

    def of_the_issuer(oid: x509.ObjectIdentifier) -> str:
        found = certificate.issuer.get_attributes_for_oid(oid)
        return sentence(str(found[0].value)) if found else ""

    name, organisation = map(of_the_issuer, (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME))
    issuer = f'"{name or organisation or "no name"}"'
    if name and organisation and organisation not in name:
        issuer += f" ({organisation})"
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = [sentence(str(each.value)) for each in extension.value]
    except x509.ExtensionNotFound:
        names = []
    return Presented(
        issuer,
        tuple(names[:_NAMES]),
        certificate.not_valid_before_utc.date().isoformat(),
        certificate.not_valid_after_utc.date().isoformat(),
    )


def _broken(endpoint: Endpoint, error: OSError) -> Obstacle:
    reason = getattr(error, "reason", "") or ""
    if reason in _OF_PLAIN_TEXT:
        return Obstacle(
            "no_tls",
            f"{endpoint} does not speak TLS",
            "check the port in the endpoint; for an emulator on this machine without --tls, add"
            " --plaintext",
        )
    said = reason.replace("_", " ").lower() or error.strerror or "the connection was closed"
    return Obstacle(
        "tls_broken",
        f"{endpoint} breaks off TLS ({said})",
        "check the endpoint, and any proxy or firewall that inspects TLS",
    )


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _text(pem: bytes) -> str:
    # Comments between certificates may have any bytes; the certificates are ASCII.
    return pem.decode("ascii", "backslashreplace")
