"""Reads a run's folder: the tables that it offers, and their rows as a stream in constant memory.

`open_run` takes a run that is finished, was killed, or is under way; `RunReader` changes nothing. Rows are as in
SQLite, with times in nanoseconds since the run's epoch; `RunReader` returns records.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from estsim.errors import UsageError
from estsim.est.enrolment import Cause
from estsim.record.nested import classes_of, histograms_of, non_conformances_of
from estsim.record.rows import (
    ENROLMENT_COLUMNS,
    EXCHANGE_COLUMNS,
    SERIES_COLUMNS,
    Row,
    enrolment_of,
    sample_of,
)
from estsim.record.run_reader import RunReader
from estsim.record.sample import Enrolment, InternalErrorRow, Sample

STORE: Final = "run.sqlite"
Nested = Mapping[str, Callable[[str], object]]


class Table(StrEnum):
    """The tables that users can read, by their public names."""

    EXCHANGES = "exchanges"
    ENROLMENTS = "enrolments"
    CERTIFICATES = "certificates"
    SERIES = "series"


@dataclass(frozen=True, slots=True)
class _Source:
    """The source of a table's rows. ``size`` is quick SQL for their number, which may be approximate."""

    table: str
    columns: tuple[str, ...]
    size: str
    where: str = ""
    nested: Nested = field(default_factory=dict)  # readers of the columns of JSON


_CERTIFICATE: Final = ("serial", "issuer", "subject", "not_after", "device", "cohort", "goal", "key_sha256")
_ISSUED: Final = "serial IS NOT NULL"
# Rows are in the order in which they were written, so that the first one comes at once.
_SOURCES: Final = {
    Table.EXCHANGES: _Source(
        "exchanges",
        ("id", *EXCHANGE_COLUMNS),
        "MAX(id) FROM exchanges",
        nested={"non_conformances": non_conformances_of},
    ),
    Table.ENROLMENTS: _Source("enrolments", ENROLMENT_COLUMNS, "COUNT(*) FROM enrolments"),
    Table.CERTIFICATES: _Source("enrolments", _CERTIFICATE, f"COUNT(*) FROM enrolments WHERE {_ISSUED}", where=_ISSUED),
    Table.SERIES: _Source(
        "series",
        SERIES_COLUMNS,
        "COUNT(*) FROM series",
        nested={
            "classes": classes_of,
            "service": partial(histograms_of, "service"),
            "response": partial(histograms_of, "response"),
        },
    ),
}


def open_run(run: Path) -> RunReader:
    """Open the store of a run, given as its folder or as the file. Raises UsageError and StoreError."""
    if not os.path.exists(run):  # noqa: PTH110 - pathlib raises for some names
        raise UsageError(f"{run}: no such folder")
    if not os.path.isdir(run):  # noqa: PTH112 - pathlib raises for some names
        return RunReader(run)
    if not os.path.isfile(run / STORE):  # noqa: PTH113 - pathlib raises for some names
        raise UsageError(f"{run}: expected a results folder (it contains no {STORE})")
    return RunReader(run / STORE)


def columns_of(table: Table) -> tuple[str, ...]:
    """Return the names of a table's columns."""
    return _SOURCES[table].columns


def nested_values(table: Table, entry: dict[str, object]) -> dict[str, object]:
    """Return a row by its columns, with the columns of JSON parsed."""
    for name in _SOURCES[table].nested:
        text = entry[name]
        entry[name] = json.loads(text) if isinstance(text, str) else text
    return entry


def stream(run: RunReader, table: Table) -> Iterator[Row]:
    """Yield every row of a table, one by one."""
    source = _SOURCES[table]
    nested = [(place, source.nested[name]) for place, name in enumerate(source.columns) if name in source.nested]

    def checked(row: Row) -> Row:
        for place, read in nested:
            read(row[place])
        return row

    return run.read(checked, source.table, names=source.columns, where=source.where)


def size_of(run: RunReader, table: Table) -> int:
    """Return the approximate number of rows of a table, for progress."""
    ((size,),) = run.select(f"SELECT {_SOURCES[table].size}")
    return size or 0


def exchanges_of(run: RunReader, device: int) -> list[Sample]:
    """Return a device's exchanges as they were recorded, without the preflight."""
    of_device = "device = ? AND cause != ?"
    return [*run.read(sample_of, "exchanges", where=of_device, values=(device, Cause.PREFLIGHT.value))]


def enrolments_of(run: RunReader, device: int) -> list[Enrolment]:
    """Return a device's enrolments, in order."""
    return [*run.read(enrolment_of, "enrolments", where="device = ?", values=(device,), order="number")]


def internal_errors_of(run: RunReader, device: int) -> list[InternalErrorRow]:
    """Return the internal errors of a device: the first stopped it."""
    return [*run.internal_errors("device = ?", (device,))]


def subjects_with(run: RunReader, part: str) -> Iterator[tuple[int, str]]:
    """Yield the devices with a text in a certificate's Subject, with that Subject; each pair once."""
    names, where = ("device", "subject"), "INSTR(subject, ?)"
    last, seen = None, set[str]()
    for device, subject in run.read(tuple, "enrolments", names=names, where=where, values=(part,), order="device"):
        if device != last:
            last, seen = device, set()
        if subject not in seen:
            seen.add(subject)
            yield device, subject
