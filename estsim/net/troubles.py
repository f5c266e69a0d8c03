"""What the operating system's errors mean for an exchange: one table from ``OSError`` to :class:`TransportFailed`."""

import errno
import socket
from typing import Final

from estsim.errors import Phase, TransportFailed, Trouble

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


def transport_failure(error: OSError, phase: Phase, where: str = "") -> TransportFailed:
    """Return the failure that an error of the operating system is; ``where`` names the other end in the reason."""
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
    """Say whether it is our own machine that ran out of something."""
    return error.errno in _OURS
