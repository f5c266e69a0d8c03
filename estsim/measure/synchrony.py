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


def _of_window(window: Sequence[int], period_s: int) -> Synchrony:
    polls = sum(window)
    period = period_s * _BINS_PER_S
    vector = sum(count * cmath.exp(1j * tau * key / period) for key, count in enumerate(window) if count)
    seconds = [sum(window[key : key + _BINS_PER_S]) for key in range(0, len(window), _BINS_PER_S)]
    mean = polls / len(seconds)
    variance = sum((count - mean) ** 2 for count in seconds) / len(seconds)
    return Synchrony(
        synchronisation=abs(vector) / polls,
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
