"""The run store: one SQLite file, written in batches from the writer's thread, readable after any crash.

WAL with synchronous NORMAL: a commit survives a crash of the process (kill -9), and one of the machine up to the last
checkpoint. `RunStore` may be called from any thread, one at a time. `run_reader` reads it. SQLite's errors become
`StoreError`.

The counts of a run are in table ``tallies``, a row for each slice of time, cohort and phase. They are written in the
transaction of the rows that they count, so both agree whenever a run is killed.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from estsim.errors import StoreError
from estsim.record.rows import COLUMNS, ENROLMENT_COLUMNS, ROW_OF, FleetStates, Row, SeriesDelta
from estsim.record.sample import Enrolment, GeneratorReading, Impact, InternalErrorRow, MarkRow, Sample
from estsim.record.slice_counts import SliceCounts, SliceKey
from estsim.record.slice_packing import slice_bytes, slice_of_bytes

_T = TypeVar("_T")
Rows = Mapping[str, Sequence[Row]]  # by table
CountedSlice = tuple[SliceKey, SliceCounts]

_TALLY_COLUMNS: Final = ("slice", "cohort", "phase", "counts")
_CACHED: Final = 2  # slices: the current one, and the one before

_FIND: Final = "SELECT counts FROM tallies WHERE slice = ? AND cohort = ? AND phase = ?"
_PUT: Final = f"INSERT OR REPLACE INTO tallies ({', '.join(_TALLY_COLUMNS)}) VALUES (?, ?, ?, ?)"  # noqa: S608 - names of ours

_ENROLMENT_FIELDS: Final = attrgetter(*ENROLMENT_COLUMNS)
APPLICATION_ID: Final = 0x45535453  # "ESTS", which identifies our files
SCHEMA_VERSION: Final = 7

_SCHEMA: Final = f"""
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE exchanges (id INTEGER PRIMARY KEY, {", ".join(COLUMNS["exchanges"])});
CREATE TABLE enrolments ({", ".join(COLUMNS["enrolments"])}, PRIMARY KEY (cohort, device, number));
CREATE TABLE series ({", ".join(COLUMNS["series"])});
CREATE TABLE generator ({", ".join(COLUMNS["generator"])});
CREATE TABLE fleet ({", ".join(COLUMNS["fleet"])});
CREATE TABLE marks ({", ".join(COLUMNS["marks"])});
CREATE TABLE internal_errors ({", ".join(COLUMNS["internal_errors"])});
CREATE TABLE impacts ({", ".join(COLUMNS["impacts"])}, PRIMARY KEY (cohort, device, kind, since_ns));
CREATE TABLE tallies ({", ".join(_TALLY_COLUMNS)}, PRIMARY KEY (slice, cohort, phase));
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


@dataclass(slots=True)
class Batch:
    """The records to write next; their rows are made in the writer's thread."""

    exchanges: list[Sample] = field(default_factory=list)
    enrolments: dict[tuple[str, int, int], Enrolment] = field(default_factory=dict)
    series: list[SeriesDelta] = field(default_factory=list)
    generator: list[GeneratorReading] = field(default_factory=list)
    fleet: list[FleetStates] = field(default_factory=list)
    marks: list[MarkRow] = field(default_factory=list)
    internal_errors: list[InternalErrorRow] = field(default_factory=list)
    impacts: dict[tuple[str, int, str, int], Impact] = field(default_factory=dict)
    ready: list[Rows] = field(default_factory=list)  # made by worker processes
    counted: list[CountedSlice] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, part.name) for part in fields(self))

    def extend(self, later: "Batch") -> None:
        """Append a later batch to this one."""
        self.exchanges.extend(later.exchanges)
        self.enrolments.update(later.enrolments)
        self.series.extend(later.series)
        self.generator.extend(later.generator)
        self.fleet.extend(later.fleet)
        self.marks.extend(later.marks)
        self.internal_errors.extend(later.internal_errors)
        self.impacts.update(later.impacts)
        self.ready.extend(later.ready)
        self.counted.extend(later.counted)

    def keep_open_ones(self) -> None:
        """Copy open enrolments and impacts: they may end while their rows are made, but are counted as open."""
        for key, enrolment in self.enrolments.items():
            if enrolment.end is None:
                self.enrolments[key] = Enrolment(*_ENROLMENT_FIELDS(enrolment))
        for where, impact in self.impacts.items():
            if impact.end is None:
                self.impacts[where] = replace(impact)

    def rows(self) -> Rows:
        """Return the rows of the records."""
        return {table: [*map(make, self.members(table))] for table, make in ROW_OF.items()}

    def members(self, table: str) -> Iterable[Any]:
        """Return the records of a table."""
        # Enrolments and impacts are written when they begin and when they end: the later row replaces the earlier.
        members = getattr(self, table)
        return members.values() if isinstance(members, dict) else members


class RunStore:
    """The store of a run that is being written; closing it leaves one self-contained file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._slices = StoredSlices()
        with mapped(path):
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
        """Write a batch, whole or not at all; raises StoreError, after which the batch may be written again."""
        self.write_rows([*batch.ready, batch.rows()], batch.counted)

    def write_rows(self, parts: Iterable[Rows], counted: Iterable[CountedSlice] = ()) -> None:
        """Write rows and their counts, all or none; raises StoreError."""
        with self._transaction() as connection:
            for rows in parts:
                for table, columns in COLUMNS.items():
                    connection.executemany(_insert(table, columns), rows.get(table, ()))
            self._slices.add(connection, counted)

    def put(self, **facts: str) -> None:
        """Write facts of the run, all or none, replacing earlier ones."""
        with self._transaction() as connection:
            connection.executemany(_insert("run", ("key", "value")), facts.items())

    def amend(self, work: Callable[[sqlite3.Connection], _T], counted: Callable[[_T], Iterable[CountedSlice]]) -> _T:
        """Change the store by ``work``, and add counts of its result, all or none; raises StoreError."""
        with self._transaction() as connection:
            found = work(connection)
            self._slices.add(connection, counted(found))
            return found

    def close(self) -> None:
        """Merge the log into the file and close it. A second call does nothing.

        Reading the finished file creates no other files. Raises StoreError if the disk has no room for the merge; then
        the file is closed, and complete together with its log.
        """
        with mapped(self.path), closing(self._connection), suppress(sqlite3.ProgrammingError):  # closed before
            self._connection.execute("PRAGMA journal_mode = DELETE")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with mapped(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._slices.forget()
                if self._connection.in_transaction:  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_FULL:
            raise StoreError(f"{path}: the disk is full") from error
        if code == sqlite3.SQLITE_NOTADB:
            raise StoreError(f"{path}: not an estsim run") from error
        raise StoreError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:  # of SQLite's own message, which quotes names in a damaged file
        raise StoreError(f"{path}: damaged: its names are no text") from error


class StoredSlices:
    """Merges counts into table ``tallies``, in the transactions of a store."""

    def __init__(self) -> None:
        self._cache: dict[SliceKey, SliceCounts] = {}

    def add(self, connection: sqlite3.Connection, counted: Iterable[CountedSlice]) -> None:
        """Add counts to their rows, in an open transaction."""
        changed: dict[SliceKey, SliceCounts] = {}
        for key, counts in counted:
            total = changed.get(key)
            if total is None:
                total = changed[key] = self._cache.get(key) or _stored(connection, key) or _none_like(counts)
            total.merge(counts)
        for (number, cohort, phase), counts in changed.items():
            connection.execute(_PUT, (number, cohort, phase or "", slice_bytes(counts)))
        self._cache |= changed
        latest = max((number for number, _, _ in self._cache), default=0)
        for key in [key for key in self._cache if key[0] <= latest - _CACHED]:
            del self._cache[key]

    def forget(self) -> None:
        """Drop the cache after a failed transaction: the rows are as before it."""
        self._cache.clear()


def _stored(connection: sqlite3.Connection, key: SliceKey) -> SliceCounts | None:
    number, cohort, phase = key
    found = connection.execute(_FIND, (number, cohort, phase or "")).fetchone()
    return slice_of_bytes(found[0]) if found else None


def _none_like(counts: SliceCounts) -> SliceCounts:
    """Return empty counts with the same limits D; the given ones must not change."""
    return SliceCounts.empty([limit_ms / 1000 for limit_ms in counts.tally.enrolment_tally.limits_ms])


def _insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names of ours
