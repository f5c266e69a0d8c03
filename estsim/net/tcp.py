"""TCP connections: which of a server's addresses to try, in turn, and what it means when none of them answers."""

import errno
import os
import socket

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.address import Address, Endpoint
from estsim.net.io import Io
from estsim.net.sockets import begin_to_connect, connected, new_socket
from estsim.net.source import Source
from estsim.net.troubles import is_ours, transport_failure


async def connect(
    io: Io, endpoint: Endpoint, addresses: tuple[Address, ...], source: Source | None = None
) -> socket.socket:
    """Connect to the first address that answers, from ``source`` where given; raises the last one's failure."""
    reachable = addresses if source is None else source.reaching(addresses, endpoint)
    last: OSError | None = None
    for address in reachable:
        try:
            sock = await _connect_to(io, address, source)
        except OSError as error:
            last = error
            if is_ours(error) and error.errno != errno.EADDRNOTAVAIL:
                break  # the next address would meet the same
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
