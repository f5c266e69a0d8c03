"""Checks of the Python API's arguments: a mistake is a UsageError that names the argument.

The readers return the value as the engine takes it. None passes, except where a value is required.
"""

import operator
import os
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as shortened
from typing import Final, SupportsIndex, TypeVar

from estsim.errors import UsageError

Kind = TypeVar("Kind")
_MOST_DIGITS: Final = 20  # as on the command line


def unexpected(name: str, expected: str, value: object) -> UsageError:
    """Return the error for an argument of the wrong kind."""
    return UsageError(f"{name}: expected {expected} (got {shortened(value)})")


def path(name: str, value: object) -> Path:
    """Return an argument that names a file or folder."""
    try:
        text = os.fspath(value) if isinstance(value, os.PathLike) else value
        if isinstance(text, str) and b"\0" not in os.fsencode(text):
            return Path(text)
    except UnicodeEncodeError:
        pass
    raise unexpected(name, "a path, as str or Path", value)


def optional_path(name: str, value: object) -> Path | None:
    """Return a path, or None."""
    return None if value is None else path(name, value)


def whole_number(name: str, value: object) -> int | None:
    """Return a whole number, or None; True is not a number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise unexpected(name, "a whole number", value)
    number = operator.index(value)
    if abs(number) >= 10**_MOST_DIGITS:  # which Python may refuse to print
        raise UsageError(f"{name}: expected a whole number of at most {_MOST_DIGITS} digits (got a longer one)")
    return number


def text(name: str, value: object, *, example: str) -> str | None:
    """Return a string, or None."""
    if value is None or isinstance(value, str):
        return value
    raise unexpected(name, f"a str, such as {example!r}", value)


def worker_count(value: object) -> str | None:
    """Return a number of workers as the command line has it."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, SupportsIndex) and not isinstance(value, bool)):
        number = whole_number("workers", value)
        return None if number is None else str(number)
    raise unexpected("workers", "a whole number or 'auto'", value)


def settings(value: object) -> tuple[tuple[str, str], ...]:
    """Return overrides by key, the values in YAML."""
    if value is None:
        return ()
    expected = "a mapping of keys to values, such as {'cohorts.meters.devices': 100}"
    if not isinstance(value, Mapping):
        raise unexpected("settings", expected, value)
    for key in value:
        if not isinstance(key, str) or not key:
            raise UsageError(f"settings: expected {expected} (got the key {shortened(key)})")
    return tuple((key, str(each)) for key, each in value.items())


def flags(**values: object) -> None:
    """Refuse values other than True and False."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise unexpected(name, "True or False", value)


def instance(name: str, value: object, kind: type, *, origin: str) -> None:
    """Refuse a value of another type; ``origin`` says what returns the right one."""
    if not isinstance(value, kind):
        raise unexpected(name, f"a {kind.__name__}, from {origin}", value)


def classes(name: str, value: object, base: type[Kind]) -> dict[str, type[Kind]]:
    """Return subclasses of a class by name, none for None; two of them may not look alike."""
    expected = f"a mapping of names to subclasses of {base.__name__}"
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise unexpected(name, expected, value)
    found: dict[str, type[Kind]] = {}
    by_name: dict[tuple[str, str], type[Kind]] = {}
    for key, kind in value.items():
        if not isinstance(key, str) or not isinstance(kind, type) or not issubclass(kind, base):
            raise unexpected(name, expected, {key: kind})
        full_name = (kind.__module__, kind.__name__)
        if by_name.setdefault(full_name, kind) is not kind:
            raise UsageError(f"{name}: two classes have the name {kind.__name__}")
        found[key] = kind
    return found


def function(name: str, value: object) -> None:
    """Refuse a value that cannot be called; None passes."""
    if value is not None and not callable(value):
        raise unexpected(name, "a function", value)
