"""The data of a report about deferral: waits, punctuality, synchrony, and the parts of the time to certificate."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

from estsim.est.enrolment import Goal
from estsim.figures.scopes import Scope
from estsim.figures.synchrony import synchrony_of
from estsim.record.enrolment_tally import PARTS
from estsim.record.histograms import BEYOND, Histogram
from estsim.record.slice_counts import SpentTime

_BARS: Final = 40
_RASTER_COLUMNS: Final = 120
_RASTER_ROWS: Final = 300
_BINS_PER_S: Final = 10  # poll bins, and waits: tenths of a second
_GROUPS: Final = 10
_OUTLIERS: Final = 0.01
_NICE_S: Final = tuple(step * 10.0**power for power in range(-4, 4) for step in (1, 2, 5))


@dataclass(frozen=True, slots=True)
class Waits:
    """Retry-After (``told``) and actual waits (``kept``) before polls, in bins of ``width_s`` s from ``first_s``."""

    first_s: float
    width_s: float
    told: tuple[int, ...]
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Raster:
    """Poll starts folded on the period: a row is ``periods_per_row`` periods, a column ``column_s`` seconds."""

    period_s: int
    first_s: float
    periods_per_row: int
    column_s: float
    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Punctuality:
    """Delays of polls (negative: early), in bins of ``width_s`` seconds; the end bins include all beyond."""

    first_s: float
    width_s: float
    polls: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Three periods of polls, and R in them; None with too few polls."""

    from_s: float
    polls: int
    synchronisation: float | None


@dataclass(frozen=True, slots=True)
class DeferralPictures:
    """The data of the charts of deferral; None where there is nothing to draw."""

    waits: Waits | None = None
    punctuality: Punctuality | None = None
    raster: Raster | None = None
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class PartsFigures:
    """The parts of the time to certificate: mean seconds, for deciles of the enrolments from quick to slow."""

    goal: str
    count: int
    groups: tuple[tuple[int, float, Mapping[str, float]], ...]  # enrolments, mean time to certificate, means by part


def pictures_of(scope: Scope, told: Counter[int], kept: Counter[int]) -> DeferralPictures:
    """Return the charts' data; ``told`` and ``kept`` are Retry-After and actual waits in tenths of a second."""
    polls, period_s = scope.tally.polls, scope.period_s
    if not polls.count:
        return DeferralPictures(_waits(told, kept) if told else None)
    return DeferralPictures(
        waits=_waits(told, kept),
        punctuality=_punctuality(polls.punctuality),
        raster=_raster(polls.bins, period_s) if period_s else None,
        windows=_windows(polls.bins, period_s) if period_s else (),
    )


def _punctuality(histogram: Histogram) -> Punctuality:
    """Bin the middle 98 % of the polls, with an edge at zero; the outliers are in the end bins."""
    low, high = ((value or 0) / 1e6 for value in histogram.quantiles(_OUTLIERS, 1 - _OUTLIERS))
    low, high = min(low, 0.0), max(high, 0.0)
    width_s = next((nice for nice in _NICE_S if (high - low) / nice <= _BARS), _NICE_S[-1])
    first, last = floor(low / width_s), max(floor(high / width_s), 0)
    if (histogram.min or 0) < 0:
        first = min(first, -1)  # early polls are always visible
    bars = [0] * (last - first + 1)
    for value_us, count in histogram.values():
        place = floor(value_us / 1e6 / width_s) - first
        bars[min(max(place, 0), len(bars) - 1)] += count
    return Punctuality(first * width_s, width_s, tuple(bars))


def _windows(bins: Mapping[int, int], period_s: int) -> tuple[Window, ...]:
    """Return R of each window of the run's R; windows without a poll are left out."""
    length, start, end = 3 * period_s * _BINS_PER_S, min(bins), max(bins)
    parts: dict[int, dict[int, int]] = {}
    for key, count in bins.items():
        parts.setdefault((key - start) // length, {})[key] = count
    found = []
    for number in sorted(number for number in parts if number < (end - start + 1) // length):
        window, first = parts[number], start + number * length
        # With both ends present, it is exactly one window.
        whole = {first: 0, first + length - 1: 0, **window}
        synchrony = synchrony_of(whole, period_s)
        found.append(
            Window(first / _BINS_PER_S, sum(window.values()), synchrony.synchronisation if synchrony else None)
        )
    return tuple(found)


def _waits(told: Counter[int], kept: Counter[int]) -> Waits:
    """Merge tenths of a second into bins, the same for both."""
    first, last = min(*told, *kept), max(*told, *kept)
    width = max(1, -(-(last + 1 - first) // _BARS))
    first -= first % width
    bars = (last - first) // width + 1

    def bins(waits: Counter[int]) -> tuple[int, ...]:
        found = [0] * bars
        for wait, count in waits.items():
            found[(wait - first) // width] += count
        return tuple(found)

    return Waits(first / _BINS_PER_S, width / _BINS_PER_S, bins(told), bins(kept))


def _raster(bins: Mapping[int, int], period_s: int) -> Raster:
    """Fold poll bins on the period, from the first poll on, as for R."""
    period, start = period_s * _BINS_PER_S, min(bins)
    periods = (max(bins) - start) // period + 1
    per_row, per_column = -(-periods // _RASTER_ROWS), -(-period // _RASTER_COLUMNS)
    rows = [[0] * -(-period // per_column) for _ in range(-(-periods // per_row))]
    for key, count in bins.items():
        number, phase = divmod(key - start, period)
        rows[number // per_row][phase // per_column] += count
    return Raster(period_s, start / _BINS_PER_S, per_row, per_column / _BINS_PER_S, tuple(map(tuple, rows)))


def parts_of(spent: Iterable[tuple[Goal, SpentTime]]) -> tuple[PartsFigures, ...]:
    """Return the parts of the time to certificate, for first certificates and for renewals."""
    by_goal: dict[Goal, list[SpentTime]] = {}
    for goal, each in spent:
        by_goal.setdefault(goal, []).append(each)
    return tuple(_parts(goal, by_goal[goal]) for goal in Goal if goal in by_goal)


def _parts(goal: Goal, spent: Sequence[SpentTime]) -> PartsFigures:
    """Return groups of at least ten enrolments, at most ten groups, quick ones first."""
    count = sum(each.count for each in spent)
    groups = max(1, min(_GROUPS, count // BEYOND))
    return PartsFigures(
        goal.value,
        count,
        tuple(
            (size, mean_s, dict(zip(PARTS, parts_s, strict=True))) for size, mean_s, parts_s in _tenths(spent, groups)
        ),
    )


def _tenths(spent: Sequence[SpentTime], groups: int) -> Iterator[tuple[int, float, tuple[float, ...]]]:
    """Yield size, mean time and mean parts in seconds of ``groups`` groups of equal size, quick ones first.

    A bucket (times equal to three digits) that lies in two groups is divided between them at its mean.
    """
    total = sum(each.count for each in spent)
    buckets = iter(sorted(spent, key=lambda each: each.bucket))
    current, left = next(buckets), 0
    left = current.count
    for number in range(groups):
        size = wanted = total // groups + (number < total % groups)
        took, parts = 0.0, [0.0] * len(PARTS)
        while wanted:
            taken = min(wanted, left)
            took += current.took_ns * taken / current.count
            parts = [
                sum_ns + of_ns * taken / current.count for sum_ns, of_ns in zip(parts, current.parts_ns, strict=True)
            ]
            wanted, left = wanted - taken, left - taken
            if not left:
                current = next(buckets, current)
                left = current.count
        yield size, took / size / 1e9, tuple(part / size / 1e9 for part in parts)
