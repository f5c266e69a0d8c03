"""The waits of an exchange under trio, and deadlines that stop while its loop stands still.

Trio polls its sockets, expires deadlines, and then runs its tasks, in this order. After a stall of the process, answers
lie in the sockets and the deadlines of those who wait for them have passed; they would be cancelled before they could
read, and the server blamed. So an instrument notices the stall between sockets and deadlines, and moves every running
:class:`Deadline` by its length: each wait has its whole time with a loop that runs.
"""

import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

import trio

from estsim.est.url import Origin
from estsim.net.address import Address
from estsim.net.loop_stalls import LEAST_STALL_NS, LOOP_STALLS
from estsim.net.resolver import SHARED, Resolver
from estsim.net.sockets import receive_stamped

_NS_PER_S: Final = 1_000_000_000
_RUNNING: Final[set[trio.CancelScope]] = set()
T = TypeVar("T")


class Deadline:
    """A cancel scope that ends after ``within_s``, not counting the time for which the loop stood still."""

    __slots__ = ("_scope",)

    def __init__(self, within_s: float) -> None:
        self._scope = trio.CancelScope(deadline=trio.current_time() + within_s)

    def __enter__(self) -> Self:
        self._scope.__enter__()
        _RUNNING.add(self._scope)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        _RUNNING.discard(self._scope)
        return bool(self._scope.__exit__(kind, error, trace))

    def restart(self, within_s: float) -> None:
        """Move the deadline to ``within_s`` from now."""
        self._scope.deadline = trio.current_time() + within_s


class _Watch(trio.abc.Instrument):
    """Sees each pass of the loop, between its polling of sockets and its expiry of deadlines."""

    def __init__(self) -> None:
        self._before_ns = 0

    def begin(self) -> None:
        """Begin with the current pass."""
        self._before_ns = time.perf_counter_ns()

    def after_io_wait(self, timeout: float) -> None:
        """Note a pass; the loop was free to sleep for ``timeout``, or until something came."""
        before_ns, now_ns = self._before_ns, time.perf_counter_ns()
        self._before_ns = now_ns
        if now_ns - before_ns < LEAST_STALL_NS:  # as good as always
            return
        if LOOP_STALLS.between(before_ns + round(timeout * _NS_PER_S), now_ns):
            # When in that time the stall began is unknown if the loop was asleep: all of it is given back.
            for scope in _RUNNING:
                scope.deadline += (now_ns - before_ns) / _NS_PER_S


_WATCH: Final = _Watch()


def watch_loop() -> None:
    """Watch the loop of this trio run from now on."""
    _WATCH.begin()
    trio.lowlevel.add_instrument(_WATCH)


class TrioIo:
    """Suspends the task that waits. Stateless, so all tasks share one."""

    __slots__ = ("resolver",)

    def __init__(self, resolver: Resolver = SHARED) -> None:
        self.resolver = resolver

    def deadline(self, within_s: float) -> Deadline:
        """Return a deadline for a block."""
        return Deadline(within_s)

    async def resolve(self, endpoint: Origin) -> tuple[Address, ...]:
        """Ask the resolver."""
        return await self.resolver.resolve(endpoint)

    async def wait_writable(self, sock: socket.socket) -> None:
        """Wait for the socket."""
        await trio.lowlevel.wait_writable(sock)

    async def receive(self, sock: socket.socket) -> tuple[bytes, int]:
        """Wait once, then receive."""
        while True:
            await trio.lowlevel.wait_readable(sock)
            try:
                return receive_stamped(sock)
            except BlockingIOError:
                continue

    async def sleep(self, seconds: float) -> None:
        """Sleep; 0 is a checkpoint."""
        await trio.sleep(seconds)

    async def run(self, work: Callable[[], T]) -> T:
        """Run it in a thread."""
        return await trio.to_thread.run_sync(work)


TRIO: Final = TrioIo()
