"""The figures of a report: one run's store read once, into plain frozen values that a page can show.

The store alone is enough, also that of a run that was killed: it has the tallies of every slice, and the figures are
what `summary` makes of them, by the names and definitions of summary.json. Nothing is counted again, and no row of an
exchange or an enrolment is read. Where that file exists its verdict is given along; no figure is taken from it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from estsim.errors import UnreadableFile
from estsim.est.operations import Operation
from estsim.figures.deferral import Scopes
from estsim.figures.summary import RunFacts, Summary, read_summary
from estsim.figures.summary_builder import build_summary
from estsim.figures.summary_errors import InternalErrorsSummary
from estsim.figures.verdict import Ending
from estsim.record.error_kinds import ErrorKinds, ranked
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.phases import Stretch
from estsim.record.reading import open_run
from estsim.record.report_counts import Handshake
from estsim.record.run_reader import RunReader
from estsim.record.saturation import Saturation, SaturationWatch
from estsim.record.tally import Tally
from estsim.report.deferral import DeferralPictures, PartsFigures, parts_of, pictures_of
from estsim.report.errors import errors_met
from estsim.report.fleet import FINDING, FleetCourse, Told, fleet_of, told_of
from estsim.report.generator import GeneratorReport, generator_of
from estsim.report.plan import StoredPlan, plan_of
from estsim.report.series import Rates, Series
from estsim.report.tallies import StoredCounts, counts_of
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
    """Everything that a page says of a run."""

    name: str  # of the folder
    facts: Mapping[str, str]
    summary: Summary | None  # None for a run that did not end
    figures: Summary  # as summary.json has them, made from the store
    failures: Mapping[tuple[str, str], float | None]  # by ("run", ""), ("cohort", name), ("phase", name)
    not_judged: Mapping[str, str]  # thresholds that this estsim cannot judge, and why
    scenario: str
    ended_s: float  # the last moment in the store, on the run's clock
    phases: tuple[Stretch, ...]
    told: tuple[Told, ...]
    rates: Rates
    fleet: FleetCourse
    courses: tuple[OperationCourse, ...]
    deferral: DeferralPictures
    parts: tuple[PartsFigures, ...]
    errors: ErrorKinds
    expected: Mapping[str, int]  # exchanges by operation that failed as the plan had it
    generator: GeneratorReport
    handshakes: tuple[tuple[str, int], ...]


def read_run(folder: Path) -> RunReport:
    """Read a run's folder. Raises UsageError where there is no run, StoreError where its store cannot be read."""
    with open_run(folder) as run:
        list(run.select("BEGIN"))  # all answers are of one moment, also of a run that is under way
        plan = plan_of(run)
        run.require("impacts")  # they are in the counts: what is read of a folder is sound, whoever reads it
        counts, series = counts_of(run, plan), Series(run)
        readings = max((reading.at_ns for reading in run.readings()), default=0)
        scopes = counts.scopes(run, plan, max(counts.report.ended_ns, readings, 0))
        return _report(folder, run, _Read(plan, scopes, counts, series))


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a store, and put together."""

    plan: StoredPlan
    scopes: Scopes
    counts: StoredCounts
    series: Series


def _report(folder: Path, run: RunReader, read: _Read) -> RunReport:
    plan, scopes, series, counts = read.plan, read.scopes, read.series, read.counts.report
    facts, told, total = run.facts(), told_of(run), read.scopes.run.tally
    series.leave_out_expected(counts.expected)
    errors = ranked(total.errors, cohorts={name: scope.tally.errors for name, scope in scopes.cohorts.items()})
    generator, watch = generator_of(run, plan, counts, lag=total.schedule_lag, ended_ns=scopes.run.ended_ns)
    findings = [each.text.removeprefix(f"{FINDING}: ") for each in told if each.kind == FINDING]
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
            internal_errors=errors_met(run),
        ),
        failures=_failures(scopes),
        not_judged=plan.unknown_thresholds,
        scenario=_text(folder / "scenario.yaml") or facts.get("scenario_text", ""),
        ended_s=scopes.run.ended_ns / _NS,
        phases=plan.phases,
        told=told,
        rates=series.rates(),
        fleet=fleet_of(run, scopes.run.ended_ns),
        courses=_courses(series, scopes),
        deferral=pictures_of(scopes.run, counts.told, counts.kept),
        parts=parts_of((goal, spent) for (goal, _), spent in counts.spent.items()),
        errors=errors,
        expected=_expected(total),
        generator=generator,
        handshakes=_handshakes(counts.handshakes),
    )


def _expected(total: Tally) -> Mapping[str, int]:
    """Return how many exchanges failed as the plan had it, by operation: those that are no failure of a latency."""
    found = {
        operation: sum(count for kind, count in tally.by_class.items() if kind.is_failure) - tally.failed.count
        for operation, tally in total.operations.items()
    }
    return {operation.value: count for operation, count in found.items() if count}


def _handshakes(counted: Mapping[Handshake, int]) -> tuple[tuple[str, int], ...]:
    """Return the finished handshakes by kind, the most frequent first."""
    found: Counter[str] = Counter()
    for (version, group, resumed), count in counted.items():
        name = f"{version or 'version unknown'}, {group or 'group unknown'}{', resumed' if resumed else ''}"
        found[name] += count
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _failures(scopes: Scopes) -> Mapping[tuple[str, str], float | None]:
    """Return the share of failures, which summary.json has among its thresholds only."""
    return {
        ("run", ""): scopes.run.failures,
        **{("cohort", name): scope.failures for name, scope in scopes.cohorts.items()},
        **{("phase", name): scope.run.failures for name, scope in scopes.phases.items()},
    }


def _courses(series: Series, scopes: Scopes) -> tuple[OperationCourse, ...]:
    """Return latencies over time, a warm-up's too."""
    met = {*scopes.run.tally.operations}.union(*(each.run.tally.operations for each in scopes.phases.values()))
    return tuple(OperationCourse(each.value, *series.courses(each)) for each in Operation if each in met)


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
    """Return what summary.json says, of what the store has; of the generator little more than its verdict."""
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
    """Return how a run ended; one that was killed, or is under way, did not come to its end."""
    ending = facts.get("ending", "")
    return Ending(ending) if ending in {*Ending} else Ending.ABORTED


def _summary(path: Path) -> Summary | None:
    """Return summary.json; what is cut short or of another kind says as little as none."""
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
