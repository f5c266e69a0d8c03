"""The factory: a manufacturer's authority that mints each device's bootstrap certificate, in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from estsim.device.identity import PrivateKey, StoredCredential, dump_key
from estsim.errors import UsageError
from estsim.est.csr import signature_hash

T = TypeVar("T")

_BACKDATED: Final = timedelta(hours=1)  # devices were made before they boot, and clocks differ
_VALIDITY: Final = timedelta(days=3650)


@dataclass(frozen=True)
class Factory:
    """A manufacturer's CA certificate with its key; ``chain`` is what a device sends beside its own certificate."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[bytes, ...] = ()

    @classmethod
    def made(cls, name: str) -> "Factory":
        """Make a new manufacturer, whose key never leaves this process."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"estsim manufacturer {name}")])
        builder = _builder(subject, subject, key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def read(cls, cert: Path, key: Path | None = None) -> "Factory":
        """Read a manufacturer from PEM files, one for both if ``key`` is None; raises UsageError."""
        certificates = _read(cert, x509.load_pem_x509_certificates, "certificates")
        private = _read(key or cert, lambda pem: load_pem_private_key(pem, password=None), "an unencrypted key")
        if not isinstance(private, PrivateKey):
            raise UsageError(f"{key or cert}: expected an EC, RSA or Ed25519 key (got {type(private).__name__})")
        if private.public_key() != _read(cert, lambda _: certificates[0].public_key(), "a key that can be read"):
            raise UsageError(f"{key or cert}: the key does not belong to the certificate in {cert}")
        above = tuple(c.public_bytes(Encoding.DER) for c in certificates if c.subject != c.issuer)
        return cls(certificates[0], private, above)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate for a server's trust configuration."""
        return self.certificate.public_bytes(Encoding.PEM)

    def mint(self, key: PrivateKey, subject: x509.Name) -> StoredCredential:
        """Issue the certificate that a device leaves the factory with."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = _builder(subject, self.certificate.subject, key).add_extension(usage, critical=False)
        certificate = builder.sign(self.key, signature_hash(self.key))
        return StoredCredential(certificate.public_bytes(Encoding.DER), dump_key(key), self.chain)


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _VALIDITY)
    )


def _read(path: Path, load: Callable[[bytes], T], what: str) -> T:
    """Load something from a PEM file; raises UsageError that names the file."""
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: expected {what} in PEM: {error}") from error
