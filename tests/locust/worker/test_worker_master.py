"""Workers under a real Locust master, of this version and of the one before, and against a real server."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_runs import (
    Master,
    Server,
    ended,
    interrupt,
    lines_of,
    master,
    sandbox_config,
    serving,
    until,
    working,
    write_fleet,
)

from estsim.record.rows import COLUMNS

REQUEST_ID = COLUMNS["exchanges"].index("request_id")
DEVICE = COLUMNS["exchanges"].index("device")
SAID = {
    "connected to",
    "plan received",
    "devices ready",
    "devices running",
    "test finished; waiting for the next",
}

WORDS = "correct horse battery staple"

pytestmark = pytest.mark.long  # each is a Locust master and what becomes of its workers


@pytest.fixture(name="server")
def a_sandbox(tmp_path: Path) -> Iterator[Server]:
    """Run a sandbox for devices that are users."""
    with serving(tmp_path / "sandbox", str(sandbox_config(tmp_path))) as server:
        yield server


def handed_on(told: Master) -> list[tuple[int, str]]:
    """Return (device, request id) of every exchange that workers have handed on."""
    rows = [row for _, _, worker_report in told.worker_reports() for row in worker_report.rows_of(0)["exchanges"]]
    return [(int(str(row[DEVICE])), str(row[REQUEST_ID])) for row in rows]


@pytest.mark.parametrize("version", ["current", "previous"])
def test_a_master_starts_scales_and_stops_a_fleet(tmp_path: Path, server: Server, version: str) -> None:
    """Up, down, over and once more; Locust's counts, the worker reports and the server's log are the same exchanges."""
    fleet = write_fleet(tmp_path, server, devices=10)
    with (
        master(tmp_path, version=version) as locust,
        working(fleet, locust.port) as one,
        working(fleet, locust.port) as other,
    ):
        until(locust.ready(2))
        locust.swarm(6)
        until(locust.has(6))
        until(lambda: locust.requests("simpleenroll") == 6)
        locust.swarm(10, rate=2)
        until(locust.has(10))
        until(lambda: locust.requests("simpleenroll") == 10)
        locust.swarm(4)
        until(locust.has(4))
        locust.stop()
        until(locust.ready(2))
        devices = [device for device, _ in handed_on(locust)]
        assert Counter(devices) == dict.fromkeys(range(10), 2)  # cacerts and simpleenroll
        locust.swarm(3)
        until(lambda: locust.requests("simpleenroll") == 3)
        assert locust.status["errors"] == []
        locust.process.send_signal(signal.SIGTERM)
        done = [ended(one), ended(other)]
    ids = [request_id for _, request_id in handed_on(locust)]
    assert sorted(ids) == sorted(row["request_id"] for row in server.log("SELECT request_id FROM exchanges"))
    assert [each.code for each in done] == [0, 0]
    for each in done:
        said = lines_of(each)
        assert all(any(words in line for line in said) for words in SAID), said
    assert Counter(last for _, last, _ in locust.worker_reports())[True] >= 2
    assert {each["key"] for each in locust.told("join")} == {91}  # a P-256 key, without its private part
    log = (tmp_path / "master.log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert "running a different version" not in log


def test_clocks_are_held_against_each_other(tmp_path: Path, server: Server) -> None:
    """The master is an hour ahead: worker reports say so, and the run's zero is the same moment."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with master(tmp_path) as locust, working(fleet, locust.port):
        until(locust.ready(1))
        locust.swarm(2)
        until(lambda: locust.requests("simpleenroll") == 2)
        locust.stop()
        until(locust.ready(1))
        worker_reports = locust.told("parcel")
    assert all(abs(each["offset_s"] - 3600) < 1 for each in worker_reports)
    assert all(0 <= each["round_trip_s"] < 1 for each in worker_reports)
    reading = locust.worker_reports()[-1][2].fleet
    assert reading is not None
    assert 0 <= reading.at_ns < 60 * 10**9


def test_a_worker_that_leaves_hands_on_what_it_has(tmp_path: Path, server: Server) -> None:
    """Ctrl-C: the last worker report and a goodbye, of which the master makes that it is gone; the other plays on."""
    fleet = write_fleet(tmp_path, server, devices=8)
    with master(tmp_path) as locust, working(fleet, locust.port) as one, working(fleet, locust.port) as other:
        until(locust.ready(2))
        locust.swarm(8)
        until(lambda: locust.requests("simpleenroll") == 8)
        interrupt(one)
        done = ended(one)
        until(lambda: len(locust.status["workers"]) == 1)
        assert done.code == 130
        assert [last for _, last, _ in locust.worker_reports()].count(True) == 1
        until(locust.has(8))  # Locust gives its users to the other, who plays devices beyond the plan's
        until(lambda: len({device for device, _ in handed_on(locust)}) == 12)
        assert other.poll() is None


@pytest.mark.parametrize("version", ["current", "previous"])
def test_a_master_that_is_killed_and_one_that_takes_its_place(tmp_path: Path, server: Server, version: str) -> None:
    """The fleet is stopped, the worker finds the new one, and plays its test."""
    fleet = write_fleet(tmp_path, server, devices=4, renew={"after": "200ms"})
    with master(tmp_path, version=version) as first, working(fleet, first.port) as worker:
        until(first.ready(1))
        first.swarm(4)
        until(first.has(4))
        first.process.kill()
        first.process.wait()
        with master(tmp_path, version=version, port=first.port) as second:
            until(second.ready(1))
            served = server.log("SELECT COUNT(*) AS n FROM exchanges")[0]["n"]
            assert second.requests("simplereenroll") == 0
            second.swarm(2)
            until(second.has(2))
            until(lambda: second.requests("simplereenroll") > 3)
            assert server.log("SELECT COUNT(*) AS n FROM exchanges")[0]["n"] > served
            second.process.send_signal(signal.SIGTERM)
            done = ended(worker)
    assert done.code == 0
    said = lines_of(done)
    place = said.index("lost the master; reconnecting…")
    assert [line for line in said[:place] if "connected to" in line] == [
        f"connected to 127.0.0.1:{first.port} as worker 0"
    ]
    # Before it is another, it asks this master the time, to see whether that is the one of before; and Locust numbers
    # whoever sends it a message.
    again = [line for line in said[place:] if "connected to" in line]
    assert again == [f"connected to 127.0.0.1:{first.port} as worker 1"]


def test_a_master_that_does_not_come_back(tmp_path: Path, server: Server) -> None:
    """After the time that one waits for it: exit 5."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with master(tmp_path) as locust, working(fleet, locust.port, "--patience", "1s") as worker:
        until(locust.ready(1))
        locust.process.kill()
        done = ended(worker)
    assert done.code == 5
    assert lines_of(done)[-1] == f"no response from a master at 127.0.0.1:{locust.port} within 1 s"


def test_a_master_that_refuses_a_worker(tmp_path: Path, server: Server) -> None:
    """Its reason, and exit 2."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with master(tmp_path, manners="refuse") as locust, working(fleet, locust.port) as worker:
        done = ended(worker)
    assert done.code == 2
    assert lines_of(done)[-1] == f"127.0.0.1:{locust.port} refused this worker: it is too old"


def test_a_plan_that_cannot_be_played_here(tmp_path: Path, server: Server) -> None:
    """What this machine lacks is told here and in the master's list of exceptions: exit 2."""
    fleet = write_fleet(tmp_path, server, devices=2)
    plan = (tmp_path / "plan").read_bytes()
    (tmp_path / "plan").write_bytes(plan.replace(b"linked", b"linkef"))
    with master(tmp_path) as locust, working(fleet, locust.port) as worker:
        until(locust.ready(1))
        locust.swarm(2)
        done = ended(worker)
        until(lambda: locust.ask("/exceptions")["exceptions"] != [])
        (told,) = locust.ask("/exceptions")["exceptions"]
    assert done.code == 2
    assert lines_of(done)[-1] == "the scenario does not match its hash: it was modified in transit"
    assert told["msg"] == lines_of(done)[-1]


def test_a_locustfile_without_estsim_gets_no_users_of_us(tmp_path: Path, server: Server) -> None:
    """The worker says so, once, waits for a better one, and ends as one that does not fit."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with master(tmp_path, manners="ignorant") as locust, working(fleet, locust.port, "--patience", "8s") as worker:
        done = ended(worker)
        assert locust.status["workers"] == []
    assert done.code == 2
    (told,) = [line for line in lines_of(done) if "its locustfile has no estsim user" in line][:-1]
    assert told.startswith(f"no response from an estsim master at 127.0.0.1:{locust.port}: ")


@pytest.mark.parametrize("version", ["current", "previous"])
def test_a_master_with_the_same_secret_is_worked_for(tmp_path: Path, server: Server, version: str) -> None:
    """Its own way to prove it, written from what the docs say, is ours."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with (
        master(tmp_path, version=version, secret=WORDS) as locust,
        working(fleet, locust.port, secret=WORDS) as worker,
    ):
        until(locust.ready(1))
        locust.swarm(2)
        until(lambda: locust.requests("simpleenroll") == 2)
        locust.process.send_signal(signal.SIGTERM)
        done = ended(worker)
    assert done.code == 0
    assert WORDS not in done.err + (tmp_path / "master.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("manners", ["bluff", ""])
def test_a_false_master_moves_no_worker(tmp_path: Path, server: Server, manners: str) -> None:
    """One that answers with a proof it has not, or with another secret: a line that says so, exit 2, no exchange."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with (
        master(tmp_path, manners=manners, secret=WORDS if manners else "another") as locust,
        working(fleet, locust.port, secret=WORDS) as worker,
    ):
        done = ended(worker)
        assert locust.told("join") == []
    assert done.code == 2
    assert lines_of(done)[-1].startswith(f"127.0.0.1:{locust.port} does not have this link secret")
    assert server.log("SELECT COUNT(*) AS n FROM exchanges")[0]["n"] == 0


def test_a_worker_reaches_the_server_in_its_own_way(tmp_path: Path, server: Server) -> None:
    """Where the master's address of it means nothing here, nor its trust."""
    fleet = write_fleet(tmp_path, server, devices=2, told_url="https://localhost:1/.well-known/est", told_trust=())
    own = ("--url", server.url, "--trust", str(server.folder / "trust.pem"))
    with master(tmp_path) as locust, working(fleet, locust.port, *own):
        until(locust.ready(1))
        locust.swarm(2)
        until(lambda: locust.requests("simpleenroll") == 2)
        assert locust.status["errors"] == []
