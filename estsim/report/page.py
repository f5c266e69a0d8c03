"""The report as an HTML page that needs no network: head, verdict, key figures, charts and tables, environment.

Its content security policy forbids it to load anything. Text of servers and scenarios is escaped in one place, `plain`.
`run_report` has the data.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from plotly.offline import get_plotlyjs

from estsim.figures.metrics import EXCHANGES, FAILURES, TIME_TO_CERTIFICATE, UNFINISHED
from estsim.figures.summary import requests_of
from estsim.figures.summary_blocks import TimeToCertificate
from estsim.figures.summary_text import (
    WRONGLY_ISSUED,
    headline,
    internal_errors,
    is_of_behaviours,
    metric_text,
    saturation_sentence,
    verdict_sentence,
)
from estsim.figures.text import ABSENT, count, duration, milliseconds, percent, quantity
from estsim.record.histograms import needed_samples
from estsim.record.statistic import Level
from estsim.report import breakdown, charts, sections
from estsim.report.canvas import Clock
from estsim.report.html import STYLE, chart, contents, plain, section, table
from estsim.report.run_report import RunReport
from estsim.report.windows import SHARES

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
_BADGES: Final = {"passed": "good", "failed": "bad", "error": "bad", "unreachable": "bad"}
_MACHINE: Final = {"cpu": "CPU", "cores": "cores", "os": "operating system", "python": "Python", "openssl": "OpenSSL"}
_UPPER: Final[tuple[Level, ...]] = ("p90", "p99")
_BUGS: Final = "Internal errors of estsim; see errors.log for the tracebacks"
_OF_BEHAVIOURS: Final = "Errors in a behaviour class, not in estsim; see errors.log for the tracebacks"
_NOTHING: Final = '<p id="nothing">No device sent a request, so there is nothing to draw.</p>'
_OFFERED: Final = (
    "An intended start is the planned time of an enrolment, whether or not the device could start it then. "
    "The lower chart shows open enrolments; they stay few while the server keeps up."
)


def page(report: RunReport) -> str:
    """Return the whole page."""
    drawn = _charts(report) if _has_requests(report) else [_NOTHING]
    sectioned = "\n".join(filter(None, [*drawn, _environment(report)]))
    body = "\n".join(filter(None, [_head(report), _verdict(report), _tiles(report), contents(sectioned), sectioned]))
    script = f"<script>{get_plotlyjs()}</script>\n" if 'class="chart"' in body else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{plain(_scenario(report))} · estsim report</title>\n<style>{STYLE}</style>\n"
        f"{script}</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _charts(report: RunReport) -> list[str]:
    clock = Clock(report.ended_s, report.phases, report.told)
    return [
        section("Offered and achieved", _OFFERED, chart("rates", charts.rates(report.rates, clock))),
        sections.fleet(report, clock),
        breakdown.phases(report),
        breakdown.cohorts(report),
        sections.latency(report, clock),
        sections.deferral(report, clock),
        sections.errors(report, clock),
        sections.generator(report, clock),
    ]


def _has_requests(report: RunReport) -> bool:
    everywhere = [requests_of(report.figures), *map(requests_of, report.figures.phases.values())]
    return any(everywhere)  # a warm-up is in its phase only


def _scenario(report: RunReport) -> str:
    return report.facts.get("scenario") or report.name


def _head(report: RunReport) -> str:
    facts = report.facts
    shown = {
        "target": facts.get("target", ABSENT),
        "seed": facts.get("seed", ABSENT),
        "started": _moment(facts.get("started", "")),
        "duration": _length(report),
        "estsim": facts.get("version", ABSENT),
        "run": f"{report.name} ({facts.get('id', ABSENT)})",
    }
    pairs = "".join(f"<div><dt>{plain(name)}</dt><dd>{plain(value)}</dd></div>" for name, value in shown.items())
    described = facts.get("description", "").strip()
    purpose = f'<p id="description">{plain(" ".join(described.split()))}</p>\n' if described else ""
    return f'<header>\n<h1>{plain(_scenario(report))}</h1>\n{purpose}<dl id="facts">{pairs}</dl>\n</header>'


def _moment(iso: str) -> str:
    try:
        return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M:%S %Z}"
    except ValueError:
        return iso or ABSENT


def _length(report: RunReport) -> str:
    """Return the length of the run, on its own clock."""
    ended = "ended" in report.facts
    return f"{'' if ended else 'at least '}{duration(report.ended_s)}"


def _verdict(report: RunReport) -> str:
    word, sentence = _sentence(report)
    judged = report.summary or report.figures
    badge = f'<span class="badge {_BADGES.get(word, "void")}">{plain(headline(word))}</span>'
    found = "".join(f"<li>{plain(finding)}</li>" for finding in judged.certificates.findings)
    findings = (
        f'<div class="findings" id="findings"><h3>The server {WRONGLY_ISSUED}</h3><ul>{found}</ul></div>\n'
        if found
        else ""
    )
    bugs = "".join(f"<li>{plain(error)}</li>" for error in internal_errors(judged))
    if bugs:
        title = _OF_BEHAVIOURS if is_of_behaviours(judged.internal_errors) else _BUGS
        findings += f'<div class="findings" id="internal-errors"><h3>{title}</h3><ul>{bugs}</ul></div>\n'
    rows = sections.judged_rows(judged, {} if report.summary is not None else report.not_judged)
    listed = table("thresholds", ("", "threshold", "result"), rows, texts=3) if rows else ""
    return f'<section class="verdict">\n<p id="verdict">{badge} {plain(sentence)}</p>\n{findings}{listed}</section>'


def _sentence(report: RunReport) -> tuple[str, str]:
    """Return the verdict as a word and as a sentence."""
    if report.summary is not None:
        return report.summary.verdict, " ".join(verdict_sentence(report.summary).split())
    why = report.figures.generator.why
    saturated = f" {saturation_sentence(why)}" if why else ""
    if "ending" in report.facts:
        return "no summary", (
            f"The run ended ({report.facts['ending']}), but its summary.json is missing or unreadable; "
            f"thresholds and figures are computed here from its store.{saturated}"
        )
    return "did not end", (
        "The run has not ended: it was killed or is still running. Thresholds and figures cover what its store "
        f"contains, up to {duration(report.ended_s)} of the run.{saturated}"
    )


def _tiles(report: RunReport) -> str:
    deferral, certificates = report.figures.deferral, report.figures.certificates
    times, refused = deferral.time_to_certificate_s, certificates.expected_refusals
    open_ones = report.rates.still_open[-1] if report.rates.still_open else 0
    costs = metric_text(EXCHANGES, deferral)
    deferred, wasted = deferral.retry_after_s.deferrals, percent(deferral.wasted_share)
    planned = f"; {count(refused)} expected refusals" if refused else ""
    left_open = f"{metric_text(UNFINISHED, deferral)} {UNFINISHED.label}"
    upper = ", ".join(f"{level} {_reached(times, level)}" for level in _UPPER)
    tiles = [
        ("certificates", count(certificates.verified or 0), f"{quantity(open_ones, 'enrolment')} open at the end"),
        ("requests", count(requests_of(report.figures)), f"{costs} {EXCHANGES.label}"),
        (f"{TIME_TO_CERTIFICATE.label}, p50", _reached(times, "p50"), upper),
        ("deferrals", count(deferred), f"{wasted} of polls wasted"),
        (FAILURES.label, percent(report.failures.get(("run", "")), 1), f"of ended enrolments{planned}; {left_open}"),
    ]
    shown = "".join(
        f'<div><span>{plain(name)}</span><strong id="tile-{place}">{plain(value)}</strong>'
        f"<small>{plain(detail)}</small></div>"
        for place, (name, value, detail) in enumerate(tiles)
    )
    return f'<section class="tiles">{shown}</section>'


def _reached(times: TimeToCertificate, level: Level) -> str:
    """Return a quantile of the time to certificate; with too few enrolments, the number that it requires."""
    if times.count + times.unfinished < needed_samples(SHARES[level]):
        return f"requires n = {needed_samples(SHARES[level])}"
    return breakdown.reached(times, level)


def _environment(report: RunReport) -> str:
    """Return the last section: machine, TLS and processes, and the scenario as run."""
    rows = [("key exchange groups offered", report.facts.get("groups_offered", "").replace(",", ", ") or ABSENT)]
    rows += [(f"handshakes with TLS {name}", count(number)) for name, number in report.handshakes]
    rows += [("worker processes", report.facts.get("workers", "1"))]
    rows += [(f"clock of worker {name}", offset) for name, offset in _clock_offsets(report.facts)]
    # Line by line, because `plain` would replace the line ends.
    scenario = "\n".join(plain(line) for line in report.scenario.splitlines())
    return section(
        "Environment and scenario",
        "The scenario as run, including command-line overrides.",
        "<h3>Machine</h3>",
        table("machine", ("", ""), [*_machine(report)], texts=2),
        "<h3>TLS and processes</h3>",
        table("environment", ("", ""), rows, texts=2),
        "<h3>Scenario</h3>",
        f'<pre id="scenario">{scenario}</pre>',
    )


def _machine(report: RunReport) -> Iterator[tuple[str, str]]:
    """Yield the properties of the generator's machine, as far as they are known."""
    run = report.summary.run if report.summary else None
    known = {**(run.machine if run else {}), **_json_fact(report.facts, "machine")}
    for key, label in _MACHINE.items():
        value = known.get(key)
        openssl = run.openssl if run and key == "openssl" else ""
        yield label, (value if isinstance(value, str) else "") or openssl or ABSENT
    yield "estsim", report.facts.get("version", ABSENT)


def _clock_offsets(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the clock offsets of workers on other machines, as far as they were measured."""
    for name, measured in _json_fact(facts, "clock_offsets").items():
        match measured:
            case [int() | float() as offset_s, int() | float() as round_trip_s]:
                within = milliseconds(abs(round_trip_s) * 500)  # half the round trip bounds the error
                yield str(name), f"{offset_s * 1000:+.1f} ms behind the master's, ±{within}"


def _json_fact(facts: Mapping[str, str], key: str) -> Mapping[str, object]:
    """Return a fact that is a JSON object; nothing for one that is missing or damaged."""
    try:
        found = json.loads(facts.get(key, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
