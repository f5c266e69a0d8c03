"""The figures of a report: one run's store read once, into plain frozen values that a page can show.

The store alone is enough, also that of a run that was killed: its tallies are put together again, and the figures are
what `summary` makes of them, by the names and definitions of summary.json. Where that file exists its verdict is given
along; no figure is taken from it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from estsim.est.operations import Operation
from estsim.measure.book import Stretch
from estsim.measure.deferral import Scopes
from estsim.measure.report_book import StoredBook, StoredPlan, plan_of
from estsim.measure.report_deferral import DeferralPictures, PartsFigures, parts_of, pictures_of
from estsim.measure.report_errors import ErrorKind, errors_of
from estsim.measure.report_exchanges import ExchangeCounts, counting, expected_exchanges
from estsim.measure.report_fleet import FINDING, FleetCourse, Told, fleet_of, told_of
from estsim.measure.report_generator import GeneratorReport, generator_of
from estsim.measure.report_queries import RunQueries, asked
from estsim.measure.report_series import Rates, Series
from estsim.measure.report_windows import Course
from estsim.measure.saturation import Saturation
from estsim.measure.summary import GeneratorTotals, RunFacts, build_summary

_NS: Final = 1_000_000_000

Block = Mapping[str, Any]


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
    summary: Block | None  # None for a run that did not end
    figures: Block  # as summary.json has them, made from the store
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
    error_kinds: int
    errors: tuple[ErrorKind, ...]
    expected: Mapping[str, int]  # exchanges by operation that failed as the plan had it
    generator: GeneratorReport
    handshakes: tuple[tuple[str, int], ...]


def read_run(folder: Path) -> RunReport:
    """Read a run's folder. Raises UsageError where there is no run, StoreError where its store cannot be read."""
    with asked(folder) as store:
        plan = plan_of(store)
        book = StoredBook(plan)
        with counting(store, plan.cells) as counted:
            series = Series(store)
            spent = book.read_enrolments(store).spent
            book.read_moments(store)
            book.add_blocks(store, series.service, series.response)
            counts = counted()
        book.add_exchanges(counts)
        ended_ns = _ended_ns(store)
        return _report(folder, store, _Read(plan, book.scopes(ended_ns), counts, series, parts_of(spent)))


def _ended_ns(store: RunQueries) -> int:
    """Return the last moment that the store knows of: exchanges are recorded as they end."""
    (answered,) = store.one(
        "SELECT MAX(ended_ns) FROM (SELECT ended_ns, cause FROM exchanges ORDER BY id DESC LIMIT 10000) "
        "WHERE cause != 'preflight'"
    )
    (read,) = store.one("SELECT MAX(at_ns) FROM generator")
    return max(answered or 0, read or 0)


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a store, and put together."""

    plan: StoredPlan
    scopes: Scopes
    counts: ExchangeCounts
    series: Series
    parts: tuple[PartsFigures, ...]


def _report(folder: Path, store: RunQueries, read: _Read) -> RunReport:
    plan, scopes, counts, series = read.plan, read.scopes, read.counts, read.series
    expected, facts, told = expected_exchanges(counts), store.facts(), told_of(store)
    failed = sum(tally.failed.count for tally in scopes.run.tally.operations.values())
    if expected or scopes.phases:  # those of a warm-up may be among them
        series.leave_out_expected(store)
    kinds, errors = errors_of(store, plan.phases) if failed else (0, ())
    generator = generator_of(store, plan, counts, scopes.run.ended_ns)
    findings = [each.text.removeprefix(f"{FINDING}: ") for each in told if each.kind == FINDING]
    return RunReport(
        name=folder.resolve().name,
        facts=facts,
        summary=_summary(folder / "summary.json"),
        figures=_figures(facts, plan, scopes, generator.saturation, findings),
        failures=_failures(scopes),
        not_judged=plan.unknown_thresholds,
        scenario=_text(folder / "scenario.yaml") or facts.get("scenario_text", ""),
        ended_s=scopes.run.ended_ns / _NS,
        phases=plan.phases,
        told=told,
        rates=series.rates(),
        fleet=fleet_of(store, scopes.run.ended_ns),
        courses=_courses(series, scopes),
        deferral=pictures_of(scopes.run, *counts.told_and_kept()),
        parts=read.parts,
        error_kinds=kinds,
        errors=errors,
        expected={operation.value: count for operation, count in expected.items()},
        generator=generator,
        handshakes=counts.made_handshakes(),
    )


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
    saturation: Saturation | None,
    findings: list[str],
) -> Block:
    """Return what summary.json says, of what the store has; of the generator little more than its verdict."""
    seed = facts.get("seed", "0")
    run = RunFacts(
        id=facts.get("id", ""),
        scenario=facts.get("scenario", ""),
        seed=int(seed) if seed.isdecimal() else 0,
        started=facts.get("started", ""),
        ended=facts.get("ended", ""),
        version=facts.get("version", ""),
        workers=int(facts.get("workers", "1")),
        target=facts.get("target", ""),
        groups=tuple(facts.get("groups_offered", "").split(",")),
        openssl="",
    )
    return build_summary(
        run,
        scopes,
        generator=GeneratorTotals(0.0, 0),
        saturation=saturation,
        thresholds=plan.thresholds,
        findings=findings,
    )


def _summary(path: Path) -> Block | None:
    """Return summary.json; what is cut short or of another kind says as little as none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
