"""A parcel: what a worker process has counted and kept since its last one, for whoever leads the run.

Counts and rows travel together, so that totals and store can never tell different stories, whatever happens to a worker
in between. Tallies are mergeable by addition; rows are those of the store. On the wire it is msgpack: see `pack` and
`unpack`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any, Final

import msgpack

from estsim.errors import EstsimError
from estsim.measure.pace import Pace
from estsim.measure.packing import (
    Packed,
    pack_histogram,
    pack_histograms,
    pack_tally,
    unpack_histogram,
    unpack_histograms,
    unpack_tally,
)
from estsim.measure.rows import GENERATOR_COLUMNS
from estsim.measure.sample import FleetReading, GeneratorReading
from estsim.measure.saturation import Saturation, SaturationWatch
from estsim.measure.store import COLUMNS, Batch, Rows
from estsim.measure.summary import GeneratorTotals
from estsim.measure.tally import Tally

VERSION: Final = 1
_WORKER: Final = GENERATOR_COLUMNS.index("worker")

TallyKey = tuple[int, str, str | None]  # slice, cohort, phase


class ParcelError(EstsimError):
    """Bytes that are no parcel, or one of another version."""


@dataclass(slots=True)
class Parcel:
    """What a worker hands over; ``number`` counts its parcels from 1, ``totals`` are in its last one only.

    On the worker's side ``batch`` holds what is to become rows; on the other side they are in ``rows``.
    """

    watch: SaturationWatch  # the lags since the parcel before, the busiest window so far
    number: int = 0
    tallies: dict[TallyKey, Tally] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    first_poll: int | None = None  # bin
    readings: list[GeneratorReading] = field(default_factory=list)
    findings: list[tuple[int, str]] = field(default_factory=list)  # at_ns, text
    fleet: FleetReading | None = None
    totals: GeneratorTotals | None = None
    batch: Batch = field(default_factory=Batch)
    rows: Rows = field(default_factory=dict)

    def rows_of(self, worker: int) -> Rows:
        """Return the rows, its readings marked as this worker's."""
        rows = self.rows or _rows(self)
        marked = [(*row[:_WORKER], worker, *row[_WORKER + 1 :]) for row in rows["generator"]]
        return {**rows, "generator": marked}


def fleet_of(parts: Iterable[FleetReading]) -> FleetReading:
    """Return where the whole fleet stands, of the readings of its parts."""
    states: Counter[str] = Counter()
    cohorts: dict[str, Counter[str]] = {}
    wakeups: list[int] = []
    at_ns = waiting = planned = 0
    for part in parts:
        at_ns = max(at_ns, part.at_ns)
        waiting += part.waiting_deferred
        planned += part.planned
        states.update(part.states)
        for name, of_cohort in part.cohorts.items():
            cohorts.setdefault(name, Counter()).update(of_cohort)
        wakeups += [0] * (len(part.wakeups) - len(wakeups))
        for place, count in enumerate(part.wakeups):
            wakeups[place] += count
    by_cohort = {name: dict(counts) for name, counts in cohorts.items()}
    return FleetReading(at_ns, dict(states), tuple(wakeups), waiting, by_cohort, planned)


def pack(parcel: Parcel) -> bytes:
    """Return a parcel as bytes; rows and histograms are made here, so call it in a thread."""
    watch, totals = parcel.watch, parcel.totals
    packed: bytes = msgpack.packb(
        {
            "v": VERSION,
            "number": parcel.number,
            "tallies": [[*key, pack_tally(tally)] for key, tally in parcel.tallies.items()],
            "pace": [dict(parcel.pace.requests), dict(parcel.pace.certificates), pack_histograms(parcel.pace.lags)],
            "watch": [
                watch.max_lag_s,
                watch.max_cpu,
                dict(watch.started),
                pack_histograms(watch.late),
                watch.busiest,
                astuple(watch.ran_out) if watch.ran_out else None,
            ],
            "first_poll": parcel.first_poll,
            "findings": parcel.findings,
            "fleet": astuple(parcel.fleet) if parcel.fleet else None,
            "totals": _pack_totals(totals) if totals else None,
            "rows": _rows(parcel),
        }
    )
    return packed


def unpack(packed: bytes) -> Parcel:
    """Return the parcel of bytes that came from elsewhere; raises ParcelError for anything else."""
    try:
        parts = msgpack.unpackb(packed, strict_map_key=False)
        return _parcel(parts)
    except ParcelError:
        raise
    except Exception as error:  # whatever hostile bytes make of the reading
        raise ParcelError(f"not a parcel: {type(error).__name__}: {error}") from error


def _rows(parcel: Parcel) -> Rows:
    return replace(parcel.batch, generator=parcel.readings).rows()


def _parcel(parts: dict[str, Any]) -> Parcel:
    if parts["v"] != VERSION:
        raise ParcelError(f"a parcel of version {parts['v']} (expected {VERSION})")
    requests, certificates, lags = parts["pace"]
    fleet, totals, rows = parts["fleet"], parts["totals"], parts["rows"]
    tables = {table: [_row(row, len(columns)) for row in rows[table]] for table, columns in COLUMNS.items()}
    return Parcel(
        watch=_watch(parts["watch"]),
        number=int(parts["number"]),
        tallies={(int(n), str(cohort), phase): unpack_tally(t) for n, cohort, phase, t in parts["tallies"]},
        pace=Pace(Counter(requests), Counter(certificates), unpack_histograms(lags)),
        first_poll=parts["first_poll"],
        readings=[_reading(row) for row in tables["generator"]],
        findings=[(int(at_ns), str(text)) for at_ns, text in parts["findings"]],
        fleet=_fleet(fleet) if fleet else None,
        totals=_totals(*totals) if totals else None,
        rows=tables,
    )


def _row(row: list[object], columns: int) -> tuple[object, ...]:
    if len(row) != columns:
        raise ParcelError(f"a row of {len(row)} columns (expected {columns})")
    return tuple(row)


def _reading(row: tuple[Any, ...]) -> GeneratorReading:
    column = dict(zip(GENERATOR_COLUMNS, row, strict=True))
    column["preparing"] = bool(column["preparing"])
    return GeneratorReading(**column)


def _watch(packed: Packed) -> SaturationWatch:
    max_lag_s, max_cpu, started, late, (share, from_s, to_s), ran_out = packed
    watch = SaturationWatch(max_lag_s=max_lag_s, max_cpu=max_cpu)
    watch.started.update(started)
    watch.late.update(unpack_histograms(late))
    watch.busiest = (share, from_s, to_s)
    watch.ran_out = Saturation(*ran_out) if ran_out else None
    return watch


def _fleet(packed: Packed) -> FleetReading:
    at_ns, states, wakeups, waiting, cohorts, planned = packed
    return FleetReading(int(at_ns), states, tuple(wakeups), int(waiting), cohorts, int(planned))


def _pack_totals(totals: GeneratorTotals) -> list[object]:
    return [pack_histogram(value) if name == "loop_delay" else value for name, value in _named(totals)]


def _named(totals: GeneratorTotals) -> Iterable[tuple[str, Any]]:
    return ((each.name, getattr(totals, each.name)) for each in fields(totals))


def _totals(cpu_s: float, peak_rss_bytes: int, loop_delay: list[Any], ports: int, descriptors: int) -> GeneratorTotals:
    return GeneratorTotals(cpu_s, peak_rss_bytes, unpack_histogram(loop_delay), ports, descriptors)
