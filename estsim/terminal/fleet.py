"""The devices by state: the whole fleet, each state in a fixed place, and a line for each cohort.

In the view of the cohorts, eleven states become four groups: ``waiting`` for a certificate (fetching, enrolling,
deferred), ``operational`` (renewing too), in ``trouble`` (backing off, expired, gave up, stopped by an internal error)
and ``off`` (retired too).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.style import Style

from estsim.figures.snapshot import CohortSnapshot, Snapshot
from estsim.figures.text import compact, count, duration, milliseconds, percent, quantity, ratio, short_count
from estsim.terminal.chart import bar
from estsim.terminal.ink import ALARM, PLAIN, QUIET, STRONG, Line, fit, fitting, ink, left, right, title

_STATES: Final = (
    ("off", "off", QUIET),
    ("fetching_ca", "fetching CA", Style(color="blue")),
    ("fetching_attrs", "fetch attrs", Style(color="blue")),
    ("enrolling", "enrolling", Style(color="cyan")),
    ("deferred", "deferred", Style(color="yellow")),
    ("backing_off", "backing off", Style(color="magenta")),
    ("operational", "operational", Style(color="green")),
    ("renewing", "renewing", Style(color="cyan")),
    ("expired", "expired", Style(color="red")),
    ("gave_up", "gave up", Style(color="red")),
    ("retired", "retired", QUIET),
)
_RARE: Final = {"lost": "lost", "internal_error": "int. error"}  # they share the last place
_KNOWN: Final = frozenset(name for name, _, _ in _STATES)
_LABEL: Final = 12
_COUNT: Final = 7
ROWS: Final = 4  # of the pane with three states to a line
TALL_ROWS: Final = 12  # of the pane with one state to a line

_WIDE_FROM: Final = 110
_NAME: Final = 26  # at most
_LEAST_BAR: Final = 20
_WIDEST_BAR: Final = 60
_COMPACT: Final = 6  # cells of a column with its gap, below which a count needs a prefix


def fleet(snapshot: Snapshot, width: int, *, tall: bool = False) -> list[Line]:
    """Return the pane of the whole fleet: a bar and a count for each state, three to a line or, if ``tall``, one."""
    states = {name.lower(): number for name, number in snapshot.states.items()}
    rest = sum(number for name, number in states.items() if name not in _KNOWN)
    entries = [(label, states.get(name, 0), style) for name, label, style in _STATES]
    label = next((label for name, label in _RARE.items() if states.get(name, 0) == rest), "other")
    entries.append((label, rest, PLAIN))
    rows = TALL_ROWS if tall else ROWS
    each = (width - 1) // (len(entries) // rows)
    cells = [_entry(entry, snapshot.devices, each) for entry in entries]
    if not rest:
        cells[-1] = []
    lines = [[ink(" "), *(part for cell in cells[row::rows] for part in fit(cell, each))] for row in range(rows)]
    return [title("FLEET", _notes(snapshot), width), *lines]


def _notes(snapshot: Snapshot) -> list[str]:
    total = sum(snapshot.states.values())
    devices = quantity(snapshot.devices, "device")
    if total == snapshot.devices or not snapshot.states:
        return [devices]
    return [devices, f"{count(total)} with a known state"]


def _entry(entry: tuple[str, int, Style], devices: int, width: int) -> Line:
    """Return one state: label, count, bar, and two spaces to the next."""
    label, number, style = entry
    urgent = number > 0 and label in {"expired", "gave up", "other", *_RARE.values()}
    return [
        ink(left(label, _LABEL), PLAIN if number else QUIET),
        ink(f"{short_count(number, _COUNT):>{_COUNT}} ", ALARM if urgent else STRONG if number else QUIET),
        *bar(number / devices if devices > 0 else 0.0, width - _LABEL - _COUNT - 3, style),
        ink("  "),
    ]


@dataclass(frozen=True, slots=True)
class _Group:
    """States that are counted together, their mark in the bar, and their names in the legend."""

    name: str
    states: frozenset[str]
    mark: str
    style: Style
    legend: str


_OPERATIONAL: Final = _Group(
    "oper.", frozenset({"operational", "renewing"}), "█", Style(color="green"), "operational, renewing"
)
_TROUBLE: Final = _Group(
    "trouble",
    frozenset({"backing_off", "expired", "gave_up", "internal_error"}),
    "!",
    ALARM,
    "backing off, expired, gave up",
)
_OFF: Final = _Group("off", frozenset({"off", "retired"}), "·", QUIET, "off, retired")
_WAITING: Final = _Group("wait", frozenset(), "░", Style(color="yellow"), "fetching, enrolling, deferred")  # the others
_NOT_WAITING: Final = _OPERATIONAL.states | _TROUBLE.states | _OFF.states
_LEGEND: Final = "wait: awaiting a certificate · trouble: backing off, expired, gave up"
_BAR: Final = (_OPERATIONAL, _WAITING, _TROUBLE, _OFF)


def in_group(cohort: CohortSnapshot, group: _Group) -> int:
    """Return the number of devices of a cohort in a group of states."""
    states = {name.lower(): number for name, number in cohort.states.items()}
    if group is _WAITING:
        return sum(number for name, number in states.items() if name not in _NOT_WAITING)
    return sum(states.get(name, 0) for name in group.states)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: heading, width on a narrow and on a wide terminal, value, and whether the value is bad."""

    head: str
    narrow: int
    wide: int
    value: Callable[[CohortSnapshot, int], str]
    alarm: Callable[[CohortSnapshot], bool] = lambda _: False


def _counted(of: Callable[[CohortSnapshot], int]) -> Callable[[CohortSnapshot, int], str]:
    def value(cohort: CohortSnapshot, width: int) -> str:
        return compact(of(cohort)) if width <= _COMPACT else short_count(of(cohort), width - 1)

    return value


def _troubled(cohort: CohortSnapshot) -> int:
    return in_group(cohort, _TROUBLE)


_COLUMNS: Final = (
    _Column("wait", 6, 8, _counted(lambda cohort: in_group(cohort, _WAITING))),
    _Column("oper.", 6, 8, _counted(lambda cohort: in_group(cohort, _OPERATIONAL))),
    _Column("trouble", 8, 9, _counted(_troubled), lambda cohort: _troubled(cohort) > 0),
    _Column("off", 6, 8, _counted(lambda cohort: in_group(cohort, _OFF))),
    _Column("reqs", 6, 10, _counted(lambda cohort: cohort.requests)),
    _Column("certs", 6, 10, _counted(lambda cohort: cohort.certificates)),
    _Column("fail", 5, 7, lambda cohort, _: percent(cohort.failures), lambda cohort: (cohort.failures or 0) > 0),
    _Column("cert", 6, 8, lambda cohort, _: ratio(cohort.exchanges_per_certificate)),
    _Column("p99", 6, 9, lambda cohort, _: milliseconds(cohort.response_ms.p99)),
    _Column("p50", 6, 9, lambda cohort, _: duration(cohort.time_to_certificate_s.p50)),
    _Column("p99", 6, 8, lambda cohort, _: duration(cohort.time_to_certificate_s.p99)),
)
# Headings over several columns each.
_OVER: Final = (("devices by state", 4), ("", 3), ("exch/", 1), ("resp.", 1), ("cert. time", 2))


def cohorts_view(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """Return the view of the cohorts, ``height`` lines high; its last line explains the groups."""
    wide = width >= _WIDE_FROM
    widths = [column.wide if wide else column.narrow for column in _COLUMNS]
    name_width = min(width - sum(widths), _NAME)
    bar_width = min(width - sum(widths) - name_width - 3, _WIDEST_BAR)
    if bar_width < _LEAST_BAR:
        bar_width = 0
    rows = max(1, height - 4)
    cohorts = snapshot.cohorts
    shown, rest = fitting(cohorts, rows)
    lines = [
        title("COHORTS", [count(len(cohorts)) if cohorts else "none yet"], width),
        *_heads(name_width, widths),
        *(_row(cohort, name_width, widths, bar_width) for cohort in shown),
    ]
    if rest:
        lines.append([ink(left(f" {len(rest)} more cohorts not shown", width), STRONG)])
    return [*lines, *[[]] * (height - 1 - len(lines)), _legend(width, marks=bool(bar_width))]


def _heads(name_width: int, widths: Sequence[int]) -> list[Line]:
    over, at = " " * name_width, 0
    for text, columns in _OVER:
        over += right(text, sum(widths[at : at + columns]))
        at += columns
    names = [right(column.head, width) for column, width in zip(_COLUMNS, widths, strict=True)]
    return [[ink(over, QUIET)], [ink(f" {left('cohort', name_width - 1)}{''.join(names)}", QUIET)]]


def _row(cohort: CohortSnapshot, name_width: int, widths: Sequence[int], bar_width: int) -> Line:
    line = [ink(f" {left(cohort.name, name_width - 1)}", STRONG)]
    for column, width in zip(_COLUMNS, widths, strict=True):
        line.append(ink(right(column.value(cohort, width), width), ALARM if column.alarm(cohort) else PLAIN))
    return [*line, ink("   "), *_states(cohort, bar_width)] if bar_width else line


def _states(cohort: CohortSnapshot, width: int) -> Line:
    """Return a bar of a cohort's devices, with a mark for each group of states."""
    numbers = [in_group(cohort, group) for group in _BAR]
    total = sum(numbers)
    if total <= 0:
        return []
    line: Line = []
    so_far = drawn = 0
    for group, number in zip(_BAR, numbers, strict=True):
        so_far += number
        end = round(so_far * width / total)
        line.append(ink(group.mark * (end - drawn), group.style))
        drawn = end
    return line


def _legend(width: int, *, marks: bool) -> Line:
    if not marks:
        return [ink(left(_LEGEND, width), QUIET)]
    line: Line = []
    for group in _BAR:
        line += [ink(f" {group.mark} ", group.style), ink(f"{group.legend}  ", QUIET)]
    return line
