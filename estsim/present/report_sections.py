"""The sections of a report below its verdict: latency, deferral, errors, the generator, the scenario."""

from typing import Final

from estsim.measure.histograms import StatisticBlock
from estsim.measure.report_figures import RunReport
from estsim.present import report_charts as charts
from estsim.present import report_deferral_charts as herd
from estsim.present.figures import ABSENT, count, mebibytes, milliseconds, percent, ratio
from estsim.present.reading import block, text
from estsim.present.report_html import chart, plain, section, table

_LATENCIES: Final = ("p50", "p90", "p95", "p99", "max")  # as a statistic block names them
_LATENCY: Final = (
    "Of exchanges that ended ok. Service time is the work on the wire; response time counts from the moment the device "
    "was meant to act. Seconds are merged until each window has the samples that its percentiles need (p50: 20, p90: "
    "100, p99: 1000); one that the run cannot support is not drawn, and is a dash in the table."
)
_PARTS: Final = (
    "Where the time to a certificate went: means of the parts, which add up to it, over the enrolments that got one, "
    "from the quickest tenth to the slowest."
)
_DEFERRED: Final = (
    "A deferral is a 202: the server asks the device to come again. A poll is an exchange after such a wait."
)
_HERD: Final = (
    "Poll starts folded on the period T of the told waits: a herd that comes back at once is an upright stripe."
)
_GENERATOR: Final = (
    "How late the generator started what was due, its CPU, and how long its event loop was held up: the error bar of "
    "every service time."
)


def latency(report: RunReport) -> str:
    """Return latency over time, requests by class, and the percentiles of the whole run."""
    operations = report.operations
    drawn = [operation for operation in operations if operation.service.windows]
    bands = chart("latency", charts.latency(drawn, report.ended_s)) if drawn else ""
    return section("Latency", _LATENCY, bands, _classes(report), _percentiles(report))


def _classes(report: RunReport) -> str:
    """Return requests by class, for the classes that occurred."""
    operations = report.operations
    names = operations[0].by_class if operations else ()
    kinds = [kind for kind in names if kind == "ok" or any(operation.by_class[kind] for operation in operations)]
    rows = [
        (operation.name, count(operation.requests), *(count(operation.by_class[kind]) for kind in kinds))
        for operation in report.operations
    ]
    return table("operations", ("operation", "requests", *(kind.replace("_", " ") for kind in kinds)), rows)


def _percentiles(report: RunReport) -> str:
    rows = [
        (operation.name, name, count(statistic["count"]), *_statistic(statistic))
        for operation in report.operations
        for name, statistic in (("service", operation.service_ms), ("response", operation.response_ms))
    ]
    return table("latencies", ("operation", "time", "n", *_LATENCIES), rows, texts=2)


def _statistic(statistic: StatisticBlock) -> list[str]:
    return [milliseconds(statistic[name]) for name in _LATENCIES]


def deferral(report: RunReport) -> str:
    """Return where the time to a certificate went, and how the fleet and the server dealt with deferrals."""
    figures = report.deferral
    content = [chart("parts", herd.parts(report.parts))] if report.parts else []
    if not figures.deferrals:
        return section("Time to certificate", _PARTS, *content)
    content += [f"<p>{_DEFERRED}</p>", _deferral_table(report)]
    if figures.waits:
        content += ["<h3>Told and kept waits</h3>", chart("waits", herd.waits(figures.waits))]
    if figures.raster:
        content += ["<h3>The herd</h3>", f"<p>{_herd(report)}</p>", chart("raster", herd.raster(figures.raster))]
    elif figures.polls:
        content.append("<p>The told waits have no common period T, so there is nothing to fold the polls on.</p>")
    return section("Time to certificate and deferral", _PARTS, *content)


def _deferral_table(report: RunReport) -> str:
    figures = report.deferral
    forms = ", ".join(f"{count(number)} {form}" for form, number in figures.told_forms.items())
    synchrony = figures.synchrony
    rows = [
        ("deferrals", count(figures.deferrals)),
        ("Retry-After, by form", forms),
        ("polls", count(figures.polls)),
        ("early polls", count(figures.early)),
        ("wasted share (polls answered by another deferral)", percent(figures.wasted_share, 1)),
        ("hit rate (polls not early that got the certificate)", percent(figures.hit_rate, 1)),
        ("period T", ABSENT if figures.period_s is None else f"{figures.period_s} s"),
        ("synchronisation R", ratio(synchrony.synchronisation)),
        ("lag correlation", ratio(synchrony.lag_correlation)),
        ("burstiness", ratio(synchrony.burstiness)),
    ]
    return table("deferral", ("deferral", ""), rows)


def _herd(report: RunReport) -> str:
    """Say what R means for this run."""
    found = report.deferral.synchrony.synchronisation
    if found is None:
        return f"{_HERD} R is not given: it needs a window of three periods with at least 50 polls."
    return f"{_HERD} R = {ratio(found)}: 1 is a fleet in lock-step, 0 one that is spread over the period."


def errors(report: RunReport) -> str:
    """Return the failures over time and by reason."""
    if not report.errors:
        return section("Errors", "No exchange failed.")
    more = report.error_kinds - len(report.errors)
    lead = f"The most frequent; {count(more)} more kinds are not shown." if more else "By class, phase and reason."
    rows = [
        (kind.replace("_", " "), phase or ABSENT, detail or ABSENT, count(number))
        for kind, phase, detail, number in report.errors
    ]
    listed = table("errors", ("class", "phase", "reason", "exchanges"), rows, texts=3)
    return section("Errors", lead, chart("failures", charts.failures(report.rates, report.ended_s)), listed)


def generator(report: RunReport) -> str:
    """Return what the generator says of itself."""
    figures = report.generator
    why = text(block(report.summary or {}, "generator"), "why")
    said = f" <strong>Saturated: {plain(why)}.</strong>" if why else ""
    rows = [("schedule lag", count(figures.lag_ms["count"]), *_statistic(figures.lag_ms))]
    rss = mebibytes(None if figures.peak_rss_bytes is None else figures.peak_rss_bytes / 2**20)
    return section(
        "The generator",
        f"{_GENERATOR}{said} Memory at its peak: {plain(rss)}.",
        chart("generator", charts.generator(figures, report.ended_s)) if figures.readings else "",
        table("generator", ("", "n", *_LATENCIES), rows),
    )


def environment(report: RunReport) -> str:
    """Return what was negotiated, and the scenario as it was run."""
    run = block(report.summary or {}, "run")
    rows = [("key exchange groups offered", report.facts.get("groups_offered", "").replace(",", ", ") or ABSENT)]
    rows += [("OpenSSL of the generator", text(run, "openssl"))] if text(run, "openssl") else []
    rows += [(f"handshakes with TLS {name}", count(number)) for name, number in report.handshakes]
    # Not through `plain`, which would take the line ends for control characters.
    scenario = "\n".join(plain(line) for line in report.scenario.splitlines())
    return section(
        "Environment and scenario",
        "The scenario as it was run, with all that was set on the command line.",
        table("environment", ("", ""), rows, texts=2),
        f'<pre id="scenario">{scenario}</pre>',
    )
