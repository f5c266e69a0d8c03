"""Parses columns of JSON and the facts of a run into values; a `Misfit` says what was expected and what came.

It is pure: the reader of the store adds the file, the table and the row.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from typing import Any, Final, TypeVar

from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass
from estsim.record.histogram_text import decoded
from estsim.record.histograms import Histogram
from estsim.units import shown

_T = TypeVar("_T")
_MOST: Final = 1 << 53  # of a count
_OPERATIONS: Final = frozenset(map(str, Operation))
_OUTCOMES: Final = frozenset(map(str, OutcomeClass))
_CLASSES: Final = "a JSON object of counts by operation and class"
_HISTOGRAMS: Final = "a JSON object of HdrHistograms (V2, base64) by operation"
_STATES: Final = "a JSON object of counts by state"
_BROKEN: Final = "a JSON list of [rule, section of the RFC]"


class Misfit(Exception):  # noqa: N818 - says what it is
    """A column has another value than was expected."""

    def __init__(self, column: str, expected: str, got: str) -> None:
        self.column = column
        self.expected = expected
        self.got = got
        super().__init__(f"{column}: expected {expected} (got {got})")


class _Other(Exception):  # noqa: N818 - internal
    """A part of a value is wrong."""


def classes_of(text: str) -> dict[tuple[str, str], int]:
    """Return counts by operation and outcome class."""

    def read(found: dict[str, Any]) -> dict[tuple[str, str], int]:
        return {
            (_word(_OPERATIONS, operation), _word(_OUTCOMES, kind)): _count(count)
            for operation, kinds in found.items()
            for kind, count in _of(dict, kinds).items()
        }

    return _read("classes", _CLASSES, text, dict, read)


def histograms_of(column: str, text: str) -> dict[str, Histogram]:
    """Return histograms by operation."""

    def read(found: dict[str, Any]) -> dict[str, Histogram]:
        return {_word(_OPERATIONS, operation): _histogram(encoded) for operation, encoded in found.items()}

    return _read(column, _HISTOGRAMS, text, dict, read)


def states_of(text: str) -> dict[str, int]:
    """Return devices by state."""
    return _read(
        "states", _STATES, text, dict, lambda found: {state: _count(devices) for state, devices in found.items()}
    )


@lru_cache(maxsize=256)  # a server breaks the same rules repeatedly
def non_conformances_of(text: str | None) -> tuple[NonConformance, ...]:
    """Return the rules that an answer broke."""

    def read(found: list[Any]) -> tuple[NonConformance, ...]:
        pairs = (_of(list, pair, length=2) for pair in found)
        return tuple(NonConformance(_of(str, rule), _of(str, section)) for rule, section in pairs)

    return _read("non_conformances", _BROKEN, text, list, read) if text is not None else ()


def cohorts_of(text: str) -> dict[str, int]:
    """Return the devices of each cohort."""

    def read(found: dict[str, Any]) -> dict[str, int]:
        return {_name(name): _count(devices) for name, devices in found.items()}

    return _read("value", "a JSON object of devices by cohort", text, dict, read)


def phases_of(text: str) -> list[tuple[str, float, float]]:
    """Return the phases: name, beginning and end in seconds."""

    def read(found: list[Any]) -> list[tuple[str, float, float]]:
        triples = (_of(list, triple, length=3) for triple in found)
        return [(_name(name), _number(from_s), _number(to_s)) for name, from_s, to_s in triples]

    return _read("value", "a JSON list of [phase, first second, last second]", text, list, read)


def texts_of(text: str) -> list[str]:
    """Return a list of texts."""
    return _read("value", "a JSON list of texts", text, list, lambda found: [_of(str, each) for each in found])


def seconds_of(text: str) -> float | None:
    """Return a number, or None."""
    return None if text == "None" else _plain("a finite number, or None", text, lambda word: _number(float(word)))


def whole_of(text: str) -> int:
    """Return a whole number."""
    return _plain("a whole number from 0 to 2^63", text, lambda word: _count(int(word), most=1 << 63))


def _read(column: str, expected: str, text: str, kind: type[Any], read: Callable[[Any], _T]) -> _T:
    try:
        return read(_of(kind, json.loads(text)))
    except _Other as other:
        raise Misfit(column, expected, str(other)) from None
    except (ValueError, RecursionError):  # no JSON, a number of too many digits, thousands of brackets
        raise Misfit(column, expected, shown(text)) from None


def _plain(expected: str, text: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(text)
    except (ValueError, _Other):
        raise Misfit("value", expected, shown(text)) from None


def _of(kind: type[_T], value: Any, *, length: int | None = None) -> _T:  # noqa: ANN401 - of JSON
    if not isinstance(value, kind) or (length is not None and len(value) != length):  # type: ignore[arg-type]
        raise _Other(shown(value))
    return value


def _word(words: frozenset[str], value: str) -> str:
    if value not in words:
        raise _Other(shown(value))
    return value


def _name(value: Any) -> str:  # noqa: ANN401 - of JSON
    if not isinstance(value, str) or not value.isprintable():
        raise _Other(shown(value))
    return value


def _count(value: Any, *, most: int = _MOST) -> int:  # noqa: ANN401 - of JSON
    if type(value) is not int or not 0 <= value <= most:
        raise _Other(shown(value))
    return value


def _number(value: Any) -> float:  # noqa: ANN401 - of JSON
    if type(value) not in {int, float} or not isfinite(value) or abs(value) > _MOST:
        raise _Other(shown(value))
    return float(value)


def _histogram(value: Any) -> Histogram:  # noqa: ANN401 - of JSON
    return decoded(_of(str, value))
