"""The live view of the sandbox: one moment of serving as a picture of exactly the terminal's size.

A pure function of the snapshot and the size, in the style of :mod:`estsim.terminal.dashboard`: legible at 80 by 24
cells, below which it is cropped; more room becomes taller charts, more reasons and above all more of the exchanges
served. What stands where depends on the size and the number of trust centers alone, so nothing moves from one picture
to the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from rich.style import Style

from estsim.figures.text import ABSENT, clean, clock, count, short_count
from estsim.terminal.chart import SECONDS, axis
from estsim.terminal.dashboard import LEAST_HEIGHT, LEAST_WIDTH
from estsim.terminal.ink import (
    ALARM,
    CAUTION,
    CERTIFICATES,
    GOOD,
    QUIET,
    REQUESTS,
    STRONG,
    Frame,
    Line,
    cut,
    ink,
    left,
    right,
    spread,
    title,
    width_of,
)
from estsim.terminal.serving_panes import CenterFigures, tables_in, trust_centers
from estsim.terminal.throughput import GUTTER, chart

__all__ = ["CenterFigures", "ServingSnapshot", "serving_view"]

_BADGE: Final = Style(bold=True, reverse=True, color="cyan")
_BANNER: Final = Style(bold=True, reverse=True, color="red")
_LABELS: Final = ("-60s", "-50s", "-40s", "-30s", "-20s", "-10s")
_VALUE: Final = 7
_REASON_COUNT: Final = 6
_SHORT_PIECE: Final = 11  # of a word that the end of a line cut, its ellipsis included
_FRAME_ROWS: Final = 3 + 1  # the header and the keys
_LEAST_BODY: Final = 10  # throughput, refusals and exchanges, below which trust centers share a line
_AIRY_BODY: Final = 24
_MOST_REFUSALS: Final = 12
_TALLEST_CHART: Final = 8
_BLANK: Final[Line] = []


@dataclass(frozen=True, slots=True)
class ServingSnapshot:
    """A moment of a serving sandbox, cumulative unless said otherwise."""

    url: str
    elapsed_s: float
    open_connections: int  # now
    connections: int
    failed_handshakes: int
    requests_per_s: tuple[int, ...]  # the last 60 whole seconds, oldest first
    certificates_per_s: tuple[int, ...]
    centers: tuple[CenterFigures, ...]  # in the order of the configuration
    refusals: tuple[tuple[str, int], ...]  # reason and count, most frequent first
    recent: tuple[str, ...]  # exchanges served, newest last
    trouble: str | None  # the sentence that says what is wrong with the sandbox itself, while it is so
    stopping: bool
    directory: str = "DIR"  # as one would type it after ``estsim pending list``


def serving_view(snapshot: ServingSnapshot, *, width: int, height: int) -> Frame:
    """Return the picture: ``height`` lines of ``width`` cells, whatever the snapshot holds."""
    full_width, full_height = max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT)
    tables = tables_in(full_width)
    most = _LEAST_BODY + (full_height - LEAST_HEIGHT) // 2
    centers = trust_centers(snapshot.centers, full_width, rows=most // tables - 1)
    rows = _Rows.of(full_height - _FRAME_ROWS - len(centers))
    lines = header(snapshot, full_width)
    for pane in (
        centers,
        throughput(snapshot, full_width, rows=rows.chart, axes=rows.axis),
        refusals(snapshot, full_width, rows=rows.refusals),
        exchanges(snapshot, full_width, rows=rows.exchanges),
    ):
        lines += [*pane, *[_BLANK] * rows.gap]
    lines[full_height - 1 :] = [keys(snapshot, full_width)]
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        note = f" {width}x{height} is too small: the view needs {LEAST_WIDTH}x{LEAST_HEIGHT}"
        lines[max(height - 1, 0) :] = [[ink(cut(note, width), CAUTION)]]
    return Frame(lines, width=width, height=height)


@dataclass(frozen=True, slots=True)
class _Rows:
    """How many lines each part of the body has."""

    chart: int
    axis: bool
    refusals: int
    exchanges: int
    gap: int

    @classmethod
    def of(cls, body: int) -> Self:
        """Share out the lines between the trust centers and the keys; the exchanges get what the others leave."""
        gap = int(body >= _AIRY_BODY)
        chart_rows = min((body + 4) // 10, _TALLEST_CHART)
        axes = body >= 2 * _LEAST_BODY
        reasons = min(3 + (body - 12) // 6, _MOST_REFUSALS)
        others = (1 + 2 * chart_rows + axes) + (1 + reasons) + 1 + 4 * gap
        return cls(chart_rows, axes, reasons, body - others, gap)


def header(snapshot: ServingSnapshot, width: int) -> list[Line]:
    """Return three lines: where it serves and for how long, its connections, and what is wrong, else a blank."""
    symbol, word, style = ("◐", "stopping", CAUTION) if snapshot.stopping else ("●", "serving", GOOD)
    state = [ink(f"{symbol} {word}", style), ink(f"  {clock(snapshot.elapsed_s)} ", STRONG)]
    badge = ink(" estsim ", _BADGE)
    url = cut(snapshot.url, width - width_of([badge, *state]) - 2)
    trouble = _BLANK
    if snapshot.trouble is not None:
        trouble = [ink(f" ▲ ERROR: {left(snapshot.trouble, width - 10)}", _BANNER)]
    return [spread([badge, ink(f" {url}", STRONG)], state, width), _connections(snapshot), trouble]


def _connections(snapshot: ServingSnapshot) -> Line:
    figures = (
        ("open", snapshot.open_connections, STRONG),
        ("total", snapshot.connections, STRONG),
        ("failed handshakes", snapshot.failed_handshakes, CAUTION if snapshot.failed_handshakes else QUIET),
    )
    line = [ink(" connections ")]
    for name, number, style in figures:
        line += [ink(f"  {name} ", QUIET), ink(left(short_count(number, _VALUE), _VALUE), style)]
    return line


def throughput(snapshot: ServingSnapshot, width: int, *, rows: int, axes: bool) -> list[Line]:
    """Return the pane of requests and certificates per second, each chart ``rows`` high, and their axis."""
    cells = max(1, (width - GUTTER) // SECONDS)
    seconds = math.ceil(max(1, min(SECONDS, snapshot.elapsed_s)))  # before the start there was nothing to count
    lines = [title("THROUGHPUT", ["last 60 s"], width)]
    for label, all_values, style in (
        ("requests/s", snapshot.requests_per_s, REQUESTS),
        ("certs/s", snapshot.certificates_per_s, CERTIFICATES),
    ):
        values = all_values[-seconds:]
        lines += chart(values, _rates(label, values), height=rows, cells=cells, style=style)
    return [*lines, [ink(" " * GUTTER), *axis(_LABELS, cells=cells)]] if axes else lines


def _rates(label: str, values: Sequence[int]) -> list[tuple[str, str]]:
    """Return the last second's rate under its name, then what explains it; dashes where no second is over yet."""
    if not values:
        return [(label, ABSENT), ("peak", ABSENT), ("mean", ABSENT)]
    rates = ((label, values[-1]), ("peak", max(values)), ("mean", sum(values) / len(values)))
    return [(name, short_count(rate, _VALUE)) for name, rate in rates]


def refusals(snapshot: ServingSnapshot, width: int, *, rows: int) -> list[Line]:
    """Return the pane: the most frequent reasons; the last line sums up those that found none, or stays blank."""
    reasons = snapshot.refusals
    total = sum(number for _, number in reasons)
    shown = list(reasons if len(reasons) <= rows else reasons[: rows - 1])
    if len(reasons) > len(shown):
        rest = total - sum(number for _, number in shown)
        shown.append((f"other reasons ({len(reasons) - len(shown)})", rest))
    lines = [title("REFUSALS BY REASON", [count(total) if reasons else "none yet"], width)]
    for reason, number in shown:
        figure = right(short_count(number, _REASON_COUNT), _REASON_COUNT)
        lines.append([ink(f" {figure} ", ALARM), ink(_shortened(reason, width - _REASON_COUNT - 2))])
    return [*lines, *[_BLANK] * (1 + rows - len(lines))]


def exchanges(snapshot: ServingSnapshot, width: int, *, rows: int) -> list[Line]:
    """Return the pane: the last exchanges served, newest last, with blank lines below until there are enough."""
    lines = [title("EXCHANGES", ["newest last"] if snapshot.recent else ["none yet"], width)]
    lines += [[ink(f" {_shortened(line, width - 1)}")] for line in snapshot.recent[-rows:]]
    return [*lines, *[_BLANK] * (1 + rows - len(lines))]


def _shortened(text: str, width: int) -> str:
    """Return the text cut to the width, after a whole word unless much of a long one (a serial) can be kept."""
    short = cut(text, width)
    whole, _, piece = short.rpartition(" ")
    if short == clean(text) or not whole.strip() or len(piece) > _SHORT_PIECE:
        return short
    return f"{whole} {piece[-1]}"


def keys(snapshot: ServingSnapshot, width: int) -> Line:
    """Return the last line: how to stop it, and how to see what waits for a person."""
    if snapshot.stopping:
        return [ink(cut(" Finishing current exchanges · press Ctrl-C again to quit now", width), CAUTION)]
    awaiting = sum(center.awaiting_approval for center in snapshot.centers)
    line = [ink(" Ctrl-C: stop", QUIET)]
    if awaiting:
        hint = f" · estsim pending list {snapshot.directory}"
        line.append(ink(cut(hint, width - width_of(line)), CAUTION))
    return line
