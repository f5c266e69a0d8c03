"""What a report says of deferral: waits told and kept, the herd folded on its period, the parts of the time lost."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from estsim.est.enrolment import Goal
from estsim.measure.deferral import Scope
from estsim.measure.histograms import BEYOND
from estsim.measure.lives import PARTS
from estsim.measure.report_queries import RunQueries
from estsim.measure.synchrony import Synchrony, synchrony_of

_BARS: Final = 40
_RASTER_COLUMNS: Final = 120
_RASTER_ROWS: Final = 300
_BINS_PER_S: Final = 10  # poll bins, and waits: tenths of a second
_GROUPS: Final = 10


@dataclass(frozen=True, slots=True)
class Waits:
    """Told and kept waits before polls, in bars of ``width_s`` seconds from ``first_s`` on."""

    first_s: float
    width_s: float
    told: tuple[int, ...]
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Raster:
    """Poll starts folded on the period: a row for ``periods_per_row`` periods, a column for ``column_s`` seconds."""

    period_s: int
    first_s: float
    periods_per_row: int
    column_s: float
    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class DeferralFigures:
    """Deferral in figures and pictures; a picture is None where there is nothing to draw."""

    deferrals: int
    told_forms: Mapping[str, int]
    polls: int
    early: int
    wasted_share: float | None
    hit_rate: float | None
    period_s: int | None
    synchrony: Synchrony
    waits: Waits | None
    raster: Raster | None


@dataclass(frozen=True, slots=True)
class PartsFigures:
    """Where the time to a certificate went: mean seconds by part, for tenths of the enrolments from quick to slow."""

    goal: str
    count: int
    groups: tuple[tuple[int, float, Mapping[str, float]], ...]  # enrolments, mean time to certificate, means by part


def deferral_of(store: RunQueries, scope: Scope) -> DeferralFigures:
    """Put the figures of deferral together."""
    polls, told = scope.tally.polls, scope.tally.told
    period_s = scope.period_s
    return DeferralFigures(
        deferrals=told.forms.total(),
        told_forms=dict(told.forms),
        polls=polls.count,
        early=polls.early,
        wasted_share=scope.wasted_share,
        hit_rate=scope.hit_rate,
        period_s=period_s,
        synchrony=synchrony_of(polls.bins, period_s) or Synchrony(),
        waits=_waits(*store.waits()) if polls.count else None,
        raster=_raster(polls.bins, period_s) if polls.count and period_s else None,
    )


def _waits(told: Counter[int], kept: Counter[int]) -> Waits:
    """Merge tenths of a second into bars, the same for both."""
    first, last = min(*told, *kept), max(*told, *kept)
    width = max(1, -(-(last + 1 - first) // _BARS))
    first -= first % width
    bars = (last - first) // width + 1

    def bins(waits: Counter[int]) -> tuple[int, ...]:
        found = [0] * bars
        for tenths, count in waits.items():
            found[(tenths - first) // width] += count
        return tuple(found)

    return Waits(first / _BINS_PER_S, width / _BINS_PER_S, bins(told), bins(kept))


def _raster(bins: Mapping[int, int], period_s: int) -> Raster:
    """Fold poll bins on the period, from the first poll on, as R is."""
    period, start = period_s * _BINS_PER_S, min(bins)
    periods = (max(bins) - start) // period + 1
    per_row, per_column = -(-periods // _RASTER_ROWS), -(-period // _RASTER_COLUMNS)
    rows = [[0] * -(-period // per_column) for _ in range(-(-periods // per_row))]
    for key, count in bins.items():
        number, phase = divmod(key - start, period)
        rows[number // per_row][phase // per_column] += count
    return Raster(period_s, start / _BINS_PER_S, per_row, per_column / _BINS_PER_S, tuple(map(tuple, rows)))


def parts_of(store: RunQueries) -> tuple[PartsFigures, ...]:
    """Return the parts of the time to certificate, for first certificates and for renewals."""
    return tuple(found for goal in Goal if (found := _parts(store, goal)) is not None)


def _parts(store: RunQueries, goal: Goal) -> PartsFigures | None:
    """Ask for the means of as many groups as have at least ten enrolments each, quick ones first."""
    issued = f"FROM enrolments WHERE end = 'issued' AND goal = '{goal.value}'"
    (count,) = store.one(f"SELECT COUNT(*) {issued}")
    if not count:
        return None
    groups = max(1, min(_GROUPS, count // BEYOND))
    columns = ", ".join(f"{part}_ns" for part in PARTS)
    means = ", ".join(f"AVG({part}_ns) / 1e9" for part in PARTS)
    query = (
        f"SELECT COUNT(*), AVG(took) / 1e9, {means} FROM (SELECT ended_ns - intended_ns AS took, {columns}, "  # noqa: S608
        f"NTILE({groups}) OVER (ORDER BY ended_ns - intended_ns) AS tile {issued}) GROUP BY tile ORDER BY tile"
    )
    return PartsFigures(
        goal.value,
        count,
        tuple((size, mean_s, dict(zip(PARTS, parts_s, strict=True))) for size, mean_s, *parts_s in store.rows(query)),
    )
