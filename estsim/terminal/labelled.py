"""Labels with what they stand for beside them: pairs of figures, folded words, and names as words.

For pages that are printed once, as wide as they need be; `figure_grid` has the figures of the dashboard's panes.
"""

from collections.abc import Iterable
from typing import Final

from estsim.figures.text import ABSENT, clean
from estsim.terminal.ink import STRONG, Line, ink, left, wrap

LABEL: Final = 22  # cells, after the one before it


def pairs(figures: Iterable[tuple[str, str]], width: int) -> list[Line]:
    """Return labels and values, two pairs to a line."""
    room = width // 2 - LABEL - 1
    cells = [[ink(f" {left(label, LABEL)}"), ink(left(value, room), STRONG)] for label, value in figures]
    return [[part for cell in cells[row : row + 2] for part in cell] for row in range(0, len(cells), 2)]


def folded(label: str, text: str, width: int) -> list[Line]:
    """Return a label and, beside it, a text folded under itself."""
    indent = LABEL + 1
    first, *others = wrap(clean(text), width - indent) or [ABSENT]
    return [[ink(f" {left(label, LABEL)}"), ink(first)], *([ink(" " * indent + line)] for line in others)]
