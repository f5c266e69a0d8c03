"""Boot times from a CSV file: recorded arrivals, played again."""

import csv
from collections.abc import Iterator
from functools import lru_cache
from io import StringIO
from math import inf, isfinite
from pathlib import Path
from typing import Final

from estsim.errors import UnitError, UnreadableFile
from estsim.scenario.boot_model import BootModel
from estsim.scenario.unreadable import unreadable
from estsim.units import shown
from estsim.user_files import read_user_file

MOST_TRACE_BYTES: Final = 16 << 20  # a million devices and more
_COLUMN: Final = "at"
_KEPT: Final = 4  # traces: cohorts share them, and each is asked for several times as a scenario is read

Row = tuple[int, list[str]]


def trace_of(boot: BootModel, folder: Path) -> tuple[float, ...]:
    """Return the seconds of the file that a boot names in a folder, none where it names none; raises UnitError."""
    return read_trace(folder / boot.trace) if boot.trace is not None else ()


def read_trace(path: Path) -> tuple[float, ...]:
    """Return the seconds of a file, ascending: its only column, or the one named ``at``.

    Raises UnitError, with the line of the file, for what is no time.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        return _times_in(path, ())  # which says why
    return _times_in(path, (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=_KEPT)
def _times_in(path: Path, _stamp: tuple[int, ...]) -> tuple[float, ...]:
    """Read a file; ``_stamp`` tells it from what it was before."""
    try:
        text = read_user_file(path, most_bytes=MOST_TRACE_BYTES).decode("utf-8-sig")
        rows = _rows(text)
        first = next(rows, None)
        if first is None:
            raise UnitError(f"contains no boot times (got {path})")
        column, times = 0, []
        if not _is_number(first[1][0]) or _COLUMN in first[1]:
            column = _column_of(first[1])
        else:
            times.append(_time(path, first, column))
        times += [_time(path, row, column) for row in rows]
    except UnreadableFile as error:
        raise unreadable(path, error.reason) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, str(error)) from error
    if not times:
        raise UnitError(f"contains no boot times (got {path})")
    return tuple(sorted(times))


def _rows(text: str) -> Iterator[Row]:
    """Yield the rows that hold anything, with their numbers."""
    return ((number, row) for number, row in enumerate(csv.reader(StringIO(text, newline="")), start=1) if any(row))


def _column_of(head: list[str]) -> int:
    names = [name.strip() for name in head]
    if _COLUMN not in names:
        raise UnitError(f"has no column '{_COLUMN}' (got {shown(', '.join(names))})")
    return names.index(_COLUMN)


def _time(path: Path, row: Row, column: int) -> float:
    number, cells = row
    text = cells[column] if column < len(cells) else ""
    try:
        at_s = float(text)
    except ValueError:
        at_s = -1.0
    if not 0 <= at_s < inf:  # nor NaN
        raise UnitError(f"{path}:{number}: expected a boot time in seconds, 0 or more (got {shown(text)})")
    return at_s


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
