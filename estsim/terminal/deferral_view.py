"""The view of deferral: who will knock when, what was told against what was kept, and whether the fleet is in step."""

from dataclasses import dataclass
from typing import Final, Self

from estsim.figures.snapshot import FORMS, DeferralSnapshot, Snapshot
from estsim.figures.text import count, percent, short_count
from estsim.terminal.chart import SECONDS
from estsim.terminal.deferral import deferral_title, radar
from estsim.terminal.figure_grid import grid, quantiles, rows_of
from estsim.terminal.ink import Line, beside, title
from estsim.terminal.synchrony import rhythm, synchrony, synchrony_rows
from estsim.terminal.throughput import GUTTER
from estsim.terminal.waits import waits

_SIDE_WIDTH: Final = 45
_AIRY_FROM: Final = 32
_FIXED_ROWS: Final = 8  # of one column: titles, axes and quantiles, without the charts and what flows
_FIXED_CHART_ROWS: Final = 6  # of the left column
_VALUE: Final = 6
_FORM: Final = 19  # cells of a form with its count


def deferral_view(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """Return the view, ``height`` lines high."""
    cells = (width - _SIDE_WIDTH - 2 - GUTTER) // SECONDS
    if cells >= 1:
        return _two_columns(snapshot, width, height, cells=cells)
    return _one_column(snapshot, width, height)


@dataclass(frozen=True, slots=True)
class _Heights:
    """How many lines each chart has, and whether there is air between the panes."""

    radar: int
    waits: int
    rhythm: int
    gap: int

    @classmethod
    def of(cls, room: int, gaps: int) -> Self:
        """Share out the room; the radar gets what the others leave, at least a line."""
        gap = int(room >= _AIRY_FROM - gaps)
        room -= gap * gaps
        waits_rows, rhythm_rows = max(1, (room + 5) // 6), max(1, (room + 3) // 6)
        return cls(max(1, room - 2 * waits_rows - rhythm_rows), waits_rows, rhythm_rows, gap)


def _one_column(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    moment = snapshot.deferral
    flowing = synchrony_rows(width) + rows_of(len(FORMS), width, cell=_FORM)
    heights = _Heights.of(height - _FIXED_ROWS + 1 - flowing, 3)
    air: list[Line] = [[]] * heights.gap
    return [
        deferral_title(snapshot, width),
        *quantiles("time to certificate", snapshot.time_to_certificate_s, width),
        *radar(snapshot, height=heights.radar, cells=1),
        *air,
        *waits(moment, width, height=heights.waits, cells=1),
        *air,
        *synchrony(moment, width),
        *rhythm(moment, height=heights.rhythm, cells=1, axes=False),
        *air,
        _polls_title(moment, width),
        *quantiles("punctuality", moment.punctuality_s, width),
        *_forms(moment, width),
    ]


def _two_columns(snapshot: Snapshot, width: int, height: int, *, cells: int) -> list[Line]:
    moment = snapshot.deferral
    left_width = SECONDS * cells + GUTTER
    side = width - left_width - 2
    heights = _Heights.of(height - _FIXED_CHART_ROWS, 2)
    air: list[Line] = [[]] * heights.gap
    charts = [
        deferral_title(snapshot, left_width),
        *radar(snapshot, height=heights.radar, cells=cells),
        *air,
        *waits(moment, left_width, height=heights.waits, cells=cells),
        *air,
        title("RHYTHM", ["polls of the last window, folded over period T"], left_width),
        *rhythm(moment, height=heights.rhythm, cells=cells, axes=True),
    ]
    figures = [
        *synchrony(moment, side),
        *air,
        title("POLLS", [], side),
        *grid(_polls(moment), side),
        *quantiles("punctuality", moment.punctuality_s, side),
        *air,
        title("RETRY-AFTER", [], side),
        *_forms(moment, side),
        *air,
        title("TIME TO CERTIFICATE", [], side),
        *quantiles("", snapshot.time_to_certificate_s, side)[-1:],
    ]
    return beside(charts, figures, left_width=left_width, width=width)


def _polls(moment: DeferralSnapshot) -> list[tuple[str, str]]:
    return [
        ("polls", short_count(moment.polls, _VALUE)),
        ("early", short_count(moment.early_polls, _VALUE)),
        ("wasted", percent(moment.wasted_share)),
        ("hit rate", percent(moment.hit_rate)),
    ]


def _polls_title(moment: DeferralSnapshot, width: int) -> Line:
    notes = [
        count(moment.polls),
        f"{count(moment.early_polls)} early",
        f"{percent(moment.wasted_share)} wasted",
        f"{percent(moment.hit_rate)} hit rate",
    ]
    return title("POLLS", notes, width)


def _forms(moment: DeferralSnapshot, width: int) -> list[Line]:
    """Return how many Retry-Afters came in which form, each form in its place."""
    forms = [(form, short_count(moment.forms.get(form, 0), _VALUE)) for form in FORMS]
    return grid(forms, width, cell=_FORM)
