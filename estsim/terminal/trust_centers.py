"""The trust centers of a running sandbox as a table: what each has done so far, and what waits now.

The size of the terminal and the number of trust centers decide the layout, never the figures, so nothing moves from one
frame to the next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.style import Style

from estsim.figures.text import short_count
from estsim.terminal.ink import CAUTION, PLAIN, QUIET, STRONG, Line, cut, ink, left, right, width_of

_VALUE: Final = 9  # cells of a count
_FIGURE: Final = 10  # cells of a column, its gap included
_NOW: Final = 6  # cells between the two parts of a line
_CAPACITY: Final = 22
_LABEL: Final = 20
_WIDEST_LABEL: Final = 32


@dataclass(frozen=True, slots=True)
class CenterFigures:
    """The counts of one trust center, since the start unless said otherwise."""

    label: str
    requests: int
    issued: int
    deferred: int
    pending: int  # now
    awaiting_approval: int  # of those pending now
    refused: int
    early_repeats: int
    faults: int  # injected
    queue: int  # waiting for a signer now
    capacity: str  # such as 50/s


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    figure: Callable[[CenterFigures], int]
    style: Style = PLAIN


@dataclass(frozen=True, slots=True)
class _Group:
    """The trust centers of a line: one, or all that have no line of their own."""

    label: str
    centers: Sequence[CenterFigures]
    capacity: str = ""


_SO_FAR: Final = (
    _Column("requests", lambda center: center.requests, STRONG),
    _Column("issued", lambda center: center.issued, STRONG),
    _Column("deferred", lambda center: center.deferred),
    _Column("refused", lambda center: center.refused),
    _Column("early", lambda center: center.early_repeats),
    _Column("faults", lambda center: center.faults),
)
_WAITING: Final = (
    _Column("pending", lambda center: center.pending),
    _Column("approval", lambda center: center.awaiting_approval, CAUTION),
    _Column("queued", lambda center: center.queue),
)
_ONE_TABLE_FROM: Final = _LABEL + (len(_SO_FAR) + len(_WAITING)) * _FIGURE + _NOW + _CAPACITY


def tables_in(width: int) -> int:
    """Return the number of tables: one, or two where a line cannot hold all figures."""
    return 1 if width >= _ONE_TABLE_FROM else 2


def trust_centers(centers: Sequence[CenterFigures], width: int, *, rows: int) -> list[Line]:
    """Return a line for each trust center in each table; beyond ``rows`` the least busy ones share the last line."""
    groups = _grouped(centers, rows)
    tables = tables_in(width)
    spare = width - (_ONE_TABLE_FROM if tables == 1 else _LABEL + len(_SO_FAR) * _FIGURE)
    label = min(_LABEL + max(0, spare), _WIDEST_LABEL)
    so_far = [
        [ink(left("TRUST CENTERS", label), STRONG), *_headings(_SO_FAR)],
        *([ink(f" {left(group.label, label - 1)}"), *_figures(group, _SO_FAR)] for group in groups),
    ]
    if tables == 1:
        starts = [[*line, ink(right("" if row else "now", _NOW), STRONG)] for row, line in enumerate(so_far)]
        return _waiting(starts, groups, width)
    starts = [[ink(left("WAITING NOW", label), STRONG)], *([ink(f" {left(each.label, label - 1)}")] for each in groups)]
    return [*so_far, *_waiting(starts, groups, width)]


def _grouped(centers: Sequence[CenterFigures], rows: int) -> list[_Group]:
    """Return the busiest trust centers in the order of the configuration, so that they keep their places."""
    shown = list(range(len(centers)))
    if len(centers) > rows:
        shown = sorted(sorted(shown, key=lambda at: -centers[at].requests)[: rows - 1])
    rest = [center for at, center in enumerate(centers) if at not in shown]
    groups = [_Group(centers[at].label, [centers[at]], centers[at].capacity) for at in shown]
    return [*groups, _Group(f"… and {len(rest)} more", rest)] if rest else groups


def _waiting(starts: Sequence[Line], groups: Sequence[_Group], width: int) -> list[Line]:
    """Return the lines completed with what waits now, and the capacity; the first is the heading."""
    heads, *rows = starts
    return [
        [*heads, *_headings(_WAITING), ink("  capacity", QUIET)],
        *(
            _with_capacity([*start, *_figures(each, _WAITING)], each, width)
            for start, each in zip(rows, groups, strict=True)
        ),
    ]


def _with_capacity(line: Line, group: _Group, width: int) -> Line:
    return [*line, ink(f"  {cut(group.capacity, width - width_of(line) - 2)}")]


def _headings(columns: Sequence[_Column]) -> Line:
    return [ink(right(column.heading, _FIGURE), QUIET) for column in columns]


def _figures(group: _Group, columns: Sequence[_Column]) -> Line:
    numbers = [sum(map(column.figure, group.centers)) for column in columns]
    return [
        ink(right(short_count(number, _VALUE), _FIGURE), column.style if number else QUIET)
        for column, number in zip(columns, numbers, strict=True)
    ]
