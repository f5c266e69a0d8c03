"""The plan and the tallies of a stored run, read from its facts and from its slices; no row is read.

Missing facts have defaults, because a run may have been killed early; an unreadable one is a StoreError.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from estsim.figures.catalogue import ThresholdError
from estsim.figures.scopes import Scopes, scopes_of
from estsim.figures.thresholds import DEFAULT_THRESHOLDS, Threshold, limits_of, parse_thresholds
from estsim.record.book import TallyBook
from estsim.record.nested import Misfit, cohorts_of, phases_of, seconds_of, texts_of, whole_of
from estsim.record.phases import WARMUP, Stretch
from estsim.record.rows import Row
from estsim.record.run_reader import RunReader
from estsim.record.slice_counts import ReportCounts, SliceCounts, SliceKey
from estsim.record.slice_packing import slice_of_bytes
from estsim.units import shown

_DEFAULT_MAX_LAG_S: Final = 0.02
_DEFAULT_MAX_CPU: Final = 0.9

_EVENT: Final = "event"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """The plan of a stored run: cohorts, phases, thresholds, limits of the generator."""

    devices: Mapping[str, int]  # by cohort
    phases: tuple[Stretch, ...]
    thresholds: tuple[Threshold, ...]
    unknown_thresholds: Mapping[str, str]  # expression → why this estsim cannot judge it
    max_lag_s: float
    max_cpu: float
    duration_s: float | None
    seed: int
    workers: int


def plan_of(run: RunReader) -> StoredPlan:
    """Read the plan of a run from its facts. Raises StoreError."""
    facts = run.facts()

    def fact(key: str, read: Callable[[str], _T], missing: str) -> _T:
        try:
            return read(facts.get(key, missing))
        except Misfit as misfit:
            raise run.unreadable("run", f"'{key}'", misfit) from misfit

    run.require("series")
    cohorts = fact("cohorts", cohorts_of, "{}")
    for (name,) in run.select("SELECT DISTINCT cohort FROM series ORDER BY 1"):
        cohorts.setdefault(name, 0)
    phases = tuple(Stretch(*phase) for phase in fact("phases", phases_of, "[]"))
    strict = frozenset(fact("strict_thresholds", texts_of, "[]"))
    thresholds, unknown = _thresholds(fact("thresholds", texts_of, "[]"), cohorts, phases, strict)
    return StoredPlan(
        devices=cohorts or {"": 0},
        phases=phases,
        thresholds=thresholds,
        unknown_thresholds=unknown,
        max_lag_s=fact("max_lag_s", seconds_of, "None") or _DEFAULT_MAX_LAG_S,
        max_cpu=fact("max_cpu", seconds_of, "None") or _DEFAULT_MAX_CPU,
        duration_s=fact("duration_s", seconds_of, "None"),
        seed=fact("seed", whole_of, "0"),
        workers=fact("workers", whole_of, "1"),
    )


def _thresholds(
    expressions: Iterable[str], cohorts: Mapping[str, int], phases: Iterable[Stretch], strict: frozenset[str]
) -> tuple[tuple[Threshold, ...], Mapping[str, str]]:
    """Read the thresholds one by one: another version of estsim may know other names."""
    known: list[Threshold] = []
    unknown: dict[str, str] = {}
    names = [phase.name for phase in phases]
    for expression in [*expressions] or DEFAULT_THRESHOLDS:
        try:
            known += parse_thresholds([expression], cohorts=cohorts, phases=names, strict=strict)
        except ThresholdError as error:
            unknown[expression] = str(error)
    return tuple(known), unknown


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """The tallies of a run, and the counts that only its report shows."""

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
    """Read the tallies. Raises StoreError for a row that does not fit the plan."""
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
        if not number_read:  # by the limits D of the run: not all of its thresholds may be known here
            book = _empty(plan, [limit_ms / 1000 for limit_ms in counts.tally.enrolment_tally.limits_ms])
        book.add(number, cohort, phase, counts.tally)
        report.merge(counts.report, judged=phase != WARMUP)
    return StoredCounts(book, report)


def _empty(plan: StoredPlan, within_s: Sequence[float]) -> TallyBook:
    return TallyBook(plan.devices, within_s=within_s, phases=plan.phases)


def _listed(limits_ms: tuple[int, ...]) -> str:
    return ", ".join(map(str, limits_ms)) or "none"
