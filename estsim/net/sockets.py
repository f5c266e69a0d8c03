"""TCP sockets of ours, whoever waits for them: made, listened to with the kernel's stamps, and closed in every way.

Each function here makes one system call at most that could wait, and leaves the waiting to its caller.
"""

import errno
import socket
import struct
import sys
import time
from contextlib import suppress
from enum import StrEnum
from typing import Final

from estsim.net.address import Address
from estsim.net.source import Source

RECEIVE_BYTES: Final = 16 * 1024
_SO_TIMESTAMPNS: Final = 35  # SO_TIMESTAMPNS_OLD of Linux, which Python does not name; TCP honours it since 4.14
_TIMESPEC: Final = struct.Struct("@qq")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)
_NS_PER_S: Final = 1_000_000_000
_LINGER_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST


class Close(StrEnum):
    """How a device leaves: in order, by a reset, or (power cut) without a word.

    Of a vanished device the kernel still acknowledges what it is sent; nobody reads or answers it.
    """

    FIN = "fin"
    RST = "rst"
    VANISH = "vanish"


def new_socket(address: Address, source: Source | None) -> socket.socket:
    """Return a socket that may connect to an address and never waits; raises TransportFailed or ``OSError``."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a flight and a request never wait for an ACK
        if source is not None:
            source.bind(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def begin_to_connect(sock: socket.socket, address: Address) -> int:
    """Begin to connect and return how far it came: 0 (done), EALREADY (under way), or another error's number."""
    code = sock.connect_ex(address.sockaddr)
    if code == errno.EINPROGRESS:
        code = sock.connect_ex(address.sockaddr)  # on loopback it is done by now, and a pass of the loop is saved
    return code


def connected(sock: socket.socket) -> int:
    """Return how an attempt ended whose socket has become writable: 0, or an error's number."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


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
