"""Pieces of a report's page: text that is never markup, sections, tables, charts."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

import plotly.graph_objects as go

from estsim.figures.text import clean
from estsim.figures.verdict_text import BROKEN

_SECTIONS: Final = re.compile(r'<section id="([a-z-]+)">\n<h2>([^<]*)</h2>')
_CONFIG: Final = {"responsive": True, "displayModeBar": False}


def plain(value: object) -> str:
    """Return anything as text of the page: visible characters only, none of them markup."""
    return escape(clean(str(value)))


def section(heading: str, lead: str, *content: str) -> str:
    """Return a section; ``lead`` and ``content`` are HTML, the heading is text."""
    anchor = f"about-{re.sub('[^a-z]+', '-', heading.lower())}"
    return f'<section id="{anchor}">\n<h2>{plain(heading)}</h2>\n<p>{lead}</p>\n{"".join(content)}\n</section>'


def contents(body: str) -> str:
    """Return a table of contents of the sections in a page's body, nothing for a single one."""
    links = [f'<a href="#{anchor}">{heading}</a>' for anchor, heading in _SECTIONS.findall(body)]
    return f'<nav id="contents">{"".join(links)}</nav>' if len(links) > 1 else ""


def chart(name: str, figure: go.Figure) -> str:
    """Return a chart; plotly writes its figures as JSON with every ``<`` escaped."""
    drawn: str = figure.to_html(
        full_html=False, include_plotlyjs=False, include_mathjax=False, config=_CONFIG, div_id=f"chart-{name}"
    )
    return f'<div class="chart">{drawn}</div>\n'


def table(name: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1) -> str:
    """Return a table; the first ``texts`` columns are words, the others figures. A row that says FAILED stands out."""
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
