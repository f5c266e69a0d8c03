"""Credentials: a certificate and its private key, in memory only."""

from dataclasses import dataclass, field

from estsim.est.signing import PrivateKey
from estsim.pki.keys import load_key


@dataclass(frozen=True, slots=True)
class Credential:
    """A leaf certificate as DER, with its key. The chain above it belongs to the TLS context.

    TLS sessions are kept apart by the certificate, as a session belongs to the identity that made it.
    """

    certificate_der: bytes
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A certificate with its key as DER, and the intermediates that are sent with it (leaf's issuer first)."""

    certificate_der: bytes
    key_der: bytes = field(repr=False)
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedCredential:
    """A stored credential with its key loaded, for the duration of an exchange."""

    certificate_der: bytes
    key: PrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = ()


def load_credential(stored: StoredCredential) -> LoadedCredential:
    """Load a stored credential's key."""
    return LoadedCredential(stored.certificate_der, load_key(stored.key_der), stored.chain)
