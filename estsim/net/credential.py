"""What an endpoint proves itself with: a certificate and its private key, in memory only."""

from dataclasses import dataclass, field

from estsim.est.signing import PrivateKey


@dataclass(frozen=True, slots=True)
class Credential:
    """A leaf certificate as DER, with its key. The chain above it belongs to the context, whose key names it.

    Sessions are kept apart by the certificate: it is whom they were made as.
    """

    certificate_der: bytes
    key: PrivateKey = field(repr=False)
