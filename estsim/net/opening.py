"""How a device's TLS connection comes about, with stamps and deadlines: resolve, connect, shake hands.

Whatever happens, also cancellation, a connection that did not come about leaves nothing open.
"""

import socket

from estsim.errors import Phase
from estsim.net.address import Endpoint
from estsim.net.connection import TlsConnection
from estsim.net.contexts import TlsContext
from estsim.net.deadlines import Deadlines
from estsim.net.io import Io
from estsim.net.link import Link, timed_out
from estsim.net.sockets import Close
from estsim.net.source import Source
from estsim.net.stamps import Clock, WireStamps
from estsim.net.tcp import connect
from estsim.net.tls import Resumable, TlsSession
from estsim.net.tls_failure import TlsFailed
from estsim.pki.credentials import Credential


async def open_connection(
    io: Io,
    endpoint: Endpoint,
    context: TlsContext,
    credential: Credential | None,
    *,
    deadlines: Deadlines,
    clock: Clock,
    stamps: WireStamps,
    resume: Resumable | None = None,
    check_host: bool = True,
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
    with io.deadline(deadlines.connect_s) as deadline:
        addresses = io.resolver.known(endpoint) or await io.resolve(endpoint)
        phase = Phase.CONNECT
        sock = await connect(io, endpoint, addresses, source)
        if link is not None:
            await _answered(sock, link)
        stamps.connected_ns = clock()
        phase = Phase.HANDSHAKE
        deadline.restart(deadlines.handshake_s)
        connection = await shake_hands(
            io,
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
    raise timed_out(link, phase, f"{endpoint}: timed out after {limit_s:g} s")


async def _answered(sock: socket.socket, link: Link) -> None:
    """Wait for the shaped network's round trip, or close the socket."""
    try:
        await link.answered()
    except BaseException:
        sock.close()
        raise


async def shake_hands(
    io: Io,
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
    has_spoken: bool = False,
) -> TlsConnection:
    """Make a connection of a connected socket, or close it; one that is cut is left as ``leaves`` says."""
    try:
        tls = TlsSession(context, credential, host, resume=resume, device_wall_s=device_wall_s)
    except BaseException as failed:
        sock.close()
        if isinstance(failed, TlsFailed):
            raise failed.as_transport_failure() from failed
        raise
    connection = TlsConnection(io, sock, tls, clock, link)
    try:
        await connection.handshake(check_host=check_host, has_spoken=has_spoken)
    except Exception:
        connection.drop()
        raise
    except BaseException:
        connection.drop(leaves)
        raise
    return connection
