"""The same figures side by side: of each cohort, or of each phase, and of the whole run."""

from collections.abc import Mapping
from typing import Final

from estsim.measure.report_figures import RunReport
from estsim.measure.report_windows import SHARES
from estsim.present.figures import ABSENT, count, duration, milliseconds, percent, ratio
from estsim.present.reading import Block, block, counts, number, whole
from estsim.present.report_html import section, table

_PERCENTILES: Final = tuple(SHARES)
_COHORTS: Final = (
    "Each cohort by itself, by the same definitions. Time to certificate counts enrolments still open at the end."
)
_PHASES: Final = (
    "Exchanges and enrolments belong to the phase in which they were meant to begin. A phase named warmup is in its "
    "own row and in no other figure of this page but the charts over time."
)


def cohorts(report: RunReport) -> str:
    """Return the figures by cohort, where there are more than one."""
    found = block(report.figures, "cohorts")
    if len(found) < 2:  # noqa: PLR2004 - one alone is the run
        return ""
    return section("By cohort", _COHORTS, _tables("cohort", found, report))


def phases(report: RunReport) -> str:
    """Return the figures by phase, where there are any."""
    found = block(report.figures, "phases")
    return section("By phase", _PHASES, _tables("phase", found, report)) if found else ""


def _tables(what: str, found: Block, report: RunReport) -> str:
    scopes = {name: block(found, name) for name in found}
    rows = [_row(name, scope, report.failures.get((what, name))) for name, scope in scopes.items()]
    rows.append(_row("whole run", report.figures, report.failures.get(("run", ""))))
    headings = (
        what, "requests", "certificates", "failures", "exchanges / certificate",
        *(f"time to certificate {name}" for name in _PERCENTILES), "drain",
    )  # fmt: skip
    latencies = [each for name, scope in scopes.items() for each in _latency_rows(name, scope)]
    deferred = [_deferral_row(name, scope) for name, scope in scopes.items()]
    parts = [
        table(f"{what}s", headings, rows),
        table(
            f"{what}-latencies", (what, "operation", "ok", *(f"response {p}" for p in _PERCENTILES)), latencies, texts=2
        ),
    ]
    if any(row[1] != "0" for row in deferred):
        names = (what, "deferrals", "polls", "wasted share", "hit rate", "early polls", "period T", "R", "fairness")
        parts.append(table(f"{what}-deferral", names, deferred))
    return "".join(parts)


def _row(name: str, scope: Block, failures: float | None) -> tuple[str, ...]:
    deferral = block(scope, "deferral")
    return (
        name,
        count(requests(scope)),
        count(whole(block(scope, "certificates"), "verified")),
        percent(failures, 1),
        ratio(number(deferral, "exchanges_per_certificate")),
        *(reached(block(deferral, "time_to_certificate_s"), share) for share in _PERCENTILES),
        duration(number(deferral, "drain_s")),
    )


def requests(scope: Block) -> int:
    """Return all exchanges of a scope."""
    operations = block(scope, "operations")
    return sum(whole(block(operations, name), "requests") for name in operations)


def deferrals(scope: Block) -> int:
    """Return the deferrals of a scope."""
    return sum(counts(block(scope, "deferral", "retry_after_s", "forms")).values())


def reached(times: Block, share: str) -> str:
    """Return a quantile of the time to certificate; one that was not reached says how long it is at least."""
    longer = number(block(times, "longer_than_s"), share)
    return duration(number(times, share)) if longer is None else f"> {duration(longer)}"


def with_interval(statistic: Block, share: str) -> str:
    """Return a percentile in milliseconds, with its 95 % confidence interval where there is one."""
    value = number(statistic, share)
    bounds = _bounds(block(statistic, "ci95"), share)
    return fine(value) if value is None or bounds is None else f"{fine(value)} ({bounds})"


def _bounds(intervals: Mapping[str, object], share: str) -> str | None:
    match intervals.get(share):
        case [int() | float() as low, None]:
            return f"{fine(low)} to ?"
        case [int() | float() as low, int() | float() as high]:
            return f"{fine(low)} to {fine(high)}"
        case _:
            return None


def fine(value_ms: float | None) -> str:
    """Return a measured time to three digits, also between 10 ms and 1 s."""
    if value_ms is not None and 1 <= value_ms < 999.5:  # noqa: PLR2004 - where `milliseconds` gives whole ones
        return f"{value_ms:.3g}ms"
    return milliseconds(value_ms)


def _latency_rows(name: str, scope: Block) -> list[tuple[str, ...]]:
    operations = block(scope, "operations")
    return [
        (name, operation, count(number(response, "count")), *(with_interval(response, share) for share in _PERCENTILES))
        for operation in operations
        if whole(response := block(operations, operation, "response_ms"), "count")
    ]


def _deferral_row(name: str, scope: Block) -> tuple[str, ...]:
    figures = block(scope, "deferral")
    period_s = number(figures, "period_s")
    return (
        name,
        count(deferrals(scope)),
        count(number(figures, "polls")),
        percent(number(figures, "wasted_share"), 1),
        percent(number(figures, "hit_rate"), 1),
        count(number(figures, "early_polls")),
        ABSENT if period_s is None else f"{period_s:g} s",
        ratio(number(figures, "synchronisation")),
        ratio(number(figures, "fairness")),
    )
