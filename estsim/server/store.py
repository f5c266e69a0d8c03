"""The sandbox's durable memory: exchanges served, certificates issued, requests pending, in one SQLite file.

What an answer promises (a certificate, a place in the queue) and the line of the exchange log that says so are one
transaction, committed before the answer is sent. WAL with synchronous NORMAL: a commit is a write to the log without
a wait for the disk, so it survives the death of the process; moving the log into the file is done in a thread, by
:meth:`Store.checkpoint`. The store is used from one thread, but for that method.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from estsim.errors import StoreError
from estsim.server.policy import Pending, Request

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE exchanges (
    id INTEGER PRIMARY KEY, at_unix REAL, request_id TEXT, peer_subject TEXT, peer_serial TEXT, user TEXT,
    operation TEXT, method TEXT, path TEXT, status INTEGER, retry_after TEXT, early INTEGER, fault TEXT,
    serial TEXT, detail TEXT, handling_us INTEGER);
CREATE TABLE issued (
    serial TEXT PRIMARY KEY, at_unix REAL, identity BLOB, key_hash BLOB, subject TEXT, not_after REAL,
    certificate BLOB);
CREATE TABLE pending (
    identity BLOB, key_hash BLOB, names_hash BLOB, ready_unix REAL, told_unix REAL, polls INTEGER,
    has_token INTEGER, subject TEXT, csr BLOB, since_unix REAL,
    PRIMARY KEY (identity, key_hash)) WITHOUT ROWID;
"""


@dataclass(slots=True)
class Exchange:
    """A row of the exchange log; ``status`` is None where no answer could be given (the client left, we stopped)."""

    at_unix: float
    request_id: str | None = None
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
    """A certificate handed out; serials are lower-case hexadecimal."""

    serial: str
    at_unix: float
    identity: bytes
    key_hash: bytes
    subject: str
    not_after: float
    certificate: bytes


@dataclass(frozen=True, slots=True)
class PendingRow:
    """A pending request to keep, with what a person needs to judge it by."""

    pending: Pending
    subject: str
    csr: bytes
    since_unix: float


_NAMES: Final = tuple(field.name for field in fields(Exchange))
_COLUMNS: Final = ", ".join(_NAMES)
_MARKS: Final = ", ".join("?" * len(_NAMES))
_LOG: Final = f"INSERT INTO exchanges ({_COLUMNS}) VALUES ({_MARKS})"  # noqa: S608 - names of our own
_ISSUED: Final = "INSERT INTO issued VALUES (?, ?, ?, ?, ?, ?, ?)"
_FORGET: Final = "DELETE FROM pending WHERE identity = ? AND key_hash = ?"
_HANDLED: Final = "UPDATE exchanges SET handling_us = ? WHERE id = ?"
_KEEP: Final = """
INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (identity, key_hash) DO UPDATE SET names_hash = excluded.names_hash, ready_unix = excluded.ready_unix,
    told_unix = excluded.told_unix, polls = excluded.polls, has_token = excluded.has_token, csr = excluded.csr
"""


class Store:
    """The open database of one sandbox."""

    def __init__(self, path: Path) -> None:
        """Open or make the database; raises ``StoreError``."""
        self._path = path
        self._handled: list[tuple[int, int]] = []  # handling times known only after the answer went out
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._prepare()
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot be used as the sandbox's store: {error}") from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA wal_autocheckpoint = 0")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
        elif version != _SCHEMA_VERSION:
            raise StoreError(f"{self._path}: expected schema version {_SCHEMA_VERSION} (got {version})")

    def commit(
        self,
        exchange: Exchange,
        *,
        issued: IssuedRow | None = None,
        settled: Request | None = None,
        pending: PendingRow | None = None,
    ) -> int:
        """Write one exchange with what it changed, durably, and return its id.

        ``settled`` is a pending request that is pending no longer. Raises ``StoreError`` (a full disk), with nothing
        written.
        """
        with self._transaction() as db:
            self._write_handled()
            if issued is not None:
                db.execute(_ISSUED, _issued_values(issued))
            if settled is not None:
                db.execute(_FORGET, (settled.identity, settled.key))
            if pending is not None:
                db.execute(_KEEP, _pending_values(pending))
            row = db.execute(_LOG, tuple(getattr(exchange, name) for name in _NAMES)).lastrowid
        self._handled.clear()
        return row or 0

    def handled(self, row: int, handling_us: int) -> None:
        """Note how long an exchange took to the moment its answer was handed over; written with the next commit."""
        self._handled.append((handling_us, row))

    def flush(self) -> None:
        """Write the handling times noted so far; raises ``StoreError``, and they wait for the next time."""
        if not self._handled:
            return
        with self._transaction():
            self._write_handled()
        self._handled.clear()

    def pending(self) -> Iterator[Pending]:
        """Yield the requests that were pending when the sandbox last ran, in the order of their ready times."""
        rows = self._db.execute(
            "SELECT identity, key_hash, names_hash, ready_unix, told_unix, polls, has_token"
            " FROM pending ORDER BY ready_unix"
        )
        for identity, key, names, ready_s, told_s, polls, has_token in rows:
            yield Pending(Request(identity, key, names), ready_s, told_s, polls, has_token=bool(has_token))

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database file; for a thread of its own, with a connection of its own.

        Raises ``StoreError`` where there is no room: nothing is lost, the log only stays long.
        """
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Write what is left, if it can be written, and close; the log is folded into the file, for any reader."""
        with suppress(StoreError):
            self.flush()
        with suppress(sqlite3.Error):  # somebody reads it, or the disk is full: it stays as it is
            self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold a transaction: all of it is written, or none and ``StoreError`` says why."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise StoreError(f"{self._path}: {error}") from error

    def _write_handled(self) -> None:
        if self._handled:
            self._db.executemany(_HANDLED, self._handled)


def _issued_values(row: IssuedRow) -> tuple[object, ...]:
    return (
        row.serial,
        row.at_unix,
        row.identity,
        row.key_hash,
        row.subject,
        row.not_after,
        row.certificate,
    )


def _pending_values(row: PendingRow) -> tuple[object, ...]:
    kept, request = row.pending, row.pending.request
    return (
        request.identity,
        request.key,
        request.names,
        kept.ready_s,
        kept.told_s,
        kept.polls,
        int(kept.has_token),
        row.subject,
        row.csr,
        row.since_unix,
    )
