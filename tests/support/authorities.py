"""Certificate authorities for servers of tests, good and bad."""

import datetime as dt
import ipaddress

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class Authority:
    """A CA that lives as long as a test."""

    def __init__(self, name):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._builder(self._name, self._key, NOW + DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.pem = pem(certificate.sign(self._key, hashes.SHA256()))

    def server(self, *hosts, until=NOW + DAY):
        """Server credentials for these names and addresses."""
        return grpc.ssl_server_credentials([self.pair(*hosts, until=until)])

    def pair(self, *hosts, until=NOW + DAY):
        """The private key of a server and its certificate, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = self._builder(subject, key, until).add_extension(
            x509.SubjectAlternativeName([alternative(host) for host in hosts]), critical=False
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return private, pem(certificate.sign(self._key, hashes.SHA256()))

    def _builder(self, subject, key, until):
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 3 * DAY)
            .not_valid_after(until)
        )


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def alternative(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
