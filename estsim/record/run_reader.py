"""Reads an untrusted run store: its content becomes values, or a StoreError.

`RunReader` never changes a run, and leaves no file in its folder. Tables and columns are checked when a store is
opened, each row when it is read (`read`) or before it is counted in SQL (`require`), by the rules of `columns`. Errors
name the file, the table, the column and the row, with what was expected and what came.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from estsim.errors import StoreError
from estsim.record.columns import TABLES, Column, fault_of, is_faulty
from estsim.record.nested import Misfit
from estsim.record.rows import (
    FleetStates,
    Row,
    SeriesDelta,
    delta_of,
    enrolment_of,
    fleet_states_of,
    impact_of,
    reading_of,
    sample_of,
)
from estsim.record.sample import Enrolment, GeneratorReading, Impact, InternalErrorRow, MarkRow, Sample
from estsim.record.store import APPLICATION_ID, SCHEMA_VERSION, mapped
from estsim.units import shown

_T = TypeVar("_T")
_SHOWN: Final = 100  # characters of what was found instead


class RunReader:
    """A run's store, opened for reading: of a finished run, one that was killed, or one under way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise StoreError(f"{path}: no such run")
        with mapped(path):
            store = Path(os.path.realpath(path))  # SQLite keeps the log next to the target of a link
            options, index_in_memory = _options(store)
            self._connection = sqlite3.connect(f"{store.as_uri()}?mode=ro{options}", uri=True)
            try:
                if index_in_memory:
                    self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._check()
            except BaseException:
                self._connection.close()
                raise

    def _check(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise StoreError(f"{self.path}: not an estsim run")
        if version != SCHEMA_VERSION:
            raise StoreError(f"{self.path}: expected a run store of version {SCHEMA_VERSION} (got {version})")
        kinds = dict(self._connection.execute("SELECT name, type FROM sqlite_master"))
        for table in TABLES:
            if kinds.get(table) != "table":
                raise StoreError(f"{self.path}: expected a table {table} (got {kinds.get(table, 'none')})")
            self._check_columns(table)

    def _check_columns(self, table: str) -> None:
        """Require stored columns without a type, and the number of an exchange as its primary key."""
        found = {
            name: (hidden, kind, key)
            for _, name, kind, _, _, key, hidden in self._connection.execute(f"PRAGMA table_xinfo({table})")
        }
        for column in TABLES[table]:
            hidden, kind, _ = found.get(column.name, (1, "", 0))
            if hidden:
                raise StoreError(f"{self.path}: {table}: expected a column {column.name} (got none)")
            if kind and table != "run":
                raise StoreError(f"{self.path}: {table}.{column.name}: expected a column without a type (got {kind})")
        if table == "exchanges" and found.get("id") != (0, "INTEGER", 1):
            raise StoreError(f"{self.path}: {table}: expected a column id that is the primary key (got none)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def facts(self) -> dict[str, str]:
        """Return the facts of the run."""
        return dict(self.read(tuple, "run"))

    def exchanges(self) -> Iterator[Sample]:
        """Yield every exchange in the order of the record, with the preflight."""
        return self.read(sample_of, "exchanges")

    def enrolments(self) -> Iterator[Enrolment]:
        """Yield every enrolment, ended or open."""
        return self.read(enrolment_of, "enrolments", order="intended_ns")

    def impacts(self) -> Iterator[Impact]:
        """Yield the impacts of events on devices."""
        return self.read(impact_of, "impacts", order="since_ns")

    def series(self) -> Iterator[SeriesDelta]:
        """Yield the counts per second and cohort; rows of one second add up."""
        return self.read(delta_of, "series", order="second")

    def readings(self) -> Iterator[GeneratorReading]:
        """Yield the readings of the generator."""
        return self.read(reading_of, "generator", order="at_ns")

    def fleet(self) -> Iterator[FleetStates]:
        """Yield the states of each cohort's devices, at each change."""
        return self.read(fleet_states_of, "fleet", order="second")

    def marks(self) -> Iterator[MarkRow]:
        """Yield the marks of the run."""
        return self.read(lambda row: MarkRow(*row), "marks", order="at_ns")

    def internal_errors(self, where: str = "", values: Sequence[object] = ()) -> Iterator[InternalErrorRow]:
        """Yield the internal errors."""
        make, order = (lambda row: InternalErrorRow(*row)), "at_ns, rowid"
        return self.read(make, "internal_errors", where=where, values=values, order=order)

    def read(
        self,
        make: Callable[[Row], _T],
        table: str,
        *,
        names: Sequence[str] | None = None,
        where: str = "",
        values: Sequence[object] = (),
        order: str = "rowid",
    ) -> Iterator[_T]:
        """Yield the results of ``make`` for each row of a table, with all columns or the named ones.

        Takes constant memory. Raises StoreError for an invalid column; ``make`` may raise Misfit.
        """
        columns = TABLES[table]
        wanted = [column.name for column in columns] if names is None else names
        query = f"SELECT {fault_of(columns)}, rowid, {', '.join(wanted)} FROM {table}"  # noqa: S608 - names of ours
        for fault, number, *row in self.select(f"{query} {where and f'WHERE {where}'} ORDER BY {order}", values):
            if fault is not None:
                raise self._invalid(table, number, columns[fault])
            try:
                made = make(tuple(row))
            except Misfit as misfit:
                raise self.unreadable(table, number, misfit) from misfit
            yield made

    def require(self, table: str, *, beside: Sequence[Column] = (), where: str = "1") -> None:
        """Check rows before they are counted in SQL: every column, and the conditions ``beside`` them.

        Raises StoreError.
        """
        columns = (*TABLES[table], *beside)
        query = f"SELECT rowid FROM {table} WHERE {where} AND {is_faulty(columns)} LIMIT 1"  # noqa: S608 - names of ours
        for (number,) in self.select(query):
            ((fault,),) = self.select(f"SELECT {fault_of(columns)} FROM {table} WHERE rowid = ?", (number,))  # noqa: S608
            raise self._invalid(table, number, columns[fault])

    def unreadable(self, table: str, number: int | str | None, misfit: Misfit) -> StoreError:
        """Return the error of a column with another value than expected."""
        row = "" if number is None else f", row {number}"
        where = f"{table}.{misfit.column}{row}"
        return StoreError(f"{self.path}: unreadable content: {where}: expected {misfit.expected} (got {misfit.got})")

    def _invalid(self, table: str, number: int, column: Column) -> StoreError:
        """Return the error of an invalid column, with the value that it has."""
        name = column.name
        query = (
            f"SELECT typeof({name}), length({name}), "  # noqa: S608 - names of ours
            f"CASE typeof({name}) WHEN 'text' THEN CAST(substr({name}, 1, {_SHOWN}) AS BLOB) WHEN 'blob' THEN 0 "
            f"ELSE {name} END FROM {table} WHERE rowid = ?"
        )
        kind, length, found = next(self.select(query, (number,)), ("null", 0, None))  # a run under way replaces rows
        got = {"text": "the text ", "blob": f"{length} bytes that are no text"}.get(kind, "")
        if kind == "text":
            got += shown(bytes(found).decode(errors="replace")) or "of no characters"
        elif kind != "blob":
            got = shown(found)
        return self.unreadable(table, number, Misfit(name, column.expected, got))

    def select(self, query: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """Yield the rows of a query one by one, in constant memory and without checks."""
        try:
            with mapped(self.path):
                cursor = self._connection.execute(query, values)
                try:
                    for row in cursor:  # noqa: UP028 - `yield from` would close it, which fails where the store is closed
                        yield row
                finally:
                    with suppress(sqlite3.ProgrammingError):  # the store may have been closed meanwhile
                        cursor.close()
        except StoreError as error:
            if str(error.__cause__).startswith("Could not decode to UTF-8"):
                raise self._undecodable(error) from error
            raise

    def _undecodable(self, error: StoreError) -> StoreError:
        """Return the error that names the first text that is not UTF-8."""
        self._connection.text_factory = bytes
        try:
            for table, columns in TABLES.items():
                names = [column.name for column in columns]
                with mapped(self.path):
                    rows = self._connection.execute(f"SELECT rowid, {', '.join(names)} FROM {table}")  # noqa: S608
                    for number, *row in rows:
                        for name, value in zip(names, row, strict=True):
                            if _is_undecodable(value):
                                return self.unreadable(table, number, Misfit(name, "text in UTF-8", _words(value)))
        finally:
            self._connection.text_factory = str
        return error


def _is_undecodable(value: Any) -> bool:  # noqa: ANN401 - of SQLite
    if not isinstance(value, bytes):
        return False
    try:
        value.decode()
    except UnicodeDecodeError:
        return True
    return False


def _words(value: bytes) -> str:
    return f"the text {shown(value[:_SHOWN].decode(errors='replace'))}"


def _options(path: Path) -> tuple[str, bool]:
    """Return the options of a store's URI, and whether the index of its log must be made in memory.

    SQLite would create the missing files of a store in WAL mode, and leave them behind. A live writer has both: if one
    is missing, nobody writes, and neither locks nor shared memory are needed.
    """
    log, index, journal = (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", "-journal"))
    if log.exists():
        return ("", False) if index.exists() else ("&vfs=unix-none", True)
    return ("", False) if journal.exists() else ("&immutable=1", False)
