"""A real Locust master with its web UI, of this version or the one before, and workers as users start them."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import msgpack
import pytest

sys.path.append(str(Path(__file__).parents[2] / "cli"))  # how commands are run and ended is told once

from cli_runs import DEADLINE_S, Done, Keys, Server, closed_port, ended, interrupt, serving, started, until

from estsim.fleet.assignment import Assignment
from estsim.fleet.link_secret import VARIABLE
from estsim.fleet.trust import trust_file
from estsim.record.worker_report import WorkerReport, unpack
from estsim.scenario.loader import load_scenario
from estsim.scenario.portable import portable_text

__all__ = ["Server", "ended", "interrupt", "serving", "until"]  # of cli_runs, for the tests

LOCUSTFILE: Final = Path(__file__).parent / "plain_locustfile.py"
PREVIOUS: Final = "ESTSIM_PREVIOUS_LOCUST"  # a virtual environment with the minor version before ours
PASSWORD: Final = "open-sesame"
USERS: Final[Keys] = {"clients": {"require_certificate": "never", "users": {"alice": {"password": PASSWORD}}}}


def python_of(version: str) -> str:
    """Return the interpreter that has Locust in this version; skips, or fails where CI was to have installed it."""
    if version == "current":
        return sys.executable
    folder = os.environ.get(PREVIOUS)
    if folder:
        return str(Path(folder) / "bin" / "python")
    if os.environ.get("ESTSIM_REQUIRE_PEERS") == "1":
        pytest.fail(f"{PREVIOUS} is not set: .ci/run makes that environment")
    pytest.skip(f"{PREVIOUS} is not set: there is no previous Locust here")


def sandbox_config(folder: Path) -> Path:
    """Write the configuration of a sandbox whose devices are users: what they are born with need not travel."""
    path = folder / "sandbox.yaml"
    path.write_text(json.dumps(USERS), encoding="utf-8")
    return path


def write_fleet(
    folder: Path,
    server: Server,
    *,
    devices: int,
    told_url: str | None = None,
    told_trust: tuple[bytes, ...] | None = None,
    **cohort: object,
) -> Path:
    """Write a worker's own scenario, and beside it the plan that the master is to send: the same without passwords.

    The master may tell of the server otherwise.
    """
    born = {"kind": "basic", "user": "alice", "password": PASSWORD, "preemptive": True}
    meters = {"devices": devices, "boot": {"burst": "1s"}, "renew": "off", "bootstrap": born, **cohort}
    fleet = {
        "version": 1,
        "name": "linked",
        "duration": "1h",
        "generator": {"max_lag": "30s", "max_cpu": "100%"},
        "target": {"url": server.url, "trust": {"ca": str(server.folder / "trust.pem")}},
        "cohorts": {"meters": meters},
    }
    path = folder / "fleet.yaml"
    path.write_text(json.dumps(fleet), encoding="utf-8")
    scenario = load_scenario(path)
    anchors = trust_file(server.folder / "trust.pem").anchors if told_trust is None else told_trust
    assignment = Assignment("run1", portable_text(scenario), told_url or server.url, anchors, explicit=True)
    (folder / "plan").write_bytes(msgpack.packb(assignment.packed()))
    return path


@dataclass(frozen=True, slots=True)
class Master:
    """A Locust master that runs."""

    process: "subprocess.Popen[str]"
    web: str
    port: int
    folder: Path

    def ask(self, path: str, **form: object) -> Any:  # noqa: ANN401 - JSON
        """Ask its web UI's server, as the page does."""
        with urlopen(f"{self.web}{path}", urlencode(form).encode() if form else None, DEADLINE_S) as answer:  # noqa: S310 - ours
            return json.loads(answer.read())

    def swarm(self, users: int, *, rate: float = 100) -> None:
        """Have so many users."""
        assert self.ask("/swarm", user_count=users, spawn_rate=rate)["success"]

    def stop(self) -> None:
        """End the test: a form to send since 2.47, a page to get before."""
        try:
            answer = self.ask("/stop", please=1)
        except HTTPError:
            answer = self.ask("/stop")
        assert answer["success"]

    @property
    def status(self) -> Keys:
        """What it shows."""
        status: Keys = self.ask("/stats/requests")
        return status

    def has(self, users: int) -> Callable[[], bool]:
        """Return whether it has so many users, running, for :func:`until`."""

        def they_run() -> bool:
            status = self.status
            states = {worker["state"] for worker in status["workers"] if worker["state"] != "missing"}
            return (status["user_count"], status["state"], states) == (users, "running", {"running"})

        return they_run

    def ready(self, workers: int) -> Callable[[], bool]:
        """Return whether so many workers wait for a test."""
        return lambda: [each["state"] for each in self.status["workers"]].count("ready") == workers

    def requests(self, name: str) -> int:
        """Return how many requests Locust has counted under a name."""
        lines = self.status["stats"]
        return sum(line["num_requests"] for line in lines if (line["method"], line["name"]) == ("EST", name))

    def told(self, kind: str) -> list[Keys]:
        """Return what workers have told it."""
        path = self.folder / "master.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]

    def worker_reports(self) -> list[tuple[str, bool, WorkerReport]]:
        """Return all worker reports: from whom, and whether the last of a test."""
        return [(each["node"], each["last"], unpack(base64.b64decode(each["parcel"]))) for each in self.told("parcel")]


@contextmanager
def master(
    folder: Path, *, version: str = "current", port: int = 0, manners: str = "", secret: str = ""
) -> Iterator[Master]:
    """Run a Locust master with its web UI until the block ends."""
    web_port, port = closed_port(), port or closed_port()
    command = [
        python_of(version), "-m", "locust", "-f", LOCUSTFILE, "--master", "--master-bind-port", port,
        "--web-host", "127.0.0.1", "--web-port", web_port,
    ]  # fmt: skip
    with (
        (folder / "master.log").open("a", encoding="utf-8") as log,
        subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            cwd=folder,
            env={**os.environ, "LINK_FOLDER": str(folder), "LINK_MANNERS": manners, VARIABLE: secret},
        ) as process,
    ):
        try:
            there = Master(process, f"http://127.0.0.1:{web_port}", port, folder)
            until(lambda: answers(there))
            yield there
        finally:
            process.kill()


def answers(there: Master) -> bool:
    """Say whether a master's web UI is up."""
    assert there.process.poll() is None, (there.folder / "master.log").read_text(encoding="utf-8")
    try:
        there.ask("/stats/requests")
    except URLError:
        return False
    return True


@contextmanager
def working(fleet: Path, port: int, *options: str, secret: str = "") -> Iterator["subprocess.Popen[str]"]:
    """Run ``estsim worker`` until the block ends."""
    environment = {VARIABLE: secret} if secret else {}
    with started("worker", fleet, "--master", f"127.0.0.1:{port}", *options, **environment) as process:
        yield process


def lines_of(done: Done) -> list[str]:
    """Return what a worker said, line by line."""
    assert done.out == ""
    assert all(line.startswith("estsim: ") for line in done.err.splitlines()), done.err
    return [line.removeprefix("estsim: ") for line in done.err.splitlines()]
