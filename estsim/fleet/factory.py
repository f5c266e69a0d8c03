"""The factory: a manufacturer's authority that mints each device's bootstrap certificate, in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from secrets import randbits
from time import time
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from estsim.device.faults import DeviceFault
from estsim.device.identity import StoredCredential, dump_key
from estsim.errors import UsageError
from estsim.est.certificate import Certificate, read_certificate
from estsim.est.der import BIT_STRING, BOOLEAN, INTEGER, SEQUENCE, encode
from estsim.est.oid import encoded_oid
from estsim.est.pem import certificates_in_pem, pem
from estsim.est.signatures import public_key
from estsim.est.signing import PrivateKey, extension, sign_certificate
from estsim.user_files import MOST_PEM_BYTES, read_user_file

T = TypeVar("T")

_DAY_S: Final = 86_400.0
_BACKDATED_S: Final = 3600.0  # devices were made before they boot, and clocks differ
_VALIDITY_S: Final = 3650 * _DAY_S
_EXPIRED_SINCE_S: Final = 30 * _DAY_S
_SERIAL_BITS: Final = 158  # RFC 5280 §4.1.2.2: positive, of 20 octets at most
_CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
_SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
_KEY_CERT_SIGN: Final = encode(BIT_STRING, b"\x02\x04")  # bit 5, and two bits unused
_PUBLIC_FILE: Final = 0o644


@dataclass(frozen=True)
class Factory:
    """A manufacturer's CA certificate with its key; ``chain`` is what a device sends beside its own certificate."""

    certificate: Certificate
    key: PrivateKey
    chain: tuple[bytes, ...] = ()

    @classmethod
    def made(cls, name: str) -> "Factory":
        """Make a new manufacturer, whose key never leaves this process."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject_der = _common_name(f"estsim manufacturer {name}")
        return cls(_sign(key, subject_der, subject_der, _spki(key.public_key()), _ca(path_length=1)), key)

    def branch(self, public_key_der: bytes, name: str, *, ends_in_s: float) -> Certificate:
        """Certify a manufacturer below this one, whose key is elsewhere; ``public_key_der`` is its public part.

        Its devices show this certificate beside their own: who trusts this manufacturer trusts them, and no private
        key has travelled. It may certify devices, no further manufacturers, and clients of TLS only, while it is valid.
        Raises UsageError for what is no public key.
        """
        try:
            key = load_der_public_key(public_key_der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(f"{name}: expected a public key (SubjectPublicKeyInfo, DER): {error}") from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise UsageError(f"{name}: expected an EC public key (got {type(key).__name__})")
        issuer_der = self.certificate.subject_der
        # RFC 5280 §4.2.1.3: keyCertSign alone. §4.2.1.12: a purpose in a CA's certificate holds for those below it.
        extensions = _ca(path_length=0) + extension("2.5.29.15", _KEY_CERT_SIGN, critical=True) + _purpose(_CLIENT_AUTH)
        return _sign(self.key, issuer_der, _common_name(name), _spki(key), extensions, ends_in_s=ends_in_s)

    @classmethod
    def read(cls, cert: Path, key: Path | None = None) -> "Factory":
        """Read a manufacturer from PEM files, one for both if ``key`` is None; raises UsageError."""
        certificates = read_pem(cert, certificates_in_pem, "certificates")
        private = read_pem(key or cert, lambda pem: load_pem_private_key(pem, password=None), "an unencrypted key")
        if not isinstance(private, PrivateKey):
            raise UsageError(f"{key or cert}: expected an EC, RSA or Ed25519 key (got {type(private).__name__})")
        if not read_pem(cert, lambda _: belongs(private, certificates[0]), "a key that can be read"):
            raise UsageError(f"{key or cert}: the key does not match the certificate in {cert}")
        above = tuple(each.der for each in certificates if not each.is_self_issued)
        return cls(certificates[0], private, above)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate for a server's trust configuration."""
        return pem(self.certificate.der)

    @cached_property
    def stranger(self) -> "Factory":
        """Another manufacturer, that no server has heard of."""
        return Factory.made("unknown")

    def owned_issuer(self, key: PrivateKey, subject: x509.Name, flaw: DeviceFault | None = None) -> StoredCredential:
        """Issue the certificate that a device leaves the factory with, or one with an inborn flaw."""
        if flaw is DeviceFault.UNKNOWN_CA:
            return self.stranger.owned_issuer(key, subject)
        purpose = _SERVER_AUTH if flaw is DeviceFault.WRONG_EKU else _CLIENT_AUTH
        ends_in_s = -_EXPIRED_SINCE_S if flaw is DeviceFault.EXPIRED_BOOTSTRAP else _VALIDITY_S
        issuer_der, subject_der = self.certificate.subject_der, subject.public_bytes()
        certificate = _sign(
            self.key, issuer_der, subject_der, _spki(key.public_key()), _purpose(purpose), ends_in_s=ends_in_s
        )
        return StoredCredential(certificate.der, dump_key(key), self.chain)


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


def belongs(key: PrivateKey, certificate: Certificate) -> bool:
    """Whether a private key is a certificate's; raises ValueError where the certificate's cannot be read."""
    return key.public_key() == public_key(certificate.spki)


def _sign(
    key: PrivateKey,
    issuer_der: bytes,
    subject_der: bytes,
    spki: bytes,
    extensions: bytes,
    *,
    ends_in_s: float = _VALIDITY_S,
) -> Certificate:
    now_s = time()
    return read_certificate(
        sign_certificate(
            key,
            issuer_der=issuer_der,
            subject_der=subject_der,
            spki=spki,
            serial=randbits(_SERIAL_BITS) | 1,
            not_before_s=now_s - _BACKDATED_S + min(ends_in_s, 0.0),
            not_after_s=now_s + ends_in_s,
            extensions=(extensions,),
        )
    )


def _ca(*, path_length: int) -> bytes:
    constraints = encode(SEQUENCE, encode(BOOLEAN, b"\xff") + encode(INTEGER, bytes((path_length,))))
    return extension("2.5.29.19", constraints, critical=True)


@cache
def _purpose(purpose: str) -> bytes:
    return extension("2.5.29.37", encode(SEQUENCE, encoded_oid(purpose)))


def _common_name(text: str) -> bytes:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]).public_bytes()


def _spki(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_pem(path: Path, load: Callable[[bytes], T], what: str) -> T:
    """Load something from a PEM file; raises UsageError, or UnreadableFile, that name the file."""
    content = read_user_file(path, most_bytes=MOST_PEM_BYTES)
    try:
        return load(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: expected {what} in PEM: {error}") from error
