"""The stalls of this process's event loop: stopped by a signal, swapped out, collecting garbage, or busy for long.

A stall is the time between two passes beyond what the loop meant to sleep. It is the generator's own: deadlines do not
run in it (:mod:`estsim.net.io_trio`, :mod:`estsim.net.limit`), and an exchange knows how much of it lay in a stall.
Times are those of ``time.perf_counter_ns``. A process has one loop, and so one record: :data:`LOOP_STALLS`.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

LEAST_STALL_NS: Final = 50_000_000  # anything shorter is an ordinary pass of a busy loop
_KEPT: Final = 4096  # more stalls than that in one exchange show in schedule lag and CPU anyway


class LoopStalls:
    """The stalls of one loop; for the loop's own thread only.

    A loop that cannot be watched from inside *beats*: one of its tasks calls :meth:`beat` every ``beats_ns``. After a
    stall another task may run before that one, so an overdue beat already counts as a stall.
    """

    __slots__ = ("_beat_ns", "_beats_ns", "_stalls", "_total_ns")

    def __init__(self) -> None:
        self._stalls: deque[tuple[int, int]] = deque(maxlen=_KEPT)  # from, to
        self._total_ns = 0
        self._beats_ns: int | None = None
        self._beat_ns = 0

    def between(self, from_ns: int, to_ns: int) -> bool:
        """Note a time in which the loop neither ran nor slept; returns whether it is long enough for a stall."""
        if to_ns - from_ns < LEAST_STALL_NS:
            return False
        self._stalls.append((from_ns, to_ns))
        self._total_ns += to_ns - from_ns
        return True

    def begin_to_beat(self, now_ns: int, *, beats_ns: int | None) -> None:
        """Expect a beat every ``beats_ns`` from now on; None expects no more."""
        self._beat_ns, self._beats_ns = now_ns, beats_ns

    def beat(self, now_ns: int) -> None:
        """Note that the loop runs."""
        if self._beats_ns is not None:
            self.between(self._beat_ns + self._beats_ns, now_ns)
            self._beat_ns = now_ns

    def total_ns(self, now_ns: int) -> int:
        """Return the total time of stalls until now."""
        overdue = self._overdue(now_ns)
        return self._total_ns + (overdue[1] - overdue[0] if overdue else 0)

    def within_ns(self, from_ns: int, to_ns: int) -> int:
        """Return the time of stalls within an interval."""
        found = 0
        for began_ns, ended_ns in self._newest_first(to_ns):
            if ended_ns <= from_ns:
                break
            found += max(0, min(ended_ns, to_ns) - max(began_ns, from_ns))
        return found

    def longest(self, from_ns: int, to_ns: int) -> tuple[int, int] | None:
        """Return the longest stall that ended within an interval, as its beginning and end."""
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
        """Return the stall that a beating loop is just coming out of, if any."""
        if self._beats_ns is None:
            return None
        due_ns = self._beat_ns + self._beats_ns
        return (due_ns, now_ns) if now_ns - due_ns >= LEAST_STALL_NS else None


LOOP_STALLS: Final = LoopStalls()
