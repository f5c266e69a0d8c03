"""The report: one page that needs no network, made from the figures of one run.

The page has the verdict, the figures as plain tables, and charts. Its own policy forbids it to load anything from
anywhere. What servers and scenarios said is escaped in one place, `plain`, through which every cell goes.
"""

from datetime import datetime
from typing import Final

from plotly.offline import get_plotlyjs

from estsim.measure.histograms import needed_samples
from estsim.measure.report_figures import RunReport
from estsim.measure.report_windows import SHARES
from estsim.present import report_breakdown as breakdown
from estsim.present import report_charts as charts
from estsim.present import report_sections as sections
from estsim.present.figures import ABSENT, count, duration, percent, ratio
from estsim.present.reading import Block, block, number, text, whole
from estsim.present.report_canvas import Clock
from estsim.present.report_environment import environment
from estsim.present.report_html import chart, plain, section, table
from estsim.present.report_style import STYLE
from estsim.present.verdict import saturation_sentence, summary_findings, verdict

_ONE_LINE: Final = 100_000  # wide enough for any sentence
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
_BADGES: Final = {"passed": "good", "failed": "bad"}
_LATER: Final = ("p90", "p99")
_ACCEPTED: Final = "The server accepted what it must refuse"
_OFFERED: Final = (
    "An intended start is the moment a device was meant to begin seeking a certificate, whether or not it could. "
    "Below, the certificates sought and not yet had: a server that keeps up holds it low."
)


def page(report: RunReport) -> str:
    """Return the whole page."""
    clock = Clock(report.ended_s, report.phases, report.told)
    parts = [
        _head(report),
        _verdict(report),
        _tiles(report),
        section("Offered and achieved", _OFFERED, chart("rates", charts.rates(report.rates, clock))),
        sections.fleet(report, clock),
        breakdown.phases(report),
        breakdown.cohorts(report),
        sections.latency(report, clock),
        sections.deferral(report, clock),
        sections.errors(report, clock),
        sections.generator(report, clock),
        environment(report),
    ]
    body = "\n".join(filter(None, parts))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{plain(_scenario(report))} · estsim report</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


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
    return f'<header>\n<h1>{plain(_scenario(report))}</h1>\n<dl id="facts">{pairs}</dl>\n</header>'


def _moment(iso: str) -> str:
    try:
        return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M:%S %Z}"
    except ValueError:
        return iso or ABSENT


def _length(report: RunReport) -> str:
    """Return how long the fleet lived, on the run's own clock."""
    ended = "ended" in report.facts
    return f"{'' if ended else 'at least '}{duration(report.ended_s)}"


def _verdict(report: RunReport) -> str:
    word, sentence = _sentence(report)
    judged = report.figures if report.summary is None else report.summary
    badge = f'<span class="badge {_BADGES.get(word, "void")}">{plain(word.upper())}</span>'
    found = "".join(f"<li>{plain(finding)}</li>" for finding in summary_findings(judged))
    findings = f'<div class="findings" id="findings"><h3>{_ACCEPTED}</h3><ul>{found}</ul></div>\n' if found else ""
    rows = sections.judged_rows(judged, {} if report.summary is not None else dict(report.not_judged))
    listed = table("thresholds", ("", "threshold", "what it was"), rows, texts=3) if rows else ""
    return f'<section class="verdict">\n<p id="verdict">{badge} {plain(sentence)}</p>\n{findings}{listed}</section>'


def _sentence(report: RunReport) -> tuple[str, str]:
    """Return the verdict in a word and in a sentence."""
    if report.summary is not None:
        said = "".join(piece.text for piece in verdict(report.summary, _ONE_LINE)[0][1:])
        return text(report.summary, "verdict") or "no verdict", said.strip()
    why = text(block(report.figures, "generator"), "why")
    besides = f" {saturation_sentence(why)}" if why else ""
    if "ending" in report.facts:
        return "no summary", (
            f"The run came to its end ({report.facts['ending']}), but its summary.json is missing or cannot be read; "
            f"thresholds and figures are judged here from its store.{besides}"
        )
    return "did not end", (
        "The run did not end: it was killed, or is still under way. Thresholds and figures are of what its store has, "
        f"up to {duration(report.ended_s)} of the run.{besides}"
    )


def _tiles(report: RunReport) -> str:
    deferral = block(report.figures, "deferral")
    times = block(deferral, "time_to_certificate_s")
    verified = whole(block(report.figures, "certificates"), "verified")
    refused = whole(block(report.figures, "certificates"), "expected_refusals")
    open_ones = report.rates.still_open[-1] if report.rates.still_open else 0
    costs = ratio(number(deferral, "exchanges_per_certificate"))
    deferred, vain = breakdown.deferrals(report.figures), percent(number(deferral, "wasted_share"))
    planned = f"; {count(refused)} refused as planned" if refused else ""
    tiles = [
        ("certificates", count(verified), f"{count(open_ones)} still sought at the end"),
        ("requests", count(breakdown.requests(report.figures)), f"{costs} exchanges per certificate"),
        ("time to certificate, p50", _reached(times, "p50"), ", ".join(f"{p} {_reached(times, p)}" for p in _LATER)),
        ("deferrals", count(deferred), f"{vain} of polls in vain"),
        ("failures", percent(report.failures.get(("run", "")), 1), f"of the enrolments that ended{planned}"),
    ]
    shown = "".join(
        f'<div><span>{plain(name)}</span><strong id="tile-{place}">{plain(value)}</strong>'
        f"<small>{plain(beside)}</small></div>"
        for place, (name, value, beside) in enumerate(tiles)
    )
    return f'<section class="tiles">{shown}</section>'


def _reached(times: Block, name: str) -> str:
    """Return a quantile of the time to certificate; of too few enrolments, how many it takes."""
    if whole(times, "count") + whole(times, "unfinished") < needed_samples(SHARES[name]):
        return f"needs n = {needed_samples(SHARES[name])}"
    return breakdown.reached(times, name)
