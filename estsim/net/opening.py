"""How a TLS connection comes about: a device opens one with stamps and deadlines, a server shakes hands on one.

Whatever happens, also cancellation, a connection that did not come about leaves nothing open.
"""

import socket
import time

import trio

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import TlsConnection
from estsim.net.contexts import TlsContext
from estsim.net.credential import Credential
from estsim.net.deadlines import Deadlines
from estsim.net.link import Link, timed_out
from estsim.net.resolver import SHARED, Endpoint, Resolver
from estsim.net.sockets import Close
from estsim.net.source import Source
from estsim.net.stamps import Clock, WireStamps
from estsim.net.tcp import connect, take_over
from estsim.net.tls import Resumable, TlsSession
from estsim.net.tls_failure import TlsFailed

__all__ = ["Deadlines", "open_connection", "serve_handshake"]


async def open_connection(
    endpoint: Endpoint,
    context: TlsContext,
    credential: Credential | None,
    *,
    deadlines: Deadlines,
    clock: Clock,
    stamps: WireStamps,
    resume: Resumable | None = None,
    check_host: bool = True,
    resolver: Resolver = SHARED,
    link: Link | None = None,
    source: Source | None = None,
    device_wall_s: float | None = None,
    leaves: Close = Close.FIN,
) -> TlsConnection:
    """Resolve, connect and shake hands; the caller closes what comes back.

    ``link`` is the shaped network that this connection is to go over, ``source`` the local address it is to leave from,
    ``device_wall_s`` the time by a clock that is wrong, see :class:`TlsSession`; ``leaves`` is how a handshake that is
    cut ends.

    Raises :class:`TransportFailed` with the phase it failed in; whatever happens, also cancellation, nothing stays
    open. With a wrong host name nothing that names us has been sent.
    """
    phase = Phase.RESOLVE
    with trio.CancelScope(deadline=trio.current_time() + deadlines.connect_s) as scope:
        addresses = resolver.known(endpoint) or await resolver.resolve(endpoint)
        phase = Phase.CONNECT
        sock = await connect(endpoint, addresses, resolver, source)
        if link is not None:
            await _answered(sock, link)
        stamps.connected_ns = clock()
        phase = Phase.HANDSHAKE
        scope.deadline = trio.current_time() + deadlines.handshake_s
        connection = await _shake(
            sock,
            context,
            credential,
            clock,
            host=endpoint.host,
            resume=resume,
            check_host=check_host,
            link=link,
            device_wall_s=device_wall_s,
            leaves=leaves,
        )
        stamps.handshaken_ns = clock()
        return connection
    limit_s = deadlines.handshake_s if phase is Phase.HANDSHAKE else deadlines.connect_s
    raise timed_out(link, phase, f"{endpoint}: not done within {limit_s:g} s")


async def _answered(sock: socket.socket, link: Link) -> None:
    """Wait for the shaped network's round trip, or close the socket."""
    try:
        await link.answered()
    except BaseException:
        sock.close()
        raise


async def serve_handshake(
    stream: trio.SocketStream,
    context: TlsContext,
    credential: Credential | None = None,
    *,
    deadline_s: float,
    clock: Clock = time.monotonic_ns,
) -> TlsConnection:
    """Shake hands as a server on an accepted stream, whose socket is taken over; the caller closes what comes back.

    Without ``credential`` the context has one, see :func:`estsim.net.contexts.server_context`.
    Raises :class:`TransportFailed` in phase handshake, the alert sent; whatever happens, nothing stays open.
    """
    sock = take_over(stream)
    with trio.move_on_after(deadline_s):
        return await _shake(sock, context, credential, clock)
    raise TransportFailed(Phase.HANDSHAKE, Trouble.TIMEOUT, f"the client did not finish within {deadline_s:g} s")


async def _shake(
    sock: socket.socket,
    context: TlsContext,
    credential: Credential | None,
    clock: Clock,
    *,
    host: str = "",
    resume: Resumable | None = None,
    check_host: bool = False,
    link: Link | None = None,
    device_wall_s: float | None = None,
    leaves: Close = Close.FIN,
) -> TlsConnection:
    """Make a connection of a connected socket, or close it."""
    try:
        tls = TlsSession(context, credential, host, resume=resume, device_wall_s=device_wall_s)
    except BaseException as failed:
        sock.close()
        if isinstance(failed, TlsFailed):
            raise failed.as_transport_failure() from failed
        raise
    connection = TlsConnection(sock, tls, clock, link)
    try:
        await connection.handshake(check_host=check_host)
    except trio.Cancelled:
        connection.drop(leaves)
        raise
    except BaseException:
        connection.drop()
        raise
    return connection
