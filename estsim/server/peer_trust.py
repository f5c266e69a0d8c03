"""Whether a client's certificate is one of a trust center's own clients', above TLS (RFC 7030 §3.3.2).

The handshake verifies against the anchors of all trust centers at once, or lets everybody in; which of them a client
belongs to is found out here.
"""

from functools import lru_cache
from typing import Final

from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import Certificate
from estsim.server.peer import Peer

_CHECKS: Final = 64  # of signatures among what a stranger sent beside his certificate: 5 ms
_CHAINS: Final = 32  # one for each way from a device to an anchor


class PeerTrust:
    """The anchors of one trust center."""

    def __init__(self, anchors: tuple[Certificate, ...]) -> None:
        self._with_path = lru_cache(_CHAINS)(lambda path: CertificateAuthorities(anchors, path, most_checks=_CHECKS))

    def takes(self, peer: Peer) -> bool:
        """Whether the certificate chains to an anchor, with what came beside it."""
        return peer.certificate is not None and self._with_path(peer.chain).chain_of(peer.certificate) is not None
