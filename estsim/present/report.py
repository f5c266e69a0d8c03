"""The report: one page that needs no network, made from the figures of one run.

The page has the verdict, the figures as plain tables, and charts. Its own policy forbids it to load anything from
anywhere. What servers and scenarios said is escaped in one place, `plain`, through which every cell goes.
"""

from datetime import datetime
from typing import Final

from plotly.offline import get_plotlyjs

from estsim.measure.histograms import needed_samples
from estsim.measure.report_figures import RunReport
from estsim.present import report_charts as charts
from estsim.present import report_sections as sections
from estsim.present.figures import ABSENT, count, duration, percent, ratio
from estsim.present.reading import Block, blocks, text
from estsim.present.report_html import BROKEN, chart, plain, section, table
from estsim.present.report_style import STYLE
from estsim.present.verdict import summary_findings, verdict

_ONE_LINE: Final = 100_000  # wide enough for any sentence
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
_BADGES: Final = {"passed": "good", "failed": "bad"}
_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_OFFERED: Final = (
    "An intended start is the moment a device was meant to begin seeking a certificate, whether or not it could. "
    "Below, the certificates sought and not yet had: a server that keeps up holds it low."
)


def page(report: RunReport) -> str:
    """Return the whole page."""
    body = "\n".join(
        [
            _head(report),
            _verdict(report),
            _tiles(report),
            section("Offered and achieved", _OFFERED, chart("rates", charts.rates(report.rates, report.ended_s))),
            sections.latency(report),
            sections.deferral(report),
            sections.errors(report),
            sections.generator(report),
            sections.environment(report),
        ]
    )
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
    badge = f'<span class="badge {_BADGES.get(word, "void")}">{plain(word.upper())}</span>'
    summary = report.summary or {}
    found = "".join(f"<li>{plain(finding)}</li>" for finding in summary_findings(summary))
    findings = f"<ul>{found}</ul>\n" if found else ""
    return (
        f'<section class="verdict">\n<p id="verdict">{badge} {plain(sentence)}</p>\n{findings}{_thresholds(summary)}'
        "</section>"
    )


def _sentence(report: RunReport) -> tuple[str, str]:
    """Return the verdict in a word and in a sentence."""
    if report.summary is not None:
        said = "".join(piece.text for piece in verdict(report.summary, _ONE_LINE)[0][1:])
        return text(report.summary, "verdict") or "no verdict", said.strip()
    if "ending" in report.facts:
        return "no summary", (
            f"The run came to its end ({report.facts['ending']}), but its summary.json is missing or cannot be read, "
            "so nothing is judged here; all figures below are from its store."
        )
    return "did not end", (
        "The run did not end: it was killed, or is still under way. Nothing was judged; the figures below cover what "
        f"its store has, up to {duration(report.ended_s)} of the run."
    )


def _thresholds(summary: Block) -> str:
    judged = blocks(summary, "thresholds")
    if not judged:
        return ""
    rows = [
        ("passed" if entry.get("passed") is True else BROKEN, text(entry, "expression"), text(entry, "why"))
        for entry in judged
    ]
    return table("thresholds", ("", "threshold", "what it was"), rows, texts=3)


def _tiles(report: RunReport) -> str:
    tiles = [
        ("certificates", count(report.certificates), f"{count(report.unfinished)} still sought at the end"),
        ("requests", count(report.requests), f"{ratio(report.exchanges_per_certificate)} exchanges per certificate"),
        ("time to certificate, p50", _reached(report, "p50"), _later(report)),
        ("deferrals", count(report.deferral.deferrals), f"{percent(report.deferral.wasted_share)} of polls in vain"),
        ("failures", percent(report.failures, 1), "of the enrolments that ended by themselves"),
    ]  # fmt: skip
    shown = "".join(
        f'<div><span>{plain(name)}</span><strong id="tile-{number}">{plain(value)}</strong>'
        f"<small>{plain(beside)}</small></div>"
        for number, (name, value, beside) in enumerate(tiles)
    )
    return f'<section class="tiles">{shown}</section>'


def _reached(report: RunReport, name: str) -> str:
    """Return a quantile of the time to certificate; open enrolments count as not there yet."""
    survival, share = report.time_to_certificate, _SHARES[name]
    if not survival.supports(share):
        return f"needs n = {needed_samples(share)}"
    found = survival.quantile(share)
    return f"> {duration(survival.horizon / 1000)}" if found is None else duration(found / 1000)


def _later(report: RunReport) -> str:
    return ", ".join(f"{name} {_reached(report, name)}" for name in ("p90", "p99"))
