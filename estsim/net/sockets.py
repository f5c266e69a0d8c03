"""Non-blocking TCP sockets: made, bound to a source address, read with the kernel's stamps, closed in every way.

Also what errors of the operating system mean for an exchange, and the sockets of vanished devices. No function waits;
that is the caller's part.
"""

import errno
import logging
import os
import resource
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.est.url import Origin
from estsim.net.address import Address

_OURS: Final = {
    errno.EMFILE: "this process ran out of file descriptors (EMFILE; RLIMIT_NOFILE)",
    errno.ENFILE: "this machine ran out of file descriptors (ENFILE; fs.file-max)",
    errno.EADDRNOTAVAIL: "this machine ran out of local ports (EADDRNOTAVAIL; net.ipv4.ip_local_port_range)",
    errno.ENOBUFS: "this machine ran out of network buffers (ENOBUFS)",
    errno.ENOMEM: "this machine ran out of memory (ENOMEM)",
}
_THEIRS: Final = {
    errno.ECONNREFUSED: (Trouble.REFUSED, "connection refused"),
    errno.EHOSTUNREACH: (Trouble.REFUSED, "no route to the host"),
    errno.ENETUNREACH: (Trouble.REFUSED, "the network is unreachable"),
    errno.EACCES: (Trouble.REFUSED, "a local firewall forbids the connection"),
    errno.EPERM: (Trouble.REFUSED, "a local firewall forbids the connection"),
    errno.ECONNRESET: (Trouble.RESET, "the peer reset the connection"),
    errno.EPIPE: (Trouble.RESET, "the peer has closed the connection"),
    errno.ECONNABORTED: (Trouble.RESET, "the connection was aborted"),
    errno.ETIMEDOUT: (Trouble.TIMEOUT, "the peer stopped responding (kernel timeout)"),
}
_IP_BIND_ADDRESS_NO_PORT: Final = 24  # linux/in.h; Python names it from 3.12 on
_IPV6: Final = 6
_LOG: Final = logging.getLogger(__name__)
_SHARE: Final = 2  # held sockets may take this part of the descriptors, the half
_FEWEST: Final = 16
_MOST: Final = 1 << 20
RECEIVE_BYTES: Final = 16 * 1024
_SO_TIMESTAMPNS: Final = 35  # SO_TIMESTAMPNS_OLD of Linux, which Python does not name; TCP honours it since 4.14
_TIMESPEC: Final = struct.Struct("@qq")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)
_NS_PER_S: Final = 1_000_000_000
_LINGER_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST


def transport_failure(error: OSError, phase: Phase, where: str = "") -> TransportFailed:
    """Return the failure for an error of the operating system; ``where`` names the other end in the reason."""
    prefix = f"{where}: " if where else ""
    if isinstance(error, socket.gaierror):
        if error.errno in (socket.EAI_MEMORY, socket.EAI_SYSTEM):
            return TransportFailed(phase, Trouble.GENERATOR, f"{prefix}the local resolver failed: {error.strerror}")
        return TransportFailed(phase, Trouble.REFUSED, f"{prefix}the name cannot be resolved: {error.strerror}")
    code = error.errno or 0
    if code in _OURS:
        return TransportFailed(phase, Trouble.GENERATOR, f"{prefix}{_OURS[code]}")
    trouble, reason = _THEIRS.get(code, (Trouble.RESET, error.strerror or str(error)))
    return TransportFailed(phase, trouble, prefix + reason)


def is_ours(error: OSError) -> bool:
    """Whether our own machine ran out of a resource."""
    return error.errno in _OURS


@dataclass(frozen=True, slots=True)
class Source:
    """A local address, an IPv4 or IPv6 literal."""

    address: str

    @property
    def family(self) -> socket.AddressFamily:
        """The address family; raises ``ValueError`` where it is not an IP literal."""
        return socket.AF_INET6 if ip_address(self.address).version == _IPV6 else socket.AF_INET

    def reaching(self, addresses: tuple[Address, ...], endpoint: Origin) -> tuple[Address, ...]:
        """Return the server's addresses of this family; raises TransportFailed if there are none."""
        family = self.family
        found = tuple(address for address in addresses if address.family == family)
        if addresses and not found:
            reason = f"{endpoint} has no address of the same family as the source address {self.address}"
            raise TransportFailed(Phase.CONNECT, Trouble.GENERATOR, reason)
        return found

    def bind(self, sock: socket.socket) -> None:
        """Bind a new socket to the address but no port yet; raises TransportFailed."""
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        try:
            sock.bind((self.address, 0))
        except OSError as error:
            reason = f"the source address {self.address} cannot be used: {os.strerror(error.errno or 0)}"
            raise TransportFailed(Phase.CONNECT, Trouble.GENERATOR, reason) from error


def unusable(sources: Iterable[Source]) -> list[str]:
    """Return why connections cannot leave from each unusable address."""
    problems = []
    for source in sources:
        try:
            with socket.socket(source.family, socket.SOCK_STREAM) as sock:
                source.bind(sock)
        except ValueError:
            problems.append(f"the source address {source.address} is not an IPv4 or IPv6 address")
        except OSError as error:
            problems.append(f"the source address {source.address} cannot be used: {error.strerror or error}")
        except TransportFailed as failed:
            problems.append(failed.reason)
    return problems


def held_at_most() -> int:
    """Return how many sockets may be held: half of the file descriptor limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _MOST if soft == resource.RLIM_INFINITY else soft // _SHARE
    return max(_FEWEST, min(_MOST, allowed))


class Vanished:
    """The sockets of vanished devices, held open and silent, so that the server notices nothing; oldest first.

    The kernel still acknowledges what the server sends; nobody reads or answers it. Each costs a descriptor for the
    rest of the run; above a limit the oldest is reset, counted in ``dropped`` and logged once.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._held: deque[int] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, sock: socket.socket) -> None:
        """Take a socket over; the caller's object is detached, and its close does nothing."""
        limit = held_at_most() if self._limit is None else self._limit
        while len(self._held) >= limit:
            os.close(self._held.popleft())
            self.dropped += 1
            if self.dropped == 1:
                _LOG.warning(
                    "%d connections of vanished devices are held open, half of this process's open-file limit "
                    "(RLIMIT_NOFILE); from now on each new one resets the oldest",
                    limit,
                )
        self._held.append(sock.detach())

    def release(self) -> None:
        """Close all, with a reset where the socket was prepared for one."""
        while self._held:
            os.close(self._held.popleft())


VANISHED: Final = Vanished()  # of this process, as descriptors are


class Close(StrEnum):
    """How a device closes a connection: in order, by a reset, or (power cut) without a packet."""

    FIN = "fin"
    RST = "rst"
    VANISH = "vanish"


def new_socket(address: Address, source: Source | None) -> socket.socket:
    """Return a non-blocking socket for an address; raises TransportFailed or ``OSError``."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # flights and requests never wait for an ACK
        if source is not None:
            source.bind(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def begin_to_connect(sock: socket.socket, address: Address) -> int:
    """Begin to connect; returns 0 (connected), EALREADY (under way), or another error number."""
    code = sock.connect_ex(address.sockaddr)
    if code == errno.EINPROGRESS:
        code = sock.connect_ex(address.sockaddr)  # on loopback it is done by now, and a pass of the loop is saved
    return code


def connected(sock: socket.socket) -> int:
    """Return the result of an attempt whose socket has become writable: 0, or an error number."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def stamp_arrivals(sock: socket.socket) -> None:
    """Ask the kernel to timestamp arriving bytes, where it can (Linux)."""
    if sys.platform == "linux":
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def receive_stamped(sock: socket.socket) -> tuple[bytes, int]:
    """Receive, and return for how many nanoseconds the last bytes had lain in the kernel, 0 if unknown.

    A busy loop reads late; without this its own delay would count as the peer's.
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
