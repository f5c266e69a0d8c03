"""The live view of the sandbox, drawn to exactly the terminal's size.

It is a pure function of the snapshot and the size, as :mod:`estsim.terminal.dashboard`. Larger terminals get taller
charts, more reasons and above all more exchanges. The layout depends on the size and the number of trust centers only,
so nothing moves from one frame to the next.
"""

from dataclasses import dataclass
from typing import Final, Self

from estsim.figures.text import clean, clock, count, short_count
from estsim.terminal.chart import GUTTER, SECONDS
from estsim.terminal.ink import (
    ALARM,
    BADGE,
    BANNER,
    CAUTION,
    GOOD,
    LEAST_HEIGHT,
    LEAST_WIDTH,
    QUIET,
    STRONG,
    Frame,
    Line,
    cut,
    fitting,
    ink,
    left,
    right,
    screen_of,
    spread,
    title,
    width_of,
)
from estsim.terminal.throughput import throughput
from estsim.terminal.trust_centers import CenterFigures, tables_in, trust_centers

__all__ = ["CenterFigures", "ServingSnapshot", "serving_view"]

_VALUE: Final = 7
_REASON_COUNT: Final = 6
_SHORT_PIECE: Final = 11  # of a word cut by the end of the line, with its ellipsis
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
    trouble: str | None  # what is wrong with the sandbox itself
    stopping: bool
    directory: str = "DIR"  # the argument of ``estsim pending list``


def serving_view(snapshot: ServingSnapshot, *, width: int, height: int) -> Frame:
    """Return the frame: ``height`` lines of ``width`` cells, whatever the snapshot holds."""
    full_width, full_height = max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT)
    tables = tables_in(full_width)
    most = _LEAST_BODY + (full_height - LEAST_HEIGHT) // 2
    centers = trust_centers(snapshot.centers, full_width, rows=most // tables - 1)
    rows = _Rows.of(full_height - _FRAME_ROWS - len(centers))
    lines = header(snapshot, full_width)
    for pane in (
        centers,
        throughput(
            snapshot.requests_per_s,
            snapshot.certificates_per_s,
            full_width,
            elapsed_s=snapshot.elapsed_s,
            height=rows.chart,
            cells=max(1, (full_width - GUTTER) // SECONDS),
            axes=rows.axis,
            dashes=True,
        ),
        refusals(snapshot, full_width, rows=rows.refusals),
        exchanges(snapshot, full_width, rows=rows.exchanges),
    ):
        lines += [*pane, *[_BLANK] * rows.gap]
    return screen_of(lines, keys(snapshot, full_width), width=width, height=height)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The lines of each part of the body."""

    chart: int
    axis: bool
    refusals: int
    exchanges: int
    gap: int

    @classmethod
    def of(cls, body: int) -> Self:
        """Divide the lines between the trust centers and the keys; the exchanges get what the others leave."""
        gap = int(body >= _AIRY_BODY)
        chart_rows = min((body + 4) // 10, _TALLEST_CHART)
        axes = body >= 2 * _LEAST_BODY
        reasons = min(3 + (body - 12) // 6, _MOST_REFUSALS)
        others = (1 + 2 * chart_rows + axes) + (1 + reasons) + 1 + 4 * gap
        return cls(chart_rows, axes, reasons, body - others, gap)


def header(snapshot: ServingSnapshot, width: int) -> list[Line]:
    """Return three lines: URL and uptime, connections, and what is wrong with the sandbox, else a blank."""
    symbol, word, style = ("◐", "stopping", CAUTION) if snapshot.stopping else ("●", "serving", GOOD)
    state = [ink(f"{symbol} {word}", style), ink(f"  {clock(snapshot.elapsed_s)} ", STRONG)]
    badge = ink(" estsim ", BADGE)
    url = cut(snapshot.url, width - width_of([badge, *state]) - 2)
    trouble = _BLANK
    if snapshot.trouble is not None:
        trouble = [ink(f" ▲ ERROR: {left(snapshot.trouble, width - 10)}", BANNER)]
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


def refusals(snapshot: ServingSnapshot, width: int, *, rows: int) -> list[Line]:
    """Return the pane: the most frequent reasons; the last line sums up the others, or stays blank."""
    reasons = snapshot.refusals
    shown, rest = fitting(reasons, rows)
    others = [(f"other reasons ({len(rest)})", sum(number for _, number in rest))] if rest else []
    total = sum(number for _, number in reasons)
    lines = [title("REFUSALS BY REASON", [count(total) if reasons else "none yet"], width)]
    for reason, number in (*shown, *others):
        figure = right(short_count(number, _REASON_COUNT), _REASON_COUNT)
        lines.append([ink(f" {figure} ", ALARM), ink(_shortened(reason, width - _REASON_COUNT - 2))])
    return [*lines, *[_BLANK] * (1 + rows - len(lines))]


def exchanges(snapshot: ServingSnapshot, width: int, *, rows: int) -> list[Line]:
    """Return the pane: the last exchanges served, newest last, padded with blank lines."""
    lines = [title("EXCHANGES", ["newest last"] if snapshot.recent else ["none yet"], width)]
    lines += [[ink(f" {_shortened(line, width - 1)}")] for line in snapshot.recent[-rows:]]
    return [*lines, *[_BLANK] * (1 + rows - len(lines))]


def _shortened(text: str, width: int) -> str:
    """Return the text cut to the width, at the end of a word unless much of a long one (a serial) can be kept."""
    short = cut(text, width)
    whole, _, piece = short.rpartition(" ")
    if short == clean(text) or not whole.strip() or len(piece) > _SHORT_PIECE:
        return short
    return f"{whole} {piece[-1]}"


def keys(snapshot: ServingSnapshot, width: int) -> Line:
    """Return the last line: how to stop the sandbox, and how to list what awaits approval."""
    if snapshot.stopping:
        return [ink(cut(" Finishing current exchanges · press Ctrl-C again to quit now", width), CAUTION)]
    awaiting = sum(center.awaiting_approval for center in snapshot.centers)
    line = [ink(" Ctrl-C: stop", QUIET)]
    if awaiting:
        hint = f" · estsim pending list {snapshot.directory}"
        line.append(ink(cut(hint, width - width_of(line)), CAUTION))
    return line
