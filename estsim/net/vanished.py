"""The sockets of devices that went without a word: held open and silent, so that their servers hear nothing of it.

The kernel still acknowledges what such a peer sends; nobody reads or answers it. Each costs a descriptor for the rest
of the run, so there is a limit, above which the oldest is reset, and said so once.
"""

import logging
import os
import resource
import socket
from collections import deque
from typing import Final

_LOG: Final = logging.getLogger(__name__)
_SHARE: Final = 2  # held sockets may take this part of the descriptors, the half
_FEWEST: Final = 16
_MOST: Final = 1 << 20


def held_at_most() -> int:
    """Return how many sockets may be held: half of the descriptors that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _MOST if soft == resource.RLIM_INFINITY else soft // _SHARE
    return max(_FEWEST, min(_MOST, allowed))


class Vanished:
    """The held sockets, oldest first; ``dropped`` counts those that had to be let go."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._held: deque[int] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, sock: socket.socket) -> None:
        """Take a socket over and keep it; the caller's object is detached, and its close does nothing."""
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
        """Let all go; with a reset where the socket was prepared for one."""
        while self._held:
            os.close(self._held.popleft())


VANISHED: Final = Vanished()  # descriptors belong to the process, and so do these
