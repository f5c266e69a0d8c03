"""The table of phases: a row for each, and one for the whole run, with what was asked for and had in a second."""

from typing import Final

from estsim.figures.phase_text import cells, whole_run
from estsim.figures.summary import PhaseSummary, Summary
from estsim.terminal.ink import PLAIN, QUIET, STRONG, Line, ink, left, right

_NAME: Final = 15
_COLUMNS: Final = (("length", 9), ("requests", 12), ("requests/s", 12), ("certificates", 14), ("certificates/s", 16))


def phases(summary: Summary) -> list[Line]:
    """Return the pane, nothing for a run without phases."""
    found = summary.phases
    if not found:
        return []
    head = [ink(left("PHASES", _NAME), STRONG), *(ink(right(name, width), QUIET) for name, width in _COLUMNS)]
    return [head, *(_row(name, phase) for name, phase in found.items()), _row("whole run", whole_run(summary))]


def _row(name: str, phase: PhaseSummary) -> Line:
    figures = [
        ink(right(cell, width), STRONG if heading.endswith("/s") else PLAIN)
        for cell, (heading, width) in zip(cells(phase), _COLUMNS, strict=True)
    ]
    return [ink(f" {left(name, _NAME - 1)}"), *figures]
