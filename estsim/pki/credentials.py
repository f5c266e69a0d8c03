"""What an endpoint proves itself with: a certificate and its private key, in memory only."""

from dataclasses import dataclass, field

from estsim.est.signing import PrivateKey
from estsim.pki.keys import load_key


@dataclass(frozen=True, slots=True)
class Credential:
    """A leaf certificate as DER, with its key. The chain above it belongs to the context, whose key names it.

    Sessions are kept apart by the certificate: it is whom they were made as.
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
    """The same with its key loaded, for the length of an exchange; the certificate stays as TLS presents it."""

    certificate_der: bytes
    key: PrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = ()


def load_credential(stored: StoredCredential) -> LoadedCredential:
    """Load a stored credential's key."""
    return LoadedCredential(stored.certificate_der, load_key(stored.key_der), stored.chain)
