"""What the sandbox keeps: rows whole or not at all, and the exchange log as others read it."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from server_sandbox import csr_for, new_key, running

from estsim.errors import StoreError
from estsim.est.certificate import serial_text
from estsim.server.policy import Pending, Request
from estsim.server.store import Exchange, IssuedRow, PendingRow, Store

REQUEST = Request(b"identity", b"key", b"names")
PENDING = Pending(REQUEST, ready_s=5.0, told_s=3.0, polls=2, has_token=True)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """Query the database as another process would."""
    with sqlite3.connect(path) as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


def test_a_commit_is_there_for_others_at_once(tmp_path: Path) -> None:
    """Exchange, certificate and the end of the pending request are one transaction."""
    path = tmp_path / "s.sqlite"
    store = Store(path)
    store.commit(Exchange(1.0, "a", "default", status=202), pending=PendingRow("default", PENDING, "CN=m", b"csr", 1.0))
    assert list(store.pending()) == [("default", PENDING)]
    issued = IssuedRow("ff", 2.0, "default", b"identity", b"key", "CN=m", 9.0, b"der")
    row = store.commit(Exchange(2.0, "b", "default", status=200, serial="ff"), issued=issued, settled=REQUEST)
    assert rows(path, "SELECT id, request_id, status, serial FROM exchanges") == [
        (1, "a", 202, None),
        (row, "b", 200, "ff"),
    ]
    assert rows(path, "SELECT serial, certificate FROM issued") == [("ff", b"der")]
    assert list(store.pending()) == []
    store.close()


def test_a_failed_commit_leaves_nothing(tmp_path: Path) -> None:
    """A serial twice is refused, and so is the line that came with it; the store works on."""
    store = Store(tmp_path / "s.sqlite")
    issued = IssuedRow("ff", 2.0, "default", b"i", b"k", "CN=m", 9.0, b"der")
    store.commit(Exchange(1.0, "a"), issued=issued)
    with pytest.raises(StoreError, match="UNIQUE"):
        store.commit(Exchange(2.0, "b"), issued=issued)
    store.commit(Exchange(3.0, "c"))
    assert rows(tmp_path / "s.sqlite", "SELECT request_id FROM exchanges ORDER BY id") == [("a",), ("c",)]
    store.close()


def test_serial_numbers_of_an_older_store_get_their_leading_zero(tmp_path: Path) -> None:
    """So a number that comes again is still the one that is there; what is not plain hexadecimal is left alone."""
    path = tmp_path / "s.sqlite"
    store = Store(path)
    issued = IssuedRow("fff", 2.0, "default", b"i", b"k", "CN=m", 9.0, b"der")
    for peer in ("abc", "-5", "0" * 80 + "…"):
        store.commit(Exchange(1.0, peer_serial=peer, serial="fff" if peer == "abc" else None))
    store.commit(Exchange(1.0, serial="ff"), issued=issued)
    store.close()
    store = Store(path)
    assert rows(path, "SELECT serial FROM issued") == [("0fff",)]
    logged = [("0abc", "0fff"), ("-5", None), ("0" * 80 + "…", None), (None, "ff")]
    assert rows(path, "SELECT peer_serial, serial FROM exchanges ORDER BY id") == logged
    with pytest.raises(StoreError, match="UNIQUE"):
        store.commit(Exchange(2.0, "b"), issued=replace(issued, serial="0fff"))
    store.close()


def test_a_repeat_updates_its_pending_row(tmp_path: Path) -> None:
    """One row per identity and key."""
    store = Store(tmp_path / "s.sqlite")
    for told_s in (1.0, 2.0):
        again = Pending(REQUEST, 5.0, told_s)
        store.commit(Exchange(0.0), pending=PendingRow("default", again, "CN=m", b"csr", 0.0))
    assert [pending.told_s for _, pending in store.pending()] == [2.0]
    store.close()


def test_handling_times_follow_with_the_next_commit_or_flush(tmp_path: Path) -> None:
    """They are known only when the answer has left, after its line was written."""
    path = tmp_path / "s.sqlite"
    store = Store(path)
    store.handled(store.commit(Exchange(0.0)), 11)
    store.handled(store.commit(Exchange(0.0)), 22)
    store.flush()
    store.handled(store.commit(Exchange(0.0)), 33)
    store.close()
    assert rows(path, "SELECT handling_us FROM exchanges ORDER BY id") == [(11,), (22,), (33,)]


def test_a_checkpoint_empties_the_write_ahead_log_into_the_file(tmp_path: Path) -> None:
    """Whoever copies the one file after that has everything."""
    path = tmp_path / "s.sqlite"
    store = Store(path)
    store.commit(Exchange(0.0, "a"))
    store.checkpoint()
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(path.read_bytes())
    assert rows(copy, "SELECT request_id FROM exchanges") == [("a",)]
    store.close()
    assert not (tmp_path / "s.sqlite-wal").exists()


def test_a_store_from_before_changes_were_recorded_can_record_them(tmp_path: Path) -> None:
    """Of the same version: the table is added."""
    path = tmp_path / "sandbox.sqlite"
    Store(path).close()
    with closing(sqlite3.connect(path)) as old:
        old.execute("DROP TABLE changes")
    with closing(Store(path)) as store:
        store.changed(5.0, '{"capacity.rate": "20/s"}')
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT at_unix, changes FROM changes").fetchall() == [(5.0, '{"capacity.rate": "20/s"}')]


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """Neither overwritten nor misread."""
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"not a database at all, but some other file of the user's" * 20)
    with pytest.raises(StoreError, match="cannot be used as the sandbox's store"):
        Store(path)


async def test_every_request_has_its_line_under_its_request_id(tmp_path: Path) -> None:
    """Issued, deferred and refused alike; with who asked, and how long it took."""
    async with running(tmp_path, {"issue": {"mode": "deferred", "delay": "10s"}}) as sandbox:
        csr = csr_for(new_key(), "m")
        for identifier in ("one", "two"):
            await sandbox.post(csr, identity=sandbox.here.bootstrap, headers=[("X-Request-ID", identifier)])
        await sandbox.post(csr, headers=[("X-Request-ID", "three")])
        await sandbox.get("cacerts")
        database = sandbox.here.database
    found = rows(
        database,
        "SELECT request_id, peer_subject, operation, method, path, status, retry_after, early,"
        " handling_us > 0 FROM exchanges ORDER BY id",
    )
    post = ("simpleenroll", "POST", "/.well-known/est/simpleenroll")
    get = ("cacerts", "GET", "/.well-known/est/cacerts")
    assert found == [
        ("one", "CN=bootstrap", *post, 202, "3", 0, 1),
        ("two", "CN=bootstrap", *post, 202, "3", 1, 1),
        ("three", None, *post, 403, None, 0, 1),
        (None, None, *get, 200, None, 0, 1),
    ]
    assert rows(database, "SELECT subject, polls FROM pending") == [("CN=m", 1)]


async def test_an_issued_certificate_is_on_record_with_its_serial(tmp_path: Path) -> None:
    """The log's serial is the certificate's, in hexadecimal."""
    async with running(tmp_path) as sandbox:
        issued = (await sandbox.enroll("m"))[0].certificate
        expected = serial_text(issued.serial_number)
        assert rows(sandbox.here.database, "SELECT serial FROM exchanges") == [(expected,)]
        assert rows(sandbox.here.database, "SELECT serial, subject FROM issued") == [(expected, "CN=m")]
