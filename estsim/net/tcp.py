"""TCP sockets under trio: connected, and taken over from its streams."""

import errno
import os
import socket

import trio

from estsim.net.address import Address, Endpoint
from estsim.net.dialling import Attempts
from estsim.net.resolver import Resolver
from estsim.net.sockets import begin_to_connect, connected, new_socket, prepare_reset
from estsim.net.source import Source

__all__ = ["connect", "prepare_reset", "take_over"]


async def connect(
    endpoint: Endpoint, addresses: tuple[Address, ...], resolver: Resolver, source: Source | None = None
) -> socket.socket:
    """Connect to the first address that answers, from ``source`` where given; raises the last one's failure."""
    attempts = Attempts(endpoint, addresses, source)
    for address in attempts:
        try:
            sock = await _connect_to(address, source)
        except OSError as error:
            attempts.failed(error)
        else:
            attempts.worked(address, resolver)
            return sock
    raise attempts.failure() from attempts.error


async def _connect_to(address: Address, source: Source | None) -> socket.socket:
    """Connect a new socket to one address; raises ``OSError`` with nothing left open."""
    sock = new_socket(address, source)
    try:
        code = begin_to_connect(sock, address)
        if code == errno.EALREADY:
            await trio.lowlevel.wait_writable(sock)
            code = connected(sock)
    except BaseException:
        sock.close()
        raise
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def take_over(stream: trio.SocketStream) -> socket.socket:
    """Return the socket of a trio stream as one of ours; the stream has none afterwards."""
    accepted = stream.socket
    sock = socket.socket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
    sock.setblocking(False)
    return sock
