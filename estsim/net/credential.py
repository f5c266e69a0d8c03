"""What an endpoint proves itself with: a certificate and its private key, in memory only."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Credential:
    """A leaf certificate with its key. The chain above it belongs to the context, whose key names it."""

    certificate: x509.Certificate
    key: PrivateKey

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the certificate, by which sessions are kept apart."""
        return self.certificate.fingerprint(SHA256())
