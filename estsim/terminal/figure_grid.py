"""Labelled figures: in a grid as dense as a pane allows, in pairs or folded on a page, and quantiles in a row."""

from collections.abc import Iterable, Sequence
from typing import Final

from estsim.figures.snapshot import Quantiles
from estsim.figures.text import ABSENT, clean, duration
from estsim.terminal.ink import QUIET, STRONG, Line, hanging, ink, left, wrap

CELL: Final = 22  # of a figure with its name
LABEL: Final = 22  # cells of a label on a page, after the blank before it
_VALUE: Final = 6
_IN_ONE_LINE: Final = 78
_NAME: Final = 21  # of quantiles


def rows_of(figures: int, width: int, *, cell: int = CELL) -> int:
    """Return how many lines a grid of ``figures`` figures takes."""
    return -(-figures // _columns(width, cell))


def grid(figures: Sequence[tuple[str, str]], width: int, *, cell: int = CELL) -> list[Line]:
    """Return the figures row by row, each a name and a value of at most six cells."""
    columns = _columns(width, cell)
    each = min((width - 1) // columns, cell + 5)
    name_width = min(max(len(name) for name, _ in figures), each - _VALUE - 1)
    cells = [
        [ink(f" {left(name, name_width)} ", QUIET), ink(left(value, each - name_width - 2), STRONG)]
        for name, value in figures
    ]
    return _rows(cells, columns)


def _columns(width: int, cell: int) -> int:
    return max(1, (width - 1) // cell)


def _rows(cells: Sequence[Line], columns: int) -> list[Line]:
    return [[part for cell in cells[row : row + columns] for part in cell] for row in range(0, len(cells), columns)]


def pairs(figures: Iterable[tuple[str, str]], width: int) -> list[Line]:
    """Return labels and values, two pairs to a line."""
    room = width // 2 - LABEL - 1
    return _rows([[ink(f" {left(label, LABEL)}"), ink(left(value, room), STRONG)] for label, value in figures], 2)


def folded(label: str, text: str, width: int) -> list[Line]:
    """Return a label with a text behind it, folded to the width."""
    return hanging([ink(f" {left(label, LABEL)}")], wrap(clean(text), width - LABEL - 1) or [ABSENT])


def levels(values: Quantiles) -> tuple[tuple[str, float | None], ...]:
    """Return the quantiles that are shown, by name."""
    return ("p50", values.p50), ("p90", values.p90), ("p99", values.p99), ("max", values.max)


def quantiles(name: str, values: Quantiles, width: int) -> list[Line]:
    """Return quantiles in seconds behind their name, or in a narrow pane below it."""
    wide = width >= _IN_ONE_LINE
    head = ink(f" {left(name, _NAME) if wide else left(name, width - 1)}", QUIET)
    line: Line = []
    for quantile, value in levels(values):
        line += [ink(f" {quantile} ", QUIET), ink(left(duration(value), 6 + 2 * wide), STRONG)]
    return [[head, *line]] if wide else [[head], line]
