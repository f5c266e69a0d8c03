"""How a server's TLS connection comes about: it shakes hands on a stream that trio accepted.

Whatever happens, also cancellation, a connection that did not come about leaves nothing open.
"""

import socket
import time

import trio

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import TlsConnection
from estsim.net.contexts import TlsContext
from estsim.net.io_trio import TRIO
from estsim.net.opening import shake_hands
from estsim.net.stamps import Clock
from estsim.pki.credentials import Credential


async def serve_handshake(
    stream: trio.SocketStream,
    context: TlsContext,
    credential: Credential | None = None,
    *,
    deadline_s: float,
    clock: Clock = time.monotonic_ns,
) -> TlsConnection:
    """Shake hands as a server on an accepted stream, whose socket is taken over; the caller closes what comes back.

    Without ``credential`` the context has one, see :func:`estsim.net.contexts.server_context`. Who says nothing costs a
    socket and a task: what TLS needs, 30 KiB, is made when the first byte is there.
    Raises :class:`TransportFailed` in phase handshake, the alert sent; whatever happens, nothing stays open.
    """
    sock = _take_over(stream)
    with trio.move_on_after(deadline_s):
        await _has_spoken(sock)
        return await shake_hands(TRIO, sock, context, credential, clock, has_spoken=True)
    raise TransportFailed(Phase.HANDSHAKE, Trouble.TIMEOUT, f"the client did not finish within {deadline_s:g} s")


async def _has_spoken(sock: socket.socket) -> None:
    """Wait for the first byte of a client, or for its end; where that is cut, close the socket."""
    try:
        await trio.lowlevel.wait_readable(sock)
    except BaseException:
        sock.close()
        raise


def _take_over(stream: trio.SocketStream) -> socket.socket:
    """Return the socket of a trio stream as one of ours; the stream has none afterwards."""
    accepted = stream.socket
    sock = socket.socket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
    sock.setblocking(False)
    return sock
