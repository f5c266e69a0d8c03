"""Labels with what they stand for beside them: pairs of figures, folded words, and names as words.

For pages that are printed once, as wide as they need be; `figure_grid` has the figures of the dashboard's panes.
"""

from collections.abc import Iterable
from typing import Final

from estsim.present.figures import ABSENT
from estsim.present.ink import STRONG, Line, clean, ink, left, wrap

LABEL: Final = 22  # cells, after the one before it
PARTS: Final = {  # of a time to certificate, as summary.json names them, in words
    "service": "service",
    "told": "Retry-After",
    "device": "device delay",
    "backoff": "backoff",
    "client": "client work",
    "generator": "generator lag",
}


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


def words(name: str) -> str:
    """Return a name as words."""
    return name.replace("_", " ")
