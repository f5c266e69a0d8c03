"""Boot times from a CSV file: recorded arrivals, played again."""

import csv
from math import isfinite
from pathlib import Path
from typing import Final

from estsim.errors import UnitError
from estsim.scenario.boot_model import BootModel
from estsim.scenario.unreadable import unreadable
from estsim.units import shown

_COLUMN: Final = "at"


def trace_of(boot: BootModel, folder: Path) -> tuple[float, ...]:
    """Return the seconds of the file that a boot names in a folder, none where it names none; raises UnitError."""
    return read_trace(folder / boot.trace) if boot.trace is not None else ()


def read_trace(path: Path) -> tuple[float, ...]:
    """Return the seconds of a file, ascending: its only column, or the one named ``at``.

    Raises UnitError, with the line of the file, for what is no time.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if any(row)]
    except (OSError, ValueError, csv.Error) as error:  # ValueError: no UTF-8, or a NUL in the name
        raise unreadable(path, error) from error
    if not rows:
        raise UnitError(f"holds no time (got {path})")
    column = 0
    if not _is_number(rows[0][1][0]) or _COLUMN in rows[0][1]:
        head = [name.strip() for name in rows.pop(0)[1]]
        if _COLUMN not in head:
            raise UnitError(f"has no column '{_COLUMN}' (got {shown(', '.join(head))})")
        column = head.index(_COLUMN)
    return tuple(sorted(_time(path, number, row, column) for number, row in rows))


def _time(path: Path, number: int, row: list[str], column: int) -> float:
    text = row[column] if column < len(row) else ""
    if not _is_number(text) or float(text) < 0:
        raise UnitError(f"{path}:{number}: expected the seconds of a boot, 0 or more (got {shown(text)})")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
