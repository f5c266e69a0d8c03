"""Charts of block characters: columns over sixty seconds with their figures and axis, and bars of a share."""

from collections.abc import Sequence
from typing import Final

from rich.style import Style

from estsim.terminal.ink import PLAIN, QUIET, STRONG, Line, ink, left, right

SECONDS: Final = 60
GUTTER: Final = 20  # cells at the left of a chart, for its figures
VALUE: Final = 7  # cells of a figure there

_COLUMN: Final = " ▁▂▃▄▅▆▇█"
_ZERO: Final = "."
_EIGHTHS: Final = 8
_TICK_EVERY: Final = 10


def chart(
    values: Sequence[int],
    figures: Sequence[tuple[str, str]],
    *,
    height: int,
    cells: int,
    style: Style,
) -> list[Line]:
    """Return a column chart with its figures at the left, the main one first; those beyond ``height`` are left out."""
    lines = []
    for row, columns_ in enumerate(columns(values, height=height, cells=cells, style=style)):
        label, value = figures[row] if row < len(figures) else ("", "")
        first = row == 0
        text = [
            ink(f" {left(label, GUTTER - VALUE - 3)}", PLAIN if first else QUIET),
            ink(f"{right(value, VALUE)}  ", STRONG if first else QUIET),
        ]
        lines.append([*text, *columns_])
    return lines


def columns(values: Sequence[int], *, height: int, cells: int, style: Style) -> list[Line]:
    """Return a column chart of the last sixty values, ``height`` lines high, each column ``cells`` wide.

    The highest value fills the height. Anything above zero shows at least an eighth of a cell; zeros are a
    dotted base line; with fewer than sixty values, the columns at the left stay blank.
    """
    shown = values[-SECONDS:]
    top = max(shown, default=0)
    levels = [-(-value * height * _EIGHTHS // top) if value > 0 else 0 for value in shown]
    blank = " " * (cells * (SECONDS - len(shown)))
    wide = [glyph * cells if cells < 3 else glyph * (cells - 1) + " " for glyph in _COLUMN]  # noqa: PLR2004 - a gap
    lines = []
    for row in reversed(range(height)):
        base = row * _EIGHTHS
        drawn = "".join([wide[min(max(level - base, 0), _EIGHTHS)] for level in levels])
        lines.append([ink(blank), *(_base_line(drawn, style) if row == 0 else [ink(drawn, style)])])
    return lines


def _base_line(drawn: str, style: Style) -> Line:
    """Return the lowest line of a chart, its gaps dotted."""
    line: Line = []
    start = 0
    for end in range(1, len(drawn) + 1):
        if end == len(drawn) or (drawn[end] == " ") != (drawn[start] == " "):
            run = drawn[start:end]
            line.append(ink(_ZERO * len(run), QUIET) if run[0] == " " else ink(run, style))
            start = end
    return line


def bar(share: float, width: int, style: Style = PLAIN) -> Line:
    """Return a horizontal bar to half a cell; only a share of 0 is empty and only 1 is full."""
    halves = round(min(max(share, 0.0), 1.0) * width * 2)
    if share > 0:
        halves = max(halves, 1)
    if share < 1:
        halves = min(halves, width * 2 - 1)
    whole, half = divmod(max(halves, 0), 2)
    drawn = "━" * whole + "╸" * half
    return [ink(drawn, style), ink("─" * (width - len(drawn)), QUIET)]


def axis(labels: Sequence[str], *, cells: int) -> Line:
    """Return the axis below a chart and its figures, with a label at every tenth column."""
    room = _TICK_EVERY * cells
    return [ink(" " * GUTTER), ink("".join(f"┴{label}".ljust(room, "─") for label in labels), QUIET)]
