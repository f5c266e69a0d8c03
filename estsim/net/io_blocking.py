"""The waits of an exchange as blocking calls with the rest of the deadline, for threads and greenlets.

Where gevent has patched the standard library, a wait switches to another greenlet; this code does not depend on it.
"""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from estsim.est.url import Origin
from estsim.net.address import Address
from estsim.net.blocking_resolver import SHARED, BlockingResolver
from estsim.net.limit import DeadlinePassed, Limit
from estsim.net.sockets import receive_stamped

T = TypeVar("T")
_MS_PER_S: Final = 1000
_LONGEST_SLEEP_S: Final = 3600.0


class Elsewhere(Protocol):
    """Runs work in a thread while other greenlets go on, as gevent's ``threadpool.apply``."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Return what the work returns."""


def _here(work: Callable[[], T], /) -> T:
    return work()


class BlockingIo:
    """Blocking waits; one object for each thread or greenlet, with its current deadline.

    From ``cut_off_s`` (``time.monotonic``) on every wait raises :class:`estsim.net.limit.CutOff`; it is read when a
    deadline begins or is moved. Work that would hold up other greenlets is done ``elsewhere``.
    """

    __slots__ = ("_elsewhere", "_limit", "cut_off_s", "resolver")

    def __init__(self, *, resolver: BlockingResolver = SHARED, elsewhere: Elsewhere = _here) -> None:
        self.resolver = resolver
        self.cut_off_s = inf
        self._elsewhere = elsewhere
        self._limit = Limit(inf)

    def deadline(self, within_s: float) -> "BlockingDeadline":
        """Return the deadline of the waits in a block."""
        return BlockingDeadline(self, within_s)

    def cut_off_in(self, seconds: float) -> None:
        """Cut off what begins from now on in ``seconds``."""
        self.cut_off_s = time.monotonic() + seconds

    def limit(self, within_s: float) -> None:
        """End waits from now on after ``within_s``, or at the cut-off."""
        self._limit = Limit(within_s, cut_off_s=self.cut_off_s)

    async def resolve(self, endpoint: Origin) -> tuple[Address, ...]:
        """Ask the resolver."""
        return self.resolver.resolve(endpoint, self._limit)

    async def wait_writable(self, sock: socket.socket) -> None:
        """Wait for the socket; a passed deadline counts only if the socket is not ready, as we may have been asleep."""
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        wait_s = self._limit.left_s()
        while not poll.poll(None if wait_s == inf else wait_s * _MS_PER_S):
            if not wait_s:
                raise self._limit.passed()
            wait_s = self._limit.rest_s()

    async def receive(self, sock: socket.socket) -> tuple[bytes, int]:
        """Wait for bytes; a passed deadline counts only if there are none, as we may have been asleep."""
        wait_s = self._limit.left_s()
        try:
            while True:
                sock.settimeout(None if wait_s == inf else wait_s)
                try:
                    return receive_stamped(sock)
                except BlockingIOError as error:  # it did not wait any more
                    raise self._limit.passed() from error
                except TimeoutError as error:
                    if error.errno is not None:  # not ours: the kernel gave up
                        raise
                wait_s = self._limit.rest_s()
        finally:
            sock.settimeout(0)

    async def sleep(self, seconds: float) -> None:
        """Sleep, at most until the deadline."""
        ends_s = time.monotonic() + seconds
        while True:
            wait_s = min(max(0.0, ends_s - time.monotonic()), self._limit.left_s(), _LONGEST_SLEEP_S)
            time.sleep(wait_s)  # noqa: ASYNC251 - who waits here blocks
            if time.monotonic() >= ends_s:
                return

    async def run(self, work: Callable[[], T]) -> T:
        """Run it elsewhere.

        An exception comes back as a value: gevent's pool prints the traceback of work that raises.
        """
        done = self._elsewhere(lambda: _attempted(work))
        if isinstance(done, _Raised):
            raise done.error
        return done


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


def _attempted(work: Callable[[], T]) -> "T | _Raised":
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - it is raised where it was waited for
        return _Raised(error)


class BlockingDeadline:
    """Limits the waits of one io while its block lasts."""

    __slots__ = ("_io", "_within_s")

    def __init__(self, io: BlockingIo, within_s: float) -> None:
        self._io = io
        self._within_s = within_s

    def __enter__(self) -> Self:
        self._io.limit(self._within_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._io.limit(inf)
        return isinstance(error, DeadlinePassed)

    def restart(self, within_s: float) -> None:
        """Move the deadline to ``within_s`` from now."""
        self._io.limit(within_s)
