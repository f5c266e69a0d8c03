"""Watching trio's loop from inside, and deadlines that do not run while it stands still.

Theory of operation. Trio looks at its sockets, lets deadlines expire, and then runs its tasks, in this order. After a
stall of the process the answers that came meanwhile lie in the sockets, and the deadlines of those who wait for them
have passed; without more ado they would be cut off before they could read, and the server be blamed. So the instrument
sees the stall first, at the moment between sockets and deadlines, and moves every running :class:`Deadline` by its
length: whoever waits has as much time with a loop that runs as it was promised.
"""

import time
from types import TracebackType
from typing import Final, Self

import trio

from estsim.net.loop_stalls import LEAST_STALL_NS, LOOP_STALLS

_NS_PER_S: Final = 1_000_000_000
_RUNNING: Final[set[trio.CancelScope]] = set()


class Deadline:
    """A cancel scope that ends what is in it after so many seconds, those in which the loop stood still not counted."""

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
        """Let it end so many seconds from now instead."""
        self._scope.deadline = trio.current_time() + within_s


class _Watch(trio.abc.Instrument):
    """Sees each pass of the loop, at the moment between its look at the sockets and that at the deadlines."""

    def __init__(self) -> None:
        self._before_ns = 0

    def begin(self) -> None:
        """Take the pass under way for the first."""
        self._before_ns = time.perf_counter_ns()

    def after_io_wait(self, timeout: float) -> None:
        """Take note of a pass; the loop was free to sleep for the timeout, or until something came."""
        before_ns, now_ns = self._before_ns, time.perf_counter_ns()
        self._before_ns = now_ns
        if now_ns - before_ns < LEAST_STALL_NS:  # as good as always
            return
        if LOOP_STALLS.between(before_ns + round(timeout * _NS_PER_S), now_ns):
            # Where in that time the stall began nobody knows, if it found the loop asleep: all of it is given back.
            for scope in _RUNNING:
                scope.deadline += (now_ns - before_ns) / _NS_PER_S


_WATCH: Final = _Watch()


def watch_loop() -> None:
    """Watch the loop of this trio run from now on."""
    _WATCH.begin()
    trio.lowlevel.add_instrument(_WATCH)
