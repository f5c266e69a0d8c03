"""Whether the polls of a fleet march in step (METRICS.md, "Deferral behaviour"): from merged poll bins only.

A herd told the same wait comes back at once, again and again. Windows are exactly 3 periods long, because shorter ones
show lock-step in even traffic; the run's figures are the poll-weighted means over consecutive windows.
"""

import cmath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import tau
from typing import Final

_BINS_PER_S: Final = 10  # poll bins are 100 ms
_PERIODS: Final = 3
_MIN_POLLS: Final = 50
_APART: Final = 0.2  # a herd with a smaller R has fallen apart
RHYTHM_BINS: Final = 60


@dataclass(frozen=True, slots=True)
class Synchrony:
    """The figures of a run, or of one window."""

    synchronisation: float | None = None  # R: 1 all polls at one phase of T, 0 spread over it
    lag_correlation: float | None = None  # at lag T: sees a herd that has split in two
    burstiness: float | None = None  # 0 Poisson, whatever the fleet's size
    fano: float | None = None


def synchrony_of(bins: Mapping[int, int], period_s: int | None) -> Synchrony | None:
    """Return the poll-weighted means over all windows of 3 T with 50 polls or more; None where there is none."""
    if period_s is None or not bins:
        return None
    length = _PERIODS * period_s * _BINS_PER_S
    by_window: dict[int, list[int]] = {}
    start, end = min(bins), max(bins)
    for key, count in bins.items():
        number = (key - start) // length
        by_window.setdefault(number, [0] * length)[(key - start) % length] = count
    whole = (end - start + 1) // length  # the last window is judged only if the run filled it
    windows = [window for number, window in by_window.items() if number < whole and sum(window) >= _MIN_POLLS]
    return _mean([(sum(window), _of_window(window, period_s)) for window in windows]) if windows else None


class RunningSynchrony:
    """The same figures while a run lasts, one window at a time: of the last whole window, and of the run so far."""

    def __init__(self) -> None:
        self.last: Synchrony | None = None
        self.rhythm: tuple[int, ...] = ()  # polls of the last whole window folded on the period, in bins of it
        self._period_s: int | None = None
        self._next = 0  # the bin where the next window begins
        self._windows: list[tuple[int, Synchrony]] = []

    @property
    def run(self) -> Synchrony | None:
        """The poll-weighted mean over the windows so far."""
        return _mean(self._windows) if self._windows else None

    def advance(self, parts: Sequence[Mapping[int, int]], *, first: int | None, now: int, period_s: int | None) -> None:
        """Take the windows that have become whole by the bin ``now``; a period that changes begins anew.

        ``parts`` add up to the poll bins of the run; ``first`` is the first bin with any, None before.
        """
        if period_s is None or first is None:
            return
        if period_s != self._period_s:
            self._period_s, self._next, self._windows, self.last, self.rhythm = period_s, first, [], None, ()
        length = _PERIODS * period_s * _BINS_PER_S
        while self._next + length <= now:
            window = [sum(bins.get(key, 0) for bins in parts) for key in range(self._next, self._next + length)]
            self._next += length
            polls = sum(window)
            if polls < _MIN_POLLS:
                self.last, self.rhythm = None, ()
                continue
            self.last = _of_window(window, period_s)
            self.rhythm = _folded(window, period_s)
            self._windows.append((polls, self.last))


def _folded(window: Sequence[int], period_s: int) -> tuple[int, ...]:
    period = period_s * _BINS_PER_S
    bins = min(period, RHYTHM_BINS)
    folded = [0] * bins
    for key, count in enumerate(window):
        folded[key % period * bins // period] += count
    return tuple(folded)


def resync_s(bins: Mapping[int, int], period_s: int | None, events_s: Sequence[float]) -> float | None:
    """Return the longest time from an event until one whole window had R < 0.2; None where a herd never fell apart.

    A window ends before the next event; one with fewer than 50 polls says nothing.
    """
    if period_s is None or not bins or not events_s:
        return None
    last = max(bins)
    ends = [*(round(at_s * _BINS_PER_S) for at_s in events_s[1:]), last + 1]
    found = [
        _resynced(bins, period_s, round(at_s * _BINS_PER_S), end) for at_s, end in zip(events_s, ends, strict=True)
    ]
    longest = [took for took in found if took is not None]
    return max(longest) if len(longest) == len(found) else None


def _resynced(bins: Mapping[int, int], period_s: int, event: int, end: int) -> float | None:
    length = _PERIODS * period_s * _BINS_PER_S
    for start in range(event, end - length + 1, _BINS_PER_S):
        window = [bins.get(key, 0) for key in range(start, start + length)]
        if sum(window) >= _MIN_POLLS and _vector(window, period_s) < _APART:
            return (start + length - event) / _BINS_PER_S
    return None


def _vector(window: Sequence[int], period_s: int) -> float:
    period = period_s * _BINS_PER_S
    return abs(sum(count * cmath.exp(1j * tau * key / period) for key, count in enumerate(window) if count)) / sum(
        window
    )


def _of_window(window: Sequence[int], period_s: int) -> Synchrony:
    polls = sum(window)
    period = period_s * _BINS_PER_S
    seconds = [sum(window[key : key + _BINS_PER_S]) for key in range(0, len(window), _BINS_PER_S)]
    mean = polls / len(seconds)
    variance = sum((count - mean) ** 2 for count in seconds) / len(seconds)
    return Synchrony(
        synchronisation=_vector(window, period_s),
        lag_correlation=_autocorrelation(window, period),
        burstiness=(variance - mean) / mean**2,
        fano=variance / mean,
    )


def _autocorrelation(window: Sequence[int], lag: int) -> float | None:
    mean = sum(window) / len(window)
    deviations = [count - mean for count in window]
    power = sum(deviation**2 for deviation in deviations) / len(window)
    if not power:
        return None
    pairs = list(zip(deviations, deviations[lag:], strict=False))
    return sum(early * late for early, late in pairs) / len(pairs) / power


def _mean(windows: Sequence[tuple[int, Synchrony]]) -> Synchrony:
    def weighted(values: Sequence[tuple[int, float | None]]) -> float | None:
        known = [(polls, value) for polls, value in values if value is not None]
        total = sum(polls for polls, _ in known)
        return sum(polls * value for polls, value in known) / total if total else None

    return Synchrony(
        synchronisation=weighted([(polls, window.synchronisation) for polls, window in windows]),
        lag_correlation=weighted([(polls, window.lag_correlation) for polls, window in windows]),
        burstiness=weighted([(polls, window.burstiness) for polls, window in windows]),
        fano=weighted([(polls, window.fano) for polls, window in windows]),
    )
