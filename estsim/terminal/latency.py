"""Latency per operation, service and response side by side, and the requests by class where there is room."""

from collections.abc import Sequence
from typing import Final

from estsim.figures.snapshot import OperationFigures, Quantiles, WindowSnapshot
from estsim.figures.text import milliseconds, short_count, words
from estsim.terminal.figure_grid import levels
from estsim.terminal.ink import PLAIN, QUIET, STRONG, Line, ink, left, right

_NAME: Final = 15
_COUNT: Final = 9
_COUNTS_FROM_WIDTH: Final = 92
_WIDEST: Final = 10
_KINDS: Final = ("service", "response")
_FIRST: Final = {"service": 12, "response": 15}  # cells of the first column of each, with its heading
_OTHERS: Final = ("p90", "p99", "max")  # the columns after p50
_CLASS_WIDTH: Final = 13
_NONE: Final = OperationFigures("", 0, {}, Quantiles(), Quantiles())
_ALWAYS_SHOWN: Final = ("ok", "deferred", "failed")


def latency(operations: Sequence[OperationFigures], width: int, *, window: WindowSnapshot | None = None) -> list[Line]:
    """Return the pane: for each operation its exchanges that ended ok, of the whole run and of the last window."""
    counted = width >= _COUNTS_FROM_WIDTH
    room = width - _NAME - sum(_FIRST.values()) - (_COUNT if counted else 0)
    each = min(room // (2 * len(_OTHERS)), _WIDEST)
    head = [ink(left("LATENCY", _NAME), STRONG)]
    if counted:
        head.append(ink(right("requests", _COUNT), QUIET))
    for kind in _KINDS:
        head += [ink(right(kind, _FIRST[kind] - 4), STRONG), ink(" p50", QUIET)]
        head += [ink(right(name, each), QUIET) for name in _OTHERS]
    lines = [head]
    recent = {figures.operation: figures for figures in window.operations} if window else {}
    for figures in operations:
        lines.append(_row(figures.operation, figures, each, counted=counted))
        if window is not None:
            in_window = recent.get(figures.operation, _NONE)
            lines.append(_row(f"  last {window.seconds:.0f} s", in_window, each, counted=counted))
    return lines if len(lines) > 1 else [head, [ink(" no responses yet", QUIET)]]


def _row(name: str, figures: OperationFigures, each: int, *, counted: bool) -> Line:
    line = [ink(f" {left(name, _NAME - 1)}")]
    if counted:
        line.append(ink(right(short_count(figures.requests, _COUNT - 1), _COUNT), QUIET))
    for kind, quantiles in zip(_KINDS, (figures.service_ms, figures.response_ms), strict=True):
        line += _block(quantiles, _FIRST[kind], each)
    return line


def _block(quantiles: Quantiles, first: int, each: int) -> Line:
    return [
        ink(right(milliseconds(value), first if name == "p50" else each), STRONG if name == "p99" else PLAIN)
        for name, value in levels(quantiles)
    ]


def outcomes(operations: Sequence[OperationFigures], width: int) -> list[Line]:
    """Return the pane of requests by class, for each operation; empty classes are left out."""
    seen = [kind for figures in operations for kind, number in figures.by_class.items() if number]
    names = list(dict.fromkeys((*_ALWAYS_SHOWN, *seen)))[: (width - _NAME - _COUNT) // _CLASS_WIDTH]
    head = [ink(left("OUTCOMES", _NAME), STRONG), ink(right("requests", _COUNT), QUIET)]
    head += [ink(right(words(name), _CLASS_WIDTH), QUIET) for name in names]
    return [head, *(_classes(figures, names) for figures in operations)]


def _classes(figures: OperationFigures, names: list[str]) -> Line:
    line = [
        ink(f" {left(figures.operation, _NAME - 1)}"),
        ink(right(short_count(figures.requests, _COUNT - 1), _COUNT), STRONG),
    ]
    for name in names:
        number = figures.by_class.get(name, 0)
        line.append(ink(right(short_count(number, _CLASS_WIDTH - 1), _CLASS_WIDTH), PLAIN if number else QUIET))
    return line
