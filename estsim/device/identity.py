"""Who a device is: its bootstrap credential, what it was issued, and the key of a request under way.

Sleeping devices keep keys and certificates as DER (0.7 KiB together); chains and authorities are shared by the fleet.
Keys live in memory only and never show in a repr.
"""

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from estsim.est.verify import CertificateAuthorities

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A certificate with its key as DER, and the intermediates that are sent with it (leaf's issuer first)."""

    certificate_der: bytes
    key_der: bytes = field(repr=False)
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedCredential:
    """The same, parsed for the length of an exchange."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Identity:
    """What one device owns."""

    bootstrap: StoredCredential | None = None
    issued: StoredCredential | None = None
    pending_key_der: bytes | None = field(default=None, repr=False)
    authorities: CertificateAuthorities | None = None  # fetched; None until then


def dump_key(key: PrivateKey) -> bytes:
    """Return a private key as unencrypted PKCS #8 DER, for memory only."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def load_key(der: bytes) -> PrivateKey:
    """Return the private key of PKCS #8 DER that :func:`dump_key` made, so it is not checked again."""
    key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, PrivateKey):
        raise TypeError(f"expected a key that a device may have (got {type(key).__name__})")
    return key


def load_credential(stored: StoredCredential) -> LoadedCredential:
    """Parse a stored credential."""
    certificate = x509.load_der_x509_certificate(stored.certificate_der)
    return LoadedCredential(certificate, load_key(stored.key_der), stored.chain)
