"""The sections of a report below its verdict: fleet, latency, deferral, errors, the generator, the scenario."""

from typing import Final

from estsim.measure.report_figures import RunReport
from estsim.measure.report_windows import SHARES
from estsim.present import report_charts as charts
from estsim.present import report_deferral_charts as herd
from estsim.present.figures import ABSENT, count, duration, mebibytes, milliseconds, percent, ratio
from estsim.present.reading import Block, block, number, text, whole
from estsim.present.report_breakdown import deferrals, fine, with_interval
from estsim.present.report_canvas import Clock
from estsim.present.report_fleet_chart import fleet as fleet_chart
from estsim.present.report_html import BROKEN, chart, plain, section, table
from estsim.present.verdict import saturation_sentence

_LATENCIES: Final = ("p50", "p90", "p95", "p99", "max")  # as a statistic block names them
_WITH_INTERVAL: Final = tuple(SHARES)
_MOST_TOLD: Final = 200  # rows of the table of marks
_FLEET: Final = "The devices by state; in every second they add up to the fleet. A click on a name hides that state."
_LATENCY: Final = (
    "Of exchanges that ended ok. Service time is the work on the wire; response time counts from the moment the device "
    "was meant to act. Seconds are merged until each window has the samples that its percentiles need (p50: 20, p90: "
    "100, p99: 1000); one that the run cannot support is not drawn, and is a dash in the table."
)
_INTERVALS: Final = (
    "In brackets: 95 % confidence intervals, from how much blocks of max(T, 10 s) differ, because the samples of a "
    "herd are not independent; none of fewer than five blocks."
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


def fleet(report: RunReport, clock: Clock) -> str:
    """Return the fleet by state, and what was told of the run."""
    drawn = chart("fleet", fleet_chart(report.fleet, clock)) if report.fleet.points else ""
    rows = [(duration(each.at_s), each.kind, each.text) for each in report.told[:_MOST_TOLD]]
    more = len(report.told) - len(rows)
    listed = table("told", ("at", "", "what happened"), rows, texts=3) if rows else ""
    rest = f"<p>{count(more)} more are not shown.</p>" if more else ""
    return section("The fleet", _FLEET, drawn, listed, rest) if drawn or rows else ""


def latency(report: RunReport, clock: Clock) -> str:
    """Return latency over time, requests by class, and the percentiles of the whole run."""
    drawn = [operation for operation in report.courses if operation.service.windows]
    bands = chart("latency", charts.latency(drawn, clock)) if drawn else ""
    return section("Latency", _LATENCY, bands, _classes(report), _percentiles(report))


def _classes(report: RunReport) -> str:
    """Return requests by class, for the classes that occurred."""
    found = block(report.figures, "operations")
    operations = {name: block(found, name) for name in found if whole(block(found, name), "requests")}
    kinds = [
        kind
        for kind in next(iter(operations.values()), {})
        if kind == "ok" or (kind != "requests" and any(whole(entry, kind) for entry in operations.values()))
    ]
    kinds = [kind for kind in kinds if not kind.endswith("_ms")]
    planned = ["refused as planned"] if report.expected else []
    rows = [
        (
            name,
            count(whole(entry, "requests")),
            *(count(whole(entry, kind)) for kind in kinds),
            *([count(report.expected.get(name, 0))] if planned else []),
        )
        for name, entry in operations.items()
    ]
    return table("operations", ("operation", "requests", *(kind.replace("_", " ") for kind in kinds), *planned), rows)


def _percentiles(report: RunReport) -> str:
    found = block(report.figures, "operations")
    rows = [
        (name, time, count(number(statistic, "count")), *_statistic(statistic))
        for name in found
        for time in ("service", "response", "deferred", "failed")
        if whole(statistic := block(found, name, f"{time}_ms"), "count")
    ]
    intervals = f"<p>{_INTERVALS}</p>" if any("(" in cell for row in rows for cell in row) else ""
    return intervals + table("latencies", ("operation", "time", "n", *_LATENCIES), rows, texts=2)


def _statistic(statistic: Block) -> list[str]:
    return [
        with_interval(statistic, name) if name in _WITH_INTERVAL else fine(number(statistic, name))
        for name in _LATENCIES
    ]


def deferral(report: RunReport, clock: Clock) -> str:
    """Return where the time to a certificate went, and how the fleet and the server dealt with deferrals."""
    pictures = report.deferral
    content = [chart("parts", herd.parts(report.parts))] if report.parts else []
    if not deferrals(report.figures):
        return section("Time to certificate", _PARTS, *content, _non_conformance(report))
    content += [f"<p>{_DEFERRED}</p>", _deferral_table(report), _punctuality_table(report)]
    if pictures.waits:
        content += ["<h3>Told and kept waits</h3>", chart("waits", herd.waits(pictures.waits))]
    if pictures.punctuality:
        content += ["<h3>Punctuality</h3>", chart("punctuality", herd.punctuality(pictures.punctuality))]
    if pictures.raster:
        content += ["<h3>The herd</h3>", f"<p>{_herd(report)}</p>", chart("raster", herd.raster(pictures.raster))]
        if any(window.synchronisation is not None for window in pictures.windows):
            drawn = herd.windows(pictures.windows, pictures.raster.period_s, clock)
            content += ["<p>R of each window of three periods that had 50 polls or more.</p>", chart("windows", drawn)]
    elif whole(block(report.figures, "deferral"), "polls"):
        content.append("<p>The told waits have no common period T, so there is nothing to fold the polls on.</p>")
    return section("Time to certificate and deferral", _PARTS, *content, _non_conformance(report))


def _deferral_table(report: RunReport) -> str:
    figures = block(report.figures, "deferral")
    told = block(figures, "retry_after_s")
    forms = block(told, "forms")
    period_s = number(figures, "period_s")
    odd = [f"{count(whole(told, name))} {name}" for name in ("zero", "past", "absurd") if whole(told, name)]
    rows = [
        ("deferrals", count(deferrals(report.figures))),
        ("Retry-After, by form", ", ".join(f"{count(whole(forms, n))} {n}" for n in forms if whole(forms, n))),
        *([("Retry-After that makes no sense", ", ".join(odd))] if odd else []),
        ("polls", count(number(figures, "polls"))),
        ("early polls", count(number(figures, "early_polls"))),
        ("wasted share (polls answered by another deferral)", percent(number(figures, "wasted_share"), 1)),
        ("hit rate (polls not early that got the certificate)", percent(number(figures, "hit_rate"), 1)),
        ("period T", ABSENT if period_s is None else f"{period_s:g} s"),
        ("synchronisation R", ratio(number(figures, "synchronisation"))),
        ("lag correlation", ratio(number(figures, "lag_correlation"))),
        ("burstiness", ratio(number(figures, "burstiness"))),
        ("peak to mean", ratio(number(figures, "peak_to_mean"))),
        ("drain", duration(number(figures, "drain_s"))),
        ("fairness (Jain's index)", ratio(number(figures, "fairness"))),
    ]
    if any(each.kind == "event" for each in report.told):
        rows.append(("resync (from an event until R < 0.2)", duration(number(figures, "resync_s"))))
    return table("deferral", ("deferral", ""), rows)


def _punctuality_table(report: RunReport) -> str:
    figures = block(report.figures, "deferral")
    rows = [
        (label, count(number(source, "count")), *(duration(number(source, name)) for name in _LATENCIES))
        for label, source in (
            ("told wait (Retry-After)", block(figures, "retry_after_s")),
            ("punctuality (poll start against the told wait)", block(figures, "punctuality_s")),
        )
        if whole(source, "count")
    ]
    return table("punctuality", ("", "n", *_LATENCIES), rows) if rows else ""


def _non_conformance(report: RunReport) -> str:
    found = block(report.figures, "deferral", "non_conformance")
    rows = [
        (rule, text(block(found, rule), "rfc_section"), count(whole(block(found, rule), "count"))) for rule in found
    ]
    listed = table("non-conformance", ("rule", "section", "answers"), rows, texts=2)
    return f"<h3>Answers that do not conform</h3>{listed}" if rows else ""


def _herd(report: RunReport) -> str:
    """Say what R means for this run."""
    found = number(block(report.figures, "deferral"), "synchronisation")
    if found is None:
        return f"{_HERD} R is not given: it needs a window of three periods with at least 50 polls."
    return f"{_HERD} R = {ratio(found)}: 1 is a fleet in lock-step, 0 one that is spread over the period."


def errors(report: RunReport, clock: Clock) -> str:
    """Return the failures over time and by reason."""
    planned = sum(report.expected.values())
    besides = f" {count(planned)} exchanges failed as the plan had it and are not among these." if planned else ""
    if not report.errors:
        return section("Errors", f"No exchange failed.{besides}")
    more = report.error_kinds - len(report.errors)
    lead = f"The most frequent; {count(more)} more kinds are not shown." if more else "By class, phase and reason."
    several = len(block(report.figures, "cohorts")) > 1
    rows = [
        (
            error.kind.replace("_", " "),
            error.phase or ABSENT,
            error.detail or ABSENT,
            *([", ".join(f"{name} {count(n)}" for name, n in error.cohorts.items())] if several else []),
            count(error.count),
        )
        for error in report.errors
    ]
    headings = ("class", "phase", "reason", *(["by cohort"] if several else []), "exchanges")
    listed = table("errors", headings, rows, texts=3 + several)
    return section("Errors", f"{lead}{besides}", chart("failures", charts.failures(report.rates, clock)), listed)


def generator(report: RunReport, clock: Clock) -> str:
    """Return what the generator says of itself: its verdict first."""
    figures = report.generator
    lag = figures.lag_ms
    rows = [("schedule lag", count(lag["count"]), *(fine(value) for value in (
        lag["p50"], lag["p90"], lag["p95"], lag["p99"], lag["max"])))]  # fmt: skip
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
    headings = ("10 s from", "lag p99", "loop delay p99", "CPU", "memory", "ports", "descriptors")
    return section(
        "The generator",
        f'<strong id="generator-verdict">{plain(generator_sentence(report))}</strong> {_GENERATOR} '
        f"Memory at its peak: {plain(rss)}.",
        chart("generator", charts.generator(figures, clock)) if figures.vitals else "",
        table("generator", ("", "n", *_LATENCIES), rows),
        f"<h3>The ten seconds that came nearest to a limit</h3>{table('worst', headings, worst)}" if worst else "",
    )


def generator_sentence(report: RunReport) -> str:
    """Say whether the generator kept up; as the run said itself, else as the store shows."""
    said = block(report.figures if report.summary is None else report.summary, "generator")
    why, figures = text(said, "why"), report.generator
    if why:
        return saturation_sentence(why)
    if not figures.vitals:
        return "The generator left no reading of itself, so nothing is said of it."
    return (
        f"The generator kept up: over no 10 s was its schedule lag p99 above {milliseconds(figures.max_lag_ms)} "
        f"or its CPU above {percent(figures.max_cpu)} of a core."
    )


def judged_rows(figures: Block, not_judged: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return thresholds as rows: how each went, its expression, what it was."""
    found = figures.get("thresholds")
    entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    rows = [
        ("passed" if entry.get("passed") is True else BROKEN, text(entry, "expression"), text(entry, "why"))
        for entry in entries
    ]
    return rows + [(BROKEN, expression, f"not judged: {why}") for expression, why in not_judged.items()]
