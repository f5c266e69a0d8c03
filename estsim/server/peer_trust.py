"""Whether a client's certificate is one of a trust center's own clients', above TLS (RFC 7030 §3.3.2).

The handshake verifies against the anchors of all trust centers at once, or lets everybody in; which of them a client
belongs to is found out here.
"""

from collections import OrderedDict
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from estsim.est.verify import CertificateAuthorities
from estsim.server.peer import Peer

_CHAINS: Final = 32  # one for each way from a device to an anchor
_REMEMBERED: Final = 50_000


class PeerTrust:
    """The anchors of one trust center."""

    def __init__(self, anchors: tuple[x509.Certificate, ...]) -> None:
        self._with_path = lru_cache(_CHAINS)(lambda path: CertificateAuthorities(anchors, path))
        self._verified: OrderedDict[bytes, None] = OrderedDict()

    def takes(self, peer: Peer) -> bool:
        """Whether the certificate chains to an anchor, with what came beside it.

        What came beside it is gone from a resumed session: that is taken if a full handshake of it was before.
        """
        certificate = peer.certificate
        if certificate is None:
            return False
        fingerprint = certificate.fingerprint(SHA256())
        if fingerprint in self._verified:
            self._verified.move_to_end(fingerprint)
            return True
        path = tuple(other for other in peer.chain if other != certificate)
        if self._with_path(path).chain_of(certificate) is None:
            return False
        self._verified[fingerprint] = None
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return True
