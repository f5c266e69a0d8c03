"""A worker report: what a worker process has counted and kept since its last one, for whoever leads the run.

Counts and rows travel together, so that totals and store can never tell different stories, whatever happens to a worker
in between. Tallies are mergeable by addition; rows are those of the store. On the wire it is msgpack: see `pack` and
`unpack`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields, replace
from itertools import chain
from typing import Any, Final

import msgpack

from estsim.errors import EstsimError
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.internal_errors import InternalErrors
from estsim.record.packing import (
    Packed,
    pack_histogram,
    pack_histograms,
    unpack_histogram,
    unpack_histograms,
)
from estsim.record.per_second import PerSecond
from estsim.record.rows import COLUMNS, GENERATOR_COLUMNS, reading_of
from estsim.record.salvage import is_plain, sound_rows
from estsim.record.sample import FleetReading, GeneratorReading
from estsim.record.saturation import Saturation, SaturationWatch
from estsim.record.slice_counts import SliceCounts, SliceKey
from estsim.record.slice_packing import pack_slice, unpack_slice
from estsim.record.store import Batch, Rows
from estsim.units import harmless, shown

VERSION: Final = 8
_LONGEST_WORDS: Final = 200
_WORKER: Final = GENERATOR_COLUMNS.index("worker")


class WorkerReportError(EstsimError):
    """Bytes that are no worker report, or one of another version."""


@dataclass(slots=True)
class WorkerReport:
    """What a worker hands over; ``number`` counts its worker reports from 1, ``totals`` are in its last one only.

    In the process that has counted it ``batch`` holds what is to become rows; in any other they are in ``rows``.
    """

    watch: SaturationWatch  # the lags since the worker report before, the busiest window so far
    number: int = 0
    counted: dict[SliceKey, SliceCounts] = field(default_factory=dict)
    pace: PerSecond = field(default_factory=PerSecond)
    first_poll: int | None = None  # bin
    readings: list[GeneratorReading] = field(default_factory=list)
    findings: list[tuple[int, str]] = field(default_factory=list)  # at_ns, text
    internal_errors: InternalErrors = field(default_factory=InternalErrors)
    notices: list[tuple[int, str]] = field(default_factory=list)  # the same
    fleet: FleetReading | None = None
    totals: GeneratorTotals | None = None
    batch: Batch = field(default_factory=Batch)
    rows: Rows = field(default_factory=dict)

    def rows_of(self, worker: int) -> Rows:
        """Return the rows, its readings marked as this worker's."""
        marked = [(*row[:_WORKER], worker, *row[_WORKER + 1 :]) for row in self.rows["generator"]]
        return {**self.rows, "generator": marked}


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


def pack(worker_report: WorkerReport) -> bytes:
    """Return a worker report as bytes; rows and histograms are made here, so call it in a thread.

    What keeps a row from being made or sent, a bug of ours, is noted in the worker report, and all other rows are in
    it.
    """
    batch = replace(worker_report.batch, generator=worker_report.readings)
    try:
        rows = batch.rows()
        if all(map(is_plain, chain.from_iterable(rows.values()))):
            return _packed(worker_report, rows)
        met: list[Exception] = []
    except Exception as bug:  # noqa: BLE001 - whatever a value does to those who read it
        met = [bug]
    rows, of_rows = sound_rows(batch)
    for each in of_rows or met:
        worker_report.internal_errors.note(each, at_ns=worker_report.fleet.at_ns if worker_report.fleet else 0)
    return _packed(worker_report, rows)


def _packed(worker_report: WorkerReport, rows: Rows) -> bytes:
    watch, totals = worker_report.watch, worker_report.totals
    packed: bytes = msgpack.packb(
        {
            "v": VERSION,
            "number": worker_report.number,
            "counted": [[*key, pack_slice(counts)] for key, counts in worker_report.counted.items()],
            "pace": [
                dict(worker_report.pace.requests),
                dict(worker_report.pace.certificates),
                pack_histograms(worker_report.pace.lags),
            ],
            "watch": [
                watch.max_lag_s,
                watch.max_cpu,
                dict(watch.started),
                pack_histograms(watch.late),
                watch.busiest,
                watch.stall,
                watch.suspended,
                watch.latest,
                astuple(watch.ran_out) if watch.ran_out else None,
            ],
            "first_poll": worker_report.first_poll,
            "findings": worker_report.findings,
            "internal_errors": worker_report.internal_errors.packed(),
            "notices": worker_report.notices,
            "fleet": astuple(worker_report.fleet) if worker_report.fleet else None,
            "totals": _pack_totals(totals) if totals else None,
            "rows": rows,
        }
    )
    return packed


def unpack(packed: bytes) -> WorkerReport:
    """Return the worker report in bytes that came from elsewhere, its texts harmless. Raises WorkerReportError."""
    try:
        parts = msgpack.unpackb(packed, strict_map_key=False)
        return _worker_report(parts)
    except WorkerReportError:
        raise
    except Exception as error:  # whatever hostile bytes make of the reading
        raise WorkerReportError(
            f"not a valid report: {type(error).__name__}: {harmless(str(error)[:_LONGEST_WORDS])}"
        ) from error


def _worker_report(parts: dict[str, Any]) -> WorkerReport:
    if parts["v"] != VERSION:
        raise WorkerReportError(f"expected report version {VERSION} (got {shown(parts['v'])})")
    requests, certificates, lags = parts["pace"]
    fleet, totals, rows = parts["fleet"], parts["totals"], parts["rows"]
    tables = {table: [_row(row, len(columns)) for row in rows[table]] for table, columns in COLUMNS.items()}
    return WorkerReport(
        watch=_watch(parts["watch"]),
        number=int(parts["number"]),
        counted={(int(n), harmless(str(cohort)), phase): unpack_slice(t) for n, cohort, phase, t in parts["counted"]},
        pace=PerSecond(Counter(requests), Counter(certificates), unpack_histograms(lags)),
        first_poll=parts["first_poll"],
        readings=[reading_of(row) for row in tables["generator"]],
        findings=_told(parts["findings"]),
        internal_errors=InternalErrors.unpacked(parts["internal_errors"]),
        notices=_told(parts["notices"]),
        fleet=_fleet(fleet) if fleet else None,
        totals=_totals(*totals) if totals else None,
        rows=tables,
    )


def _row(row: list[Any], columns: int) -> tuple[object, ...]:
    if len(row) != columns:
        raise WorkerReportError(f"a row of {len(row)} columns (expected {columns})")
    if not is_plain(row):
        raise WorkerReportError("a row with a value that SQLite cannot store")
    return tuple(harmless(value) if isinstance(value, str) else value for value in row)


def _told(texts: list[Any]) -> list[tuple[int, str]]:
    return [(int(at_ns), harmless(str(text))) for at_ns, text in texts]


def _watch(packed: Packed) -> SaturationWatch:
    max_lag_s, max_cpu, started, late, (share, from_s, to_s), stall, suspended, latest, ran_out = packed
    watch = SaturationWatch(max_lag_s=max_lag_s, max_cpu=max_cpu)
    watch.started.update(started)
    watch.late.update(unpack_histograms(late))
    watch.busiest = (share, from_s, to_s)
    watch.stall, watch.suspended, watch.latest = tuple(stall), tuple(suspended), tuple(latest)
    watch.ran_out = Saturation(*ran_out) if ran_out else None
    return watch


def _fleet(packed: Packed) -> FleetReading:
    at_ns, states, wakeups, waiting, cohorts, planned = packed
    return FleetReading(int(at_ns), states, tuple(wakeups), int(waiting), cohorts, int(planned))


def _pack_totals(totals: GeneratorTotals) -> list[object]:
    return [pack_histogram(value) if name == "loop_delay" else value for name, value in _named(totals)]


def _named(totals: GeneratorTotals) -> Iterable[tuple[str, Any]]:
    return ((each.name, getattr(totals, each.name)) for each in fields(totals))


def _totals(cpu_s: float, peak_rss_bytes: int, loop_delay: list[Any], *peaks: int) -> GeneratorTotals:
    return GeneratorTotals(cpu_s, peak_rss_bytes, unpack_histogram(loop_delay), *peaks)
