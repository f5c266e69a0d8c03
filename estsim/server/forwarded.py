"""Client certificates that a TLS-terminating proxy forwards in a header.

The encodings differ: percent-encoded PEM by nginx (``$ssl_client_escaped_cert``), PEM on one line by Apache
(``%{SSL_CLIENT_CERT}s``), base64 of DER by HAProxy (``%[ssl_c_der,base64]``), with colons around it in RFC 9440 §2.1.
Only configured proxies may forward one, since any client can write a header.
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote_to_bytes

from estsim.errors import EstsimError
from estsim.est.certificate import Certificate, CertificateUnreadable, read_certificate
from estsim.est.messages import EstRequest
from estsim.est.transfer import TransferError, decode_body
from estsim.server.answer import Refused
from estsim.server.config import PeerHeader
from estsim.server.peer import Peer, read_peer

_NOBODY: Final = frozenset({"", "(null)"})  # nginx and HAProxy; Apache
_NOT_YET_VALID: Final = "certificate is not yet valid"
_EXPIRED: Final = "certificate has expired"
_REMEMBERED: Final = 256  # a header is read when the head has come, and when the request is answered


class ForwardedError(EstsimError):
    """A header without a readable certificate."""


def forwarded_der(value: str) -> bytes | None:
    """Return the forwarded certificate as DER, None where the proxy says that there was none.

    Raises :class:`ForwardedError`. The DER is not yet read.
    """
    text = value.strip()
    if text in _NOBODY:
        return None
    if text.startswith(":") and text.endswith(":"):
        text = text[1:-1]  # RFC 8941 §3.3.5: a byte sequence
    written = unquote_to_bytes(text) if "%" in text else text.encode("latin-1", "replace")
    try:
        der, _ = decode_body(written)
    except TransferError as error:
        raise ForwardedError(str(error)) from error
    return der


class PeersBehind:
    """The clients behind trusted proxies, by the header with their certificates."""

    def __init__(self, header: PeerHeader, now_s: Callable[[], float]) -> None:
        self._name = header.name.lower()
        self._trusted = header.networks
        self._now_s = now_s

    def of(self, request: EstRequest, connected: Peer) -> Peer:
        """Return the client that sent a request over a connection of ``connected``.

        A trusted proxy speaks for its client only: without the header the client is anonymous, whatever certificate the
        proxy itself has. Raises :class:`Refused` for an unreadable header, or one from anybody else.
        """
        values = [value for name, value in request.headers if name == self._name]
        if not self._trusts(connected.address):
            if values:
                raise Refused(
                    403, f"the header {self._name} came from {connected.address}, which peer_from_header does not trust"
                )
            return connected
        if len(values) > 1:
            raise Refused(400, f"expected the header {self._name} once (got {len(values)})")
        return self._read(values[0] if values else "", connected)

    def _trusts(self, address: str) -> bool:
        try:
            ip = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._trusted)

    def _read(self, value: str, connected: Peer) -> Peer:
        try:
            certificate = _certificate_in(value)
        except (ForwardedError, CertificateUnreadable) as error:
            raise Refused(400, f"expected a client certificate in the header {self._name}: {error}") from error
        now_s, problem = self._now_s(), None
        if certificate is not None:  # no handshake of ours has checked its dates
            early, late = now_s < certificate.not_before_s, now_s > certificate.not_after_s
            problem = _NOT_YET_VALID if early else _EXPIRED if late else None
        return read_peer(
            certificate, problem=problem, fault=connected.fault, address=connected.address, wall_now_s=now_s
        )


@lru_cache(_REMEMBERED)
def _certificate_in(value: str) -> Certificate | None:
    der = forwarded_der(value)
    return None if der is None else read_certificate(der)
