"""A run's folder, opened to be read: which tables it offers, and their rows as a stream that is never held whole.

`open_run` takes a run that is finished, was killed, or is under way; `RunReader` sees to it that nothing changes. Rows
stay as SQLite has them, times in nanoseconds since the run's epoch: who wants records asks `RunReader` for them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from estsim.errors import UsageError
from estsim.est.enrolment import Cause
from estsim.measure.rows import (
    ENROLMENT_COLUMNS,
    EXCHANGE_COLUMNS,
    SERIES_COLUMNS,
    Row,
    enrolment_of,
    sample_of,
)
from estsim.measure.sample import Enrolment, Sample
from estsim.measure.store import RunReader

STORE: Final = "run.sqlite"


class Table(StrEnum):
    """What there is to read, by the name that users know it by."""

    EXCHANGES = "exchanges"
    ENROLMENTS = "enrolments"
    CERTIFICATES = "certificates"
    SERIES = "series"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a table's rows come from. ``size`` is answered without looking at every exchange, and may be a guess."""

    columns: tuple[str, ...]
    rows: str
    size: str
    nested: frozenset[str] = frozenset()  # columns that hold JSON


_CERTIFICATE: Final = ("serial", "issuer", "subject", "not_after", "device", "cohort", "goal", "key_sha256")
_ISSUED: Final = "enrolments WHERE serial IS NOT NULL"
# In the order in which they were written, so that the first row comes at once, however many there are.
_SOURCES: Final = {
    Table.EXCHANGES: _Source(
        ("id", *EXCHANGE_COLUMNS), "exchanges ORDER BY id", "MAX(id) FROM exchanges", frozenset({"non_conformances"})
    ),
    Table.ENROLMENTS: _Source(ENROLMENT_COLUMNS, "enrolments ORDER BY rowid", "COUNT(*) FROM enrolments"),
    Table.CERTIFICATES: _Source(_CERTIFICATE, f"{_ISSUED} ORDER BY rowid", f"COUNT(*) FROM {_ISSUED}"),
    Table.SERIES: _Source(
        SERIES_COLUMNS,
        "series ORDER BY rowid",
        "COUNT(*) FROM series",
        frozenset({"classes", "service", "response"}),
    ),
}


def open_run(run: Path) -> RunReader:
    """Open the store of a run, given as its folder or as the file. Raises UsageError and StoreError."""
    if not run.exists():
        raise UsageError(f"{run}: there is no such folder")
    if not run.is_dir():
        return RunReader(run)
    if not (run / STORE).is_file():
        raise UsageError(f"{run}: expected the folder of a run (there is no {STORE} in it)")
    return RunReader(run / STORE)


def columns_of(table: Table) -> tuple[str, ...]:
    """Return the names of a table's columns."""
    return _SOURCES[table].columns


def nested_columns_of(table: Table) -> frozenset[str]:
    """Return which of a table's columns hold JSON text, where they hold anything."""
    return _SOURCES[table].nested


def stream(run: RunReader, table: Table) -> Iterator[Row]:
    """Yield every row of a table, one by one."""
    source = _SOURCES[table]
    return run.select(f"SELECT {', '.join(source.columns)} FROM {source.rows}")  # noqa: S608 - names of ours only


def size_of(run: RunReader, table: Table) -> int:
    """Return about how many rows a table has, for whoever waits for them."""
    ((size,),) = run.select(f"SELECT {_SOURCES[table].size}")
    return size or 0


def exchanges_of(run: RunReader, device: int) -> list[Sample]:
    """Return a device's exchanges as they were recorded; the preflight is nobody's."""
    query = f"SELECT {', '.join(EXCHANGE_COLUMNS)} FROM exchanges WHERE device = ? AND cause != ? ORDER BY id"  # noqa: S608 - names of ours
    return [sample_of(row) for row in run.select(query, (device, Cause.PREFLIGHT.value))]


def enrolments_of(run: RunReader, device: int) -> list[Enrolment]:
    """Return the certificates that a device sought, in that order."""
    query = f"SELECT {', '.join(ENROLMENT_COLUMNS)} FROM enrolments WHERE device = ? ORDER BY number"  # noqa: S608 - names of ours
    return [enrolment_of(row) for row in run.select(query, (device,))]


def subjects_with(run: RunReader, part: str) -> Iterator[tuple[int, str]]:
    """Return the devices whose certificates have a text in their Subject, with that; each pair once."""
    query = "SELECT DISTINCT device, subject FROM enrolments WHERE INSTR(subject, ?) ORDER BY device"
    return ((device, subject) for device, subject in run.select(query, (part,)))
