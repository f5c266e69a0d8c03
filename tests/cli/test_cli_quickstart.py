"""The promise of the README: one command, 500 devices, and figures that agree with the server's own record."""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from cli_runs import (
    CLASSES,
    Done,
    Results,
    assert_books_balance,
    assert_log_agrees,
    estsim,
    results_in,
    write_scenario,
)

pytestmark = [pytest.mark.alone, pytest.mark.long]  # all of it, and it says whether this machine kept up

QUICKSTART: Final = Path(__file__).parents[2] / "scenarios" / "quickstart.yaml"
DEVICES: Final = 500
EC_KEY: Final = bytes.fromhex("0201010420")  # RFC 5915: version 1 and the private octets of a P-256 key, in DER


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Results]:
    """The quickstart as it is shipped, run once."""
    results = tmp_path_factory.mktemp("quickstart")
    done = estsim("run", QUICKSTART, "--results", results, "--json")
    run = results_in(results)
    left = {path.name for path in run.folder.iterdir()}  # before a test opens a database, which leaves files of its own
    assert left == {"scenario.yaml", "summary.json", "report.html", "run.sqlite", "sandbox.sqlite"}
    return done, run


@pytest.fixture
def run(quickstart: tuple[Done, Results]) -> Results:
    """What the quickstart left."""
    return quickstart[1]


def test_every_device_is_certified_twice_and_done(run: Results) -> None:
    """500 devices get through enrolment and one renewal, each with a new key."""
    assert run.summary["fleet"] == {"devices": DEVICES, "states": {"retired": DEVICES}}
    per_device = run.rows(
        "SELECT COUNT(*) AS certificates, COUNT(DISTINCT serial) AS serials, COUNT(DISTINCT key_sha256) AS keys "
        "FROM enrolments WHERE end = 'issued' GROUP BY cohort, device"
    )
    assert len(per_device) == DEVICES
    assert {tuple(row) for row in per_device} == {(2, 2, 2)}
    assert run.one("SELECT COUNT(*) FROM enrolments WHERE goal = 'renew' AND margin_s > 0") == DEVICES


def test_one_in_five_was_deferred_and_obeyed(run: Results) -> None:
    """Deferrals are there in number, no poll came before its told time, and waiting is in the time to certificate."""
    enrolments = run.one("SELECT COUNT(*) FROM enrolments")
    deferred = run.one("SELECT COUNT(*) FROM enrolments WHERE deferrals > 0 AND told_ns >= 3000000000")
    assert 0.14 < deferred / enrolments < 0.26  # 20 % of 1000: five standard deviations either way
    assert run.one("SELECT COUNT(*) FROM enrolments WHERE deferrals > 0") == deferred
    polls = run.rows(
        "SELECT started_ns - poll_deferred_at_ns AS waited, poll_told_s FROM exchanges WHERE cause = 'poll'"
    )
    assert all(row["waited"] >= 1e9 * row["poll_told_s"] for row in polls)
    assert len(polls) >= deferred
    assert run.summary["deferral"]["early_polls"] == 0
    assert run.summary["deferral"]["period_s"] == 3


def test_nothing_failed(run: Results) -> None:
    """Every request of the fleet was answered with a certificate, CA certificates, or a deferral."""
    kinds = {row["kind"] for row in run.rows("SELECT DISTINCT kind FROM exchanges")}
    assert kinds == {"ok", "deferred"}
    assert all(
        operation[kind] == 0
        for operation in run.summary["operations"].values()
        for kind in CLASSES
        if kind not in kinds
    )
    assert {row["end"] for row in run.rows("SELECT DISTINCT end FROM enrolments")} == {"issued"}


def test_every_request_is_in_the_server_s_record_and_no_other(run: Results) -> None:
    """Row by row, by request id, the preflight's too: what we say we sent is what the sandbox says it served."""
    assert_log_agrees(run)
    preflight = run.rows("SELECT request_id, sent_ns, kind FROM exchanges WHERE cause = 'preflight'")
    assert [(row["kind"], row["sent_ns"] is not None) for row in preflight] == [("ok", True)]
    statuses = {row["request_id"]: row["status"] for row in run.rows("SELECT request_id, status FROM exchanges")}
    assert statuses == {row["request_id"]: row["status"] for row in run.log("SELECT request_id, status FROM exchanges")}
    issued = {row["serial"] for row in run.log("SELECT serial FROM issued")}
    assert issued == {row["serial"] for row in run.rows("SELECT serial FROM enrolments")}


def test_the_books_balance(run: Results) -> None:
    """Requests by class, devices by state, enrolments begun and ended, and the parts of every time to certificate."""
    assert_books_balance(run)


def test_stamps_are_in_order(run: Results) -> None:
    """Intended, started, connected, handshaken, sent, first byte, ended: in every row, with none missing."""
    stamps = ("intended", "started", "connected", "handshaken", "sent", "first_byte", "ended")
    in_order = " AND ".join(f"{a}_ns <= {b}_ns" for a, b in pairwise(stamps))
    query = f"SELECT COUNT(*) FROM exchanges WHERE NOT ({in_order}) OR ({in_order}) IS NULL"  # noqa: S608 - ours
    assert run.one(query) == 0


def test_stdout_is_summary_json(quickstart: tuple[Done, Results]) -> None:
    """With --json nothing else is on stdout, to the byte."""
    done, run = quickstart
    assert done.out == (run.folder / "summary.json").read_text(encoding="utf-8")
    assert json.loads(done.out)["run"]["scenario"] == "quickstart"


def test_no_private_key_is_left(run: Results) -> None:
    """Neither PEM nor DER of a key, in any file of the run."""
    assert holding(run.folder, [b"PRIVATE KEY", EC_KEY]) == []


def test_it_passes(quickstart: tuple[Done, Results]) -> None:
    """Exit 0: all thresholds are judged and hold, and the generator kept up."""
    done, run = quickstart
    summary = run.summary
    assert [entry for entry in summary["thresholds"] if not entry["passed"]] == []
    assert len(summary["thresholds"]) == 4
    assert (done.code, summary["verdict"], summary["generator"]["why"]) == (0, "passed", None)


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_passwords_are_not_left_either(scheme: str, tmp_path: Path) -> None:
    """A fleet that enrolls with a user name answers the challenge, and no file of the run holds the password."""
    password = "correct horse battery staple"
    users = {"fleet": {"password": password, "schemes": [scheme]}}
    scenario = write_scenario(
        tmp_path,
        sandbox={"clients": {"require_certificate": "never", "users": users}},
        cohort={"bootstrap": {"kind": "basic", "user": "fleet", "password": password, "scheme": scheme}},
    )
    done = estsim("run", scenario, "--results", tmp_path / "results", "--json")
    run = results_in(tmp_path / "results")
    assert (done.code, run.summary["fleet"]["states"]) == (0, {"operational": 5})
    assert run.summary["operations"]["simpleenroll"]["challenged"] == 5
    assert_log_agrees(run)
    assert_books_balance(run)
    secrets = [password.encode(), b"Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZ", b"ZmxlZXQ6Y29ycmVjdCBob3JzZS"]
    assert holding(run.folder, secrets) == []


def holding(folder: Path, secrets: Iterable[bytes]) -> list[str]:
    """Return the names of the files that hold any of the secrets."""
    return [path.name for path in folder.rglob("*") if any(secret in path.read_bytes() for secret in secrets)]
