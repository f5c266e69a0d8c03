"""Writing a batch that holds something of which no row can be made: everything else of it is written all the same."""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from estsim.errors import StoreError
from estsim.record.rows import ROW_OF, Row
from estsim.record.slice_packing import slice_bytes
from estsim.record.store import Batch, CountedSlice, Rows, RunStore

_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # no UTF-8 has one
_NOT_THE_DISK: Final = (sqlite3.ProgrammingError, sqlite3.InterfaceError)  # such as a value that is none of SQLite's
_PLAIN: Final = frozenset({int, float, str, bytes, bool, type(None)})
_LARGEST: Final = 1 << 63  # of SQLite's integers


def save(store: RunStore, batch: Batch) -> list[Exception]:
    """Write a batch, and where a bug of ours keeps it from that, what is sound in it; returns the bugs met.

    Raises StoreError as the store does: then nothing was written, and the same batch may be tried again.
    """
    try:
        store.write(batch)
    except StoreError as error:
        if not isinstance(error.__cause__, _NOT_THE_DISK):
            raise
        return _save_sound(store, batch, error)
    except Exception as bug:  # noqa: BLE001 - whatever a value does to those who read it
        return _save_sound(store, batch, bug)
    return []


def _save_sound(store: RunStore, batch: Batch, bug: Exception) -> list[Exception]:
    rows, met = sound_rows(batch)
    store.write_rows([*map(_storable, batch.ready), rows], [each for each in batch.counted if _is_packable(each, met)])
    return met or [bug]


def _is_packable(counted: CountedSlice, met: list[Exception]) -> bool:
    """Say whether counts can be stored: a bug may have put anything among the texts of errors."""
    try:
        slice_bytes(counted[1])
    except Exception as bug:  # noqa: BLE001 - see above
        met.append(bug)
        return False
    return True


def sound_rows(batch: Batch) -> tuple[Rows, list[Exception]]:
    """Return the rows of a batch that can be made, and the bugs that the others met."""
    met: list[Exception] = []
    return {table: [*_sound(batch.members(table), table, met)] for table in ROW_OF}, met


def _sound(members: Iterable[Any], table: str, met: list[Exception]) -> Iterator[Row]:
    for member in members:
        try:
            row = _checked(ROW_OF[table](member), table)
        except Exception as bug:  # noqa: BLE001 - see above
            met.append(bug)
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
    """Say whether a row holds nothing but what SQLite takes, as far as that is told quickly: text may be no UTF-8."""
    for value in row:
        kind = type(value)
        if kind not in _PLAIN or (kind is int and not -_LARGEST <= value < _LARGEST):  # type: ignore[operator]
            return False
    return True


def is_storable(value: object) -> bool:
    """Say whether SQLite takes a value as it is."""
    if isinstance(value, int):
        return -_LARGEST <= value < _LARGEST
    if isinstance(value, str):
        return value.isascii() or not _SURROGATE.search(value)
    return value is None or isinstance(value, float | bytes)
