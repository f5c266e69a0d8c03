"""Charts of block characters: columns over sixty seconds, bars of a share, the axis under them."""

from collections.abc import Sequence
from typing import Final

from rich.style import Style

from estsim.terminal.ink import PLAIN, QUIET, Line, ink

SECONDS: Final = 60

_COLUMN: Final = " ▁▂▃▄▅▆▇█"
_ZERO: Final = "."
_EIGHTHS: Final = 8
_TICK_EVERY: Final = 10


def columns(values: Sequence[int], *, height: int, cells: int, style: Style) -> list[Line]:
    """Return a column chart of sixty values, ``height`` lines high, each column ``cells`` wide.

    The highest value fills the height. Whatever is above zero shows at least an eighth of a cell; zeros are a
    dotted base line, and seconds that have no value yet (at the left, where there are fewer than sixty) stay blank.
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
    """Dot the gaps of the lowest line, quietly."""
    line: Line = []
    start = 0
    for end in range(1, len(drawn) + 1):
        if end == len(drawn) or (drawn[end] == " ") != (drawn[start] == " "):
            run = drawn[start:end]
            line.append(ink(_ZERO * len(run), QUIET) if run[0] == " " else ink(run, style))
            start = end
    return line


def bar(share: float, width: int, style: Style = PLAIN) -> Line:
    """Return a horizontal bar on a quiet track, to half a cell; only 0 is empty and only 1 is full."""
    halves = round(min(max(share, 0.0), 1.0) * width * 2)
    if share > 0:
        halves = max(halves, 1)
    if share < 1:
        halves = min(halves, width * 2 - 1)
    whole, half = divmod(max(halves, 0), 2)
    drawn = "━" * whole + "╸" * half
    return [ink(drawn, style), ink("─" * (width - len(drawn)), QUIET)]


def axis(labels: Sequence[str], *, cells: int) -> Line:
    """Return the axis of a chart of sixty columns, with a label at each tenth second."""
    room = _TICK_EVERY * cells
    return [ink("".join(f"┴{label}".ljust(room, "─") for label in labels), QUIET)]
