"""The HTML of a report: its style sheet, escaped text, sections, tables and charts."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

import plotly.graph_objects as go

from estsim.figures.summary_text import BROKEN
from estsim.figures.text import clean

_SECTIONS: Final = re.compile(r'<section id="([a-z-]+)">\n<h2>([^<]*)</h2>')
_CONFIG: Final = {"responsive": True, "displayModeBar": False}
STYLE: Final = """
:root { color-scheme: light; --ink: #26323d; --quiet: #6b7a88; --line: #e3e8ed; --paper: #fff; --ground: #f4f6f8; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 20px 64px; }
header { margin: 0 4px 20px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 0 0 4px; }
h3 { font-size: 16px; margin: 28px 0 0; }
p { margin: 4px 0 14px; max-width: 110ch; }
section > p { color: var(--quiet); }
dl { display: flex; flex-wrap: wrap; gap: 6px 28px; margin: 0; }
dt { color: var(--quiet); font-size: 12px; }
dd { margin: 0; overflow-wrap: anywhere; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 20px 24px; }
section + section { margin-top: 16px; }
.verdict p { color: var(--ink); font-size: 18px; max-width: none; }
.badge { display: inline-block; border-radius: 6px; padding: 2px 12px; margin-right: 8px; color: #fff; font-weight: 600;
  font-size: 15px; letter-spacing: .04em; }
.good { background: #2f8560; } .bad { background: #b5483a; } .void { background: #b07a1e; }
.findings { border: 2px solid #b5483a; border-radius: 8px; background: #fbeeec; padding: 4px 18px; margin: 8px 0; }
.findings h3 { margin: 8px 0; color: #b5483a; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 16px; }
.tiles span, .tiles small { display: block; color: var(--quiet); font-size: 13px; }
.tiles strong { display: block; font-size: 26px; line-height: 1.3; font-weight: 600; }
.chart { margin: 8px 0 16px; }
.wide { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
th { color: var(--quiet); font-weight: 500; font-size: 13px; overflow-wrap: normal; }
tbody tr:last-child td { border-bottom: 0; }
#deferral, #environment, #machine, #non-conformance { max-width: 680px; }
#description { font-size: 17px; margin: 0 0 14px; }
#contents { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 16px 4px; }
#contents a { color: #2c6fa8; }
#told td:first-child { width: 70px; } #told td:nth-child(2) { width: 90px; color: var(--quiet); }
#thresholds td:first-child { width: 100px; color: #2f8560; }
#thresholds .failed td:first-child { color: #b5483a; font-weight: 600; }
.n { text-align: right; white-space: nowrap; }
td, dd { unicode-bidi: isolate; }
pre { background: var(--ground); border-radius: 8px; padding: 14px 18px; overflow-x: auto; font-size: 13px; }
@media print { body { background: none; } section { break-inside: avoid; border: 0; padding: 8px 0; } }
"""


def plain(value: object) -> str:
    """Return anything as text of the page: visible characters only, escaped."""
    return escape(clean(str(value)))


def section(heading: str, lead: str, *content: str) -> str:
    """Return a section; ``lead`` and ``content`` are HTML, the heading is text."""
    anchor = f"about-{re.sub('[^a-z]+', '-', heading.lower())}"
    return f'<section id="{anchor}">\n<h2>{plain(heading)}</h2>\n<p>{lead}</p>\n{"".join(content)}\n</section>'


def contents(body: str) -> str:
    """Return links to the sections in a page's body, nothing for a single one."""
    links = [f'<a href="#{anchor}">{heading}</a>' for anchor, heading in _SECTIONS.findall(body)]
    return f'<nav id="contents">{"".join(links)}</nav>' if len(links) > 1 else ""


def chart(name: str, figure: go.Figure) -> str:
    """Return a chart; plotly writes its figures as JSON with every ``<`` escaped."""
    drawn: str = figure.to_html(
        full_html=False, include_plotlyjs=False, include_mathjax=False, config=_CONFIG, div_id=f"chart-{name}"
    )
    return f'<div class="chart">{drawn}</div>\n'


def table(name: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1) -> str:
    """Return a table: the first ``texts`` columns are words, the others figures; rows of failures are highlighted."""
    head = "".join(f"<th{_align(column, texts)}>{plain(each)}</th>" for column, each in enumerate(headings))
    body = "".join(
        f"<tr{_standing(row)}>"
        + "".join(f"<td{_align(column, texts)}>{plain(cell)}</td>" for column, cell in enumerate(row))
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide"><table id="{name}"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'
    )


def _standing(row: Sequence[object]) -> str:
    return ' class="failed"' if row[0] == BROKEN else ""


def _align(column: int, texts: int) -> str:
    return "" if column < texts else ' class="n"'
