"""TCP sockets of ours: connected, taken over from trio, and closed in unkind ways."""

import errno
import os
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Final

import trio

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.resolver import Address, Endpoint, Resolver
from estsim.net.source import Source
from estsim.net.troubles import is_ours, transport_failure

RECEIVE_BYTES: Final = 16 * 1024
_SO_TIMESTAMPNS: Final = 35  # SO_TIMESTAMPNS_OLD of Linux, which Python does not name; TCP honours it since 4.14
_TIMESPEC: Final = struct.Struct("@qq")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)
_NS_PER_S: Final = 1_000_000_000
_LINGER_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST


async def connect(
    endpoint: Endpoint, addresses: tuple[Address, ...], resolver: Resolver, source: Source | None = None
) -> socket.socket:
    """Connect to the first address that answers, from ``source`` where given; raises the last one's failure."""
    failure: OSError | None = None
    if source is not None:
        addresses = source.reaching(addresses, endpoint)
    for address in addresses:
        try:
            sock = await _connect_to(address, source)
        except OSError as error:
            failure = error
            if is_ours(error) and error.errno != errno.EADDRNOTAVAIL:
                break
        else:
            if len(addresses) > 1:
                resolver.prefer(endpoint, address)
            return sock
    if failure is None:
        raise TransportFailed(Phase.RESOLVE, Trouble.REFUSED, f"{endpoint.host}: the name has no address")
    raise transport_failure(failure, Phase.CONNECT, str(endpoint)) from failure


async def _connect_to(address: Address, source: Source | None) -> socket.socket:
    """Connect a new socket to one address; raises ``OSError`` with nothing left open."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a flight and a request never wait for an ACK
        if source is not None:
            source.bind(sock)
        code = sock.connect_ex(address.sockaddr)
        if code == errno.EINPROGRESS:
            code = sock.connect_ex(address.sockaddr)  # on loopback it is done by now, and a pass of the loop is saved
        if code == errno.EALREADY:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
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


def stamp_arrivals(sock: socket.socket) -> None:
    """Ask the kernel to note when bytes arrive, where it can (Linux)."""
    if sys.platform == "linux":
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def receive_stamped(sock: socket.socket) -> tuple[bytes, int]:
    """Receive, and say for how many nanoseconds the last of the bytes had lain in the kernel: 0 if it does not tell.

    A busy loop reads late. What it then measures of the peer would hold its own delay, but for this.
    """
    received, ancillary, _, _ = sock.recvmsg(RECEIVE_BYTES, _ANCILLARY_BYTES)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(content) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(content)
            return received, max(0, time.time_ns() - seconds * _NS_PER_S - nanoseconds)
    return received, 0


def prepare_reset(sock: socket.socket) -> None:
    """Make the socket's close a reset."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
