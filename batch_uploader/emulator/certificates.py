"""Certificates for loopback that the emulator makes itself."""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from batch_uploader.core.errors import ConfigError
from batch_uploader.host.files import replace_atomically

_VALID: Final = dt.timedelta(days=365)
_RENEW: Final = dt.timedelta(days=7)
_SKEW: Final = dt.timedelta(hours=1)


class Certificates(Struct, frozen=True):
    """Key and certificate of a server, as PEM, and the path of the CA for its clients."""

    ca_file: Path
    chain: bytes
    key: bytes


def certificates(folder: Path) -> Certificates:
    """The certificates in the folder, renewed if missing, invalid or expiring within a week.

    The CA's key is discarded at once, so that trusting the CA means trusting only this server.
    Raises ConfigError if the folder cannot be written.
    """
    ca_file, chain_file, key_file = (
        folder / name for name in ("ca.pem", "server.pem", "server-key.pem")
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _usable(ca_file, chain_file, key_file):
            ca, chain, key = _make()
            for file, content in ((key_file, key), (chain_file, chain), (ca_file, ca)):
                with replace_atomically(file) as target:
                    target.write(content)
        return Certificates(ca_file, chain_file.read_bytes(), key_file.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"the certificates cannot be kept in {folder} ({error.strerror})",
            hint="specify a folder that can be written",
        ) from error


def _usable(ca_file: Path, chain_file: Path, key_file: Path) -> bool:
    try:
        ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
        server = x509.load_pem_x509_certificate(chain_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        server.verify_directly_issued_by(ca)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    soon = dt.datetime.now(dt.UTC) + _RENEW
    return (
        key.public_key() == server.public_key()
        and min(ca.not_valid_after_utc, server.not_valid_after_utc) > soon
    )


def _make() -> tuple[bytes, bytes, bytes]:
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name, server_name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        for name in ("batch-uploader emulator CA", "localhost")
    )
    addresses = [ipaddress.ip_address(text) for text in ("127.0.0.1", "::1")]
    names = [x509.DNSName("localhost"), *map(x509.IPAddress, addresses)]
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    server = (
        _builder(server_name, ca_name, server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = server_key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ca.public_bytes(pem), server.public_bytes(pem), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
