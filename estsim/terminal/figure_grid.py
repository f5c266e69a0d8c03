"""Figures with their names, in as many columns as a pane has room for; and quantiles in a row."""

from collections.abc import Sequence
from typing import Final

from estsim.figures.snapshot import Quantiles
from estsim.figures.text import duration
from estsim.terminal.ink import QUIET, STRONG, Line, ink, left

CELL: Final = 22  # of a figure with its name
_VALUE: Final = 6
_IN_ONE_LINE: Final = 78
_LABEL: Final = 21


def rows_of(figures: int, width: int, *, cell: int = CELL) -> int:
    """Return how many lines a grid of so many figures takes."""
    return -(-figures // _columns(width, cell))


def grid(figures: Sequence[tuple[str, str]], width: int, *, cell: int = CELL) -> list[Line]:
    """Return the figures, a name and a value of at most six cells each, row by row."""
    columns = _columns(width, cell)
    each = min((width - 1) // columns, cell + 5)
    name_width = min(max(len(name) for name, _ in figures), each - _VALUE - 1)
    cells = [
        [ink(f" {left(name, name_width)} ", QUIET), ink(left(value, each - name_width - 2), STRONG)]
        for name, value in figures
    ]
    return [
        [part for entry in cells[start : start + columns] for part in entry] for start in range(0, len(cells), columns)
    ]


def _columns(width: int, cell: int) -> int:
    return max(1, (width - 1) // cell)


def quantiles(name: str, values: Quantiles, width: int) -> list[Line]:
    """Return quantiles in seconds beside their name, or where the pane is narrow below it."""
    shown = (("p50", values.p50), ("p90", values.p90), ("p99", values.p99), ("max", values.max))
    wide = width >= _IN_ONE_LINE
    head = ink(f" {left(name, _LABEL) if wide else left(name, width - 1)}", QUIET)
    line: Line = []
    for quantile, value in shown:
        line += [ink(f" {quantile} ", QUIET), ink(left(duration(value), 6 + 2 * wide), STRONG)]
    return [[head, *line]] if wide else [[head], line]
