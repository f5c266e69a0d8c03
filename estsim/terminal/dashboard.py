"""The live dashboard: one moment of a run, drawn to exactly the terminal's size, in the view that its user has chosen.

It is a pure function of the snapshot, the user's choices and the size. All views share the header, the saturation
banner, the marks and the last line. They are legible from 80 by 24 cells, below which they are cropped; larger
terminals get taller charts and more lines. Nothing moves from one frame to the next, and colour only repeats what words
and figures say.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rich.style import Style

from estsim.figures.snapshot import RunStage, Snapshot
from estsim.terminal.deferral import deferral_view
from estsim.terminal.errors import errors_view
from estsim.terminal.fleet import cohorts_view
from estsim.terminal.header import header, marks, saturation_banner
from estsim.terminal.ink import (
    LEAST_HEIGHT,
    LEAST_WIDTH,
    QUIET,
    STRONG,
    Frame,
    Line,
    cut,
    fit,
    ink,
    screen_of,
    width_of,
)
from estsim.terminal.overview import overview


class View(StrEnum):
    """The views of the dashboard, in the order of their keys."""

    OVERVIEW = "overview"
    DEFERRAL = "deferral"
    ERRORS = "errors"
    COHORTS = "cohorts"

    @property
    def key(self) -> str:
        """Return the key that chooses it, from ``1`` on."""
        return str(list(View).index(self) + 1)


@dataclass(frozen=True, slots=True)
class Viewing:
    """The chosen view, whether it is frozen while the run goes on, and whether keys are read."""

    view: View = View.OVERVIEW
    frozen: bool = False
    keys: bool = False


_MARKED_FROM_HEIGHT: Final = 30  # below it, marks share a line with the target
_VIEWS: Final = {
    View.OVERVIEW: overview,
    View.DEFERRAL: deferral_view,
    View.ERRORS: errors_view,
    View.COHORTS: cohorts_view,
}
_UNTOUCHED: Final = Viewing()
_CALL: Final = Style(bold=True, reverse=True, color="yellow")
_LEAST_CALL: Final = 48  # cells for what the run waits for; with fewer, the views are not named


def render(snapshot: Snapshot, *, width: int, height: int, viewing: Viewing = _UNTOUCHED) -> Frame:
    """Return the frame: ``height`` lines of ``width`` cells, whatever the snapshot holds."""
    full_width, full_height = max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT)
    tall = full_height >= _MARKED_FROM_HEIGHT
    lines = [
        *header(snapshot, full_width, frozen=viewing.frozen, marked=not tall),
        *saturation_banner(snapshot, full_width),
        *(marks(snapshot, full_width) if tall else []),
    ]
    lines += _VIEWS[viewing.view](snapshot, full_width, full_height - len(lines) - 1)
    return screen_of(lines, footer(snapshot, viewing, full_width), width=width, height=height)


def footer(snapshot: Snapshot, viewing: Viewing, width: int) -> Line:
    """Return the last line: the keys, the chosen view in brackets, behind what the run waits for, if anything."""
    keys = _keys(snapshot, viewing, by_name=True)
    if snapshot.awaiting is None:
        return keys
    if width - width_of(keys) < _LEAST_CALL:
        keys = _keys(snapshot, viewing, by_name=False)
    room = width - width_of(keys) - 1
    return [*fit([ink(cut(f" ▶ {snapshot.awaiting} ", room), _CALL)], room + 1), *keys]


def _keys(snapshot: Snapshot, viewing: Viewing, *, by_name: bool) -> Line:
    ending = snapshot.stage is RunStage.DRAINING
    if not viewing.keys:
        return [ink(" Ctrl-C: quit now " if ending else " Ctrl-C: stop ", QUIET)]
    line = _views(viewing.view) if by_name else [ink(" 1-4 views ", QUIET)]
    line.append(ink("  space: resume" if viewing.frozen else "  space: freeze", STRONG if viewing.frozen else QUIET))
    line.append(ink("  Ctrl-C: quit now " if ending else "  q: stop ", QUIET))
    return line


def _views(chosen: View) -> Line:
    line: Line = []
    for view in View:
        text = f"{view.key} {view.value}"
        line.append(ink(f"[{text}]", STRONG) if view is chosen else ink(f" {text} ", QUIET))
    return line
