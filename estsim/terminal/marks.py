"""What happened to the fleet, such as a power cut: the newest marks of the run with their times."""

from typing import Final

from estsim.figures.snapshot import Snapshot
from estsim.figures.text import clock
from estsim.terminal.ink import CAUTION, PLAIN, QUIET, Line, cut, ink, width_of

RECENT_S: Final = 60.0  # as far back as the charts go
_LEAST: Final = 14  # cells, below which a further mark tells nothing


def newest_mark(snapshot: Snapshot, width: int) -> Line | None:
    """Return the last mark if it lies within the charts, else None."""
    if not snapshot.marks or snapshot.elapsed_s - snapshot.marks[-1][0] > RECENT_S:
        return None
    return _mark(snapshot.marks[-1], width)


def marks(snapshot: Snapshot, width: int) -> list[Line]:
    """Return a line with as many marks as it holds, the newest first, and how many came before; or no line."""
    line: Line = []
    for left, mark in zip(range(len(snapshot.marks), 0, -1), reversed(snapshot.marks), strict=True):
        room = width - width_of(line) - len(_before(left - 1))
        if line and room < _LEAST:
            return [[*line, ink(_before(left), QUIET)]]
        line += _mark(mark, room)
    return [line] if line else []


def _before(marks_left: int) -> str:
    return f"  {marks_left} earlier" if marks_left else ""


def _mark(mark: tuple[float, str], width: int) -> Line:
    at_s, what = mark
    head = cut(f" ▼ {clock(at_s)} ", width - 1)
    return [ink(head, CAUTION), ink(cut(what, width - len(head) - 1), PLAIN), ink(" ")]
