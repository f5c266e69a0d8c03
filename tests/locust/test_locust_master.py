"""A Locust master and workers of its own kind, in processes of their own: shared, lost, left, late and refused."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgpack
import pytest
import zmq
from locust_runs import (
    DEADLINE_S,
    Done,
    Results,
    assert_log_agrees,
    closed_port,
    ended,
    fleet,
    locust,
    recorded,
    runs_in,
    started,
)

from estsim.fleet.clock import NS_PER_S

pytestmark = pytest.mark.long  # a master notices by its heartbeats who is gone

BEGUN: Final = "SELECT COUNT(*) FROM enrolments"
BUSY: Final[dict[str, Any]] = {"renew": {"after": "300ms"}}  # and so on, until the scenario's time is over


@dataclass(slots=True)
class Troop:
    """A master with its workers."""

    folder: Path
    port: int
    stack: ExitStack
    master: "subprocess.Popen[str]"
    workers: list["subprocess.Popen[str]"] = field(default_factory=list)

    def join(self) -> None:
        """Let one more worker come."""
        options = ("--worker", "--master-host", "127.0.0.1", "--master-port", str(self.port))
        self.workers.append(self.stack.enter_context(started(self.folder, *options)))

    def wait_until_begun(self, enrolments: int) -> None:
        """Wait until so many certificates are sought, as the store of the run has it."""
        for _ in range(int(DEADLINE_S * 10)):
            if recorded(self.folder / "results", BEGUN) >= enrolments:
                return
            with pytest.raises(subprocess.TimeoutExpired):
                self.master.wait(0.1)
        pytest.fail("nothing began")

    def over(self) -> tuple[Done, Results]:
        """Wait for the master's end, and return what was left."""
        done = ended(self.master)
        (run,) = runs_in(self.folder)
        return done, run


@contextmanager
def troop(folder: Path, *options: str | Path, workers: int = 2) -> Iterator[Troop]:
    """Run a headless master that waits for so many workers."""
    port = closed_port()
    at = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port))
    headless = ("--headless", "--only-summary", "--expect-workers", str(workers))
    with ExitStack() as stack:
        here = Troop(folder, port, stack, stack.enter_context(started(folder, *at, *headless, *options)))
        for _ in range(workers):
            here.join()
        yield here


def devices_of(run: Results, worker: int) -> set[int]:
    """Return whom a worker played, by the ids of its requests."""
    rows = run.rows(f"SELECT DISTINCT device FROM exchanges WHERE request_id LIKE '%-w{worker}-%'")  # noqa: S608 - ours
    return {row["device"] for row in rows}


def test_workers_share_the_fleet(tmp_path: Path) -> None:
    """Every second device each; the clock of each is compared with the master's, which has no other here."""
    with troop(tmp_path, "--scenario", fleet(tmp_path)) as here:
        done, run = here.over()
    assert done.code == 0, done.log
    assert_log_agrees(run)
    assert devices_of(run, 0) == {*range(0, 20, 2)}
    assert devices_of(run, 1) == {*range(1, 20, 2)}
    assert run.summary["fleet"] == {"devices": 20, "states": {"operational": 20}}
    assert run.one("SELECT value FROM run WHERE key = 'workers'") == "2"
    offsets = json.loads(run.one("SELECT value FROM run WHERE key = 'clock_offsets'"))
    assert offsets.keys() == {"0", "1"}
    assert all(abs(offset_s) < 0.1 and 0 <= round_trip_s < 1 for offset_s, round_trip_s in offsets.values())


@pytest.mark.parametrize(
    ("how", "words"),
    [(signal.SIGKILL, "stopped responding after"), (signal.SIGTERM, "left after")],
    ids=["killed", "left"],
)
def test_a_worker_that_is_gone_is_told_and_its_devices_are_lost(
    tmp_path: Path, how: signal.Signals, words: str
) -> None:
    """By number; the run goes on with the others, and its figures are not defended."""
    with troop(tmp_path, "--scenario", fleet(tmp_path, duration="14s", cohort=BUSY)) as here:
        here.wait_until_begun(25)
        here.workers[0].send_signal(how)
        done, run = here.over()
    assert done.code == 4, done.log
    assert run.summary["verdict"] == "saturated"
    why = run.summary["generator"]["why"]
    assert words in why
    assert "its 10 devices were lost" in why
    assert why.split("; the figures do not cover")[0] in done.log
    assert run.summary["fleet"]["states"]["lost"] == 10
    others = 1 if "worker 0" in why else 0
    last_s = run.one(f"SELECT MAX(ended_ns) FROM exchanges WHERE request_id LIKE '%-w{others}-%'") / NS_PER_S  # noqa: S608
    assert last_s > 12


def test_a_worker_that_comes_late_plays_devices_of_its_own(tmp_path: Path) -> None:
    """Beyond the fleet's last number: nobody is played twice."""
    slow = {"boot": {"rate": "2/s", "shape": "even"}}
    with troop(tmp_path, "--scenario", fleet(tmp_path, duration="14s", cohort=slow), workers=1) as here:
        here.wait_until_begun(2)
        here.join()
        done, run = here.over()
    assert "Traceback" not in done.log
    assert_log_agrees(run)
    assert run.one("SELECT value FROM run WHERE key = 'workers'") == "2"
    assert devices_of(run, 0) <= {*range(20)}
    assert all(number >= 20 for number in devices_of(run, 1))


@pytest.mark.parametrize("protocol", [1, 99])
def test_a_worker_of_another_protocol_is_refused_by_words(tmp_path: Path, protocol: int) -> None:
    """It hears which protocols the two speak, and the master's log says so; its words are escaped in both."""
    with troop(tmp_path, "--scenario", fleet(tmp_path)) as here, zmq.Context() as context:
        with context.socket(zmq.DEALER) as stranger:
            stranger.setsockopt(zmq.IDENTITY, b"stranger")
            stranger.connect(f"tcp://127.0.0.1:{here.port}")
            hello = {"protocol": protocol, "version": "9.9\x1b[2J\n", "public_key": b""}
            stranger.send(msgpack.packb(["estsim-hello", hello, "stranger"]))
            assert stranger.poll(int(DEADLINE_S * 1000))
            kind, told, _ = msgpack.unpackb(stranger.recv())
        done, run = here.over()
    assert kind == "estsim-refused"
    assert told["why"] == (
        f"protocol mismatch: this master uses 2, worker stranger uses {protocol} (estsim 9.9"
        "\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER})"
    )
    assert told["why"] in done.log
    assert done.code == 0, done.log
    assert_log_agrees(run)


def test_a_master_whose_port_is_taken_says_so_in_a_line(tmp_path: Path) -> None:
    """As Locust does, which knows it by the text of the error."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = locust(tmp_path, "--scenario", fleet(tmp_path), "--master", "--master-bind-port", port)
    assert done.code == 1
    assert f"The Locust master port ({port}) was busy." in done.log
    assert not (tmp_path / "results").exists()
