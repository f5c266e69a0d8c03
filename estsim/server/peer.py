"""The client at the other end of a connection, as its TLS handshake showed it: read once per connection."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509

from estsim.est.csr import CertificateParts, parts_of
from estsim.est.der import DERError

_EXPIRED = "certificate has expired"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is there, and what is wrong with the certificate that was shown, where a handshake lets such clients in.

    ``chain`` is what came with the certificate, which a resumed session no longer tells. ``fault`` is one that the
    sandbox has injected into the handshake.
    """

    subject: str | None = None
    serial: str | None = None
    certificate: x509.Certificate | None = None
    parts: CertificateParts | None = None
    chain: tuple[x509.Certificate, ...] = ()
    problem: str | None = None
    resumed: bool = False
    fault: str | None = None

    @property
    def identity(self) -> bytes | None:
        """A digest of who this is, by issuer and subject; None without a certificate."""
        if self.parts is None:
            return None
        return sha256(b"certificate\0" + self.parts.issuer_der + self.parts.subject_der).digest()


def read_peer(
    certificate: x509.Certificate | None,
    *,
    chain: Sequence[x509.Certificate] = (),
    problem: str | None = None,
    resumed: bool = False,
    fault: str | None = None,
    wall_now_s: float,
) -> Peer:
    """Read the facts of a client; ``problem`` is OpenSSL's opinion of a certificate that the handshake let pass.

    A resumed session is not verified again, so the certificate's end is looked at here.
    """
    if certificate is None:
        return Peer(fault=fault)
    if resumed and certificate.not_valid_after_utc.timestamp() < wall_now_s:
        problem = problem or _EXPIRED
    try:
        parts = parts_of(certificate)
    except DERError as error:  # OpenSSL reads more than DER
        return Peer(problem=f"the certificate cannot be read: {error}", certificate=certificate, fault=fault)
    subject, serial = certificate.subject.rfc4514_string(), f"{certificate.serial_number:x}"
    return Peer(subject, serial, certificate, parts, tuple(chain), problem, resumed, fault)
