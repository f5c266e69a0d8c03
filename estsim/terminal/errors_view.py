"""The view of what went wrong: every kind with its share, and what the requests of each operation came to."""

from typing import Final

from estsim.figures.snapshot import CLASSES, FAILURES, OperationFigures, Snapshot
from estsim.figures.text import count, percent, quantity, short_count
from estsim.record.error_kinds import kinds_of, others_of
from estsim.terminal.chart import bar
from estsim.terminal.ink import ALARM, PLAIN, QUIET, STRONG, Line, beside, ink, left, right, title

_BESIDE_FROM: Final = 127
_MOST_OPERATIONS: Final = 5
_CLASS: Final = 13
_WIDEST_OPERATION: Final = 19
_NUMBER: Final = 6
_COUNT: Final = 7
_SHARE: Final = 6
_BAR: Final = 16
_BAR_FROM: Final = 72


def errors_view(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """Return the view, ``height`` lines high: the errors above the classes, or beside them where there is room."""
    operations = snapshot.operations[:_MOST_OPERATIONS]
    if width >= _BESIDE_FROM:
        each = min(_WIDEST_OPERATION, (width // 2 - _CLASS) // max(len(operations), 3))
        side = _CLASS + each * max(len(operations), 3)
        left_width = width - side - 2
        return beside(
            error_table(snapshot, left_width, rows=height - 1),
            classes(snapshot, side),
            left_width=left_width,
            width=width,
        )
    table = classes(snapshot, width)
    rows = max(1, height - 1 - len(table))
    lines = error_table(snapshot, width, rows=rows)
    return [*lines, *[[]] * (1 + rows - len(lines)), *table]


def error_table(snapshot: Snapshot, width: int, *, rows: int) -> list[Line]:
    """Return the pane: each kind with its count and its share of all; the last line sums up what found none."""
    errors = snapshot.errors
    if not errors:
        return [title("ERRORS", ["none"], width)]
    total = sum(number for _, number in errors)
    shown = errors if len(errors) <= rows else errors[: rows - 1]
    notes = [
        f"{count(total)} in {quantity(snapshot.requests, 'request')}",
        kinds_of(errors),
    ]
    lines = [title("ERRORS", notes, width)]
    lines += [_error(text, number, total, width) for text, number in shown]
    if len(errors) > len(shown):
        rest = total - sum(number for _, number in shown)
        lines.append(_error(others_of(errors[len(shown) :]), rest, total, width))
    return lines


def _error(text: str, number: int, total: int, width: int) -> Line:
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


def classes(snapshot: Snapshot, width: int) -> list[Line]:
    """Return the pane: a line for each class, and for each operation its requests in all and of the last window."""
    operations = snapshot.operations[:_MOST_OPERATIONS]
    seconds = f"{snapshot.window.seconds:.0f} s"
    head = title("REQUESTS BY CLASS", [f"total and last {seconds}"], width)
    if not operations:
        return [head, [ink(" no responses yet", QUIET)], *[[] for _ in CLASSES], []]
    each = min((width - _CLASS) // len(operations), _WIDEST_OPERATION)
    recent = {figures.operation: figures for figures in snapshot.window.operations}
    names = [ink(" " * _CLASS), *(ink(right(figures.operation, each - 1) + " ", STRONG) for figures in operations)]
    lines = [head, names]
    rows = [("requests", None), *((kind.replace("_", " "), kind) for kind in CLASSES)]
    for name, kind in rows:
        line = [ink(f" {left(name, _CLASS - 1)}", STRONG if kind is None else PLAIN)]
        for figures in operations:
            line += _pair(figures, recent.get(figures.operation), kind, each)
        lines.append(line)
    return lines


def _pair(figures: OperationFigures, recent: OperationFigures | None, kind: str | None, width: int) -> Line:
    now = _number(recent, kind) if recent is not None else 0
    number = _number(figures, kind)
    style = QUIET if not number else ALARM if kind in FAILURES else PLAIN
    return [
        ink(right(short_count(number, _NUMBER), width - _NUMBER - 1), style),
        ink(right(short_count(now, _NUMBER), _NUMBER) + " ", QUIET),
    ]


def _number(figures: OperationFigures, kind: str | None) -> int:
    return figures.requests if kind is None else figures.by_class.get(kind, 0)
