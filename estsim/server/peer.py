"""The client at the other end of a connection, as its TLS handshake showed it: read once per connection."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from estsim.est.certs_only import LIBRARY_ERRORS
from estsim.est.csr import CertificateParts, parts_of
from estsim.est.der import DERError

_EXPIRED: Final = "certificate has expired"
_FORGOTTEN: Final = "its session goes back to a handshake that is forgotten; connect without resuming it"
_REMEMBERED: Final = 50_000
_CHAINS: Final = 1000  # shared by all who sent the same


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is there, and what is wrong with the certificate that was shown, where a handshake lets such clients in.

    ``chain`` is what came beside the certificate, in the full handshake of a resumed session. ``fault`` is one that the
    sandbox has injected into the handshake.
    """

    subject: str | None = None
    serial: str | None = None
    certificate: x509.Certificate | None = None
    parts: CertificateParts | None = None
    chain: tuple[x509.Certificate, ...] = ()
    problem: str | None = None
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
        subject, serial = certificate.subject.rfc4514_string(), f"{certificate.serial_number:x}"
    except (DERError, *LIBRARY_ERRORS) as error:  # OpenSSL reads more than DER, and old string types
        return Peer(problem=f"the certificate cannot be read: {error}", certificate=certificate, fault=fault)
    return Peer(subject, serial, certificate, parts, tuple(chain), problem, fault)


class Acquaintances:
    """What full handshakes showed of clients, for the sessions that are resumed from them.

    A resumed session has neither the chain nor what OpenSSL thought of the certificate: a ticket must not wash a
    stranger clean. Who was met too long ago to be remembered has to shake hands anew.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._met: OrderedDict[bytes, tuple[tuple[x509.Certificate, ...], str | None]] = OrderedDict()
        self._chains: dict[tuple[x509.Certificate, ...], tuple[x509.Certificate, ...]] = {}

    def meet(
        self, certificate: x509.Certificate, chain: Sequence[x509.Certificate], problem: str | None
    ) -> tuple[tuple[x509.Certificate, ...], str | None]:
        """Remember a full handshake; returns what came beside the certificate, and the problem."""
        # Of who is refused the reason will do: strangers may send long chains, each another one.
        beside = () if problem else tuple(other for other in chain if other != certificate)
        if len(self._chains) > _CHAINS:
            self._chains.clear()
        known = (self._chains.setdefault(beside, beside), problem)
        fingerprint = certificate.fingerprint(SHA256())
        self._met[fingerprint] = known
        self._met.move_to_end(fingerprint)
        if len(self._met) > self._remembered:
            self._met.popitem(last=False)
        return known

    def recall(self, certificate: x509.Certificate) -> tuple[tuple[x509.Certificate, ...], str | None]:
        """Return what the full handshake of a resumed session showed."""
        fingerprint = certificate.fingerprint(SHA256())
        known = self._met.get(fingerprint)
        if known is None:
            return (), _FORGOTTEN
        self._met.move_to_end(fingerprint)
        return known
