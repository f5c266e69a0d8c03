"""A PKI in memory and a server's answers, made with ``cryptography`` alone: what a conversation is held against."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import NameOID

from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import Certificate, read_certificate
from estsim.est.messages import EstRequest, EstResponse
from estsim.pki.credentials import StoredCredential

WALL_NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
WALL_NOW_S: Final = WALL_NOW.timestamp()
NOW_S: Final = 100.0  # the same moment on the run's clock
DAY: Final = timedelta(days=1)
CERTS_ONLY: Final = (
    ("content-type", "application/pkcs7-mime; smime-type=certs-only"),
    ("content-transfer-encoding", "base64"),
)


@dataclass(frozen=True)
class Authority:
    """A CA certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate as bytes."""
        return self.certificate.public_bytes(Encoding.DER)

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Issue what a builder describes."""
        return builder.issuer_name(self.certificate.subject).sign(self.key, hashes.SHA256())

    def answer(self, request: EstRequest) -> x509.Certificate:
        """Issue what a request's CSR asks for."""
        csr = csr_of(request)
        return self.issue(csr.public_key(), csr.subject, san_of(csr))

    def issue(
        self, key: CertificatePublicKeyTypes, subject: x509.Name, san: x509.SubjectAlternativeName | None = None
    ) -> x509.Certificate:
        """Issue a device certificate for a key and names."""
        builder = template(subject, key)
        return self.sign(builder if san is None else builder.add_extension(san, critical=False))


def ours(certificate: x509.Certificate) -> Certificate:
    """Return a certificate as estsim reads it."""
    return read_certificate(certificate.public_bytes(Encoding.DER))


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a key."""
    return ec.generate_private_key(ec.SECP256R1())


def cn(text: str) -> x509.Name:
    """Return a name of one common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def template(subject: x509.Name, key: CertificatePublicKeyTypes) -> x509.CertificateBuilder:
    """Return a builder with all but the issuer: from a day ago to a day from now."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(WALL_NOW - DAY)
        .not_valid_after(WALL_NOW + DAY)
    )


def make_authority(name: str, issuer: Authority | None = None) -> Authority:
    """Make a CA, self-signed without an issuer."""
    key = new_key()
    builder = template(cn(name), key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    if issuer is not None:
        return Authority(issuer.sign(builder), key)
    return Authority(builder.issuer_name(cn(name)).sign(key, hashes.SHA256()), key)


@cache
def root() -> Authority:
    """Return the root."""
    return make_authority("Root")


@cache
def issuing() -> Authority:
    """Return the CA that issues, under the root."""
    return make_authority("Issuing", root())


@cache
def trust() -> CertificateAuthorities:
    """Return the trust that a scenario configures."""
    return CertificateAuthorities([ours(root().certificate), ours(issuing().certificate)])


def stored(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, chain: Iterable[bytes] = ()
) -> StoredCredential:
    """Return a credential as a device keeps it."""
    return StoredCredential(certificate.public_bytes(Encoding.DER), pkcs8(key), tuple(chain))


def pkcs8(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as bytes."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def san_of(source: x509.Certificate | x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    """Return the alternative names, None where there are none."""
    try:
        return source.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def csr_of(request: EstRequest) -> x509.CertificateSigningRequest:
    """Return the CSR of a request, whose body must be base64."""
    return x509.load_der_x509_csr(base64.b64decode(b"".join(request.body.split()), validate=True))


def certs_only(*certificates: x509.Certificate) -> EstResponse:
    """Answer with certificates."""
    der = pkcs7.serialize_certificates(list(certificates), Encoding.DER)
    return EstResponse(200, CERTS_ONLY, base64.b64encode(der))


def come_again(after: str = "3") -> EstResponse:
    """Answer with a deferral."""
    return EstResponse(202, (("retry-after", after),), b"")


def challenge(scheme: str = 'Basic realm="est"') -> EstResponse:
    """Answer with a 401."""
    return EstResponse(401, (("www-authenticate", scheme),), b"")
