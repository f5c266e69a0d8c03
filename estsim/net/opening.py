"""Opening a device's TLS connection, with stamps and deadlines: resolve, connect, handshake.

On failure or cancellation nothing stays open.
"""

import errno
import os
import socket
from dataclasses import dataclass

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.est.url import Origin
from estsim.net.address import Address
from estsim.net.connection import Clock, TlsConnection, WireStamps
from estsim.net.contexts import TlsContext
from estsim.net.io import Io
from estsim.net.shaping import Link, timed_out
from estsim.net.sockets import Close, Source, begin_to_connect, connected, is_ours, new_socket, transport_failure
from estsim.net.tls import Resumable, TlsSession
from estsim.net.tls_failure import TlsFailed
from estsim.pki.credentials import Credential


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each part of an exchange may take; resolving and connecting share one."""

    connect_s: float
    handshake_s: float
    answer_s: float


async def connect(
    io: Io, endpoint: Origin, addresses: tuple[Address, ...], source: Source | None = None
) -> socket.socket:
    """Connect to the first address that answers, from ``source`` where given; raises the last failure."""
    reachable = addresses if source is None else source.reaching(addresses, endpoint)
    last: OSError | None = None
    for address in reachable:
        try:
            sock = await _connect_to(io, address, source)
        except OSError as error:
            last = error
            if is_ours(error) and error.errno != errno.EADDRNOTAVAIL:
                break  # the next address would fail alike
        else:
            if len(reachable) > 1:
                io.resolver.prefer(endpoint, address)
            return sock
    if last is None:
        raise TransportFailed(Phase.RESOLVE, Trouble.REFUSED, f"{endpoint.host}: the name has no address")
    raise transport_failure(last, Phase.CONNECT, str(endpoint)) from last


async def _connect_to(io: Io, address: Address, source: Source | None) -> socket.socket:
    """Connect a new socket to one address; raises ``OSError`` with nothing left open."""
    sock = new_socket(address, source)
    try:
        code = begin_to_connect(sock, address)
        if code == errno.EALREADY:
            await io.wait_writable(sock)
            code = connected(sock)
    except BaseException:
        sock.close()
        raise
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


async def open_connection(
    io: Io,
    endpoint: Origin,
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
    """Resolve, connect and handshake; the caller closes the connection.

    ``link`` is the shaped network, ``source`` the local address, ``device_wall_s`` the time by a wrong clock (see
    :class:`TlsSession`), ``leaves`` how a cancelled handshake closes. Raises :class:`TransportFailed` with the phase;
    where the host name is wrong, our certificate has not been sent.
    """
    phase = Phase.RESOLVE
    with io.deadline(deadlines.connect_s) as deadline:
        addresses = io.resolver.known(endpoint) or await io.resolve(endpoint)
        phase = Phase.CONNECT
        sock = await connect(io, endpoint, addresses, source)
        if link is not None:
            await _first_round_trip(sock, link)
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


async def _first_round_trip(sock: socket.socket, link: Link) -> None:
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
    has_received: bool = False,
) -> TlsConnection:
    """Make a TLS connection of a connected socket, or close it; on cancellation as ``leaves`` says."""
    try:
        tls = TlsSession(context, credential, host, resume=resume, device_wall_s=device_wall_s)
    except BaseException as failed:
        sock.close()
        if isinstance(failed, TlsFailed):
            raise failed.as_transport_failure() from failed
        raise
    connection = TlsConnection(io, sock, tls, clock, link)
    try:
        await connection.handshake(check_host=check_host, has_received=has_received)
    except Exception:
        connection.drop()
        raise
    except BaseException:
        connection.drop(leaves)
        raise
    return connection
