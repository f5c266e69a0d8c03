"""The client at the other end of a connection, read once per connection, and whether a trust center trusts it."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
_CHECKS: Final = 64  # of signatures in a chain that an untrusted client sent: 5 ms
_PATHS: Final = 32  # one for each way from a device to an anchor


@dataclass(frozen=True, slots=True)
class Peer:
    """A client; ``problem`` says what is wrong with its certificate, where the handshake accepts such clients.

    ``chain`` is what the client sent with its certificate, for a resumed session in its full handshake. ``fault`` is
    the fault injected into the handshake, ``address`` the client's IP address. ``channel_binding`` returns what links
    requests to the TLS session (RFC 7030 §3.5); None behind a proxy.
    """

    subject: str | None = None
    serial: str | None = None
    certificate: Certificate | None = None
    chain: tuple[Certificate, ...] = ()
    problem: str | None = None
    fault: str | None = None
    address: str = ""
    channel_binding: Callable[[], bytes | None] | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The Subject for people, never empty."""
        return self.subject or EMPTY_SUBJECT

    @property
    def is_ra(self) -> bool:
        """Whether this is a registration authority, by id-kp-cmcRA in its certificate (RFC 7030 §3.7).

        A trusted CA decides this for its own clients (RFC 6402 §2.10); nothing is configured.
        """
        return self.certificate is not None and has_cmc_ra(self.certificate)

    @property
    def identity(self) -> bytes | None:
        """A digest of issuer and subject; None without a certificate."""
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
    """Return a client; ``problem`` is OpenSSL's verdict on a certificate that the handshake accepted anyway.

    A resumed session is not verified again, so the certificate's end is checked here.
    """
    if certificate is None:
        return Peer(fault=fault, address=address)
    if resumed and certificate.not_after_s < wall_now_s:
        problem = problem or _EXPIRED
    return Peer(certificate.subject, certificate.serial_hex, certificate, tuple(chain), problem, fault, address)


class Handshakes:
    """Chains and problems from full handshakes, for the sessions that are resumed from them.

    A resumed session has neither the chain nor OpenSSL's verdict, and must not make an untrusted client trusted. A
    client that is no longer remembered needs a full handshake.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._known: OrderedDict[bytes, tuple[tuple[Certificate, ...], str | None]] = OrderedDict()
        self._chains: dict[tuple[Certificate, ...], tuple[Certificate, ...]] = {}

    def meet(
        self, certificate: Certificate, chain: Sequence[Certificate], problem: str | None
    ) -> tuple[tuple[Certificate, ...], str | None]:
        """Remember a full handshake; returns the chain sent with the certificate, and the problem."""
        # For a refused client the reason is enough: untrusted clients may each send another long chain.
        sent_with = () if problem else tuple(other for other in chain if other != certificate)
        if len(self._chains) > _CHAINS:
            self._chains.clear()
        known = (self._chains.setdefault(sent_with, sent_with), problem)
        fingerprint = certificate.fingerprint
        self._known[fingerprint] = known
        self._known.move_to_end(fingerprint)
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return known

    def recall(self, certificate: Certificate) -> tuple[tuple[Certificate, ...], str | None]:
        """Return chain and problem from the full handshake of a resumed session."""
        fingerprint = certificate.fingerprint
        known = self._known.get(fingerprint)
        if known is None:
            return (), _FORGOTTEN
        self._known.move_to_end(fingerprint)
        return known


class PeerTrust:
    """The anchors of one trust center, applied above TLS (RFC 7030 §3.3.2).

    The handshake verifies against the anchors of all trust centers at once, or accepts every client.
    """

    def __init__(self, anchors: tuple[Certificate, ...]) -> None:
        self._with_path = lru_cache(_PATHS)(lambda path: CertificateAuthorities(anchors, path, most_checks=_CHECKS))

    def takes(self, peer: Peer) -> bool:
        """Whether the certificate chains to an anchor, with the chain that the client sent."""
        return peer.certificate is not None and self._with_path(peer.chain).chain_of(peer.certificate) is not None
