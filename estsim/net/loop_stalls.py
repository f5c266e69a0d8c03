"""When this process's event loop stood still: stopped by a signal, swapped out, collecting garbage, or busy for long.

Whoever runs the loop tells of the time between two passes that is longer than the loop meant to sleep. What happens in
one is nobody's but the generator's: no deadline of ours runs in it (:mod:`estsim.net.loop_watch` under trio,
:mod:`estsim.net.limit` in plain calls), and an exchange knows how much of it lay in a stall. Times are those of
``time.perf_counter_ns``. A process has one loop, so it has one of these: :data:`LOOP_STALLS`.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

LEAST_STALL_NS: Final = 50_000_000  # what is shorter is an ordinary pass of a busy loop
_KEPT: Final = 4096  # a loop that stalls more often than that within one exchange is told by its lag and its CPU


class LoopStalls:
    """The stalls of one loop. Told and asked from the loop's own thread only.

    A loop that cannot be watched from inside *beats*: one of its tasks calls :meth:`beat` every ``beats_ns``. Another
    task may run before that one after a stall, so what is overdue counts already when it asks.
    """

    __slots__ = ("_beat_ns", "_beats_ns", "_stalls", "_total_ns")

    def __init__(self) -> None:
        self._stalls: deque[tuple[int, int]] = deque(maxlen=_KEPT)  # from, to
        self._total_ns = 0
        self._beats_ns: int | None = None
        self._beat_ns = 0

    def between(self, from_ns: int, to_ns: int) -> bool:
        """Take note of a time in which the loop was neither run nor asleep; returns whether that makes a stall."""
        if to_ns - from_ns < LEAST_STALL_NS:
            return False
        self._stalls.append((from_ns, to_ns))
        self._total_ns += to_ns - from_ns
        return True

    def begin_to_beat(self, now_ns: int, *, beats_ns: int | None) -> None:
        """Expect a beat that often from now on; None: no more."""
        self._beat_ns, self._beats_ns = now_ns, beats_ns

    def beat(self, now_ns: int) -> None:
        """Say that the loop runs."""
        if self._beats_ns is not None:
            self.between(self._beat_ns + self._beats_ns, now_ns)
            self._beat_ns = now_ns

    def total_ns(self, now_ns: int) -> int:
        """Return how long the loop has stood still in all, by now."""
        overdue = self._overdue(now_ns)
        return self._total_ns + (overdue[1] - overdue[0] if overdue else 0)

    def within_ns(self, from_ns: int, to_ns: int) -> int:
        """Return for how much of a time the loop stood still."""
        found = 0
        for began_ns, ended_ns in self._newest_first(to_ns):
            if ended_ns <= from_ns:
                break
            found += max(0, min(ended_ns, to_ns) - max(began_ns, from_ns))
        return found

    def longest(self, from_ns: int, to_ns: int) -> tuple[int, int] | None:
        """Return the longest stall that ended within a time: from when to when it was, whole."""
        found: tuple[int, int] | None = None
        for began_ns, ended_ns in self._newest_first(to_ns):
            if ended_ns <= from_ns:
                break
            if ended_ns <= to_ns and (found is None or ended_ns - began_ns > found[1] - found[0]):
                found = (began_ns, ended_ns)
        return found

    def _newest_first(self, now_ns: int) -> Iterator[tuple[int, int]]:
        overdue = self._overdue(now_ns)
        if overdue is not None:
            yield overdue
        yield from reversed(self._stalls)

    def _overdue(self, now_ns: int) -> tuple[int, int] | None:
        """Return the stall that a loop which beats is just coming out of, if it is."""
        if self._beats_ns is None:
            return None
        due_ns = self._beat_ns + self._beats_ns
        return (due_ns, now_ns) if now_ns - due_ns >= LEAST_STALL_NS else None


LOOP_STALLS: Final = LoopStalls()
