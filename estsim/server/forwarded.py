"""A client's certificate that a proxy hands on in a header, because the TLS session with the client ended there.

Each proxy writes it in its own way: nginx as percent-encoded PEM (``$ssl_client_escaped_cert``), Apache as PEM on one
line (``%{SSL_CLIENT_CERT}s``), HAProxy as base64 of DER (``%[ssl_c_der,base64]``); RFC 9440 §2.1 puts colons around
that. Only whom the configuration trusts may hand one on, since a header is for anybody to write.
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
_REMEMBERED: Final = 256  # a request is looked at when its head has come, and when it is answered


class ForwardedError(EstsimError):
    """A header that holds no certificate."""


def forwarded_der(value: str) -> bytes | None:
    """Return the certificate that a proxy wrote, as DER, None where it says that there was none.

    Raises :class:`ForwardedError`. Whether it is a certificate at all is for its reader to say.
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
    """Who is behind the proxies that are trusted, by the header in which they hand on a client's certificate."""

    def __init__(self, header: PeerHeader, now_s: Callable[[], float]) -> None:
        self._name = header.name.lower()
        self._trusted = header.networks
        self._now_s = now_s

    def of(self, request: EstRequest, connected: Peer) -> Peer:
        """Return who sent a request that came on a connection of ``connected``.

        A trusted proxy speaks for its client alone: without the header there is nobody, whatever certificate the proxy
        has for itself. Raises :class:`Refused` where anybody else sends the header, or where it cannot be read.
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
        if certificate is not None:  # no handshake of ours has looked at its dates
            early, late = now_s < certificate.not_before_s, now_s > certificate.not_after_s
            problem = _NOT_YET_VALID if early else _EXPIRED if late else None
        return read_peer(
            certificate, problem=problem, fault=connected.fault, address=connected.address, wall_now_s=now_s
        )


@lru_cache(_REMEMBERED)
def _certificate_in(value: str) -> Certificate | None:
    der = forwarded_der(value)
    return None if der is None else read_certificate(der)
