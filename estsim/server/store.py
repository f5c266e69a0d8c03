"""The sandbox's store, one SQLite file: exchanges served, certificates issued, pending requests, configuration changes.

What an answer promises (a certificate, a place in the queue) and its line in the exchange log are one transaction,
committed before the answer is sent. WAL with synchronous NORMAL: a commit does not wait for the disk and survives the
death of the process; :meth:`Store.checkpoint` moves the log into the file, in a thread. All other methods are for one
thread. The store never waits for other processes that write (:mod:`estsim.server.approval` does): it raises
``StoreBusy``, and the caller retries.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from estsim.errors import StoreError
from estsim.server.policy import Decision, Pending, Request

SCHEMA_VERSION: Final = 2
_PRIMARY_CODE: Final = 0xFF  # SQLite's extended codes have what they extend in their last octet
_SCHEMA: Final = """
CREATE TABLE exchanges (
    id INTEGER PRIMARY KEY, at_unix REAL, request_id TEXT, center TEXT, peer_subject TEXT, peer_serial TEXT, user TEXT,
    operation TEXT, method TEXT, path TEXT, status INTEGER, retry_after TEXT, early INTEGER, fault TEXT,
    serial TEXT, detail TEXT, handling_us INTEGER);
CREATE TABLE issued (
    serial TEXT PRIMARY KEY, at_unix REAL, center TEXT, identity BLOB, key_hash BLOB, subject TEXT, not_after REAL,
    certificate BLOB);
CREATE TABLE pending (
    id INTEGER PRIMARY KEY AUTOINCREMENT, center TEXT, identity BLOB, key_hash BLOB, names_hash BLOB, ready_unix REAL,
    told_unix REAL, polls INTEGER, has_token INTEGER, subject TEXT, csr BLOB, since_unix REAL, for_person INTEGER,
    approved INTEGER, reason TEXT, decided_unix REAL,
    UNIQUE (center, identity, key_hash));
"""
# An addition to version 2 that its readers need not know; older stores get it when they are opened.
_CHANGES: Final = "CREATE TABLE IF NOT EXISTS changes (id INTEGER PRIMARY KEY, at_unix REAL, changes TEXT)"


# Stores of earlier versions have serial numbers without their leading zero; the check reads an index only.
_ODD_SERIALS: Final = "SELECT EXISTS (SELECT 1 FROM issued WHERE length(serial) % 2)"
_PAD_SERIALS: Final = """
BEGIN IMMEDIATE;
UPDATE issued SET serial = '0' || serial WHERE length(serial) % 2;
UPDATE exchanges SET serial = '0' || serial WHERE length(serial) % 2;
UPDATE exchanges SET peer_serial = '0' || peer_serial
  WHERE length(peer_serial) % 2 AND peer_serial NOT GLOB '*[^0-9a-f]*';
COMMIT;
"""


class StoreBusy(StoreError):  # noqa: N818 - a moment, not a fault
    """Another process is writing; nothing was written, and a retry may succeed."""


@dataclass(slots=True)
class Exchange:
    """A row of the exchange log; ``status`` is None where no answer could be given (the client left, we stopped)."""

    at_unix: float
    request_id: str | None = None
    center: str | None = None
    peer_subject: str | None = None
    peer_serial: str | None = None
    user: str | None = None
    operation: str | None = None
    method: str | None = None
    path: str | None = None
    status: int | None = None
    retry_after: str | None = None
    early: int = 0
    fault: str | None = None
    serial: str | None = None
    detail: str | None = None
    handling_us: int | None = None


@dataclass(frozen=True, slots=True)
class IssuedRow:
    """An issued certificate; the serial is lower-case hexadecimal."""

    serial: str
    at_unix: float
    center: str
    identity: bytes
    key_hash: bytes
    subject: str
    not_after: float
    certificate: bytes


@dataclass(frozen=True, slots=True)
class PendingRow:
    """A pending request to store, with what a person needs for a decision."""

    center: str
    pending: Pending
    subject: str
    csr: bytes
    since_unix: float
    for_person: bool = False  # a person has to approve it


_NAMES: Final = tuple(field.name for field in fields(Exchange))
_COLUMNS: Final = ", ".join(_NAMES)
_MARKS: Final = ", ".join("?" * len(_NAMES))
_LOG: Final = f"INSERT INTO exchanges ({_COLUMNS}) VALUES ({_MARKS})"  # noqa: S608 - names of our own
_CHANGED: Final = "INSERT INTO changes (at_unix, changes) VALUES (?, ?)"
_ISSUED: Final = "INSERT INTO issued VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET: Final = "DELETE FROM pending WHERE center = ? AND identity = ? AND key_hash = ?"
_DECISION: Final = (
    "SELECT approved, reason FROM pending WHERE center = ? AND identity = ? AND key_hash = ? AND names_hash = ?"
)
_HANDLED: Final = "UPDATE exchanges SET handling_us = ? WHERE id = ?"
_AGAIN: Final = """
UPDATE pending SET ready_unix = ?, told_unix = ?, polls = ?, has_token = ?, csr = ?, for_person = ?
WHERE center = ? AND identity = ? AND key_hash = ? AND names_hash = ?
"""
_KEEP: Final = """
INSERT INTO pending (ready_unix, told_unix, polls, has_token, csr, for_person, center, identity, key_hash, names_hash,
    subject, since_unix) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Store:
    """The open database of one sandbox."""

    def __init__(self, path: Path) -> None:
        """Open or make the database; raises ``StoreError``."""
        self._path = path
        self._handled: list[tuple[int, int]] = []  # handling times, known only after the answer was sent
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot be used as the sandbox's store: {error}") from error

    def _prepare(self) -> None:
        """Make the tables or check their version, and never wait for locks from then on."""
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA wal_autocheckpoint = 0")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise StoreError(f"{self._path}: expected schema version {SCHEMA_VERSION} (got {version})")
        self._db.execute(_CHANGES)
        if self._db.execute(_ODD_SERIALS).fetchone()[0]:
            self._db.executescript(_PAD_SERIALS)
        self._db.execute("PRAGMA busy_timeout = 0")

    def commit(
        self,
        exchange: Exchange,
        *,
        issued: IssuedRow | None = None,
        settled: Request | None = None,
        pending: PendingRow | None = None,
    ) -> int:
        """Write one exchange with what it changed, durably, and return its id.

        ``settled`` is a request of the exchange's trust center that is no longer pending. Raises ``StoreError``
        (a full disk) or ``StoreBusy``, with nothing written.
        """
        with self._transaction() as db:
            self._write_handled()
            if issued is not None:
                db.execute(_ISSUED, _issued_values(issued))
            if settled is not None:
                db.execute(_FORGET, (exchange.center, settled.identity, settled.key))
            if pending is not None:
                _keep(db, pending)
            row = db.execute(_LOG, tuple(getattr(exchange, name) for name in _NAMES)).lastrowid
        self._handled.clear()
        return row or 0

    def changed(self, at_unix: float, changes: str) -> None:
        """Record a change of configuration, as JSON; raises ``StoreError`` or ``StoreBusy``."""
        with self._transaction() as db:
            db.execute(_CHANGED, (at_unix, changes))

    def handled(self, row: int, handling_us: int) -> None:
        """Note the handling time of an exchange; written with the next commit."""
        self._handled.append((handling_us, row))

    def flush(self) -> None:
        """Write the handling times noted so far; raises ``StoreError`` and then keeps them."""
        if not self._handled:
            return
        with self._transaction():
            self._write_handled()
        self._handled.clear()

    def pending(self) -> Iterator[tuple[str, Pending]]:
        """Yield the requests that were pending when the sandbox last ran, with their trust centers, by ready time."""
        rows = self._db.execute(
            "SELECT center, identity, key_hash, names_hash, ready_unix, told_unix, polls, has_token, approved, reason"
            " FROM pending ORDER BY ready_unix"
        )
        for center, identity, key, names, ready_s, told_s, polls, has_token, approved, reason in rows:
            decision = _decision(approved, reason)
            request = Request(identity, key, names)
            yield center, Pending(request, ready_s, told_s, polls, has_token=bool(has_token), decision=decision)

    def decision(self, center: str, request: Request) -> Decision | None:
        """Return a person's decision on a pending request, or None; raises ``StoreError``."""
        try:
            found = self._db.execute(_DECISION, (center, request.identity, request.key, request.names)).fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        return None if found is None else _decision(*found)

    def undecided(self) -> dict[str, int]:
        """Return the number of undecided pending requests by trust center."""
        try:
            counts = self._db.execute(
                "SELECT center, count(*) FROM pending WHERE for_person AND approved IS NULL GROUP BY center"
            )
            return dict(counts.fetchall())
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database file, over a connection of its own, for a thread of its own.

        Raises ``StoreError`` where the disk is full; nothing is lost, the log only stays long.
        """
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Flush if possible, and close; the log is moved into the file for other readers."""
        with suppress(StoreError):
            self.flush()
        with suppress(sqlite3.Error):  # a reader is active, or the disk is full: it stays in WAL mode
            self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold a transaction; raises ``StoreError`` where it cannot be written."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            busy = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
            raise (StoreBusy if busy else StoreError)(f"{self._path}: {error}") from error

    def _write_handled(self) -> None:
        if self._handled:
            self._db.executemany(_HANDLED, self._handled)


def _issued_values(row: IssuedRow) -> tuple[object, ...]:
    return (
        row.serial,
        row.at_unix,
        row.center,
        row.identity,
        row.key_hash,
        row.subject,
        row.not_after,
        row.certificate,
    )


def _keep(db: sqlite3.Connection, row: PendingRow) -> None:
    """Insert or update a pending request.

    Other names with a known key are another request, with another id: a person's decision on the old one must not apply
    to this one.
    """
    kept, request = row.pending, row.pending.request
    which = (row.center, request.identity, request.key)
    state = (kept.ready_s, kept.told_s, kept.polls, int(kept.has_token), row.csr, int(row.for_person))
    if not db.execute(_AGAIN, (*state, *which, request.names)).rowcount:
        db.execute(_FORGET, which)
        db.execute(_KEEP, (*state, *which, request.names, row.subject, row.since_unix))


def _decision(approved: int | None, reason: str | None) -> Decision | None:
    return None if approved is None else Decision(bool(approved), reason or "")
