"""The live dashboard: one moment of a run as a picture of exactly the terminal's size.

A pure function of the snapshot, of what the person at the terminal has chosen, and of the size. All views share the
header, the sentence that says when the figures are spoiled, the marks and the keys. They are legible at 80 by 24 cells,
below which they are cropped, and turn more room into taller charts and more lines. Everything stays in its place from
one picture to the next. Colour is never alone in carrying a meaning: words and figures say it too.
"""

from typing import Final

from estsim.figures.snapshot import Snapshot
from estsim.terminal.cohorts_view import cohorts_view
from estsim.terminal.deferral_view import deferral_view
from estsim.terminal.errors_view import errors_view
from estsim.terminal.footer import footer
from estsim.terminal.header import header, saturation_banner
from estsim.terminal.ink import CAUTION, Frame, cut, ink
from estsim.terminal.marks import marks
from estsim.terminal.overview import overview
from estsim.terminal.viewing import View, Viewing

LEAST_WIDTH: Final = 80
LEAST_HEIGHT: Final = 24

_MARKED_FROM_HEIGHT: Final = 30  # below it, marks share a line with the target
_VIEWS: Final = {
    View.OVERVIEW: overview,
    View.DEFERRAL: deferral_view,
    View.ERRORS: errors_view,
    View.COHORTS: cohorts_view,
}
_UNTOUCHED: Final = Viewing()


def render(snapshot: Snapshot, *, width: int, height: int, viewing: Viewing = _UNTOUCHED) -> Frame:
    """Return the picture: ``height`` lines of ``width`` cells, whatever the snapshot holds."""
    full_width, full_height = max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT)
    tall = full_height >= _MARKED_FROM_HEIGHT
    lines = [
        *header(snapshot, full_width, frozen=viewing.frozen, marked=not tall),
        *saturation_banner(snapshot, full_width),
        *(marks(snapshot, full_width) if tall else []),
    ]
    lines += _VIEWS[viewing.view](snapshot, full_width, full_height - len(lines) - 1)
    lines += [[]] * (full_height - len(lines))
    lines[full_height - 1 :] = [footer(snapshot, viewing, full_width)]
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        note = f" {width}x{height} is too small: the view needs {LEAST_WIDTH}x{LEAST_HEIGHT}"
        lines[max(height - 1, 0) :] = [[ink(cut(note, width), CAUTION)]]
    return Frame(lines, width=width, height=height)
