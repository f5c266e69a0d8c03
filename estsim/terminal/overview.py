"""The overview: fleet, rates, latency, deferral, errors and the generator, each in its place.

Larger terminals get taller charts, the last window below the whole run, a table of outcomes and, from 127 columns on,
a second column.
"""

from collections.abc import Sequence
from typing import Final

from estsim.figures.snapshot import OperationFigures, Snapshot
from estsim.figures.text import quantity
from estsim.terminal.chart import GUTTER, SECONDS
from estsim.terminal.deferral import deferral
from estsim.terminal.errors import errors
from estsim.terminal.fleet import ROWS as FLEET_ROWS
from estsim.terminal.fleet import TALL_ROWS as TALL_FLEET_ROWS
from estsim.terminal.fleet import fleet
from estsim.terminal.generator import ROWS as GENERATOR_ROWS
from estsim.terminal.generator import WIDTH as GENERATOR_WIDTH
from estsim.terminal.generator import generator
from estsim.terminal.ink import Line, beside
from estsim.terminal.latency import latency, outcomes
from estsim.terminal.throughput import throughput

_SIDE_WIDTH: Final = GENERATOR_WIDTH
_MOST_OPERATIONS: Final = 5
_TALLEST_CHART: Final = 12


def overview(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """Return the view, ``height`` lines high; slightly higher with many operations on a small terminal."""
    cells = (width - _SIDE_WIDTH - 2 - GUTTER) // SECONDS
    if cells >= 1:
        return _two_columns(snapshot, width, height, cells=cells)
    return _one_column(snapshot, width, height)


class _Room:
    """The lines that are left to share out."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = max(0, left)

    def take(self, wanted: int) -> int:
        """Take the lines wanted, or all that are left."""
        taken = min(max(wanted, 0), self.left)
        self.left -= taken
        return taken

    def take_all_of(self, wanted: int) -> int:
        """Take the lines wanted, or none."""
        return self.take(wanted) if self.left >= wanted else 0


def _one_column(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    left_over = height - (1 + FLEET_ROWS) - _least_measured(_shown(snapshot)) - 1
    rows = min(max(left_over, 1), GENERATOR_ROWS)
    room = _Room(left_over - rows)
    body, gap = _measured(snapshot, width, room, cells=1, more_gaps=2)
    left_width = width - max(GENERATOR_WIDTH, width * 2 // 5) - 2
    bottom = beside(
        errors(snapshot, left_width, rows=rows + room.left),
        generator(snapshot, width - left_width - 2)[: 1 + rows],
        left_width=left_width,
        width=width,
    )
    return _stack([fleet(snapshot, width), *body, bottom], gap=gap)


def _two_columns(snapshot: Snapshot, width: int, height: int, *, cells: int) -> list[Line]:
    left_width = SECONDS * cells + GUTTER
    side_width = width - left_width - 2
    room = _Room(height - _least_measured(_shown(snapshot)))
    body, gap = _measured(snapshot, left_width, room, cells=cells, more_gaps=0)
    error_rows = max(1, height - (1 + TALL_FLEET_ROWS) - (1 + GENERATOR_ROWS) - 1)
    side_gap = gap if error_rows - 2 * gap >= GENERATOR_ROWS else 0
    side = [
        fleet(snapshot, side_width, tall=True),
        generator(snapshot, side_width),
        errors(snapshot, side_width, rows=error_rows - 2 * side_gap),
    ]
    return beside(_stack(body, gap=gap), _stack(side, gap=side_gap), left_width=left_width, width=width)


def _shown(snapshot: Snapshot) -> tuple[OperationFigures, ...]:
    return snapshot.operations[:_MOST_OPERATIONS]


def _least_measured(operations: Sequence[OperationFigures]) -> int:
    """Return the height of throughput, latency and deferral with charts of one line."""
    return (1 + 2) + (1 + max(len(operations), 1)) + (3 + 1)


def _measured(
    snapshot: Snapshot, width: int, room: _Room, *, cells: int, more_gaps: int
) -> tuple[list[list[Line]], int]:
    """Return throughput, latency, outcomes and deferral, and the gap between panes.

    The room goes by priority: a radar tall enough for the shape of a herd, charts of two lines, gaps, the last window,
    outcomes, taller charts.
    """
    operations = _shown(snapshot)
    radar = 1 + room.take(2)
    rates = 1 + room.take_all_of(2) // 2
    gap = 1 if room.take_all_of(2 + more_gaps) else 0
    spare_errors = room.take(more_gaps)
    recent = room.take_all_of(len(operations))
    outcome_lines = room.take_all_of(1 + len(operations) + gap)
    axes = bool(room.take(1))
    growth = max(0, min(room.left // 4, _TALLEST_CHART - radar)) if more_gaps else min(room.left // 3, _TALLEST_CHART)
    radar, rates = radar + growth, rates + growth
    room.take(3 * growth)
    room.left += spare_errors
    panes = [
        throughput(
            snapshot.requests_per_s,
            snapshot.certificates_per_s,
            width,
            elapsed_s=snapshot.elapsed_s,
            notes=[quantity(snapshot.requests, "request"), quantity(snapshot.certificates, "certificate")],
            height=rates,
            cells=cells,
            axes=axes,
        ),
        latency(operations, width, window=snapshot.window if recent else None),
    ]
    if outcome_lines:
        panes.append(outcomes(operations, width))
    panes.append(deferral(snapshot, width, height=radar, cells=cells))
    return panes, gap


def _stack(panes: Sequence[list[Line]], *, gap: int) -> list[Line]:
    """Return the panes below each other."""
    lines: list[Line] = []
    for pane in panes:
        lines += [[]] * gap if lines else []
        lines += pane
    return lines
