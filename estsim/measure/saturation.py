"""The generator judges itself: whether it was late or out of CPU (METRICS.md, same heading).

Per second of the run it keeps how many exchanges started and the lags above the limit: no more is needed to know
the p99 of any window in which it matters, and it merges by addition. Waiting for a key is no lag, and CPU spent while
keys are prepared is not judged.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final

from estsim.measure.histograms import LATENCY, Histogram, merged
from estsim.measure.sample import GeneratorReading
from estsim.units import format_share

WINDOW_S: Final = 10
LOST: Final = "lost"  # the mark of a lost worker, and the state of its devices
_LOOK_BACK_S: Final = 2  # a display that is asked for less often than that may miss a window, the verdict does not
_NS: Final = 1_000_000_000
_P99: Final = 0.99
_MIN_LATE: Final = 2  # one late start in ten seconds is one hiccup, whatever share of a small fleet it is
_SLACK_S: Final = 0.5  # readings come about once a second, never exactly

_Busy = tuple[float, float, float]  # (share, from_s, to_s) of a window; (from_s, to_s, share) of a reading


@dataclass(frozen=True, slots=True)
class Saturation:
    """A window in which the numbers are not the server's: ``why`` says so in one sentence."""

    from_s: int
    to_s: int
    why: str


def of_loss(at_ns: int, told: str) -> Saturation:
    """Return the verdict of a run that lost devices, or counts, with a process that played; ``told`` says so."""
    second = at_ns // _NS
    return Saturation(second, second + 1, f"{told}: so the figures are not those of the whole plan")


class SaturationWatch:
    """Watches schedule lag and CPU over every window of 10 s."""

    def __init__(self, *, max_lag_s: float, max_cpu: float) -> None:
        self.max_lag_s = max_lag_s
        self.max_cpu = max_cpu
        self.started: Counter[int] = Counter()  # exchanges by the second in which they started
        self.late: dict[int, Histogram] = {}  # those with a lag above the limit
        self.busiest: _Busy = (0.0, 0.0, 0.0)
        self._max_lag_ns = round(max_lag_s * _NS)
        self._recent: deque[_Busy] = deque()  # the last 10 s of readings, none of them while preparing
        self._last_reading_s = 0.0
        self._shown: int | None = None  # the start of the late window that a display was told of
        self.ran_out: Saturation | None = None  # of ports, descriptors or memory: the first time

    def exchange(self, started_ns: int, lag_ns: int) -> None:
        """Count the lag of one exchange."""
        second = started_ns // _NS
        self.started[second] += 1
        if lag_ns > self._max_lag_ns:
            late = self.late.get(second)
            if late is None:
                late = self.late[second] = Histogram(LATENCY)
            late.record_ns(lag_ns)

    def out_of(self, at_ns: int, reason: str) -> None:
        """Take note that our own machine ran out of something, at ``at_ns``."""
        if self.ran_out is None:
            second = at_ns // _NS
            why = f"{reason}, first after {second} s: exchanges failed here that the server never saw"
            self.ran_out = Saturation(second, second + 1, why)

    def reading(self, reading: GeneratorReading) -> None:
        """Count the CPU since the reading before."""
        from_s, to_s = self._last_reading_s, reading.at_ns / _NS
        self._last_reading_s = to_s
        if reading.preparing:
            self._recent.clear()
            return
        self._recent.append((from_s, to_s, reading.cpu_share))
        while len(self._recent) > 1 and to_s - self._recent[0][0] > WINDOW_S + _SLACK_S:
            self._recent.popleft()
        covered_s = to_s - self._recent[0][0]
        if covered_s >= WINDOW_S - _SLACK_S:
            busy_s = sum((end_s - start_s) * share for start_s, end_s, share in self._recent)
            self.busiest = max(self.busiest, (busy_s / covered_s, self._recent[0][0], to_s))

    def merge(self, other: "SaturationWatch") -> None:
        """Add another shard's lags; its CPU is another core's, so the busier of the two counts."""
        self.started.update(other.started)
        for second, late in other.late.items():
            self.late.setdefault(second, Histogram(LATENCY)).merge(late)
        self.busiest = max(self.busiest, other.busiest)
        ran_out = [found for found in (self.ran_out, other.ran_out) if found]
        self.ran_out = min(ran_out, key=lambda found: (found.from_s, found.why), default=None)

    def successor(self) -> "SaturationWatch":
        """Return a watch that goes on where this one stands, its lags counted anew: what is merged is counted once."""
        after = SaturationWatch(max_lag_s=self.max_lag_s, max_cpu=self.max_cpu)
        after.busiest, after.ran_out = self.busiest, self.ran_out
        after._recent, after._last_reading_s = self._recent, self._last_reading_s
        return after

    def so_far(self) -> Saturation | None:
        """Return the verdict for a display that asks each second: the windows that just ended, and the one shown."""
        if self.ran_out is not None:
            return self.ran_out
        last = self._last_window()
        recent = range(max(0, last - _LOOK_BACK_S), last + 1) if max(self.started, default=0) >= WINDOW_S else range(0)
        late = self._late_window([*recent, *([] if self._shown is None else [self._shown])])
        self._shown = late.from_s if late else None
        return late or self._busy_window()

    def verdict(self) -> Saturation | None:
        """Return what it ran out of, else the worst window, lag before CPU; None if it kept up throughout."""
        last = self._last_window()
        firsts = {min(last, max(0, second - back)) for second in self.late for back in range(WINDOW_S)}
        return self.ran_out or self._late_window(sorted(firsts)) or self._busy_window()

    def _last_window(self) -> int:
        """Return the start of the last window that lies in the run: no share is taken of a part of one."""
        return max(0, max(self.started, default=0) + 1 - WINDOW_S)

    def _late_window(self, firsts: Iterable[int]) -> Saturation | None:
        worst, start = 0.0, None
        for first in firsts:
            started, late = self._in_window(first)
            if late >= _MIN_LATE and late > (1 - _P99) * started and late / started > worst:
                worst, start = late / started, first
        if start is None:
            return None
        why = (
            f"schedule lag p99 was {self._p99_ms(start):.0f} ms (limit {self.max_lag_s * 1000:g} ms) "
            f"from {start} s to {start + WINDOW_S} s: the generator started late, so response times, "
            "times to certificate and arrival rates are not the server's"
        )
        return Saturation(start, start + WINDOW_S, why)

    def _in_window(self, first: int) -> tuple[int, int]:
        seconds = range(first, first + WINDOW_S)
        started = sum(self.started[second] for second in seconds)
        return started, sum(self.late[second].count for second in seconds if second in self.late)

    def _p99_ms(self, first: int) -> float:
        window = range(first, first + WINDOW_S)
        late = merged(self.late[second] for second in window if second in self.late)
        started, _ = self._in_window(first)
        rank_among_late = max(1, ceil(_P99 * started) - (started - late.count))
        return (late.quantile(rank_among_late / late.count) or 0) / 1000

    def _busy_window(self) -> Saturation | None:
        share, from_s, to_s = self.busiest
        if share <= self.max_cpu:
            return None
        why = (
            f"CPU was {share:.0%} of a core (limit {format_share(self.max_cpu)}) from {from_s:.0f} s to "
            f"{to_s:.0f} s: the generator was busy, so service times, waits and response times hold its own delays"
        )
        return Saturation(round(from_s), round(to_s), why)
