"""Errors: the pane of the overview, and the view with every kind's share and each operation's requests by class."""

from collections.abc import Sequence
from typing import Final

from rich.style import Style

from estsim.figures.snapshot import CLASSES, FAILURES, OperationFigures, Snapshot
from estsim.figures.text import count, percent, quantity, short_count, words
from estsim.record.error_kinds import kinds_of, others_of
from estsim.terminal.chart import bar
from estsim.terminal.ink import ALARM, PLAIN, QUIET, STRONG, Line, beside, fitting, ink, left, right, title

_BESIDE_FROM: Final = 127
_MOST_OPERATIONS: Final = 5
_CLASS: Final = 13
_WIDEST_OPERATION: Final = 19
_NUMBER: Final = 6
_COUNT: Final = 7
_SHARE: Final = 6
_BAR: Final = 16
_BAR_FROM: Final = 72

Kinds = Sequence[tuple[str, int]]  # kind and reason in a line, and how often


def errors(snapshot: Snapshot, width: int, *, rows: int) -> list[Line]:
    """Return the pane of the overview: the most frequent kinds in ``rows`` rows, of which the last sums up the rest."""
    found = snapshot.errors
    if not found:
        return [title("ERRORS", ["none"], width)]
    shown, rest = fitting(found, rows)
    return [
        title("ERRORS", [count(_total(found))], width),
        *(_kind(text, number, ALARM, width) for text, number in shown),
        *(_kind(text, number, PLAIN, width) for text, number in _summed(rest)),
    ]


def _kind(text: str, number: int, style: Style, width: int) -> Line:
    return [ink(f" {short_count(number, _NUMBER):>{_NUMBER}} ", style), ink(left(text, width - _NUMBER - 2))]


def _total(kinds: Kinds) -> int:
    return sum(number for _, number in kinds)


def _summed(rest: Kinds) -> Kinds:
    return [(others_of(rest), _total(rest))] if rest else []


def errors_view(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """Return the view, ``height`` lines high: the errors above the classes, or side by side on a wide terminal."""
    if width >= _BESIDE_FROM:
        operations = max(len(_shown(snapshot)), 3)
        side = _CLASS + operations * min(_WIDEST_OPERATION, (width // 2 - _CLASS) // operations)
        left_width = width - side - 2
        return beside(
            _shares(snapshot, left_width, rows=height - 1),
            _classes(snapshot, side),
            left_width=left_width,
            width=width,
        )
    table = _classes(snapshot, width)
    rows = max(1, height - 1 - len(table))
    lines = _shares(snapshot, width, rows=rows)
    return [*lines, *[[]] * (1 + rows - len(lines)), *table]


def _shown(snapshot: Snapshot) -> Sequence[OperationFigures]:
    return snapshot.operations[:_MOST_OPERATIONS]


def _shares(snapshot: Snapshot, width: int, *, rows: int) -> list[Line]:
    """Return each kind with its count and its share; the last row sums up the kinds without one."""
    found = snapshot.errors
    if not found:
        return [title("ERRORS", ["none"], width)]
    total = _total(found)
    shown, rest = fitting(found, rows)
    notes = [f"{count(total)} in {quantity(snapshot.requests, 'request')}", kinds_of(found)]
    return [
        title("ERRORS", notes, width),
        *(_share(text, number, total, width) for text, number in (*shown, *_summed(rest))),
    ]


def _share(text: str, number: int, total: int, width: int) -> Line:
    share = number / total if total > 0 else 0.0
    line = [
        ink(f" {right(short_count(number, _COUNT), _COUNT)}", ALARM),
        ink(right(percent(share), _SHARE), QUIET),
        ink("  "),
    ]
    room = width - 1 - _COUNT - _SHARE - 2
    if width >= _BAR_FROM:
        line += [*bar(share, _BAR, ALARM), ink("  ")]
        room -= _BAR + 2
    return [*line, ink(left(text, room))]


def _classes(snapshot: Snapshot, width: int) -> list[Line]:
    """Return a line for each class: each operation's requests in the whole run and in the last window."""
    operations = _shown(snapshot)
    seconds = f"{snapshot.window.seconds:.0f} s"
    head = title("REQUESTS BY CLASS", [f"total and last {seconds}"], width)
    if not operations:
        return [head, [ink(" no responses yet", QUIET)], *[[] for _ in CLASSES], []]
    each = min((width - _CLASS) // len(operations), _WIDEST_OPERATION)
    recent = {figures.operation: figures for figures in snapshot.window.operations}
    names = [ink(" " * _CLASS), *(ink(right(figures.operation, each - 1) + " ", STRONG) for figures in operations)]
    lines = [head, names]
    for name, kind in [("requests", None), *((words(kind), kind) for kind in CLASSES)]:
        line = [ink(f" {left(name, _CLASS - 1)}", STRONG if kind is None else PLAIN)]
        for figures in operations:
            line += _pair(figures, recent.get(figures.operation), kind, each)
        lines.append(line)
    return lines


def _pair(figures: OperationFigures, recent: OperationFigures | None, kind: str | None, width: int) -> Line:
    now = _requests(recent, kind) if recent is not None else 0
    number = _requests(figures, kind)
    style = QUIET if not number else ALARM if kind in FAILURES else PLAIN
    return [
        ink(right(short_count(number, _NUMBER), width - _NUMBER - 1), style),
        ink(right(short_count(now, _NUMBER), _NUMBER) + " ", QUIET),
    ]


def _requests(figures: OperationFigures, kind: str | None) -> int:
    return figures.requests if kind is None else figures.by_class.get(kind, 0)
