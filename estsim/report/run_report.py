"""The data of a report: one run's store, read into plain frozen values. `page` makes the HTML of them.

The store alone is enough, even that of a killed run: it has the tallies of every slice, from which the figures are made
as for summary.json. Nothing is counted again, and no row of an exchange or an enrolment is read. A summary.json gives
its verdict, but no figure.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from estsim.errors import UnreadableFile
from estsim.est.operations import Operation
from estsim.figures.scopes import Scopes
from estsim.figures.summary import RunFacts, Summary, read_summary
from estsim.figures.summary_blocks import InternalErrorsSummary, internal_errors_of
from estsim.figures.summary_builder import build_summary
from estsim.figures.verdict import Ending
from estsim.record.error_kinds import ErrorKinds, ranked
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.internal_errors import MAX_KINDS
from estsim.record.phases import Stretch
from estsim.record.reading import open_run
from estsim.record.run_reader import RunReader
from estsim.record.sample import GeneratorReading, MarkRow
from estsim.record.saturation import Saturation, SaturationWatch
from estsim.record.slice_counts import Handshake, ReportCounts
from estsim.record.tally import Tally
from estsim.report.deferral import DeferralPictures, PartsFigures, parts_of, pictures_of
from estsim.report.generator import GeneratorReport, generator_of
from estsim.report.series import FINDING, FleetCourse, Rates, RunMark, Series, fleet_of, marks_of
from estsim.report.stored_run import StoredPlan, counts_of, plan_of
from estsim.report.windows import Course
from estsim.user_files import read_user_file

_NS: Final = 1_000_000_000
_MOST_SUMMARY_BYTES: Final = 64 << 20
_MOST_SCENARIO_BYTES: Final = 16 << 20  # as run, with all that aliases and defaults stand for


@dataclass(frozen=True, slots=True)
class OperationCourse:
    """The latency of one operation over time, of exchanges that ended ok."""

    name: str
    service: Course
    response: Course


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything that a page shows of a run."""

    name: str  # of the folder
    facts: Mapping[str, str]
    summary: Summary | None  # None for a run that did not end
    figures: Summary  # as summary.json has them, made from the store
    failures: Mapping[tuple[str, str], float | None]  # by ("run", ""), ("cohort", name), ("phase", name)
    not_judged: Mapping[str, str]  # thresholds that this version cannot judge, and why
    scenario: str
    ended_s: float  # the latest time in the store, on the run's clock
    phases: tuple[Stretch, ...]
    told: tuple[RunMark, ...]
    rates: Rates
    fleet: FleetCourse
    courses: tuple[OperationCourse, ...]
    deferral: DeferralPictures
    parts: tuple[PartsFigures, ...]
    errors: ErrorKinds
    expected: Mapping[str, int]  # expected failures, by operation
    generator: GeneratorReport
    handshakes: tuple[tuple[str, int], ...]


def read_run(folder: Path) -> RunReport:
    """Read a run's folder. Raises UsageError where there is no run, StoreError where its store cannot be read."""
    with open_run(folder) as run:
        list(run.select("BEGIN"))  # all reads see one state, also of a run that is under way
        plan = plan_of(run)
        run.require("impacts")  # they are in the counts, so they must be sound as well
        counts, series = counts_of(run, plan), Series(run)
        readings, marks = tuple(run.readings()), tuple(run.marks())
        ended_ns = max(counts.report.ended_ns, 0, *(reading.at_ns for reading in readings))
        scopes = counts.scopes(run, plan, ended_ns)
        return _report(folder, run, _Stored(plan, scopes, counts.report, series, readings, marks))


@dataclass(frozen=True, slots=True)
class _Stored:
    """What was read of a store."""

    plan: StoredPlan
    scopes: Scopes
    counts: ReportCounts
    series: Series
    readings: tuple[GeneratorReading, ...]
    marks: tuple[MarkRow, ...]


def _report(folder: Path, run: RunReader, stored: _Stored) -> RunReport:
    plan, scopes, counts, series = stored.plan, stored.scopes, stored.counts, stored.series
    facts, marks = run.facts(), marks_of(stored.marks)
    total, ended_ns = scopes.run.tally, scopes.run.ended_ns
    series.leave_out_expected(counts.expected)
    errors = ranked(total.errors, cohorts={name: scope.tally.errors for name, scope in scopes.cohorts.items()})
    generator, watch = generator_of(
        stored.readings, stored.marks, plan, counts, lag=total.schedule_lag, ended_ns=ended_ns
    )
    findings = [mark.text.removeprefix(f"{FINDING}: ") for mark in marks if mark.kind == FINDING]
    return RunReport(
        name=folder.resolve().name,
        facts=facts,
        summary=_summary(folder / "summary.json"),
        figures=_figures(
            facts,
            plan,
            scopes,
            (generator.saturation, watch),
            errors=errors,
            findings=findings,
            internal_errors=_internal_errors(run),
        ),
        failures=_failures(scopes),
        not_judged=plan.unknown_thresholds,
        scenario=_text(folder / "scenario.yaml") or facts.get("scenario_text", ""),
        ended_s=ended_ns / _NS,
        phases=plan.phases,
        told=marks,
        rates=series.rates(),
        fleet=fleet_of(run.fleet(), ended_ns),
        courses=_courses(series, scopes),
        deferral=pictures_of(scopes.run, counts.told, counts.kept),
        parts=parts_of((goal, spent) for (goal, _), spent in counts.spent.items()),
        errors=errors,
        expected=_expected(total),
        generator=generator,
        handshakes=_handshakes(counts.handshakes),
    )


def _expected(total: Tally) -> Mapping[str, int]:
    """Return the expected failures by operation: those that are not in the latencies of failures."""
    found = {
        operation.value: sum(count for kind, count in tally.by_class.items() if kind.is_failure) - tally.failed.count
        for operation, tally in total.operations.items()
    }
    return {operation: count for operation, count in found.items() if count}


def _handshakes(counted: Mapping[Handshake, int]) -> tuple[tuple[str, int], ...]:
    """Return the completed handshakes by kind, the most frequent first."""
    found: Counter[str] = Counter()
    for (version, group, resumed), count in counted.items():
        name = f"{version or 'version unknown'}, {group or 'group unknown'}{', resumed' if resumed else ''}"
        found[name] += count
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _failures(scopes: Scopes) -> Mapping[tuple[str, str], float | None]:
    """Return the shares of failures, which summary.json has only in its thresholds."""
    return {
        ("run", ""): scopes.run.failures,
        **{("cohort", name): scope.failures for name, scope in scopes.cohorts.items()},
        **{("phase", name): scope.run.failures for name, scope in scopes.phases.items()},
    }


def _courses(series: Series, scopes: Scopes) -> tuple[OperationCourse, ...]:
    """Return latencies over time, with those of a warm-up."""
    used = {*scopes.run.tally.operations}.union(*(each.run.tally.operations for each in scopes.phases.values()))
    return tuple(OperationCourse(each.value, *series.courses(each)) for each in Operation if each in used)


def _figures(
    facts: Mapping[str, str],
    plan: StoredPlan,
    scopes: Scopes,
    generator: tuple[Saturation | None, SaturationWatch],
    *,
    errors: ErrorKinds,
    findings: list[str],
    internal_errors: InternalErrorsSummary,
) -> Summary:
    """Return the figures of summary.json, from the store; of the generator it has little more than the verdict."""
    saturation, watch = generator
    run = RunFacts(
        id=facts.get("id", ""),
        scenario=facts.get("scenario", ""),
        seed=plan.seed,
        started=facts.get("started", ""),
        ended=facts.get("ended", ""),
        version=facts.get("version", ""),
        workers=plan.workers,
        target=facts.get("target", ""),
        groups=tuple(facts.get("groups_offered", "").split(",")),
        openssl="",
    )
    return build_summary(
        run,
        scopes,
        generator=GeneratorTotals(0.0, 0),
        saturation=saturation,
        of_thresholds=watch.of_thresholds,
        thresholds=plan.thresholds,
        errors=errors,
        findings=findings,
        internal_errors=internal_errors,
        ending=_ending(facts),
    )


def _ending(facts: Mapping[str, str]) -> Ending:
    """Return how a run ended; one that was killed or is under way counts as aborted."""
    ending = facts.get("ending", "")
    return Ending(ending) if ending in {*Ending} else Ending.ABORTED


def _summary(path: Path) -> Summary | None:
    """Return summary.json; a damaged one counts as missing."""
    try:
        found = json.loads(read_user_file(path, most_bytes=_MOST_SUMMARY_BYTES))
    except (UnreadableFile, ValueError, RecursionError):
        return None
    return read_summary(found) if isinstance(found, dict) else None


def _text(path: Path) -> str:
    try:
        return read_user_file(path, most_bytes=_MOST_SCENARIO_BYTES).decode(errors="replace")
    except UnreadableFile:
        return ""


def _internal_errors(run: RunReader) -> InternalErrorsSummary:
    """Return the internal errors of the run as in summary.json; a device counts for its first one."""
    run.require("internal_errors")
    numbered = (
        "SELECT rowid AS at, error, place, device IS NOT NULL AND "
        "ROW_NUMBER() OVER (PARTITION BY device ORDER BY rowid) = 1 AS stops FROM internal_errors"
    )
    query = (
        f"SELECT error, place, COUNT(*), SUM(stops), SUM(COUNT(*)) OVER (), SUM(SUM(stops)) OVER () FROM ({numbered}) "  # noqa: S608 - names of ours
        f"GROUP BY error, place ORDER BY MIN(at) LIMIT {MAX_KINDS}"
    )
    rows = [*run.select(query)]
    count, devices = rows[0][4:] if rows else (0, 0)
    return internal_errors_of([row[:4] for row in rows], count=count, devices=devices)
