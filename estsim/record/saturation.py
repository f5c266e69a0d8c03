"""Saturation of the generator: whether it was late, stalled, or out of CPU (docs/metrics.md).

For each second of the run it keeps the number of exchanges started and the lags above the limit: enough for the p99 of
any window that matters, and it merges by addition. Waiting for a key is no lag, and nothing is judged while keys are
prepared.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final

from estsim.record.histograms import LATENCY, Histogram, merged
from estsim.record.sample import GeneratorReading
from estsim.units import format_duration, format_share

WINDOW_S: Final = 10
LOST: Final = "lost"  # the mark of a lost worker, and the state of its devices
_LOOK_BACK_S: Final = 2  # a display that is updated less often may miss a window; the verdict does not
_NS: Final = 1_000_000_000
_P99: Final = 0.99
_FEW: Final = 100  # exchanges in a window; with fewer the p99 is the largest, which a single delay determines
_FEW_LIMIT: Final = 5  # times the limit, for that largest and for a stall of the loop
_LEAST_FEW_LIMIT_S: Final = 1.0
_SLACK_S: Final = 0.5  # readings come about once a second, never exactly

_LATE: Final = "response times, times to certificate, punctuality and arrival rates do not reflect the server"
_STALLED: Final = "service and response times, times to certificate, punctuality and timeouts include this delay"

_Busy = tuple[float, float, float]  # (share, from_s, to_s) of a window; (from_s, to_s, share) of a reading
_Pause = tuple[int, int]  # (length_ns, from_ns)


def stall_limit_s(max_lag_s: float) -> float:
    """Return the limit of a stall of the event loop, and of the largest lag of few exchanges."""
    return max(_LEAST_FEW_LIMIT_S, _FEW_LIMIT * max_lag_s)


class Limit(StrEnum):
    """What limited the generator."""

    LAG = "lag"
    STALL = "stall"
    CPU = "cpu"
    DELAY = "delay"  # its own delay made a threshold fail, with no limit exceeded
    SUSPENDED = "suspended"
    RESOURCE = "resource"  # ports, descriptors, memory
    LOST = "lost"  # a process, with its devices or counts


OF_TIME: Final = frozenset({Limit.LAG, Limit.STALL, Limit.CPU, Limit.DELAY})  # the generator was only slow
_QUIETER: Final = "use a quieter machine or more workers (--workers)"
_ADVICE: Final = {
    Limit.STALL: _QUIETER,
    Limit.DELAY: _QUIETER,
    Limit.SUSPENDED: "keep this machine awake during a run",
    Limit.RESOURCE: "raise the limits of this machine, use fewer devices at once, or spread them over several machines",
}


@dataclass(frozen=True, slots=True)
class Saturation:
    """A window in which the figures do not reflect the server: ``why`` gives the reason, and advice.

    ``lag_ms`` is the schedule lag in the reason, if any.
    """

    from_s: int
    to_s: int
    why: str
    limit: str = Limit.LOST
    lag_ms: float | None = None


def of_loss(at_ns: int, told: str) -> Saturation:
    """Return the verdict of a run that lost devices or counts of a process; ``told`` is the reason."""
    second = at_ns // _NS
    return Saturation(second, second + 1, f"{told}; the figures do not cover the whole plan")


class SaturationWatch:
    """Watches schedule lag and CPU over every window of 10 s, and the loop for longer stalls."""

    def __init__(self, *, max_lag_s: float, max_cpu: float) -> None:
        self.max_lag_s = max_lag_s
        self.max_cpu = max_cpu
        self.started: Counter[int] = Counter()  # exchanges by the second in which they started
        self.late: dict[int, Histogram] = {}  # those with a lag above the limit
        self.busiest: _Busy = (0.0, 0.0, 0.0)
        self.stall: _Pause = (0, 0)  # the longest of the loop
        self.suspended: _Pause = (0, 0)  # the longest sleep of the machine
        self.latest: _Pause = (0, 0)  # the largest lag, and when that exchange started
        self._max_lag_ns = round(max_lag_s * _NS)
        self._recent: deque[_Busy] = deque()  # the last 10 s of readings, none of them while preparing
        self._last_reading_s = 0.0
        self._shown: int | None = None  # the start of the late window that a display shows
        self.now_ns: int | None = None  # the time of the run: no window reaches beyond it
        self.ran_out: Saturation | None = None  # of ports, descriptors or memory: the first time

    def exchange(self, started_ns: int, lag_ns: int) -> None:
        """Count the lag of one exchange."""
        second = started_ns // _NS
        self.started[second] += 1
        if lag_ns > self.latest[0]:
            self.latest = (lag_ns, started_ns)
        if lag_ns > self._max_lag_ns:
            late = self.late.get(second)
            if late is None:
                late = self.late[second] = Histogram(LATENCY)
            late.record_ns(lag_ns)

    def out_of(self, at_ns: int, reason: str) -> None:
        """Note that the generator's machine ran out of a resource, at ``at_ns``."""
        if self.ran_out is None:
            second = at_ns // _NS
            why = f"{reason}, first after {second} s: some exchanges failed before they reached the server"
            self.ran_out = Saturation(second, second + 1, f"{why}; {_ADVICE[Limit.RESOURCE]}", Limit.RESOURCE)

    def reading(self, reading: GeneratorReading) -> None:
        """Count the CPU since the reading before, and note a stall since then."""
        from_s, to_s = self._last_reading_s, reading.at_ns / _NS
        self._last_reading_s = to_s
        if reading.preparing:
            self._recent.clear()
            return
        self._note_pauses(reading)
        self._recent.append((from_s, to_s, reading.cpu_share))
        while len(self._recent) > 1 and to_s - self._recent[0][0] > WINDOW_S + _SLACK_S:
            self._recent.popleft()
        covered_s = to_s - self._recent[0][0]
        if covered_s >= WINDOW_S - _SLACK_S:
            busy_s = sum((end_s - start_s) * share for start_s, end_s, share in self._recent)
            self.busiest = max(self.busiest, (busy_s / covered_s, self._recent[0][0], to_s))

    def _note_pauses(self, reading: GeneratorReading) -> None:
        if reading.stalled_from_ns is not None and reading.stalled_to_ns is not None:
            from_ns = max(0, reading.stalled_from_ns)  # nothing was measured before the run's zero
            self.stall = max(self.stall, (reading.stalled_to_ns - from_ns, from_ns))
        if reading.suspended_ns:
            self.suspended = max(self.suspended, (reading.suspended_ns, max(0, reading.at_ns)))

    def merge(self, other: "SaturationWatch") -> None:
        """Add another shard's lags; of CPU and stalls, the worse counts."""
        self.started.update(other.started)
        for second, late in other.late.items():
            self.late.setdefault(second, Histogram(LATENCY)).merge(late)
        self.busiest = max(self.busiest, other.busiest)
        self.stall, self.suspended = max(self.stall, other.stall), max(self.suspended, other.suspended)
        self.latest = max(self.latest, other.latest)
        ran_out = [found for found in (self.ran_out, other.ran_out) if found]
        self.ran_out = min(ran_out, key=lambda found: (found.from_s, found.why), default=None)

    def successor(self) -> "SaturationWatch":
        """Return a watch that continues from this one with no lags, so that merged lags count once."""
        after = SaturationWatch(max_lag_s=self.max_lag_s, max_cpu=self.max_cpu)
        after.busiest, after.ran_out = self.busiest, self.ran_out
        after.stall, after.suspended = self.stall, self.suspended
        after._recent, after._last_reading_s = self._recent, self._last_reading_s
        return after

    def so_far(self) -> Saturation | None:
        """Return the verdict for a display, each second: of the windows that just ended, and of the one shown."""
        if (pause := self._pause()) is not None:
            return pause
        last = self._last_window()
        recent = range(max(0, last - _LOOK_BACK_S), last + 1) if max(self.started, default=0) >= WINDOW_S else range(0)
        late = self._late_window([*recent, *([] if self._shown is None else [self._shown])])
        self._shown = late.from_s if late else None
        return late or self._busy_window()

    def verdict(self) -> Saturation | None:
        """Return the shortage, else the longest stall, else the worst window, lag before CPU; None if it kept up."""
        last = self._last_window()
        starts = {min(last, max(0, second - back)) for second in self.late for back in range(WINDOW_S)}
        return self._pause() or self._late_window(sorted(starts)) or self._busy_window()

    def of_thresholds(self, expressions: Iterable[str]) -> Saturation:
        """Return the verdict of thresholds that fail only because of the generator's own delay."""
        (lag_ns, late_ns), (stall_ns, from_ns) = self.latest, self.stall
        figures = [f"the largest schedule lag was {lag_ns / 1e6:.0f} ms at {late_ns / _NS:.1f} s"]
        if stall_ns:
            from_s, to_s = from_ns / _NS, (from_ns + stall_ns) / _NS
            figures.append(
                f"the longest event-loop stall was {stall_ns / 1e6:.0f} ms from {from_s:.1f} s to {to_s:.1f} s"
            )
        second = (from_ns if stall_ns > lag_ns else late_ns) // _NS
        why = (
            f"{' and '.join(expressions)} would pass without the generator's own delay (schedule lag and event-loop "
            f"delay): {', '.join(figures)}; so the failure is the generator's; {_ADVICE[Limit.DELAY]}"
        )
        return Saturation(second, second + 1, why, Limit.DELAY, round(lag_ns / 1e6))

    @property
    def stall_limit_s(self) -> float:
        """The limit of a stall of the event loop, and of the largest lag of few exchanges."""
        return stall_limit_s(self.max_lag_s)

    def _pause(self) -> Saturation | None:
        """Return the shortage of a resource, or the longest suspension or stall if it was too long."""
        if self.ran_out is not None:
            return self.ran_out
        for (length_ns, from_ns), who, measured_ns, limit in (
            (self.suspended, "the machine was suspended for", 0, Limit.SUSPENDED),
            (self.stall, "the event loop stalled for", self.stall[0], Limit.STALL),
        ):
            if length_ns > self.stall_limit_s * _NS:
                from_s, to_s = from_ns / _NS, (from_ns + measured_ns) / _NS
                when = f"from {from_s:.1f} s to {to_s:.1f} s" if measured_ns else f"at {from_s:.0f} s of the run"
                why = f"{who} {length_ns / _NS:.1f} s (limit {self.stall_limit_s:g} s) {when}: {_STALLED}"
                return Saturation(int(from_s), ceil(to_s), f"{why}; {_ADVICE[limit]}", limit)
        return None

    def _last_window(self) -> int:
        """Return the start of the last window that lies wholly in the run."""
        return max(0, max(self.started, default=0) + 1 - WINDOW_S)

    def _late_window(self, starts: Iterable[int]) -> Saturation | None:
        """Return the window that exceeded its limit of lag most, if any."""
        worst, at = 1.0, None
        for first in starts:
            excess = self._excess(first)
            if excess > worst:
                worst, at = excess, first
        if at is None:
            return None
        started, _ = self._in_window(at)
        if started < _FEW:
            lag_ms, limit_s = self._largest_s(at) * 1000, self.stall_limit_s
            figure = f"the largest of {started} schedule lags was {lag_ms / 1000:.2f} s (limit {limit_s:g} s)"
        else:
            lag_ms = self._p99_ms(at)
            figure = f"schedule lag p99 was {lag_ms:.0f} ms (limit {self.max_lag_s * 1000:g} ms)"
        to_s = self._end_of(at)
        why = (
            f"{figure} from {at} s to {to_s} s: the generator started exchanges late, so {_LATE}; {_QUIETER}, or raise "
            f"generator.max_lag (now {format_duration(self.max_lag_s)})"
        )
        return Saturation(at, to_s, why, Limit.LAG, round(lag_ms))

    def _end_of(self, first: int) -> int:
        """Return the end of a window, or the current second of the run if that is earlier."""
        end_s = first + WINDOW_S
        return end_s if self.now_ns is None else max(first + 1, min(end_s, self.now_ns // _NS))

    def _excess(self, first: int) -> float:
        """Return the lag of a window relative to its limit.

        For many exchanges it is the share of late ones, which shows whether the p99 exceeds the limit.
        """
        started, late = self._in_window(first)
        if started < _FEW:
            return self._largest_s(first) / self.stall_limit_s
        return late / started / (1 - _P99)

    def _largest_s(self, first: int) -> float:
        window = range(first, first + WINDOW_S)
        return max((self.late[second].max or 0 for second in window if second in self.late), default=0) / 1e6

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
            f"{to_s:.0f} s: the generator was busy, so service times, waits and response times include its own delays; "
            "use more workers (--workers), a faster machine or fewer devices"
        )
        return Saturation(round(from_s), round(to_s), why, Limit.CPU)
