"""Workers under a real Locust master, of this version and of the one before, and against a real server."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from link_runs import (
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

from estsim.measure.store import COLUMNS

REQUEST_ID = COLUMNS["exchanges"].index("request_id")
DEVICE = COLUMNS["exchanges"].index("device")
SAID = {"connected to", "plan received", "devices are ready", "devices are running", "test over, waiting for the next"}

pytestmark = pytest.mark.long  # each is a Locust master and what becomes of its workers


@pytest.fixture(name="server")
def a_sandbox(tmp_path: Path) -> Iterator[Server]:
    """Run a sandbox for devices that are users."""
    with serving(tmp_path / "sandbox", str(sandbox_config(tmp_path))) as server:
        yield server


def handed_on(told: Master) -> list[tuple[int, str]]:
    """Return (device, request id) of every exchange that workers have handed on."""
    rows = [row for _, _, parcel in told.parcels() for row in parcel.rows_of(0)["exchanges"]]
    return [(int(str(row[DEVICE])), str(row[REQUEST_ID])) for row in rows]


@pytest.mark.parametrize("version", ["current", "previous"])
def test_a_master_starts_scales_and_stops_a_fleet(tmp_path: Path, server: Server, version: str) -> None:
    """Up, down, over and once more; Locust's counts, the parcels and the server's log are the same exchanges."""
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
    assert Counter(last for _, last, _ in locust.parcels())[True] >= 2
    assert {each["key"] for each in locust.told("hello")} == {91}  # a P-256 key, without its private part
    log = (tmp_path / "master.log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert "running a different version" not in log


def test_clocks_are_held_against_each_other(tmp_path: Path, server: Server) -> None:
    """The master is an hour ahead: parcels say so, and the run's zero is the same moment."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with master(tmp_path) as locust, working(fleet, locust.port):
        until(locust.ready(1))
        locust.swarm(2)
        until(lambda: locust.requests("simpleenroll") == 2)
        locust.stop()
        until(locust.ready(1))
        parcels = locust.told("parcel")
    assert all(abs(each["offset_s"] - 3600) < 1 for each in parcels)
    assert all(0 <= each["round_trip_s"] < 1 for each in parcels)
    reading = locust.parcels()[-1][2].fleet
    assert reading is not None
    assert 0 <= reading.at_ns < 60 * 10**9


def test_a_worker_that_leaves_hands_on_what_it_has(tmp_path: Path, server: Server) -> None:
    """Ctrl-C: the last parcel and a goodbye, of which the master makes that it is gone; the other plays on."""
    fleet = write_fleet(tmp_path, server, devices=8)
    with master(tmp_path) as locust, working(fleet, locust.port) as one, working(fleet, locust.port) as other:
        until(locust.ready(2))
        locust.swarm(8)
        until(lambda: locust.requests("simpleenroll") == 8)
        interrupt(one)
        done = ended(one)
        until(lambda: len(locust.status["workers"]) == 1)
        assert done.code == 130
        assert [last for _, last, _ in locust.parcels()].count(True) == 1
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
    place = said.index("master gone, reconnecting…")
    assert [line for line in said[:place] if "connected to" in line] == [
        f"connected to 127.0.0.1:{first.port} as worker 0"
    ]
    assert f"connected to 127.0.0.1:{first.port} as worker 0" in said[place:]


def test_a_master_that_does_not_come_back(tmp_path: Path, server: Server) -> None:
    """After the time that one waits for it: exit 5."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with master(tmp_path) as locust, working(fleet, locust.port, "--patience", "1s") as worker:
        until(locust.ready(1))
        locust.process.kill()
        done = ended(worker)
    assert done.code == 5
    assert lines_of(done)[-1] == f"no master has answered at 127.0.0.1:{locust.port} for 1 s"


def test_a_master_that_refuses_a_worker(tmp_path: Path, server: Server) -> None:
    """Its reason, and exit 2."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with master(tmp_path, manners="refuse") as locust, working(fleet, locust.port) as worker:
        done = ended(worker)
    assert done.code == 2
    assert lines_of(done)[-1] == f"127.0.0.1:{locust.port} refuses this worker: it is too old"


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
    assert lines_of(done)[-1] == "the scenario does not have the hash that came with it: it was changed on its way"
    assert told["msg"] == lines_of(done)[-1]


def test_a_locustfile_without_estsim_gets_no_users_of_us(tmp_path: Path, server: Server) -> None:
    """The worker says so, once, and waits for a better one."""
    fleet = write_fleet(tmp_path, server, devices=2)
    with master(tmp_path, manners="ignorant") as locust, working(fleet, locust.port) as worker:
        until(locust.ready(1))
        locust.swarm(2)
        assert worker.stderr is not None
        said = next(line for line in worker.stderr if "knows nothing of estsim" in line)
        assert said
        until(lambda: locust.status["user_count"] == 0)
        assert worker.poll() is None
        interrupt(worker)
        assert ended(worker).code == 130


def test_a_worker_reaches_the_server_in_its_own_way(tmp_path: Path, server: Server) -> None:
    """Where the master's address of it means nothing here, nor its trust."""
    fleet = write_fleet(tmp_path, server, devices=2, told_url="https://localhost:1/.well-known/est", told_trust=())
    own = ("--url", server.url, "--trust", str(server.folder / "trust.pem"))
    with master(tmp_path) as locust, working(fleet, locust.port, *own):
        until(locust.ready(1))
        locust.swarm(2)
        until(lambda: locust.requests("simpleenroll") == 2)
        assert locust.status["errors"] == []
