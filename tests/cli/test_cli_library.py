"""Every scenario that comes with estsim runs, by name, at a small size, and its sandbox saw what it is about."""

import json
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cli_runs import estsim

from estsim.scenario.library import library

pytestmark = pytest.mark.long

DEVICES = {"portal": 6, "ca-rotation": 31, "bad-devices": 100, "deferral-herd": 24, "deferral-next-slot": 24}
SHORTER = {"soak": "14s", "renewal-storm": "14s", "bad-devices": "22s"}
APART = {"quickstart"}  # has a test of its own


@dataclass(frozen=True)
class Lived:
    """What a run came to."""

    code: int
    said: str
    summary: dict[str, Any]
    folder: Path

    def logged(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the sandbox's own log."""
        with closing(sqlite3.connect(self.folder / "sandbox.sqlite")) as log:
            return log.execute(query).fetchall()


def live(name: str, results: Path) -> Lived:
    """Run one; figures are not judged here, where so many run at a time."""
    command = ["run", name, "--no-dashboard", "--results", str(results / name)]
    settings = {"generator.max_lag": "60s", "generator.max_cpu": "100%", "thresholds": "[failures < 2%]"}
    if name.startswith("deferral-"):
        settings |= {"sandbox.capacity.rate": "8/s", "sandbox.capacity.burst": "1"}
    if name == "slow-radio":
        settings |= {"sandbox.issuer.validity": "22s", "cohorts.radio.boot": "{burst: 4s}"}
    if name == "power-cut":
        settings["events"] = "[{at: 8s, power_cut: {cohorts: [city], share: 40%, off: 4s..6s, return: {burst: 3s}}}]"
        settings["phases"] = "{calm: 0s..8s, recovery: 8s..24s}"
        settings["duration"] = "20s"
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    if name in SHORTER:
        command += ["--duration", SHORTER[name]]
    if name == "renewal-storm":
        command += ["--set", "phases={storm: 5s..14s}"]
    if name == "soak":
        command += ["--set", "phases={warmup: 0s..8s}"]
    if name == "factory-line":
        command += ["--set", "cohorts.devices.keys.prepare=16"]
    command += ["--devices", str(DEVICES.get(name, 24))]
    over = Event()
    if name == "portal":
        Thread(target=approve_all, args=(over, results / name), daemon=True).start()
    try:
        done = estsim(*command)
    finally:
        over.set()
    (folder,) = (results / name).iterdir()
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return Lived(done.code, done.out + done.err, summary, folder)


def approve_all(over: Event, results: Path) -> None:
    """Be the person at the portal: find where the run says that requests wait, and approve what comes, to its end."""
    while not over.wait(1.5):
        folder = next(filter(None, map(told_folder, results.glob("*/run.sqlite"))), None)
        if folder is not None:  # where nothing waits, that is an error of the command and none of ours
            estsim("pending", "approve", folder, "all")


def told_folder(store: Path) -> str | None:
    """Return the folder that a run has named for approval, as soon as it has."""
    with closing(sqlite3.connect(store, timeout=5)) as run:
        try:
            found = run.execute("SELECT text FROM marks WHERE text LIKE 'approve with: %'").fetchone()
        except sqlite3.OperationalError:
            return None  # not written yet
    return found[0].split()[-2] if found else None


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lived]:
    """Run them all, and all at once: they wait far more than they work."""
    results = tmp_path_factory.mktemp("library")
    names = sorted(set(library()) - APART)
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(lambda name: live(name, results), names), strict=True))


@pytest.mark.parametrize("name", sorted(set(library()) - APART))
def test_it_runs_and_its_fleet_is_through(lived: dict[str, Lived], name: str) -> None:
    """Exit code 0, no finding, nobody failed who was not to."""
    run = lived[name]
    assert run.code == 0, run.said
    assert run.summary["certificates"]["findings"] == []
    assert run.summary["fleet"]["devices"] == DEVICES.get(name, 24)


def statuses(run: Lived, operation: str) -> Counter[int]:
    """Count the sandbox's answers to an operation."""
    logged = run.logged("SELECT operation, status FROM exchanges")
    return Counter(status for asked, status in logged if asked == operation)


def test_the_sandbox_saw_what_each_is_about(lived: dict[str, Lived]) -> None:
    """In its own log."""
    # Who came back fetched them, and nobody else did: 40 % of 24 devices, and the preflight.
    assert 9 <= statuses(lived["power-cut"], "cacerts")[200] <= 10 + 1
    assert statuses(lived["renewal-storm"], "simplereenroll")[200] == 24
    assert statuses(lived["renewal-storm"], "simpleenroll")[200] == 0
    assert statuses(lived["impatient-firmware"], "simpleenroll")[429] > 0
    assert statuses(lived["portal"], "simpleenroll")[206] >= 6
    assert statuses(lived["bad-devices"], "simplereenroll")[403] + statuses(lived["bad-devices"], "simplereenroll")[400]
    gray = lived["ca-rotation"].summary["cohorts"]["gray-market"]
    assert gray["certificates"]["expected_refusals"] == gray["fleet"]["devices"]
    subjects = lived["shared-bootstrap-key"].logged(
        "SELECT DISTINCT peer_subject FROM exchanges WHERE operation = 'simpleenroll'"
    )
    assert len(subjects) == 1


def test_a_herd_wastes_what_a_promise_saves(lived: dict[str, Lived]) -> None:
    """The two servers of the deferral scenarios are told apart by the fleet's figures."""
    herd, promised = (lived[name].summary["deferral"] for name in ("deferral-herd", "deferral-next-slot"))
    assert herd["exchanges_per_certificate"] > promised["exchanges_per_certificate"]
    assert promised["wasted_share"] < 0.2
