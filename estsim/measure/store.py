"""The run store: one SQLite file, written a batch at a time from the writer's thread, readable after any death.

WAL with synchronous NORMAL: a commit survives the death of the process at once (kill -9), and of the machine up to the
last checkpoint. `RunStore` has one connection and writes one batch at a time; it may be called from any thread, one at
a time. `RunReader` never changes a run and leaves no file beside it, whatever its writer left there. Foreign errors
become `StoreError`.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from estsim.errors import StoreError
from estsim.measure.rows import (
    ENROLMENT_COLUMNS,
    EXCHANGE_COLUMNS,
    FLEET_COLUMNS,
    GENERATOR_COLUMNS,
    MARK_COLUMNS,
    SERIES_COLUMNS,
    FleetStates,
    Row,
    SeriesDelta,
    delta_of,
    enrolment_of,
    enrolment_row,
    exchange_row,
    fleet_row,
    fleet_states_of,
    generator_row,
    mark_row,
    reading_of,
    sample_of,
    series_row,
)
from estsim.measure.sample import Enrolment, GeneratorReading, MarkRow, Sample

Rows = Mapping[str, Sequence[Row]]  # by table

COLUMNS: Final = {
    "exchanges": EXCHANGE_COLUMNS,
    "enrolments": ENROLMENT_COLUMNS,
    "series": SERIES_COLUMNS,
    "generator": GENERATOR_COLUMNS,
    "fleet": FLEET_COLUMNS,
    "marks": MARK_COLUMNS,
}
APPLICATION_ID: Final = 0x45535453  # "ESTS", so that a foreign file is told from ours
SCHEMA_VERSION: Final = 3

_SCHEMA: Final = f"""
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE exchanges (id INTEGER PRIMARY KEY, {", ".join(EXCHANGE_COLUMNS)});
CREATE TABLE enrolments ({", ".join(ENROLMENT_COLUMNS)}, PRIMARY KEY (cohort, device, number));
CREATE TABLE series ({", ".join(SERIES_COLUMNS)});
CREATE TABLE generator ({", ".join(GENERATOR_COLUMNS)});
CREATE TABLE fleet ({", ".join(FLEET_COLUMNS)});
CREATE TABLE marks ({", ".join(MARK_COLUMNS)});
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


@dataclass(slots=True)
class Batch:
    """What is to be written next, in the objects that the loop handed over; rows are made where it is written."""

    exchanges: list[Sample] = field(default_factory=list)
    enrolments: dict[tuple[str, int, int], Enrolment] = field(default_factory=dict)
    series: list[SeriesDelta] = field(default_factory=list)
    generator: list[GeneratorReading] = field(default_factory=list)
    fleet: list[FleetStates] = field(default_factory=list)
    marks: list[MarkRow] = field(default_factory=list)
    ready: list[Rows] = field(default_factory=list)  # of worker processes, made there

    def __bool__(self) -> bool:
        return any(getattr(self, part.name) for part in fields(self))

    def extend(self, later: "Batch") -> None:
        """Put a batch that came later behind this one."""
        self.exchanges.extend(later.exchanges)
        self.enrolments.update(later.enrolments)
        self.series.extend(later.series)
        self.generator.extend(later.generator)
        self.fleet.extend(later.fleet)
        self.marks.extend(later.marks)
        self.ready.extend(later.ready)

    def rows(self) -> Rows:
        """Return the rows of what is not ready made."""
        return {
            "exchanges": [*map(exchange_row, self.exchanges)],
            # An enrolment is written when it begins and again when it ends: the later row replaces the earlier.
            "enrolments": [*map(enrolment_row, self.enrolments.values())],
            "series": [*map(series_row, self.series)],
            "generator": [*map(generator_row, self.generator)],
            "fleet": [*map(fleet_row, self.fleet)],
            "marks": [*map(mark_row, self.marks)],
        }


class RunStore:
    """The store of a run that is being written; close it to leave one self-contained file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _mapped(path):
            self._connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.executescript(_SCHEMA)
            except sqlite3.Error:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, batch: Batch) -> None:
        """Write a batch, whole or not at all; raises StoreError, after which the same batch may be tried again."""
        with self._transaction() as connection:
            for rows in (*batch.ready, batch.rows()):
                for table, columns in COLUMNS.items():
                    connection.executemany(_insert(table, columns), rows.get(table, ()))

    def put(self, **facts: str) -> None:
        """Write facts of the run, all or none, replacing earlier ones."""
        with self._transaction() as connection:
            connection.executemany(_insert("run", ("key", "value")), facts.items())

    def close(self) -> None:
        """Fold the log into the file and close it. A second call does nothing.

        The finished file is an ordinary one: reading it leaves nothing beside it.
        """
        with _mapped(self.path):
            with suppress(sqlite3.ProgrammingError):  # closed before
                self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _mapped(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk rolls back by itself
                    self._connection.execute("ROLLBACK")
                raise


class RunReader:
    """A run's store, opened to be read: of a finished run, one that was killed, or one under way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise StoreError(f"{path}: there is no such run")
        with _mapped(path):
            way, index_in_memory = _way_in(path)
            self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{way}", uri=True)
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
            raise StoreError(f"{self.path}: not a run of estsim")
        if version != SCHEMA_VERSION:
            raise StoreError(f"{self.path}: expected a run store of version {SCHEMA_VERSION} (got {version})")

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
        return dict(self._rows("run", ("key", "value")))

    def exchanges(self) -> Iterator[Sample]:
        """Yield every exchange in the order it was recorded, preflight included."""
        return map(sample_of, self._rows("exchanges", EXCHANGE_COLUMNS, order="id"))

    def enrolments(self) -> Iterator[Enrolment]:
        """Yield every enrolment, open ones too."""
        return map(enrolment_of, self._rows("enrolments", ENROLMENT_COLUMNS, order="intended_ns"))

    def series(self) -> Iterator[SeriesDelta]:
        """Yield what happened per second and cohort; rows of one second add up."""
        return map(delta_of, self._rows("series", SERIES_COLUMNS, order="second"))

    def readings(self) -> Iterator[GeneratorReading]:
        """Yield what the generator said of itself."""
        return map(reading_of, self._rows("generator", GENERATOR_COLUMNS, order="at_ns"))

    def fleet(self) -> Iterator[FleetStates]:
        """Yield the states of each cohort's devices, as often as they changed."""
        return map(fleet_states_of, self._rows("fleet", FLEET_COLUMNS, order="second"))

    def marks(self) -> Iterator[MarkRow]:
        """Yield what was told of the run."""
        return (MarkRow(*row) for row in self._rows("marks", MARK_COLUMNS, order="at_ns"))

    def select(self, query: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """Yield the rows of a query one by one as SQLite finds them, so in constant memory. See `rows` for columns."""
        with _mapped(self.path), closing(self._connection.execute(query, values)) as cursor:
            yield from cursor

    def _rows(self, table: str, columns: tuple[str, ...], order: str = "rowid") -> Iterator[Row]:
        return self.select(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")  # noqa: S608 - names of ours


def _way_in(path: Path) -> tuple[str, bool]:
    """Return what to add to a store's address, and whether the index of its log has to be made in memory.

    SQLite would make the files that it misses beside a store in WAL mode, and not take them away again. A writer that
    lives has both: so where one is missing nobody writes, and neither locks nor shared memory are needed.
    """
    log, index, journal = (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", "-journal"))
    if log.exists():
        return ("", False) if index.exists() else ("&vfs=unix-none", True)
    return ("", False) if journal.exists() else ("&immutable=1", False)


def _insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names of ours


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreError, in words for whoever has to free the disk."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_FULL:
            raise StoreError(f"{path}: the disk is full") from error
        if code == sqlite3.SQLITE_NOTADB:
            raise StoreError(f"{path}: not a run of estsim") from error
        raise StoreError(f"{path}: {error}") from error
