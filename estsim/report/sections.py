"""The sections of a report with charts: fleet, latency, deferral, errors and the generator."""

from collections.abc import Mapping
from typing import Final

from estsim.figures.metric_kinds import Place
from estsim.figures.metrics import PUNCTUALITY, RESYNC, RETRY_AFTER, WITHIN, shown_in
from estsim.figures.snapshot import CLASSES
from estsim.figures.summary import Summary
from estsim.figures.summary_text import BROKEN, metric_text, rate, saturation_sentence, standing
from estsim.figures.text import ABSENT, count, duration, mebibytes, milliseconds, percent, ratio, words
from estsim.record.saturation import stall_limit_s
from estsim.record.statistic import LatencyStatistic, Level, Statistic
from estsim.report import charts, deferral_charts
from estsim.report.breakdown import fine, with_interval
from estsim.report.canvas import Clock
from estsim.report.html import chart, plain, section, table
from estsim.report.run_report import RunReport

_LATENCIES: Final[tuple[Level, ...]] = ("p50", "p90", "p95", "p99", "max")  # as a statistic block names them
_MOST_MARKS: Final = 200  # rows of the table of marks
_FLEET: Final = "Devices by state; the counts add up to the fleet in every second. Click a name to hide that state."
_LATENCY: Final = (
    "Exchanges that ended ok. Service time runs from the start of an exchange to its end, response time from its "
    "intended start. Seconds are merged until each window has enough samples for its percentiles (p50: 20, p90: 100, "
    "p99: 1000); a percentile with too few samples is not drawn and appears as a dash in the table."
)
_INTERVALS: Final = (
    "In brackets: 95 % confidence intervals, estimated from the variation between blocks of max(T, 10 s), because "
    "samples of a synchronised fleet are not independent; at least five blocks are required."
)
_ERROR_BAR: Final = "Service times include the generator's event-loop delay, which is their error bar."
_PARTS: Final = (
    "Breakdown of the time to certificate: the mean of each part over successful enrolments, from the quickest decile "
    "to the slowest. The parts add up to the total."
)
_DEFERRED: Final = (
    "A deferral is a 202: the server asks the device to retry later. A poll is the exchange after that wait."
)
_HERD: Final = (
    "Poll starts folded over the period T of the Retry-After values: a synchronised fleet shows as a vertical stripe."
)
_GENERATOR: Final = (
    "Schedule lag, CPU use and event-loop delay of the generator. The event-loop delay is the error bar of "
    "every service time."
)


def fleet(report: RunReport, clock: Clock) -> str:
    """Return the fleet by state, and the marks of the run."""
    drawn = chart("fleet", charts.fleet(report.fleet, clock)) if report.fleet.points else ""
    rows = [(duration(each.at_s), each.kind, each.text) for each in report.told[:_MOST_MARKS]]
    more = len(report.told) - len(rows)
    listed = table("told", ("at", "", "event"), rows, texts=3) if rows else ""
    rest = f"<p>{count(more)} more events not shown.</p>" if more else ""
    return section("Fleet", _FLEET, drawn, listed, rest) if drawn or rows else ""


def latency(report: RunReport, clock: Clock) -> str:
    """Return latency over time, requests by class, and the percentiles of the whole run."""
    shown = [operation for operation in report.courses if operation.service.windows]
    bands = chart("latency", charts.latency(shown, clock)) if shown else ""
    return section("Latency", _LATENCY, bands, _classes(report), _percentiles(report))


def _classes(report: RunReport) -> str:
    """Return requests by class, for the classes that occurred."""
    operations = {name: figures for name, figures in report.figures.operations.items() if figures.requests}
    occurred = {kind for figures in operations.values() for kind, number in figures.by_class.items() if number}
    kinds = [kind for kind in CLASSES if operations and (kind == "ok" or kind in occurred)]
    planned = ["expected refusals"] if report.expected else []
    rows = [
        (
            name,
            count(figures.requests),
            *(count(figures.by_class[kind]) for kind in kinds),
            *([count(report.expected.get(name, 0))] if planned else []),
        )
        for name, figures in operations.items()
    ]
    return table("operations", ("operation", "requests", *map(words, kinds), *planned), rows)


def _percentiles(report: RunReport) -> str:
    rows = [
        (name, time, count(statistic.count), *_statistic(statistic))
        for name, figures in report.figures.operations.items()
        for time, statistic in (
            ("service", figures.service_ms),
            ("response", figures.response_ms),
            ("deferred", figures.deferred_ms),
            ("failed", figures.failed_ms),
        )
        if statistic.count
    ]
    intervals = f"<p>{_INTERVALS}</p>" if any("(" in cell for row in rows for cell in row) else ""
    return intervals + _error_bar(report) + table("latencies", ("operation", "time", "n", *_LATENCIES), rows, texts=2)


def _error_bar(report: RunReport) -> str:
    """Return the event-loop delay, the error bar of service times; of a killed run, that of the worst second."""
    found = report.summary.generator.error_bar if report.summary else None
    if found is not None:
        return f"<p>{_ERROR_BAR} Its {found[0]}: {milliseconds(found[1])}.</p>"
    worst_ms = max((vital.loop_delay_ms for vital in report.generator.loop_monitor), default=None)
    return "" if worst_ms is None else f"<p>{_ERROR_BAR} Its p99 in the worst second: {milliseconds(worst_ms)}.</p>"


def _statistic(times: Statistic) -> list[str]:
    if not isinstance(times, LatencyStatistic):
        return [fine(times.at(level)) for level in _LATENCIES]
    return [with_interval(times, level) for level in _LATENCIES]


def deferral(report: RunReport, clock: Clock) -> str:
    """Return the parts of the time to certificate, and the figures and charts of deferral."""
    pictures = report.deferral
    content = [chart("parts", deferral_charts.parts(report.parts))] if report.parts else []
    content += filter(None, [_within_table(report)])
    if not report.figures.deferral.retry_after_s.deferrals:
        return section("Time to certificate", _PARTS, *content, _non_conformance(report))
    content += [f"<p>{_DEFERRED}</p>", _deferral_table(report), _punctuality_table(report)]
    if pictures.waits:
        content += ["<h3>Retry-After and actual wait</h3>", chart("waits", deferral_charts.waits(pictures.waits))]
    if pictures.punctuality:
        content += ["<h3>Punctuality</h3>", chart("punctuality", deferral_charts.punctuality(pictures.punctuality))]
    if pictures.raster:
        content += [
            "<h3>Poll synchronisation</h3>",
            f"<p>{_synchrony(report)}</p>",
            chart("raster", deferral_charts.raster(pictures.raster)),
        ]
        if any(window.synchronisation is not None for window in pictures.windows):
            drawn = deferral_charts.windows(pictures.windows, pictures.raster.period_s, clock)
            content += ["<p>R of each window of three periods with at least 50 polls.</p>", chart("windows", drawn)]
    elif report.figures.deferral.polls:
        content.append("<p>The Retry-After values have no common period T, so the polls cannot be folded.</p>")
    return section("Time to certificate and deferral", _PARTS, *content, _non_conformance(report))


def _within_table(report: RunReport) -> str:
    """Return the shares reached within a time, without those that are unknown at every limit."""
    found = [(metric.label, metric.of_summary(report.figures.deferral)) for metric in WITHIN]
    known = [(label, shares) for label, shares in found if any(share is not None for share in shares.values())]
    limits = [*dict.fromkeys(limit for _, shares in known for limit in shares)]
    rows = [(label, *(percent(shares.get(limit), 1) for limit in limits)) for label, shares in known]
    return table("within", ("share", *limits), rows) if rows else ""


def _deferral_table(report: RunReport) -> str:
    figures = report.figures.deferral
    waits = figures.retry_after_s
    implausible = (("zero", waits.zero), ("past", waits.past), ("absurd", waits.absurd))
    odd = [f"{count(number)} {name}" for name, number in implausible if number]
    rows = [
        ("deferrals", count(waits.deferrals)),
        ("Retry-After, by form", ", ".join(f"{count(n)} {form}" for form, n in waits.forms.items() if n)),
        *([("implausible Retry-After", ", ".join(odd))] if odd else []),
    ]
    has_events = any(each.kind == "event" for each in report.told)
    shown = [metric for metric in shown_in(Place.REPORT) if metric is not RESYNC or has_events]
    rows += [(metric.long_label, metric_text(metric, figures)) for metric in shown]
    return table("deferral", ("deferral", ""), rows)


def _punctuality_table(report: RunReport) -> str:
    figures = report.figures.deferral
    rows = [
        (label, count(times.count), *(duration(times.at(level)) for level in _LATENCIES))
        for label, times in (
            (RETRY_AFTER.label, figures.retry_after_s),
            (f"{PUNCTUALITY.label} (poll start minus planned time)", figures.punctuality_s),
        )
        if times.count
    ]
    return table("punctuality", ("", "n", *_LATENCIES), rows) if rows else ""


def _non_conformance(report: RunReport) -> str:
    found = report.figures.deferral.non_conformance
    rows = [(rule, broken.rfc_section, count(broken.count)) for rule, broken in found.items()]
    listed = table("non-conformance", ("rule", "section", "responses"), rows, texts=2)
    return f"<h3>Non-conforming responses</h3>{listed}" if rows else ""


def _synchrony(report: RunReport) -> str:
    """Return what R means for this run."""
    found = report.figures.deferral.synchronisation
    if found is None:
        return f"{_HERD} R is not available: it requires a window of three periods with at least 50 polls."
    return f"{_HERD} R = {ratio(found)}: 1 means fully synchronised, 0 evenly spread over the period."


def errors(report: RunReport, clock: Clock) -> str:
    """Return the failures over time and by reason."""
    planned = sum(report.expected.values())
    excluded = f" {count(planned)} expected failures are excluded." if planned else ""
    if not report.errors.top:
        return section("Errors", f"No exchange failed.{excluded}")
    more = report.errors.kinds - len(report.errors.top)
    at_least = "at least " if report.errors.at_least else ""
    lead = (
        f"The most frequent kinds; {at_least}{count(more)} more are not shown."
        if more
        else "By operation, class and reason."
    )
    several = len(report.figures.cohorts) > 1
    rows = [
        (
            error.operation,
            words(error.kind),
            error.phase or ABSENT,
            error.detail or ABSENT,
            *([", ".join(f"{name} {count(n)}" for name, n in error.cohorts.items())] if several else []),
            count(error.count),
        )
        for error in report.errors.top
    ]
    headings = ("operation", "class", "phase", "reason", *(["by cohort"] if several else []), "exchanges")
    listed = table("errors", headings, rows, texts=4 + several)
    return section("Errors", f"{lead}{excluded}", chart("failures", charts.failures(report.rates, clock)), listed)


def generator(report: RunReport, clock: Clock) -> str:
    """Return the generator's verdict, figures and charts."""
    figures = report.generator
    lag = figures.lag_ms
    rows = [("schedule lag", count(lag.count), *(fine(lag.at(level)) for level in _LATENCIES))]
    rss = mebibytes(None if figures.peak_rss_bytes is None else figures.peak_rss_bytes / 2**20)
    worst = [
        (
            f"{window.from_s} s",
            fine(window.lag_p99_ms),
            fine(window.loop_delay_ms),
            percent(window.cpu_share),
            mebibytes(window.rss_mib),
            count(window.ports) if window.ports else ABSENT,
            count(window.descriptors) if window.descriptors else ABSENT,
        )
        for window in figures.worst
    ]
    headings = ("window start", "lag p99", "loop delay p99", "CPU", "memory", "ports", "descriptors")
    return section(
        "Generator",
        f'<strong id="generator-verdict">{plain(generator_sentence(report))}</strong> {_GENERATOR} '
        f"Peak memory: {plain(rss)}.{plain(_cpu_per_enrolment(report))}",
        chart("generator", charts.generator(figures, clock)) if figures.loop_monitor else "",
        table("generator", ("", "n", *_LATENCIES), rows),
        f"<h3>The 10 s windows closest to a limit</h3>{table('worst', headings, worst)}" if worst else "",
    )


def _cpu_per_enrolment(report: RunReport) -> str:
    """Return a sentence about the CPU of an enrolment, with the rate at which it was measured."""
    generator = (report.summary or report.figures).generator
    cost, at_rate = generator.cpu_per_enrolment_ms, generator.enrolments_per_s
    if cost is None or at_rate is None:
        return ""
    at = f"at {rate(at_rate)} enrolments/s"
    return f" CPU per enrolment: {fine(cost)} {at}; it is higher at low rates because an idle event loop also uses CPU."


def generator_sentence(report: RunReport) -> str:
    """Return whether the generator kept up, by summary.json, else by the store."""
    why, figures = (report.summary or report.figures).generator.why, report.generator
    if why:
        return saturation_sentence(why)
    if not figures.loop_monitor:
        return "The generator recorded no measurements of itself, so it is not judged."
    stall = duration(stall_limit_s(figures.max_lag_ms / 1000))
    return (
        "The generator kept up: in any 10 s window, p99 schedule lag never exceeded "
        f"{milliseconds(figures.max_lag_ms)} (with fewer than 100 exchanges, the largest lag never exceeded "
        f"{stall}) and CPU never exceeded {percent(figures.max_cpu)} of a core; no event-loop stall exceeded {stall}."
    )


def judged_rows(figures: Summary, not_judged: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return thresholds as rows: result, expression, reason."""
    rows = [(standing(entry, figures.verdict), entry.expression, entry.why) for entry in figures.thresholds]
    return rows + [(BROKEN, expression, f"not judged: {why}") for expression, why in not_judged.items()]
