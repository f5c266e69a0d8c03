"""A PKI for servers that are not ours: certificates that they can show on loopback, and whether they show them yet."""

import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST: Final = "127.0.0.1"


def free_port() -> int:
    """Return a port that the kernel chose a moment ago, for a server that has to be told one."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return several such ports, no two the same."""
    with ExitStack() as taken:
        sockets = [taken.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@dataclass(frozen=True, slots=True)
class Holder:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def key_pem(self) -> bytes:
        """The key as a file of the server's."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certify(name: str, issuer: Holder | None, *, authority: bool = True) -> Holder:
    """Issue a certificate for a new key: a CA's, its own where there is no issuer, or a server's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if not authority:
        names = [x509.IPAddress(ip_address(HOST)), x509.DNSName("localhost")]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(usage, critical=False)
    return Holder(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def answers(port: int, context: ssl.SSLContext) -> bool:
    """Tell whether a server that has our certificate listens."""
    try:
        with socket.create_connection((HOST, port), timeout=5) as tcp, context.wrap_socket(tcp, server_hostname=HOST):
            return True
    except OSError:
        return False
