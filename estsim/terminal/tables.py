"""The tables printed at the end of a run, from the figures of summary.json (docs/running.md).

The verdict comes first, in words, then what it rests on; the results folder comes last. Missing figures show as a dash.
Tables fit the width: reasons and lists are folded. Paths are left whole for copying.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.style import Style

from estsim.figures.metric_kinds import Place
from estsim.figures.metrics import EXCHANGES, PUNCTUALITY, RETRY_AFTER, TIME_TO_CERTIFICATE, WITHIN, shown_in
from estsim.figures.snapshot import OperationFigures, Quantiles
from estsim.figures.summary import FleetSummary, PhaseSummary, Summary
from estsim.figures.summary_blocks import (
    DeferralSummary,
    ErrorSummary,
    GeneratorSummary,
    NonConformanceSummary,
    SaturationSummary,
    TimeToCertificate,
)
from estsim.figures.summary_text import (
    WRONGLY_ISSUED,
    cells,
    internal_errors,
    is_of_behaviours,
    metric_text,
    rate,
    whole_run,
)
from estsim.figures.text import PARTS, clean, count, duration, mebibytes, milliseconds, percent, quantity, words
from estsim.record.error_kinds import OTHERS, reason
from estsim.record.statistic import Level, Statistic
from estsim.terminal.figure_grid import LABEL, folded, pairs
from estsim.terminal.ink import (
    ALARM,
    PLAIN,
    QUIET,
    STRONG,
    Line,
    Page,
    hanging,
    ink,
    left,
    page_of,
    page_width,
    right,
    title,
    wrap,
)
from estsim.terminal.latency import latency
from estsim.terminal.verdict import thresholds, verdict

_ERRORS: Final = 10  # kinds that are shown
_COUNT: Final = 10  # cells of the count of an error
_ERROR_LINES: Final = 4
_QUANTILES: Final[tuple[Level, ...]] = ("p50", "p90", "p99", "max")
_NAME: Final = 15  # cells of the name of a phase
_COLUMNS: Final = (("length", 9), ("requests", 12), ("requests/s", 12), ("certificates", 14), ("certificates/s", 16))
_REPORT_THEM: Final = "please report them with errors.log"
_OF_BEHAVIOURS: Final = "in a behaviour class, not in estsim; see errors.log"
_AT_LOW_RATES: Final = "CPU per enrolment is higher at low rates: an idle event loop also uses CPU"


def final_tables(summary: Summary, *, results: Path | None, width: int, report: Path | None = None) -> Page:
    """Return the tables of a run for a terminal of the width; ``results`` is its folder, ``report`` the page in it."""
    width = page_width(width)
    head = [verdict(summary, width), thresholds(summary, width)]
    end = _results(summary, results, report, width)
    if summary.verdict == "unreachable":  # nothing was measured, and empty tables would hide why
        return page_of([*head, end])
    operations = _operations(summary)
    panes = [
        *head,
        [*latency(operations, width), *_error_bar(summary, width)] if operations else [],
        _outcomes(operations, width),
        _errors(summary, operations, width),
        _phases(summary),
        _certificates(summary, width),
        _deferral(summary.deferral, width),
        _paragraphs("FINDINGS", [f"the server {WRONGLY_ISSUED}"], summary.certificates.findings, width, style=ALARM),
        _paragraphs(
            "INTERNAL ERRORS",
            [_OF_BEHAVIOURS if is_of_behaviours(summary.internal_errors) else _REPORT_THEM],
            internal_errors(summary),
            width,
            style=ALARM,
        ),
        _paragraphs("NOTICES", [], summary.run.notices, width),
        _generator(summary.generator, summary.run.workers, width),
        _fleet(summary.fleet, width),
        end,
    ]
    return page_of(panes)


def _operations(summary: Summary) -> tuple[OperationFigures, ...]:
    """Return the operations that had requests."""
    return tuple(
        OperationFigures(
            operation=name,
            requests=figures.requests,
            by_class=figures.by_class,
            service_ms=_quantiles(figures.service_ms),
            response_ms=_quantiles(figures.response_ms),
        )
        for name, figures in summary.operations.items()
        if figures.requests
    )


def _error_bar(summary: Summary, width: int) -> list[Line]:
    """Return the event-loop delay, the error bar of every service time."""
    found = summary.generator.error_bar
    if found is None:
        return []
    level, delay_ms = found
    return folded("service error bar", f"event-loop delay {level} {milliseconds(delay_ms)}", width)


def _quantiles(times: Statistic) -> Quantiles:
    return Quantiles(times.count, times.p50, times.p90, times.p99, times.max)


def _outcomes(operations: Sequence[OperationFigures], width: int) -> list[Line]:
    """Return the requests of each operation by class, in words; classes that did not occur are left out."""
    if not operations:
        return []
    lines = [title("REQUESTS", [count(sum(figures.requests for figures in operations))], width)]
    for figures in operations:
        parts = [f"{count(number)} {words(kind)}" for kind, number in figures.by_class.items() if number]
        lines += folded(figures.operation, ", ".join(parts), width)
    return lines


def _errors(summary: Summary, operations: Sequence[OperationFigures], width: int) -> list[Line]:
    """Return the most frequent failures with their reasons folded; the last entry sums up the others."""
    kinds = summary.errors
    if not kinds:
        return []
    total = sum(kind.count for kind in kinds)
    requests = sum(figures.requests for figures in operations)
    lines = [title("ERRORS", [f"{count(total)} in {quantity(requests, 'request')}"], width)]
    shown = kinds if len(kinds) <= _ERRORS else kinds[:_ERRORS]
    for kind in shown:
        lines += _error(kind.count, _reason(kind), width)
    if rest := total - sum(kind.count for kind in shown):
        lines += _error(rest, OTHERS, width)
    return lines


def _reason(error: ErrorSummary) -> str:
    if not error.kind:
        return error.detail
    return f"{error.operation or ''} {reason(words(error.kind), error.phase, error.detail)}"


def _error(number: int, reason_: str, width: int) -> list[Line]:
    head = [ink(f" {right(count(number), _COUNT - 2)}", ALARM), ink("  ")]
    return hanging(head, wrap(clean(reason_), width - _COUNT - 2)[:_ERROR_LINES])


def _phases(summary: Summary) -> list[Line]:
    """Return a row for each phase and one for the whole run; nothing for a run without phases."""
    found = summary.phases
    if not found:
        return []
    head = [ink(left("PHASES", _NAME), STRONG), *(ink(right(name, width), QUIET) for name, width in _COLUMNS)]
    return [head, *(_row(name, phase) for name, phase in found.items()), _row("whole run", whole_run(summary))]


def _row(name: str, phase: PhaseSummary) -> Line:
    figures = [
        ink(right(cell, width), STRONG if heading.endswith("/s") else PLAIN)
        for cell, (heading, width) in zip(cells(phase), _COLUMNS, strict=True)
    ]
    return [ink(f" {left(name, _NAME - 1)}"), *figures]


def _certificates(summary: Summary, width: int) -> list[Line]:
    certificates, times = summary.certificates, summary.deferral.time_to_certificate_s
    notes = [f"{count(certificates.issued)} issued", f"{count(certificates.verified)} verified"]
    if refused := certificates.expected_refusals:
        notes.append(f"{count(refused)} expected refusals")
    lines = [title("CERTIFICATES", notes, width), _times(TIME_TO_CERTIFICATE.label, times)]
    if unfinished := times.unfinished:
        lines.append(
            [ink(f" {left('', LABEL)}"), ink(f"{count(unfinished)} without a certificate at the end of the run", QUIET)]
        )
    parts = {name: seconds for name, seconds in times.parts_s.items() if seconds}
    if total := sum(parts.values()):
        spent = ", ".join(
            f"{PARTS.get(name, words(name))} {percent(seconds / total)}" for name, seconds in parts.items()
        )
        lines += folded("breakdown", spent, width)
    for metric in WITHIN:
        within = metric.of_summary(summary.deferral)
        shares = [f"{limit}: {percent(share, 1)}" for limit, share in within.items()]
        if any(share is not None for share in within.values()):
            lines += folded(metric.label, ", ".join(shares), width)
    return lines


def _times(label: str, times: Statistic) -> Line:
    """Return the quantiles of a statistic in seconds; one that was not reached shows its lower bound."""
    line = [ink(f" {left(label, LABEL)}")]
    for name in _QUANTILES:
        open_end = times.open_end_s(name) if isinstance(times, TimeToCertificate) else None
        value = duration(times.at(name)) if open_end is None else f"> {duration(open_end)}"
        line += [ink(f"{name} ", QUIET), ink(left(value, 10), STRONG)]
    return line


def _deferral(source: DeferralSummary, width: int) -> list[Line]:
    """Return the figures of the deferrals, or that there were none."""
    costs = f"{metric_text(EXCHANGES, source)} {EXCHANGES.label}"
    broken = _non_conformance(source.non_conformance, width)
    retry_after = source.retry_after_s
    if not retry_after.count and not source.polls:
        none = ["no deferrals"] if source.polls == 0 else []
        return [title("DEFERRAL", [costs, *none], width), *broken]
    figures = [(metric.label, metric_text(metric, source)) for metric in shown_in(Place.TABLES)]
    return [
        title("DEFERRAL", [costs], width),
        _times(RETRY_AFTER.label, retry_after),
        _times(PUNCTUALITY.label, source.punctuality_s),
        *pairs(figures, width),
        *broken,
    ]


def _non_conformance(source: Mapping[str, NonConformanceSummary], width: int) -> list[Line]:
    lines: list[Line] = []
    for rule, broken in source.items():
        section = f" ({broken.rfc_section})" if broken.rfc_section else ""
        lines += folded("non-conforming", f"{count(broken.count)} x {rule}{section}", width)
    return lines


def _paragraphs(
    name: str, notes: Sequence[str], texts: Sequence[str], width: int, *, style: Style = PLAIN
) -> list[Line]:
    """Return a pane of texts folded to the width, those with a style indented; nothing without texts."""
    if not texts:
        return []
    indent = " " if style is PLAIN else "  "
    lines = [title(name, notes, width)]
    for text in texts:
        lines += [[ink(f"{indent}{line}", style)] for line in wrap(clean(text), width - 1 - len(indent))]
    return lines


def _generator(source: GeneratorSummary, workers: int | None, width: int) -> list[Line]:
    note = {True: "SATURATED", False: "kept up", None: "not judged"}[source.saturated]
    lag = source.schedule_lag_ms
    figures = (
        ("schedule lag p50", milliseconds(lag.p50)),
        _highest_lag(lag, source.saturation),
        ("longest stall", milliseconds(source.longest_stall_ms)),
        ("CPU per enrolment", _per_enrolment(source)),
        ("CPU per handshake", milliseconds(source.cpu_per_handshake_ms)),
        ("total CPU", duration(source.cpu_s)),
        ("peak memory", mebibytes(source.peak_rss_mib)),
        ("worker processes", count(workers)),
    )
    lines = [title("GENERATOR", [note], width), *pairs(figures, width)]
    if source.cpu_per_enrolment_ms is not None:
        lines.append([ink(f" {_AT_LOW_RATES}", QUIET)])
    return lines


def _highest_lag(lag: Statistic, saturation: SaturationSummary | None) -> tuple[str, str]:
    """Return the lag that the verdict quotes, else the p99, else (in a short run) the largest."""
    if saturation is not None and saturation.lag_ms is not None:
        return "highest schedule lag", f"{milliseconds(saturation.lag_ms)} at {_window(saturation)}"
    shown: Level = "max" if lag.p99 is None else "p99"
    return f"schedule lag {shown}", milliseconds(lag.at(shown))


def _window(saturation: SaturationSummary) -> str:
    return f"{count(saturation.from_s)}-{count(saturation.to_s)} s"


def _per_enrolment(source: GeneratorSummary) -> str:
    """Return the CPU of an enrolment with the rate at which it was measured."""
    cost, at_rate = milliseconds(source.cpu_per_enrolment_ms), source.enrolments_per_s
    return cost if at_rate is None else f"{cost} at {rate(at_rate)}/s"


def _fleet(source: FleetSummary, width: int) -> list[Line]:
    states = [f"{count(number)} {words(name)}" for name, number in (source.states or {}).items() if number]
    lines = [title("FLEET", [quantity(source.devices, "device")], width)]
    return [*lines, *folded("final states", ", ".join(states), width)] if states else lines


def _results(summary: Summary, results: Path | None, report: Path | None, width: int) -> list[Line]:
    if results is None:
        return []
    version = summary.run.version
    return [
        title("RESULTS", [f"estsim {version}"] if version else [], width),
        [ink(f" {clean(str(results))}", STRONG)],
        *([[ink(f" {clean(str(report))}", STRONG), ink("  HTML report", QUIET)]] if report else []),
    ]
