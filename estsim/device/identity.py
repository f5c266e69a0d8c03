"""Who a device is: its bootstrap credential, what it was issued, and the key of a request under way.

Sleeping devices keep keys and certificates as DER (0.7 KiB together); chains and authorities are shared by the fleet.
Keys live in memory only and never show in a repr.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import read_certificate
from estsim.est.signing import PrivateKey

_NO_NAME: Final = b"\x30\x00"


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A certificate with its key as DER, and the intermediates that are sent with it (leaf's issuer first)."""

    certificate_der: bytes
    key_der: bytes = field(repr=False)
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedCredential:
    """The same with its key loaded, for the length of an exchange; the certificate stays as TLS presents it."""

    certificate_der: bytes
    key: PrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Identity:
    """What one device owns."""

    bootstrap: StoredCredential | None = None
    issued: StoredCredential | None = None
    pending_key_der: bytes | None = field(default=None, repr=False)
    authorities: CertificateAuthorities | None = None  # fetched; None until then


@dataclass(frozen=True, slots=True)
class RequestedNames:
    """The names that a cohort's devices enroll for; None stands for those of each device's bootstrap certificate."""

    subject: Callable[[int], x509.Name] | None
    sans: Callable[[int], x509.SubjectAlternativeName | None] | None

    def of(self, device: int, bootstrap: StoredCredential | None) -> tuple[bytes, bytes | None]:
        """Return a device's Subject and SubjectAltName as DER; those of its certificate as they are encoded there."""
        if bootstrap is not None and (self.subject is None or self.sans is None):
            own = read_certificate(bootstrap.certificate_der)  # kept once, as the certificate
            subject_der, san_der = own.subject_der, own.san_der
        else:
            subject_der, san_der = _NO_NAME, None
        if self.subject is not None:
            subject_der = self.subject(device).public_bytes()
        if self.sans is not None:
            san = self.sans(device)
            san_der = san.public_bytes() if san else None
        return subject_der, san_der


def dump_key(key: PrivateKey) -> bytes:
    """Return a private key as unencrypted PKCS #8 DER, for memory only."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def load_key(der: bytes) -> PrivateKey:
    """Return the private key of PKCS #8 DER that :func:`dump_key` made, so it is not checked again."""
    key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, PrivateKey):
        raise TypeError(f"expected a key type supported for devices (got {type(key).__name__})")
    return key


def load_credential(stored: StoredCredential) -> LoadedCredential:
    """Load a stored credential's key."""
    return LoadedCredential(stored.certificate_der, load_key(stored.key_der), stored.chain)
