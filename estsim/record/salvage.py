"""Writes a batch of which some rows cannot be made: all others are written."""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from estsim.errors import StoreError
from estsim.record.rows import ROW_OF, Row
from estsim.record.slice_packing import slice_bytes
from estsim.record.store import Batch, CountedSlice, Rows, RunStore

_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # no UTF-8 has one
_BUGS: Final = (sqlite3.ProgrammingError, sqlite3.InterfaceError)  # such as a value of an unsupported type
_PLAIN: Final = frozenset({int, float, str, bytes, bool, type(None)})
_LARGEST: Final = 1 << 63  # of SQLite's integers


def save(store: RunStore, batch: Batch) -> list[Exception]:
    """Write a batch; if a bug prevents that, write its valid rows. Returns the bugs.

    Raises StoreError as the store does: then nothing was written, and the batch may be written again.
    """
    try:
        store.write(batch)
    except StoreError as error:
        if not isinstance(error.__cause__, _BUGS):
            raise
        return _save_sound(store, batch, error)
    except Exception as bug:  # noqa: BLE001 - whatever a value does to those who read it
        return _save_sound(store, batch, bug)
    return []


def _save_sound(store: RunStore, batch: Batch, bug: Exception) -> list[Exception]:
    rows, bugs = sound_rows(batch)
    store.write_rows([*map(_storable, batch.ready), rows], [each for each in batch.counted if _is_packable(each, bugs)])
    return bugs or [bug]


def _is_packable(counted: CountedSlice, bugs: list[Exception]) -> bool:
    """Return whether counts can be stored; if not, add the bug."""
    try:
        slice_bytes(counted[1])
    except Exception as bug:  # noqa: BLE001 - see above
        bugs.append(bug)
        return False
    return True


def sound_rows(batch: Batch) -> tuple[Rows, list[Exception]]:
    """Return the valid rows of a batch, and the bugs of the others."""
    bugs: list[Exception] = []
    return {table: [*_sound(batch.members(table), table, bugs)] for table in ROW_OF}, bugs


def _sound(members: Iterable[Any], table: str, bugs: list[Exception]) -> Iterator[Row]:
    for member in members:
        try:
            row = _checked(ROW_OF[table](member), table)
        except Exception as bug:  # noqa: BLE001 - see above
            bugs.append(bug)
        else:
            yield row


def _checked(row: Row, table: str) -> Row:
    if not _is_storable(row):
        raise TypeError(f"a row of {table} contains a value that is not an SQLite type")
    return row


def _storable(rows: Rows) -> Rows:
    return {table: [row for row in rows.get(table, ()) if _is_storable(row)] for table in ROW_OF}


def _is_storable(row: Row) -> bool:
    return all(is_storable(value) for value in row)


def is_plain(row: Sequence[object]) -> bool:
    """Return whether SQLite supports all values of a row; a quick check that accepts any text."""
    for value in row:
        kind = type(value)
        if kind not in _PLAIN or (kind is int and not -_LARGEST <= value < _LARGEST):  # type: ignore[operator]
            return False
    return True


def is_storable(value: object) -> bool:
    """Return whether SQLite can store a value."""
    if isinstance(value, int):
        return -_LARGEST <= value < _LARGEST
    if isinstance(value, str):
        return value.isascii() or not _SURROGATE.search(value)
    return value is None or isinstance(value, float | bytes)
