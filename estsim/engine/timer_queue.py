"""The fleet's timer queue: one heap of who is to wake when, for live and virtual time alike.

A waiting device is an entry here and nothing else: no task, no timer (74 bytes against 3 KB). An entry that something
else has overtaken stays until its time comes, when the machine drops it, but it is no longer counted.
"""

from collections import Counter
from heapq import heappop, heappush
from math import inf, isfinite
from typing import Final, Generic, TypeVar

FIRST_BOOT: Final = -1  # the turn of an entry that switches a device on

D = TypeVar("D")


class TimerQueue(Generic[D]):
    """Entries of (time in seconds, device, turn), popped in order of time, then of insertion."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, D, int]] = []
        self._pushed = 0
        self._counted = 0
        self._overtaken: Counter[float] = Counter()  # entries that are not counted any more, by their time
        self._per_second: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._counted

    def push(self, at_s: float, device: D, turn: int) -> None:
        """Plan a wake-up; one at infinity is never entered, because nothing is planned."""
        if not isfinite(at_s):
            return
        self._pushed += 1
        heappush(self._heap, (at_s, self._pushed, device, turn))
        self._per_second[int(at_s)] += 1
        self._counted += 1

    def pop_due(self, now_s: float) -> tuple[float, D, int] | None:
        """Take the earliest entry that is due, or None."""
        if not self._heap or self._heap[0][0] > now_s:
            return None
        at_s, _, device, turn = heappop(self._heap)
        if at_s in self._overtaken:
            self._overtaken[at_s] -= 1
            if not self._overtaken[at_s]:
                del self._overtaken[at_s]
        else:
            self._uncount(at_s)
        return at_s, device, turn

    def overtake(self, at_s: float) -> None:
        """Count one entry at this time no longer; whoever it was for does something else now."""
        self._overtaken[at_s] += 1
        self._uncount(at_s)

    def _uncount(self, at_s: float) -> None:
        self._counted -= 1
        second = int(at_s)
        self._per_second[second] -= 1
        if not self._per_second[second]:
            del self._per_second[second]

    def next_s(self) -> float:
        """Return when the next entry is due; infinity when nothing is planned."""
        return self._heap[0][0] if self._heap else inf

    def due_per_second(self, now_s: float, seconds: int) -> tuple[int, ...]:
        """Return how many entries fall into each of the next whole ``seconds`` of the run's clock."""
        first = int(max(now_s, 0.0))
        return tuple(self._per_second.get(first + i, 0) for i in range(seconds))

    def clear(self) -> None:
        """Forget everything: the end of a run drops a list instead of cancelling tasks."""
        self._heap.clear()
        self._counted = 0
        self._overtaken.clear()
        self._per_second.clear()
