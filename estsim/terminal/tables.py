"""The tables printed once a run is over, made of summary.json's figures (docs/running.md).

The verdict comes first, in words; then what it rests on; last where everything else is. Figures that a run could not
give show as a dash. Tables fit the width, reasons and lists are folded, and paths are left whole for copying.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from estsim.figures.metric_kinds import Place
from estsim.figures.metric_text import metric_text
from estsim.figures.metrics import EXCHANGES, PUNCTUALITY, RETRY_AFTER, TIME_TO_CERTIFICATE, WITHIN, shown_in
from estsim.figures.phase_text import rate
from estsim.figures.snapshot import OperationFigures, Quantiles
from estsim.figures.summary import FleetSummary, RunFacts, Summary
from estsim.figures.summary_deferral import DeferralSummary, NonConformanceSummary, TimeToCertificate
from estsim.figures.summary_errors import ErrorSummary
from estsim.figures.summary_generator import GeneratorSummary, SaturationSummary
from estsim.figures.text import PARTS, clean, count, duration, mebibytes, milliseconds, percent, quantity, words
from estsim.figures.verdict_text import WRONGLY_ISSUED, internal_errors
from estsim.record.error_kinds import OTHERS, reason
from estsim.record.statistic import Level, Statistic
from estsim.terminal.ink import ALARM, QUIET, STRONG, Line, Page, ink, left, right, title, trimmed, wrap
from estsim.terminal.labelled import LABEL, folded, pairs
from estsim.terminal.latency import latency
from estsim.terminal.phases import phases
from estsim.terminal.verdict import thresholds, verdict

_WIDEST: Final = 110
_NARROWEST: Final = 80
_ERRORS: Final = 10  # kinds that are shown
_ERROR: Final = 10  # cells of how often it was met
_ERROR_LINES: Final = 4
_QUANTILES: Final[tuple[Level, ...]] = ("p50", "p90", "p99", "max")
_AT_LOW_RATES: Final = "CPU per enrolment is higher at low rates: an idle event loop also uses CPU"


def final_tables(summary: Summary, *, results: Path | None, width: int, report: Path | None = None) -> Page:
    """Return the tables of a run for a terminal of the width; ``results`` is its folder, ``report`` the page in it."""
    width = min(max(width, _NARROWEST), _WIDEST)
    head = [verdict(summary, width), thresholds(summary, width)]
    end = _results(summary, results, report, width)
    if summary.verdict == "unreachable":  # nothing was measured, and tables of nothing would hide why
        return _page([*head, end])
    operations = _operations(summary)
    panes = [
        *head,
        [*latency(operations, width), *_error_bar(summary, width)] if operations else [],
        _outcomes(operations, width),
        _errors(summary, operations, width),
        phases(summary),
        _certificates(summary, width),
        _deferral(summary.deferral, width),
        _findings(summary, width),
        _internal_errors(summary, width),
        _notices(summary.run, width),
        _generator(summary.generator, summary.run.workers, width),
        _fleet(summary.fleet, width),
        end,
    ]
    return _page(panes)


def _page(panes: Sequence[list[Line]]) -> Page:
    """Return panes below each other, those without lines left out."""
    lines: list[Line] = []
    for pane in filter(None, panes):
        lines += [[], *map(trimmed, pane)]
    return Page([*lines, []])


def _operations(summary: Summary) -> tuple[OperationFigures, ...]:
    """Return those operations that were asked for at all."""
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
    """Return what of each service time may be the generator's own event loop."""
    told = summary.generator.error_bar
    if told is None:
        return []
    return folded("service error bar", f"event-loop delay {told[0]} {milliseconds(told[1])}", width)


def _quantiles(times: Statistic) -> Quantiles:
    return Quantiles(times.count, times.p50, times.p90, times.p99, times.max)


def _outcomes(operations: Sequence[OperationFigures], width: int) -> list[Line]:
    """Return what the requests came to, in words; classes that did not occur are left out."""
    if not operations:
        return []
    lines = [title("REQUESTS", [count(sum(figures.requests for figures in operations))], width)]
    for figures in operations:
        parts = [f"{count(number)} {words(kind)}" for kind, number in figures.by_class.items() if number]
        lines += folded(figures.operation, ", ".join(parts), width)
    return lines


def _errors(summary: Summary, operations: Sequence[OperationFigures], width: int) -> list[Line]:
    """Return the most frequent failures, each with its reason folded under itself; the last line has the others."""
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
    first, *others = wrap(clean(reason_), width - _ERROR - 2)[:_ERROR_LINES]
    head = [ink(f" {right(count(number), _ERROR - 2)}", ALARM), ink(f"  {first}")]
    return [head, *([ink(" " * (_ERROR + 1) + line)] for line in others)]


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
        within = metric.in_summary(summary.deferral)
        shares = [f"{limit}: {percent(share, 1)}" for limit, share in within.items()]
        if any(share is not None for share in within.values()):
            lines += folded(metric.label, ", ".join(shares), width)
    return lines


def _times(label: str, times: Statistic) -> Line:
    """Return the quantiles of a block in seconds; one that was not reached says how long it is at least."""
    line = [ink(f" {left(label, LABEL)}")]
    for name in _QUANTILES:
        open_end = times.open_end_s(name) if isinstance(times, TimeToCertificate) else None
        value = duration(times.at(name)) if open_end is None else f"> {duration(open_end)}"
        line += [ink(f"{name} ", QUIET), ink(left(value, 10), STRONG)]
    return line


def _deferral(source: DeferralSummary, width: int) -> list[Line]:
    """Return the figures of the deferrals; where nobody was deferred, that is all there is to say."""
    costs = f"{metric_text(EXCHANGES, source)} {EXCHANGES.label}"
    broken = _non_conformance(source.non_conformance, width)
    told = source.retry_after_s
    if not told.count and not source.polls:
        nobody = ["no deferrals"] if source.polls == 0 else []
        return [title("DEFERRAL", [costs, *nobody], width), *broken]
    figures = [(metric.label, metric_text(metric, source)) for metric in shown_in(Place.TABLES)]
    return [
        title("DEFERRAL", [costs], width),
        _times(RETRY_AFTER.label, told),
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


def _findings(summary: Summary, width: int) -> list[Line]:
    findings = summary.certificates.findings
    if not findings:
        return []
    lines = [title("FINDINGS", [f"the server {WRONGLY_ISSUED}"], width)]
    for finding in findings:
        lines += [[ink(f"  {line}", ALARM)] for line in wrap(clean(finding), width - 3)]
    return lines


def _internal_errors(summary: Summary, width: int) -> list[Line]:
    found = internal_errors(summary)
    if not found:
        return []
    lines = [title("INTERNAL ERRORS", ["please report them with errors.log"], width)]
    for error in found:
        lines += [[ink(f"  {line}", ALARM)] for line in wrap(clean(error), width - 3)]
    return lines


def _notices(run: RunFacts, width: int) -> list[Line]:
    """Return what a reader of the figures has to know of the plan."""
    if not run.notices:
        return []
    lines = [title("NOTICES", [], width)]
    for notice in run.notices:
        lines += [[ink(f" {line}")] for line in wrap(clean(notice), width - 2)]
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
    """Return the lag that the verdict quotes; else the p99, or of a short run the largest."""
    if saturation is not None and saturation.lag_ms is not None:
        return "highest schedule lag", f"{milliseconds(saturation.lag_ms)} at {_window(saturation)}"
    shown: Level = "max" if lag.p99 is None else "p99"
    return f"schedule lag {shown}", milliseconds(lag.at(shown))


def _window(saturation: SaturationSummary) -> str:
    return f"{count(saturation.from_s)}-{count(saturation.to_s)} s"


def _per_enrolment(source: GeneratorSummary) -> str:
    """Return the CPU of an enrolment beside the rate that it was measured at."""
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
