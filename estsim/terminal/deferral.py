"""Deferral: devices waiting, the cost of a certificate, the wake-ups due in the next minute, polls and synchrony.

The overview has a pane of it, and it has a view of its own.
"""

from dataclasses import dataclass
from typing import Final, Self

from estsim.figures.snapshot import FORMS, DeferralSnapshot, Snapshot
from estsim.figures.text import ABSENT, count, duration, percent, ratio, short_count
from estsim.terminal.chart import GUTTER, SECONDS, VALUE, axis, chart
from estsim.terminal.figure_grid import grid, levels, quantiles, rows_of
from estsim.terminal.ink import QUIET, STRONG, WAKE_UPS, Line, beside, ink, title
from estsim.terminal.synchrony import rhythm, synchrony, synchrony_rows
from estsim.terminal.waits import waits

_LABELS: Final = ("now", "+10s", "+20s", "+30s", "+40s", "+50s")
_SIDE_WIDTH: Final = 45
_AIRY_FROM: Final = 32
_FIXED_ROWS: Final = 8  # of one column: titles, axes and quantiles, without the charts and the grids
_FIXED_CHART_ROWS: Final = 6  # of the left column
_COUNT: Final = 6
_FORM: Final = 19  # cells of a form with its count


def deferral(snapshot: Snapshot, width: int, *, height: int, cells: int) -> list[Line]:
    """Return the pane of the overview, with a radar ``height`` lines high."""
    return [
        _title(snapshot, width),
        _time_to_certificate(snapshot),
        *_radar(snapshot, height=height, cells=cells),
    ]


def _title(snapshot: Snapshot, width: int) -> Line:
    notes = [
        f"{count(snapshot.waiting_deferred)} waiting",
        f"{ratio(snapshot.exchanges_per_certificate)} exchanges per certificate",
    ]
    return title("DEFERRAL", notes, width)


def _time_to_certificate(snapshot: Snapshot) -> Line:
    line = [ink(" time to certificate ")]
    for name, value in levels(snapshot.time_to_certificate_s):
        line += [ink(f"  {name} ", QUIET), ink(f"{duration(value):<7}", STRONG)]
    return line


def _radar(snapshot: Snapshot, *, height: int, cells: int) -> list[Line]:
    """Return the herd radar: the wake-ups due in each of the next sixty seconds, above their axis."""
    figures = _wakeups(snapshot)
    return [
        *chart(snapshot.wakeups, figures, height=height, cells=cells, style=WAKE_UPS),
        axis(_LABELS, cells=cells),
    ]


def _wakeups(snapshot: Snapshot) -> list[tuple[str, str]]:
    shown = snapshot.wakeups[-SECONDS:]
    if not any(shown):
        return [("wake-ups", "none" if shown else ABSENT)]
    peak = max(shown)
    return [("wake-ups", short_count(sum(shown), VALUE)), (f"peak +{shown.index(peak)}s", short_count(peak, VALUE))]


def deferral_view(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """Return the view, ``height`` lines high."""
    cells = (width - _SIDE_WIDTH - 2 - GUTTER) // SECONDS
    if cells >= 1:
        return _two_columns(snapshot, width, height, cells=cells)
    return _one_column(snapshot, width, height)


@dataclass(frozen=True, slots=True)
class _Heights:
    """The lines of each chart, and of the gap between panes."""

    radar: int
    waits: int
    rhythm: int
    gap: int

    @classmethod
    def of(cls, room: int, gaps: int) -> Self:
        """Divide the room; the radar gets what the others leave, at least a line."""
        gap = int(room >= _AIRY_FROM - gaps)
        room -= gap * gaps
        waits_rows, rhythm_rows = max(1, (room + 5) // 6), max(1, (room + 3) // 6)
        return cls(max(1, room - 2 * waits_rows - rhythm_rows), waits_rows, rhythm_rows, gap)


def _one_column(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    moment = snapshot.deferral
    grids = synchrony_rows(width) + rows_of(len(FORMS), width, cell=_FORM)
    heights = _Heights.of(height - _FIXED_ROWS + 1 - grids, 3)
    air: list[Line] = [[]] * heights.gap
    return [
        _title(snapshot, width),
        *quantiles("time to certificate", snapshot.time_to_certificate_s, width),
        *_radar(snapshot, height=heights.radar, cells=1),
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
        _title(snapshot, left_width),
        *_radar(snapshot, height=heights.radar, cells=cells),
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
        ("polls", short_count(moment.polls, _COUNT)),
        ("early", short_count(moment.early_polls, _COUNT)),
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
    """Return the number of Retry-Afters by form, each form in a fixed place."""
    forms = [(form, short_count(moment.forms.get(form, 0), _COUNT)) for form in FORMS]
    return grid(forms, width, cell=_FORM)
