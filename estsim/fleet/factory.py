"""The factory: a manufacturer's authority that mints each device's bootstrap certificate, in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from estsim.device.faults import DeviceFault
from estsim.device.identity import PrivateKey, StoredCredential, dump_key
from estsim.errors import UsageError
from estsim.est.csr import signature_hash

T = TypeVar("T")

_BACKDATED: Final = timedelta(hours=1)  # devices were made before they boot, and clocks differ
_VALIDITY: Final = timedelta(days=3650)
_EXPIRED_SINCE: Final = timedelta(days=30)
_PUBLIC_FILE: Final = 0o644


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
            x509.BasicConstraints(ca=True, path_length=1), critical=True
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    def branch(self, public_key_der: bytes, name: str) -> x509.Certificate:
        """Certify a manufacturer below this one, whose key is elsewhere; ``public_key_der`` is its public part.

        Its devices show this certificate beside their own: who trusts this manufacturer trusts them, and no private
        key has travelled. Raises UsageError for what is no public key.
        """
        try:
            public_key = load_der_public_key(public_key_der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(f"{name}: expected a public key (SubjectPublicKeyInfo, DER): {error}") from error
        if not isinstance(public_key, ec.EllipticCurvePublicKey):
            raise UsageError(f"{name}: expected an EC public key (got {type(public_key).__name__})")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.certificate.subject, public_key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return builder.sign(self.key, signature_hash(self.key))

    @classmethod
    def read(cls, cert: Path, key: Path | None = None) -> "Factory":
        """Read a manufacturer from PEM files, one for both if ``key`` is None; raises UsageError."""
        certificates = read_pem(cert, x509.load_pem_x509_certificates, "certificates")
        private = read_pem(key or cert, lambda pem: load_pem_private_key(pem, password=None), "an unencrypted key")
        if not isinstance(private, PrivateKey):
            raise UsageError(f"{key or cert}: expected an EC, RSA or Ed25519 key (got {type(private).__name__})")
        if private.public_key() != read_pem(cert, lambda _: certificates[0].public_key(), "a key that can be read"):
            raise UsageError(f"{key or cert}: the key does not belong to the certificate in {cert}")
        above = tuple(c.public_bytes(Encoding.DER) for c in certificates if c.subject != c.issuer)
        return cls(certificates[0], private, above)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate for a server's trust configuration."""
        return self.certificate.public_bytes(Encoding.PEM)

    @cached_property
    def stranger(self) -> "Factory":
        """Another manufacturer, that no server has heard of."""
        return Factory.made("nobody knows")

    def mint(self, key: PrivateKey, subject: x509.Name, flaw: DeviceFault | None = None) -> StoredCredential:
        """Issue the certificate that a device leaves the factory with, or one with an inborn flaw."""
        if flaw is DeviceFault.UNKNOWN_CA:
            return self.stranger.mint(key, subject)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if flaw is DeviceFault.WRONG_EKU else ExtendedKeyUsageOID.CLIENT_AUTH
        expired = flaw is DeviceFault.EXPIRED_BOOTSTRAP
        builder = _builder(subject, self.certificate.subject, key, ends_in=-_EXPIRED_SINCE if expired else _VALIDITY)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        certificate = builder.sign(self.key, signature_hash(self.key))
        return StoredCredential(certificate.public_bytes(Encoding.DER), dump_key(key), self.chain)


def export_authorities(factories: Mapping[str, Factory], folder: Path) -> None:
    """Write the certificate of each authority as a PEM file of its name, for a server's trust; raises UsageError.

    Keys stay in memory.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, factory in factories.items():
            path = folder / f"{name}.pem"
            path.write_bytes(factory.certificate_pem)
            path.chmod(_PUBLIC_FILE)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: cannot be written: {error.strerror}") from error


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey | ec.EllipticCurvePublicKey,
    *,
    ends_in: timedelta = _VALIDITY,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key if isinstance(key, ec.EllipticCurvePublicKey) else key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED + min(ends_in, timedelta()))
        .not_valid_after(now + ends_in)
    )


def read_pem(path: Path, load: Callable[[bytes], T], what: str) -> T:
    """Load something from a PEM file; raises UsageError that names the file."""
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: expected {what} in PEM: {error}") from error
