"""The ClientHello that a context really sends, checked against its key (RFC 8446 §4.1.2, §4.2.7).

The environment can change what OpenSSL offers (``OPENSSL_CONF``, a wheel with other defaults), and the offer determines
the load on the server. So a run checks one ClientHello against its scenario before it starts.
"""

from typing import Final

from estsim.net.contexts import TlsContext
from estsim.net.groups import UnknownGroup, group_of_code_point
from estsim.net.tls import TlsSession

_RECORD_HEADER_BYTES: Final = 5
_HANDSHAKE_HEADER_BYTES: Final = 4
_VERSION_AND_RANDOM_BYTES: Final = 2 + 32
_SUPPORTED_GROUPS: Final = 10  # RFC 8446 §4.2


class _Reader:
    """Takes fields off the front of a message."""

    def __init__(self, message: bytes) -> None:
        self._rest = message

    def take(self, count: int) -> bytes:
        """Take ``count`` bytes."""
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def number(self, count: int) -> int:
        """Take a number of ``count`` bytes."""
        return int.from_bytes(self.take(count))

    def vector(self, length_bytes: int) -> bytes:
        """Take a vector, which its length precedes (RFC 8446 §3.4)."""
        return self.take(self.number(length_bytes))

    def __bool__(self) -> bool:
        return bool(self._rest)


def client_hello(context: TlsContext) -> bytes:
    """Return the first flight that a context sends."""
    session = TlsSession(context, None, "localhost")
    session.handshake()
    return session.outgoing()


def offered_groups(hello: bytes) -> tuple[str, ...]:
    """Return the groups in a ClientHello's supported_groups, in order; empty without the extension."""
    message = _Reader(hello)
    message.take(_RECORD_HEADER_BYTES + _HANDSHAKE_HEADER_BYTES + _VERSION_AND_RANDOM_BYTES)
    message.vector(1)  # legacy_session_id
    message.vector(2)  # cipher_suites
    message.vector(1)  # legacy_compression_methods
    extensions = _Reader(message.vector(2))
    while extensions:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == _SUPPORTED_GROUPS:
            listed = _Reader(_Reader(body).vector(2))
            groups = []
            while listed:
                groups.append(group_of_code_point(listed.number(2)))
            return tuple(groups)
    return ()


def check_offer(context: TlsContext) -> None:
    """Refuse a context whose ClientHello offers other groups than its key; raises :class:`UnknownGroup`."""
    offered = offered_groups(client_hello(context))
    if offered != context.key.groups:
        asked = ", ".join(context.key.groups)
        raise UnknownGroup(f"expected the ClientHello to offer {asked} (got {', '.join(offered) or 'no groups'})")
