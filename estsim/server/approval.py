"""Manual approval: listing and deciding pending requests from another process.

Works on the table ``pending`` of DIR/sandbox.sqlite; the sandbox need not run. A running sandbox reads a decision when
the request is repeated (RFC 7030 §4.2.3) and never waits for the database, so every access here is one short
transaction, and CSRs are read after it.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from estsim.errors import EstsimError, StoreError, UsageError
from estsim.est.csr import CSRError, CSRFacts, read_csr
from estsim.est.names import alternative_names
from estsim.est.public_keys import public_key
from estsim.pki.names import Names
from estsim.server.names import NamesError, requested_names
from estsim.server.store import SCHEMA_VERSION

_STORE: Final = "sandbox.sqlite"
_PATIENCE_S: Final = 5.0  # waiting for the sandbox, whose transactions take a millisecond
_UNREADABLE: Final = "unreadable"
_KINDS: Final = {"dns": "DNS", "ip": "IP", "uri": "URI", "dirname": "dirName", "rid": "RID", "other": "otherName"}

_HELD: Final = (
    "SELECT id, center, subject, csr, names_hash, since_unix, polls, approved, reason FROM pending WHERE for_person"
)
_ALL: Final = f"{_HELD} ORDER BY id"
_UNDECIDED: Final = f"{_HELD} AND approved IS NULL ORDER BY id"
_ONE: Final = f"{_HELD} AND id = ?"
_DECIDE: Final = "UPDATE pending SET approved = ?, reason = ?, decided_unix = ? WHERE id = ?"


class State(StrEnum):
    """The decision on a request."""

    WAITING = "waiting"  # no decision yet
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """A pending request for a person's decision. Texts are the client's and have to be cleaned before display.

    ``key`` is kind and size, ``key_sha256`` the digest of the SubjectPublicKeyInfo, ``sans`` the certificate's
    alternative names with their kinds; all say so where the CSR cannot be read.
    """

    id: int
    center: str
    subject: str
    key: str
    key_sha256: str
    sans: tuple[str, ...]
    since_unix: float
    polls: int
    state: State
    reason: str


class Approvals:
    """The pending requests of one sandbox folder; keeps nothing open between calls."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / _STORE

    def list(self, *, decided: bool = False) -> tuple[HeldRequest, ...]:
        """Return the requests that wait for a decision, with ``decided`` all requests, ordered by id.

        Raises UsageError where there is no readable sandbox store.
        """
        with self._opened() as db, self._explained(UsageError, "cannot be read"):
            rows = db.execute(_ALL if decided else _UNDECIDED).fetchall()
        return tuple(map(_as_request, rows))

    def decide(
        self, ids: Sequence[int] | None, *, approved: bool, reason: str = "", now_s: float
    ) -> tuple[HeldRequest, ...]:
        """Approve or reject requests (None: all that wait), and return them as they were before.

        A new decision replaces an earlier one. Raises UsageError as :meth:`list` does and for unknown ids, StoreError
        where the store cannot be written; nothing is changed then.
        """
        with self._opened() as db, self._explained(StoreError, "nothing was changed"):
            db.execute("BEGIN IMMEDIATE")  # closing rolls back what was not committed
            rows = db.execute(_UNDECIDED).fetchall() if ids is None else self._chosen(db, ids)
            db.executemany(_DECIDE, [(approved, reason or None, now_s, row[0]) for row in rows])
            db.execute("COMMIT")
        return tuple(map(_as_request, rows))

    def _chosen(self, db: sqlite3.Connection, ids: Sequence[int]) -> Sequence[Any]:
        """Return the rows of ids, each once."""
        found = {number: db.execute(_ONE, (number,)).fetchone() for number in ids}
        unknown = ", ".join(str(number) for number, row in found.items() if row is None)
        if unknown:
            raise UsageError(
                f"{self._directory}: expected ids of pending requests (got {unknown}); nothing was changed"
            )
        return tuple(found.values())

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the existing store."""
        self._expect_store()
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        with self._explained(UsageError, "cannot be read as a sandbox's store"):
            connection = sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S, isolation_level=None)
        with closing(connection) as db:
            with self._explained(UsageError, "cannot be read as a sandbox's store"):
                (version,) = db.execute("PRAGMA user_version").fetchone()
                # As in the sandbox: a commit does not wait for the disk, and does not checkpoint.
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute("PRAGMA wal_autocheckpoint = 0")
            if version != SCHEMA_VERSION:
                raise UsageError(f"{self._path}: expected schema version {SCHEMA_VERSION} (got {version})")
            yield db

    def _expect_store(self) -> None:
        try:
            found = self._path.is_file()
        except OSError as error:
            raise UsageError(f"{self._path}: cannot be read: {error.strerror}") from error
        if not found:
            raise UsageError(f"{self._directory}: expected a sandbox folder (it contains no {_STORE})")

    @contextmanager
    def _explained(self, kind: type[EstsimError], what: str) -> Iterator[None]:
        """Map SQLite's errors."""
        try:
            yield
        except sqlite3.Error as error:
            raise kind(f"{self._path}: {what}: {error}") from error


class _Asked(NamedTuple):
    """What a CSR asks to be certified."""

    key: str
    key_sha256: str
    sans: tuple[str, ...]


def _as_request(row: Any) -> HeldRequest:  # noqa: ANN401 - a row of SQLite
    number, center, subject, csr, names_hash, since_unix, polls, approved, reason = row
    state = State.WAITING if approved is None else State.APPROVED if approved else State.REJECTED
    return HeldRequest(number, center, subject, *_asked(csr, names_hash), since_unix, polls, state, reason or "")


def _asked(csr_der: bytes, names_hash: bytes) -> _Asked:
    try:
        facts = read_csr(csr_der)
        names = _names(facts, names_hash)
        key = public_key(facts.public_key_der)
        return _Asked(_kind(key), sha256(facts.public_key_der).hexdigest(), _sans(names))
    except CSRError:
        return _Asked(_UNREADABLE, _UNREADABLE, (_UNREADABLE,))


def _names(facts: CSRFacts, names_hash: bytes) -> Names:
    """Return the names to be certified: ChangeSubjectName applies to a renewal only (RFC 6402 §2.8).

    The store has no operation, but the digest of the requested names.
    """
    for renewing in (False, True):
        with suppress(NamesError):
            names = requested_names(facts, renewing=renewing)
            if names.digest == names_hash:
                return names
    raise CSRError("expected a request for the same names as the pending one")


def _kind(key: object) -> str:
    match key:
        case ec.EllipticCurvePublicKey():
            return f"P-{key.key_size}"
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case _:
            return type(key).__name__


def _sans(names: Names) -> tuple[str, ...]:
    """Return ``DNS:meter-1.example.com``; commas inside a name are escaped."""
    return tuple(map(_san, alternative_names(names.san_der).texts))


def _san(text: str) -> str:
    kind, _, value = text.partition(":")
    return f"{_KINDS.get(kind, kind)}:" + value.replace("\\", "\\\\").replace(",", "\\,")
