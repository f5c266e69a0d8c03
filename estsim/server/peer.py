"""The client at the other end of a connection, as its TLS handshake showed it: read once per connection."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import Certificate
from estsim.net.server_checks import has_cmc_ra

EMPTY_SUBJECT: Final = "(empty subject)"
_EXPIRED: Final = "certificate has expired"
_FORGOTTEN: Final = "its TLS session is no longer known; reconnect without resuming it"
_REMEMBERED: Final = 50_000
_CHAINS: Final = 1000  # shared by all who sent the same


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is there, and what is wrong with the certificate that was shown, where a handshake lets such clients in.

    ``chain`` is what came beside the certificate, in the full handshake of a resumed session. ``fault`` is one that the
    sandbox has injected into the handshake, ``address`` the IP address that the connection came from.
    """

    subject: str | None = None
    serial: str | None = None
    certificate: Certificate | None = None
    chain: tuple[Certificate, ...] = ()
    problem: str | None = None
    fault: str | None = None
    address: str = ""

    @property
    def name(self) -> str:
        """What people are told of who this is, never nothing."""
        return self.subject or EMPTY_SUBJECT

    @property
    def is_ra(self) -> bool:
        """Whether this is a registration authority, by id-kp-cmcRA in its certificate (RFC 7030 §3.7, RFC 6402 §2.10).

        A CA that is trusted here says so of its own clients; nothing is configured.
        """
        return self.certificate is not None and has_cmc_ra(self.certificate)

    @property
    def identity(self) -> bytes | None:
        """A digest of who this is, by issuer and subject; None without a certificate."""
        if self.certificate is None:
            return None
        return sha256(b"certificate\0" + self.certificate.issuer_der + self.certificate.subject_der).digest()


def read_peer(
    certificate: Certificate | None,
    *,
    chain: Sequence[Certificate] = (),
    problem: str | None = None,
    resumed: bool = False,
    fault: str | None = None,
    address: str = "",
    wall_now_s: float,
) -> Peer:
    """Read the facts of a client; ``problem`` is OpenSSL's opinion of a certificate that the handshake let pass.

    A resumed session is not verified again, so the certificate's end is looked at here.
    """
    if certificate is None:
        return Peer(fault=fault, address=address)
    if resumed and certificate.not_after_s < wall_now_s:
        problem = problem or _EXPIRED
    return Peer(certificate.subject, certificate.serial_hex, certificate, tuple(chain), problem, fault, address)


class Acquaintances:
    """What full handshakes showed of clients, for the sessions that are resumed from them.

    A resumed session has neither the chain nor what OpenSSL thought of the certificate: a ticket must not wash a
    stranger clean. Who was met too long ago to be remembered has to shake hands anew.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._met: OrderedDict[bytes, tuple[tuple[Certificate, ...], str | None]] = OrderedDict()
        self._chains: dict[tuple[Certificate, ...], tuple[Certificate, ...]] = {}

    def meet(
        self, certificate: Certificate, chain: Sequence[Certificate], problem: str | None
    ) -> tuple[tuple[Certificate, ...], str | None]:
        """Remember a full handshake; returns what came beside the certificate, and the problem."""
        # Of who is refused the reason will do: strangers may send long chains, each another one.
        beside = () if problem else tuple(other for other in chain if other != certificate)
        if len(self._chains) > _CHAINS:
            self._chains.clear()
        known = (self._chains.setdefault(beside, beside), problem)
        fingerprint = certificate.fingerprint
        self._met[fingerprint] = known
        self._met.move_to_end(fingerprint)
        if len(self._met) > self._remembered:
            self._met.popitem(last=False)
        return known

    def recall(self, certificate: Certificate) -> tuple[tuple[Certificate, ...], str | None]:
        """Return what the full handshake of a resumed session showed."""
        fingerprint = certificate.fingerprint
        known = self._met.get(fingerprint)
        if known is None:
            return (), _FORGOTTEN
        self._met.move_to_end(fingerprint)
        return known


_CHECKS: Final = 64  # of signatures among what a stranger sent beside his certificate: 5 ms
_PATHS: Final = 32  # one for each way from a device to an anchor


class PeerTrust:
    """The anchors of one trust center."""

    def __init__(self, anchors: tuple[Certificate, ...]) -> None:
        self._with_path = lru_cache(_PATHS)(lambda path: CertificateAuthorities(anchors, path, most_checks=_CHECKS))

    def takes(self, peer: Peer) -> bool:
        """Whether the certificate chains to an anchor, with what came beside it."""
        return peer.certificate is not None and self._with_path(peer.chain).chain_of(peer.certificate) is not None
