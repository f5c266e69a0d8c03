"""Requests and certificates per second over the last minute, on the same sixty columns as the herd radar."""

import math
from collections.abc import Sequence
from typing import Final

from rich.style import Style

from estsim.figures.snapshot import Snapshot
from estsim.figures.text import ABSENT, quantity, short_count
from estsim.terminal.chart import SECONDS, axis, columns
from estsim.terminal.ink import CERTIFICATES, PLAIN, QUIET, REQUESTS, STRONG, Line, ink, left, right, title

_LABELS: Final = ("-60s", "-50s", "-40s", "-30s", "-20s", "-10s")
GUTTER: Final = 20  # of a chart, for its figures

_VALUE: Final = 7


def throughput(snapshot: Snapshot, width: int, *, heights: tuple[int, int], cells: int, axes: bool) -> list[Line]:
    """Return the pane: two charts of the given heights, columns ``cells`` wide, and the axis if there is room."""
    notes = [quantity(snapshot.requests, "request"), quantity(snapshot.certificates, "certificate"), "last 60 s"]
    lines = [title("THROUGHPUT", notes, width)]
    series = (
        ("requests/s", snapshot.requests_per_s, REQUESTS),
        ("certs/s", snapshot.certificates_per_s, CERTIFICATES),
    )
    seconds = min(max(math.ceil(snapshot.elapsed_s), 1), SECONDS)  # before the run there was nothing to count
    for (label, all_values, style), height in zip(series, heights, strict=True):
        values = all_values[-seconds:]
        figures = [(label, short_count(values[-1], _VALUE) if values else ABSENT), *_peak_and_mean(values)]
        lines += chart(values, figures, height=height, cells=cells, style=style)
    if axes:
        lines.append([ink(" " * GUTTER), *axis(_LABELS, cells=cells)])
    return lines


def _peak_and_mean(values: Sequence[int]) -> list[tuple[str, str]]:
    if not values:
        return []
    mean = sum(values) / len(values)
    return [("peak", short_count(max(values), _VALUE)), ("mean", short_count(mean, _VALUE))]


def chart(
    values: Sequence[int],
    figures: Sequence[tuple[str, str]],
    *,
    height: int,
    cells: int,
    style: Style,
) -> list[Line]:
    """Return a column chart with its figures at the left, the first of them the one to read."""
    lines = []
    for row, columns_ in enumerate(columns(values, height=height, cells=cells, style=style)):
        label, value = figures[row] if row < len(figures) else ("", "")
        first = row == 0
        text = [
            ink(f" {left(label, GUTTER - _VALUE - 3)}", PLAIN if first else QUIET),
            ink(f"{right(value, _VALUE)}  ", STRONG if first else QUIET),
        ]
        lines.append([*text, *columns_])
    return lines
