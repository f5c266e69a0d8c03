"""What a person decides on what a sandbox holds: while it runs, when it has stopped, and where there is none."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from server_sandbox import DEADLINE_S, Running, csr_for, identity_file, new_key, ours, running
from test_server_names import SAN, changing

from estsim.errors import StoreError, UsageError
from estsim.est.csr import build_csr, read_csr
from estsim.est.signing import PrivateKey
from estsim.pki.keys import KeyKind, make_key
from estsim.pki.names import common_name
from estsim.server import approval
from estsim.server.approval import Approvals, HeldRequest, State
from estsim.server.names import requested_names
from estsim.server.policy import Decision, Pending, Request
from estsim.server.store import SCHEMA_VERSION, Exchange, PendingRow, Store

MANUAL: dict[str, object] = {"issue": {"mode": "manual"}}
TWO_MANUAL: dict[str, object] = {"trust_centers": {"default": MANUAL, "meters": MANUAL}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Open the store of a sandbox, as the sandbox itself does."""
    store = Store(tmp_path / "sandbox.sqlite")
    yield store
    store.close()


def hold(
    store: Store,
    name: str = "m",
    san: x509.SubjectAlternativeName | None = None,
    *,
    key: PrivateKey | None = None,
    polls: int = 0,
) -> Request:
    """Have the store hold a request, as a trust center does, and return it."""
    csr = build_csr(key or new_key(), common_name(name), san.public_bytes() if san else None)
    facts = read_csr(csr)
    names = requested_names(facts, renewing=False)
    wanted = sha256(names.subject_der + b"\0" + (names.san_der or b"")).digest()
    request = Request(b"identity", sha256(facts.public_key_der).digest(), wanted)
    row = PendingRow("default", Pending(request, 5.0, 5.0, polls), names.subject, csr, 1000.5, for_person=True)
    store.commit(Exchange(1000.5), pending=row)
    return request


def approve(folder: Path, *ids: int) -> tuple[HeldRequest, ...]:
    """Approve requests."""
    return Approvals(folder).decide(ids, approved=True, now_s=2000.0)


def reject(folder: Path, *ids: int, reason: str = "") -> tuple[HeldRequest, ...]:
    """Reject requests."""
    return Approvals(folder).decide(ids, approved=False, reason=reason, now_s=2000.0)


def states(folder: Path) -> dict[int, str]:
    """Return what was decided on everything that is held."""
    return {request.id: request.state for request in Approvals(folder).list(decided=True)}


# -- the store alone


def test_a_request_is_listed_with_all_that_it_is_judged_by(store: Store, tmp_path: Path) -> None:
    """Who, for which key and names, since when and how often."""
    key = new_key()
    hold(store, "m-1", x509.SubjectAlternativeName([x509.DNSName("m-1.example")]), key=key, polls=3)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert Approvals(tmp_path).list() == (
        HeldRequest(
            id=1,
            center="default",
            subject="CN=m-1",
            key="P-256",
            key_sha256=sha256(spki).hexdigest(),
            sans=("DNS:m-1.example",),
            since_unix=1000.5,
            polls=3,
            state=State.WAITING,
            reason="",
        ),
    )


@pytest.mark.parametrize(
    ("kind", "shown"),
    [(KeyKind.EC_P384, "P-384"), (KeyKind.RSA_2048, "RSA 2048"), (KeyKind.ED25519, "Ed25519")],
)
def test_a_key_is_named_with_its_size(store: Store, tmp_path: Path, kind: KeyKind, shown: str) -> None:
    """In the words of the field."""
    hold(store, key=make_key(kind))
    (request,) = Approvals(tmp_path).list()
    assert request.key == shown


def test_every_kind_of_name_is_shown(store: Store, tmp_path: Path) -> None:
    """One that has a comma in it cannot pass for two."""
    names = [
        x509.DNSName("a,IP:10.0.0.9"),
        x509.IPAddress(ip_address("10.0.0.1")),
        x509.RFC822Name("m@example.com"),
        x509.UniformResourceIdentifier("urn:m\\1"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "m")])),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.OtherName(x509.ObjectIdentifier("1.2.4"), b"\x05\x00"),
    ]
    hold(store, "m", x509.SubjectAlternativeName(names))
    (request,) = Approvals(tmp_path).list()
    assert request.sans == (
        "DNS:a\\,IP:10.0.0.9",
        "IP:10.0.0.1",
        "email:m@example.com",
        "URI:urn:m\\\\1",
        "dirName:CN=m",
        "RID:1.2.3",
        "otherName:1.2.4=0500",
    )


@pytest.mark.parametrize("names", [b"names", None], ids=["names of another", "no CSR"])
def test_what_cannot_be_read_is_listed_as_that(store: Store, tmp_path: Path, names: bytes | None) -> None:
    """Beside those that can; nobody is shown names that would not be certified."""
    csr = csr_for(new_key(), "m") if names else b"csr"
    row = PendingRow("default", Pending(Request(b"i", b"k", names or b""), 0.0, 0.0), "CN=m", csr, 0.0, for_person=True)
    store.commit(Exchange(0.0), pending=row)
    hold(store, "good")
    bad, good = Approvals(tmp_path).list()
    assert (bad.subject, bad.key, bad.key_sha256, bad.sans) == ("CN=m", "unreadable", "unreadable", ("unreadable",))
    assert good.key == "P-256"


def test_a_decision_is_what_the_sandbox_reads(store: Store, tmp_path: Path) -> None:
    """Approved, rejected with a reason and without; the others stay as they were, and alone are listed."""
    requests = [hold(store, f"m-{number}") for number in range(4)]
    approve(tmp_path, 1)
    reject(tmp_path, 2, reason="not ours")
    reject(tmp_path, 3)
    assert [store.decision("default", request) for request in requests] == [
        Decision(approved=True),
        Decision(approved=False, reason="not ours"),
        Decision(approved=False),
        None,
    ]
    assert [(request.id, request.subject) for request in Approvals(tmp_path).list()] == [(4, "CN=m-3")]
    everything = Approvals(tmp_path).list(decided=True)
    assert [(request.state, request.reason) for request in everything] == [
        (State.APPROVED, ""),
        (State.REJECTED, "not ours"),
        (State.REJECTED, ""),
        (State.WAITING, ""),
    ]
    with closing(sqlite3.connect(tmp_path / "sandbox.sqlite")) as db:
        decided = [moment for (moment,) in db.execute("SELECT decided_unix FROM pending ORDER BY id")]
    assert decided == [2000.0, 2000.0, 2000.0, None]


def test_an_id_that_is_not_there_changes_nothing(store: Store, tmp_path: Path) -> None:
    """All of them or none; every unknown one is named."""
    hold(store)
    with pytest.raises(UsageError) as caught:
        approve(tmp_path, 7, 1, 9)
    assert str(caught.value) == (f"{tmp_path}: expected ids of pending requests (got 7, 9); nothing was changed")
    assert states(tmp_path) == {1: "waiting"}


def test_a_person_may_change_their_mind(store: Store, tmp_path: Path) -> None:
    """What was decided before comes back, and its reason is gone with it."""
    request = hold(store)
    for decide, before in (
        (partial(reject, reason="not ours"), (State.WAITING, "")),
        (approve, (State.REJECTED, "not ours")),
        (approve, (State.APPROVED, "")),
    ):
        (found,) = decide(tmp_path, 1)
        assert (found.state, found.reason) == before
    assert store.decision("default", request) == Decision(approved=True)


def test_all_are_those_that_nobody_has_decided_on(store: Store, tmp_path: Path) -> None:
    """What was rejected stays rejected."""
    for _ in range(3):
        hold(store)
    reject(tmp_path, 2)
    approvals = Approvals(tmp_path)
    assert [request.id for request in approvals.decide(None, approved=True, now_s=0.0)] == [1, 3]
    assert states(tmp_path) == {1: "approved", 2: "rejected", 3: "approved"}
    assert approvals.decide(None, approved=True, now_s=0.0) == ()


def test_an_id_given_twice_is_decided_once(store: Store, tmp_path: Path) -> None:
    """It is one request."""
    hold(store)
    assert [request.id for request in approve(tmp_path, 1, 1)] == [1]


def test_the_sandbox_may_have_been_stopped_or_killed(store: Store, tmp_path: Path) -> None:
    """Killed, its last words are in the log beside the file; stopped, there is no log."""
    hold(store)
    killed, stopped = tmp_path / "killed", tmp_path / "stopped"
    for folder, suffixes in ((killed, ("", "-wal")), (stopped, ("",))):
        folder.mkdir()
        if folder is stopped:
            store.close()
        for suffix in suffixes:
            shutil.copy(tmp_path / f"sandbox.sqlite{suffix}", folder)
        approve(folder, 1)
        again = Store(folder / "sandbox.sqlite")
        assert [pending.decision for _, pending in again.pending()] == [Decision(approved=True)]
        again.close()
    assert states(tmp_path) == {1: "waiting"}


def test_a_store_that_stays_locked_is_told(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading goes on; nothing is changed."""
    hold(store)
    monkeypatch.setattr(approval, "_PATIENCE_S", 0.01)
    with closing(sqlite3.connect(tmp_path / "sandbox.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="nothing was changed: database is locked"):
            approve(tmp_path, 1)
        assert states(tmp_path) == {1: "waiting"}
    approve(tmp_path, 1)


def test_the_sandbox_can_write_while_a_list_is_read(store: Store, tmp_path: Path) -> None:
    """And after a decision that failed: no lock is left behind."""
    hold(store)
    with Approvals(tmp_path)._opened() as db, closing(db.execute("SELECT id FROM pending")) as reading:
        assert reading.fetchone() == (1,)
        hold(store)
    with pytest.raises(UsageError):
        approve(tmp_path, 9)
    hold(store)
    assert len(states(tmp_path)) == 3


# -- folders of no sandbox


def _database(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")


NO_FOLDER = "expected a sandbox folder (it contains no sandbox.sqlite)"
NO_SANDBOXES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing there": (Path.rmdir, NO_FOLDER),
    "nothing in it": (Path.exists, NO_FOLDER),
    "folder of that name": (lambda folder: (folder / "sandbox.sqlite").mkdir(), NO_FOLDER),
    "no database": (
        lambda folder: (folder / "sandbox.sqlite").write_bytes(b"some other file of the user's, " * 40),
        "cannot be read as a sandbox's store: file is not a database",
    ),
    "empty file": (
        lambda folder: (folder / "sandbox.sqlite").touch(),
        f"expected schema version {SCHEMA_VERSION} (got 0)",
    ),
    "older": (
        lambda folder: _database(folder / "sandbox.sqlite", 1),
        f"expected schema version {SCHEMA_VERSION} (got 1)",
    ),
    "no table": (lambda folder: _database(folder / "sandbox.sqlite", SCHEMA_VERSION), "no such table: pending"),
}


@pytest.mark.parametrize("what", NO_SANDBOXES)
def test_a_folder_that_is_no_sandbox_s_is_refused(tmp_path: Path, what: str) -> None:
    """In a line that says where; nothing is made or changed there."""
    folder = tmp_path / "folder"
    folder.mkdir()
    make, words = NO_SANDBOXES[what]
    make(folder)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    for attempt in (Approvals(folder).list, partial(approve, folder, 1)):
        with pytest.raises((UsageError, StoreError)) as caught:
            attempt()
        assert str(caught.value).startswith(str(folder))
        assert words in str(caught.value)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_a_path_that_cannot_be_is_told() -> None:
    """The system's word for it."""
    with pytest.raises(UsageError, match="cannot be read: File name too long"):
        Approvals(Path("x" * 300)).list()


# -- a sandbox that runs


async def ask(sandbox: Running, csr: bytes, label: str = "default") -> tuple[int, str]:
    """Send a request, and return the status and the line of the answer; a certificate's is its Subject."""
    prefix, place = "" if label == "default" else f"{label}/", sandbox.here.places[label]
    response = await sandbox.post(csr, operation=f"{prefix}simpleenroll", identity=place.bootstrap)
    issued = response.status == 200
    return response.status, response.certificate.subject.rfc4514_string() if issued else response.text


async def test_an_approved_request_gets_its_certificate_when_it_is_repeated(tmp_path: Path) -> None:
    """Deferred, listed, approved, issued; then nothing of it is held any more."""
    async with running(tmp_path, MANUAL) as sandbox:
        csr = csr_for(new_key(), "m-1", ["m-1.example"])
        assert (await ask(sandbox, csr))[0] == 202
        assert (await ask(sandbox, csr))[0] == 202
        (listed,) = Approvals(tmp_path).list()
        assert (listed.subject, listed.sans, listed.polls) == ("CN=m-1", ("DNS:m-1.example",), 1)
        approve(tmp_path, listed.id)
        assert states(tmp_path) == {listed.id: "approved"}
        assert await ask(sandbox, csr) == (200, "CN=m-1")
        assert states(tmp_path) == {}


async def test_a_rejection_and_its_reason_hold_for_every_repeat_and_after_a_restart(tmp_path: Path) -> None:
    """Until the person thinks better of it."""
    csr = csr_for(new_key(), "m-1")
    rejected = (403, "the request was rejected: not in the inventory")
    async with running(tmp_path, MANUAL) as sandbox:
        assert (await ask(sandbox, csr))[0] == 202
        reject(tmp_path, 1, reason="not in the inventory")
        assert await ask(sandbox, csr) == rejected
        assert await ask(sandbox, csr) == rejected
    async with running(tmp_path, MANUAL) as sandbox:
        assert await ask(sandbox, csr) == rejected
        assert states(tmp_path) == {1: "rejected"}
        (before,) = approve(tmp_path, 1)
        assert before.reason == "not in the inventory"
        assert await ask(sandbox, csr) == (200, "CN=m-1")


async def test_another_subject_under_the_same_key_needs_a_decision_of_its_own(tmp_path: Path) -> None:
    """What was decided held for the other name."""
    key = new_key()
    async with running(tmp_path, MANUAL) as sandbox:
        await ask(sandbox, csr_for(key, "m-1"))
        reject(tmp_path, 1, reason="no")
        assert (await ask(sandbox, csr_for(key, "m-1")))[0] == 403
        assert (await ask(sandbox, csr_for(key, "m-2")))[0] == 202
        (listed,) = Approvals(tmp_path).list()
        assert (listed.subject, listed.state, listed.reason) == ("CN=m-2", State.WAITING, "")
        assert (await ask(sandbox, csr_for(key, "m-2")))[0] == 202
        approve(tmp_path, listed.id)
        assert await ask(sandbox, csr_for(key, "m-2")) == (200, "CN=m-2")


async def test_what_was_decided_while_the_sandbox_was_stopped_counts(tmp_path: Path) -> None:
    """It is read when the sandbox takes up what was pending."""
    good, bad = csr_for(new_key(), "good"), csr_for(new_key(), "bad")
    async with running(tmp_path, MANUAL) as sandbox:
        for csr in (good, bad):
            assert (await ask(sandbox, csr))[0] == 202
    approve(tmp_path, 1)
    reject(tmp_path, 2)
    async with running(tmp_path, MANUAL) as sandbox:
        assert await ask(sandbox, good) == (200, "CN=good")
        assert await ask(sandbox, bad) == (403, "the request was rejected: no reason given")


async def test_a_decision_holds_for_one_trust_center(tmp_path: Path) -> None:
    """The same key and name at another one is another request."""
    csr = csr_for(new_key(), "m")
    async with running(tmp_path, TWO_MANUAL) as sandbox:
        for label in ("default", "meters"):
            assert (await ask(sandbox, csr, label))[0] == 202
        assert [request.center for request in Approvals(tmp_path).list()] == ["default", "meters"]
        approve(tmp_path, 2)
        assert await ask(sandbox, csr, "meters") == (200, "CN=m")
        assert (await ask(sandbox, csr))[0] == 202


async def test_the_names_shown_are_those_that_will_be_certified(tmp_path: Path) -> None:
    """A ChangeSubjectName attribute counts on re-enrolment, and on a first enrolment it does not (RFC 6402 §2.8)."""
    key = new_key()
    async with running(tmp_path, MANUAL) as sandbox:
        csr = changing(key, "m", SAN)
        await ask(sandbox, csr)
        (listed,) = Approvals(tmp_path).list()
        assert (listed.subject, listed.sans) == ("CN=m", ())
        approve(tmp_path, listed.id)
        first = await sandbox.post(csr, identity=sandbox.here.bootstrap)
        assert ours(first.certificate).san_der is None
        identity = identity_file(tmp_path, first.certificate, key)
        renew = partial(sandbox.post, changing(key, "m", SAN), operation="simplereenroll", identity=identity)
        assert (await renew()).status == 202
        (listed,) = Approvals(tmp_path).list()
        assert (listed.subject, listed.sans) == ("CN=m", ("DNS:new.example",))
        approve(tmp_path, listed.id)
        assert ours((await renew()).certificate).san_der == SAN


async def test_whoever_decides_does_not_disturb_the_sandbox(tmp_path: Path) -> None:
    """Devices that repeat their requests while everything is listed and approved over and over get 202, then 200."""
    statuses: list[list[int]] = [[] for _ in range(6)]

    async def persist(seen: list[int]) -> None:
        csr = csr_for(new_key(), f"m-{id(seen)}")
        while 200 not in seen:
            seen.append((await ask(sandbox, csr))[0])

    def decide() -> None:
        Approvals(tmp_path).list(decided=True)
        Approvals(tmp_path).decide(None, approved=True, now_s=0.0)

    async with running(tmp_path, MANUAL) as sandbox:
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as devices:
                for seen in statuses:
                    devices.start_soon(persist, seen)
                while any(200 not in seen for seen in statuses):
                    await trio.to_thread.run_sync(decide)
    assert [(seen[0], seen[-1], {*seen[:-1]}) for seen in statuses] == 6 * [(202, 200, {202})]
    assert states(tmp_path) == {}
