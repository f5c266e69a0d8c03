"""A small PKI in memory for the tests of est/: one root, one intermediate, certificates and bodies on demand."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from estsim.est.certificate import Certificate, read_certificate
from estsim.est.certs_only import encode_certs_only
from estsim.est.transfer import encode_body

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW_S: Final = NOW.timestamp()
DAY: Final = timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Authority:
    """A CA certificate with its key."""

    certificate: Certificate
    key: Key
    name: x509.Name


def name(common_name: str) -> x509.Name:
    """Return a distinguished name of one common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def issue(
    subject: x509.Name,
    public_key: CertificatePublicKeyTypes,
    issuer: x509.Name,
    issuer_key: CertificateIssuerPrivateKeyTypes,
    *,
    san: x509.SubjectAlternativeName | None = None,
    ca: bool = False,
    path_length: int | None = None,
    begin: datetime = NOW - DAY,
    end: datetime = NOW + 90 * DAY,
) -> Certificate:
    """Issue a certificate."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    )
    if san is not None:
        builder = builder.add_extension(san, critical=False)
    own_hash = isinstance(issuer_key, ed25519.Ed25519PrivateKey)
    signed = builder.sign(issuer_key, None if own_hash else hashes.SHA256())
    return read_certificate(signed.public_bytes(Encoding.DER))


def make_root(common_name: str = "Root", *, end: datetime = NOW + 900 * DAY, key: Key | None = None) -> Authority:
    """Make a self-signed root."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = name(common_name)
    return Authority(issue(subject, key.public_key(), subject, key, ca=True, end=end), key, subject)


def make_intermediate(
    root: Authority, common_name: str = "Intermediate", *, path_length: int | None = None, ca: bool = True
) -> Authority:
    """Make a CA under another."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue(
        name(common_name),
        key.public_key(),
        root.name,
        root.key,
        ca=ca,
        path_length=path_length,
        end=NOW + 400 * DAY,
    )
    return Authority(certificate, key, name(common_name))


@cache
def root() -> Authority:
    """Return the root of the tests."""
    return make_root()


@cache
def intermediate() -> Authority:
    """Return the intermediate of the tests, under their root."""
    return make_intermediate(root())


@cache
def device_key() -> ec.EllipticCurvePrivateKey:
    """Return the device's key."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def device_certificate() -> Certificate:
    """Return a device's certificate under the intermediate, with one DNS name."""
    san = x509.SubjectAlternativeName([x509.DNSName("meter-1.example")])
    ca = intermediate()
    return issue(name("meter-1"), device_key().public_key(), ca.name, ca.key, san=san)


def certs_only_body(*certificates: Certificate) -> bytes:
    """Return a certs-only message in its transfer encoding."""
    return encode_body(encode_certs_only(each.der for each in certificates))
