"""The server's TLS handshake on a stream that trio accepted. On failure or cancellation nothing stays open."""

import socket
import time

import trio

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import Clock, TlsConnection
from estsim.net.contexts import TlsContext
from estsim.net.io_trio import TRIO
from estsim.net.opening import shake_hands
from estsim.pki.credentials import Credential


async def serve_handshake(
    stream: trio.SocketStream,
    context: TlsContext,
    credential: Credential | None = None,
    *,
    deadline_s: float,
    clock: Clock = time.monotonic_ns,
) -> TlsConnection:
    """Complete a server's handshake on an accepted stream, taking over its socket; the caller closes the connection.

    Without ``credential`` the context has one, see :func:`estsim.net.contexts.server_context`. A silent client costs a
    socket and a task: the 30 KiB of TLS state are allocated at its first byte. Raises :class:`TransportFailed` in phase
    handshake, with the alert sent.
    """
    sock = _take_over(stream)
    with trio.move_on_after(deadline_s):
        await _has_received(sock)
        return await shake_hands(TRIO, sock, context, credential, clock, has_received=True)
    raise TransportFailed(Phase.HANDSHAKE, Trouble.TIMEOUT, f"the client did not finish within {deadline_s:g} s")


async def _has_received(sock: socket.socket) -> None:
    """Wait for a client's first byte or its end; on cancellation close the socket."""
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
