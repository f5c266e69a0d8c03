"""Whether the polls of a fleet are in step (docs/metrics.md, "Deferral"), from merged poll bins.

A herd with the same Retry-After comes back together, again and again. Windows are exactly 3 periods long, because
shorter ones show lock-step in even traffic; the run's figures are the poll-weighted means over consecutive windows.
"""

import cmath
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from math import tau
from typing import Final

_BINS_PER_S: Final = 10  # poll bins are 100 ms
_PERIODS: Final = 3
_MIN_POLLS: Final = 50
_SPREAD: Final = 0.2  # with a smaller R the polls are no longer in step
RHYTHM_BINS: Final = 60


@dataclass(frozen=True, slots=True)
class Synchrony:
    """The figures of a run, or of one window."""

    synchronisation: float | None = None  # R: 1 = all polls at one phase of T, 0 = spread over it
    lag_correlation: float | None = None  # at lag T: detects a herd that has split in two
    burstiness: float | None = None  # 0 Poisson, whatever the fleet's size
    fano: float | None = None


def synchrony_of(bins: Mapping[int, int], period_s: int | None) -> Synchrony | None:
    """Return the poll-weighted means over all windows of 3 T with 50 polls or more; None without one."""
    if period_s is None or not bins:
        return None
    length = _PERIODS * period_s * _BINS_PER_S
    start, end = min(bins), max(bins)
    whole = (end - start + 1) // length  # the last window counts only if the run filled it
    by_window: dict[int, dict[int, int]] = {}
    for key, count in bins.items():
        number, place = divmod(key - start, length)
        if number < whole:
            by_window.setdefault(number, {})[place] = count
    windows = [(sum(window.values()), window) for window in by_window.values()]
    judged = [(polls, _of_window(window, period_s)) for polls, window in windows if polls >= _MIN_POLLS]
    return _mean(judged) if judged else None


class RunningSynchrony:
    """The figures during a run, window by window: of the last whole window, and of the run so far."""

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
        """Add the windows that are complete by the bin ``now``; a new period starts over.

        ``parts`` add up to the poll bins of the run; ``first`` is the first bin with polls, None before.
        """
        if period_s is None or first is None:
            return
        if period_s != self._period_s:
            self._period_s, self._next, self._windows, self.last, self.rhythm = period_s, first, [], None, ()
        length = _PERIODS * period_s * _BINS_PER_S
        while self._next + length <= now:
            found = (sum(bins.get(key, 0) for bins in parts) for key in range(self._next, self._next + length))
            window = {place: count for place, count in enumerate(found) if count}
            self._next += length
            polls = sum(window.values())
            if polls < _MIN_POLLS:
                self.last, self.rhythm = None, ()
                continue
            self.last = _of_window(window, period_s)
            self.rhythm = _folded(window, period_s)
            self._windows.append((polls, self.last))


def _folded(window: Mapping[int, int], period_s: int) -> tuple[int, ...]:
    period = period_s * _BINS_PER_S
    bins = min(period, RHYTHM_BINS)
    folded = [0] * bins
    for key, count in window.items():
        folded[key % period * bins // period] += count
    return tuple(folded)


def resync_s(bins: Mapping[int, int], period_s: int | None, events_s: Sequence[float]) -> float | None:
    """Return the longest time from an event until a whole window had R < 0.2; None if there was no such window.

    A window ends before the next event; windows with fewer than 50 polls are skipped.
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
    length, keys = _PERIODS * period_s * _BINS_PER_S, sorted(bins)
    start = event
    while start + length <= end:
        first, after = bisect_left(keys, start), bisect_left(keys, start + length)
        window = {key - start: bins[key] for key in keys[first:after]}
        if sum(window.values()) >= _MIN_POLLS:
            if _vector(window, period_s) < _SPREAD:
                return (start + length - event) / _BINS_PER_S
            start += _BINS_PER_S
        elif after == len(keys):
            return None
        else:  # too few polls: continue where the window includes the next one
            start += -(-(keys[after] + 1 - start - length) // _BINS_PER_S) * _BINS_PER_S
    return None


# Waits and times may be of any size, so the cost depends on the number of polls, not on the length of a window.


def _vector(window: Mapping[int, int], period_s: int) -> float:
    period = period_s * _BINS_PER_S
    whole = sum(count * cmath.exp(1j * tau * key / period) for key, count in window.items())
    return abs(whole) / sum(window.values())


def _of_window(window: Mapping[int, int], period_s: int) -> Synchrony:
    """Return the figures of a window of three periods, from its bins with polls."""
    polls, seconds_in_it = sum(window.values()), _PERIODS * period_s
    seconds: Counter[int] = Counter()
    for key, count in window.items():
        seconds[key // _BINS_PER_S] += count
    mean = polls / seconds_in_it
    variance = _variance(seconds.values(), seconds_in_it)
    return Synchrony(
        synchronisation=_vector(window, period_s),
        lag_correlation=_autocorrelation(window, period_s * _BINS_PER_S),
        burstiness=(variance - mean) / mean**2,
        fano=variance / mean,
    )


def _variance(counts: Collection[int], places: int) -> float:
    """Return the variance of ``places`` counts, of which those not given are zero."""
    mean = sum(counts) / places
    return (sum((count - mean) ** 2 for count in counts) + (places - len(counts)) * mean**2) / places


def _autocorrelation(window: Mapping[int, int], lag: int) -> float | None:
    """Return the correlation of bins with those a lag later (deviations from the mean, multiplied out)."""
    length = _PERIODS * lag
    mean, power = sum(window.values()) / length, _variance(window.values(), length)
    if not power:
        return None
    pairs = length - lag
    together = sum(count * window.get(key + lag, 0) for key, count in window.items())
    early = sum(count for key, count in window.items() if key < pairs)
    late = sum(count for key, count in window.items() if key >= lag)
    return (together - mean * (early + late) + pairs * mean**2) / pairs / power


def _mean(windows: Sequence[tuple[int, Synchrony]]) -> Synchrony:
    def weighted(values: Sequence[tuple[int, float | None]]) -> float | None:
        known = [(polls, value) for polls, value in values if value is not None]
        total = sum(polls for polls, _ in known)
        return sum(polls * value for polls, value in known) / total if total else None

    names = [field.name for field in fields(Synchrony)]
    return Synchrony(*(weighted([(polls, getattr(window, name)) for polls, window in windows]) for name in names))
