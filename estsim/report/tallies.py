"""What was counted of a stored run, read slice by slice: the book of tallies that its recorder had, and no row."""

from collections import Counter
from dataclasses import dataclass

from estsim.figures.deferral import Scopes
from estsim.figures.scopes import scopes_of
from estsim.figures.thresholds import limits_of
from estsim.record.book import TallyBook
from estsim.record.nested import Misfit
from estsim.record.phases import WARMUP
from estsim.record.report_counts import ReportCounts
from estsim.record.rows import Row
from estsim.record.run_reader import RunReader
from estsim.record.slice_counts import SliceCounts, SliceKey
from estsim.record.slice_packing import slice_of_bytes
from estsim.report.plan import StoredPlan
from estsim.units import shown

_EVENT = "event"


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """The tallies of a run, and what only its report shows."""

    book: TallyBook
    report: ReportCounts

    def scopes(self, run: RunReader, plan: StoredPlan, ended_ns: int) -> Scopes:
        """Return the run, each cohort and each phase as they stood at the end."""
        by_cohort = {row.cohort: row.states for row in run.fleet()}
        states: Counter[str] = Counter()
        for found in by_cohort.values():
            states.update(found)
        events_s = [mark.at_ns / 1e9 for mark in run.marks() if mark.kind == _EVENT]
        return scopes_of(self.book, plan.devices, ended_ns, states=states, by_cohort=by_cohort, events_s=events_s)


def counts_of(run: RunReader, plan: StoredPlan) -> StoredCounts:
    """Read what was counted. Raises StoreError for a row that no run of this plan has."""
    phases = {"", *(phase.name for phase in plan.phases)}
    limits_ms: tuple[int, ...] | None = None

    def read(row: Row) -> tuple[SliceKey, SliceCounts]:
        nonlocal limits_ms
        number, cohort, phase, packed = row
        if cohort not in plan.devices:
            raise Misfit("cohort", f"a cohort of the run ({', '.join(plan.devices)})", shown(cohort))
        if phase not in phases:
            raise Misfit("phase", f"a phase of the run ({', '.join(sorted(filter(None, phases)))})", shown(phase))
        try:
            counts = slice_of_bytes(packed)
        except ValueError as error:
            raise Misfit("counts", "the counts of a slice", f"{len(packed)} other bytes") from error
        own_ms = counts.tally.enrolment_tally.limits_ms
        limits_ms = own_ms if limits_ms is None else limits_ms
        if own_ms != limits_ms:
            raise Misfit("counts", f"counts at the ages {_listed(limits_ms)} ms", _listed(own_ms))
        return (number, cohort, phase or None), counts

    book, report = _empty(plan, limits_of(plan.thresholds)), ReportCounts()
    rows = run.read(read, "tallies", order="slice, cohort, phase")
    for number_read, ((number, cohort, phase), counts) in enumerate(rows):
        if not number_read:  # the limits D of the run, also where this estsim cannot judge all of its thresholds
            book = _empty(plan, [limit_ms / 1000 for limit_ms in counts.tally.enrolment_tally.limits_ms])
        book.add(number, cohort, phase, counts.tally)
        report.merge(counts.report, judged=phase != WARMUP)
    return StoredCounts(book, report)


def _empty(plan: StoredPlan, within_s: "tuple[float, ...] | list[float]") -> TallyBook:
    return TallyBook(plan.devices, within_s=within_s, phases=plan.phases)


def _listed(limits_ms: tuple[int, ...]) -> str:
    return ", ".join(map(str, limits_ms)) or "none"
