"""The sections that compare cohorts, or phases, with the whole run."""

from collections.abc import Mapping
from typing import Final

from estsim.figures.metric_kinds import Place
from estsim.figures.metrics import DRAIN, EXCHANGES, FAILURES, TIME_TO_CERTIFICATE, shown_in
from estsim.figures.summary import Figures, requests_of
from estsim.figures.summary_blocks import TimeToCertificate
from estsim.figures.summary_text import cells, metric_text, whole_run
from estsim.figures.text import count, duration, milliseconds, percent
from estsim.record.statistic import Interval, LatencyStatistic, Level
from estsim.report.html import section, table
from estsim.report.run_report import RunReport

_LEVELS: Final[tuple[Level, ...]] = ("p50", "p90", "p99")
_COHORTS: Final = (
    "Figures per cohort, with the same definitions. Time to certificate includes enrolments open at the end."
)
_PHASES: Final = (
    "Exchanges and enrolments are assigned to the phase of their intended start. A phase named warmup is reported in "
    "its own row only and is excluded from all other figures except the charts over time."
)


def cohorts(report: RunReport) -> str:
    """Return the figures by cohort; nothing for a single cohort."""
    found = report.figures.cohorts
    if len(found) < 2:  # noqa: PLR2004 - one alone is the run
        return ""
    return section("By cohort", _COHORTS, _tables("cohort", found, report))


def phases(report: RunReport) -> str:
    """Return the figures by phase; nothing without phases."""
    found = report.figures.phases
    if not found:
        return ""
    rows = [(name, *cells(phase)) for name, phase in found.items()]
    rows.append(("whole run", *cells(whole_run(report.figures))))
    rates = table("phase-rates", ("phase", "length", "requests", "requests/s", "certificates", "certificates/s"), rows)
    return section("By phase", _PHASES, rates, _tables("phase", found, report))


def _tables(what: str, scopes: Mapping[str, Figures], report: RunReport) -> str:
    rows = [_row(name, scope, report.failures.get((what, name))) for name, scope in scopes.items()]
    rows.append(_row("whole run", report.figures, report.failures.get(("run", ""))))
    headings = (
        what, "requests", "certificates", FAILURES.label, EXCHANGES.label,
        *(f"{TIME_TO_CERTIFICATE.label} {name}" for name in _LEVELS), DRAIN.label,
    )  # fmt: skip
    latencies = [each for name, scope in scopes.items() for each in _latency_rows(name, scope)]
    deferred = [_deferral_row(name, scope) for name, scope in scopes.items()]
    parts = [
        table(f"{what}s", headings, rows),
        table(f"{what}-latencies", (what, "operation", "ok", *(f"response {p}" for p in _LEVELS)), latencies, texts=2),
    ]
    if any(row[1] != "0" for row in deferred):
        names = (what, "deferrals", *(metric.label for metric in shown_in(Place.COHORTS)))
        parts.append(table(f"{what}-deferral", names, deferred))
    return "".join(parts)


def _row(name: str, scope: Figures, failures: float | None) -> tuple[str, ...]:
    deferral = scope.deferral
    return (
        name,
        count(requests_of(scope)),
        count(scope.certificates.verified or 0),
        percent(failures, 1),
        metric_text(EXCHANGES, deferral),
        *(reached(deferral.time_to_certificate_s, share) for share in _LEVELS),
        metric_text(DRAIN, deferral),
    )


def reached(times: TimeToCertificate, level: Level) -> str:
    """Return a quantile of the time to certificate; one that was not reached shows its lower bound."""
    longer = times.open_end_s(level)
    return duration(times.at(level)) if longer is None else f"> {duration(longer)}"


def with_interval(statistic: LatencyStatistic, level: Level) -> str:
    """Return a percentile in milliseconds, with its 95 % confidence interval where there is one."""
    value = statistic.at(level)
    bounds = _bounds(statistic.interval(level))
    return fine(value) if value is None or bounds is None else f"{fine(value)} ({bounds})"


def _bounds(interval: Interval | None) -> str | None:
    if interval is None or interval[0] is None:
        return None
    low, high = interval
    return f"{fine(low)} to {'?' if high is None else fine(high)}"


def fine(value_ms: float | None) -> str:
    """Return a measured time to three digits, also between 10 ms and 1 s."""
    if value_ms is not None and 1 <= value_ms < 999.5:  # noqa: PLR2004 - where `milliseconds` gives whole ones
        return f"{value_ms:.3g}ms"
    return milliseconds(value_ms)


def _latency_rows(name: str, scope: Figures) -> list[tuple[str, ...]]:
    return [
        (name, operation, count(response.count), *(with_interval(response, level) for level in _LEVELS))
        for operation, figures in scope.operations.items()
        if (response := figures.response_ms).count
    ]


def _deferral_row(name: str, scope: Figures) -> tuple[str, ...]:
    figures = scope.deferral
    deferrals = count(figures.retry_after_s.deferrals)
    return (name, deferrals, *(metric_text(metric, figures) for metric in shown_in(Place.COHORTS)))
