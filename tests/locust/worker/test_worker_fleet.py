"""A fleet under an ordinary Locust master, on ``estsim worker``: exact, also where a worker dies, and told as a run."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from typing import Any, Final

import pytest

from estsim.fleet.link_secret import VARIABLE

pytestmark = [pytest.mark.alone, pytest.mark.long]  # a thousand devices, when the plan has them

LOCUSTFILE: Final = Path(__file__).parents[3] / "locustfile.py"
DEADLINE_S: Final = 90.0
PLAN: Final = {
    "version": 1,
    "name": "linked",
    "duration": "60s",
    "until": "settled",
    "generator": {"max_lag": "30s", "max_cpu": "100%"},
    "sandbox": {"issue": {"mode": "deferred", "share": "20%", "delay": "1s", "retry_after": {"seconds": 1}}},
    "cohorts": {"meters": {"devices": 1000, "boot": {"burst": "9s"}, "enroll": {"cacerts": "never"}, "renew": "off"}},
    "thresholds": ["failures < 1%", "certificates.verified == 1000"],
}


@dataclass(frozen=True, slots=True)
class Ended:
    """A master and its workers, after their test."""

    code: int
    said: str
    workers: list[tuple[int, str]]
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json says."""
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        return summary

    def rows(self, name: str, query: str) -> list[tuple[Any, ...]]:
        """Ask run.sqlite or sandbox.sqlite."""
        with closing(sqlite3.connect(f"file:{self.folder / name}.sqlite?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()


def free_port() -> int:
    """Return a port that the kernel chose."""
    with create_server(("127.0.0.1", 0)) as nobody:
        port: int = nobody.getsockname()[1]
        return port


def linked(folder: Path, plan: dict[str, Any], *, kill_after: str | None = None) -> Ended:
    """Run a headless master and two workers to their end; one of them is killed once the master has said something."""
    scenario, port = folder / "plan.yaml", str(free_port())
    scenario.write_text(json.dumps(plan), encoding="utf-8")
    lead = ["--master", "--master-bind-port", port, "--headless", "--expect-workers", "2", "--scenario", str(scenario)]
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *lead, "--results", str(folder / "results")]
    work = [sys.executable, "-m", "estsim", "worker", str(scenario), "--master", f"127.0.0.1:{port}"]
    with ExitStack() as stack:
        started = [stack.enter_context(_started(words)) for words in (command, work, work)]
        for process in started:
            stack.callback(process.kill)
        master, *workers = started
        said = ""
        if kill_after is not None:
            assert master.stdout is not None
            for line in master.stdout:
                said += line
                if kill_after in line:
                    break
            os.kill(workers[1].pid, signal.SIGKILL)
        said += master.communicate(timeout=DEADLINE_S)[0]
        told = [process.communicate(timeout=DEADLINE_S)[0] for process in workers]
    assert "Traceback" not in said + "".join(told), said + "".join(told)
    (results,) = (folder / "results").iterdir()
    return Ended(
        master.returncode, said, [(w.returncode, words) for w, words in zip(workers, told, strict=True)], results
    )


def _started(words: list[str]) -> "subprocess.Popen[str]":
    environment = {**os.environ, VARIABLE: "correct horse battery staple"}  # the master listens everywhere
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


@pytest.fixture(scope="module", name="fleet")
def two_workers_of_five_hundred(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Play a thousand devices on two workers."""
    return linked(tmp_path_factory.mktemp("linked"), PLAN)


def test_a_thousand_devices_on_two_workers_are_counted_exactly(fleet: Ended) -> None:
    """Exit 0; each request that a worker sent is in the sandbox's log, once, and the summary counts them."""
    assert fleet.code == 0, fleet.said
    summary = fleet.summary
    assert summary["verdict"] == "passed"
    assert summary["run"]["workers"] == 2
    assert summary["fleet"] == {"devices": 1000, "states": {"operational": 1000}}
    sent = Counter(fleet.rows("run", "SELECT request_id FROM exchanges WHERE sent_ns IS NOT NULL"))
    assert sent == Counter(fleet.rows("sandbox", "SELECT request_id FROM exchanges"))
    assert set(sent.values()) == {1}
    assert sum(sent.values()) == summary["operations"]["simpleenroll"]["requests"]
    parts = fleet.rows("run", "SELECT device % 2, COUNT(DISTINCT device) FROM exchanges GROUP BY 1")
    assert parts == [(0, 500), (1, 500)]
    by_worker = (
        "SELECT DISTINCT device % 2, substr(request_id, 10, 2) FROM exchanges WHERE cause != 'preflight' ORDER BY 1"
    )
    senders = fleet.rows("run", by_worker)
    assert senders == [(0, "w0"), (1, "w1")]


def test_devices_boot_when_the_plan_has_them(fleet: Ended) -> None:
    """A thousand over nine seconds, though Locust spawns once a second."""
    begun = [second for (second,) in fleet.rows("run", "SELECT intended_ns / 1000000000 FROM enrolments")]
    per_second = Counter(begun)
    assert all(60 < per_second[second] < 180 for second in range(1, 8)), per_second
    assert max(begun) <= 11


def test_locust_s_own_figures_are_of_the_same_exchanges(fleet: Ended) -> None:
    """Under estsim's names; a deferral is no failure."""
    rows = [line.split() for line in fleet.said.splitlines() if line.startswith("EST ")]
    requests = fleet.summary["operations"]["simpleenroll"]["requests"]
    assert ["EST", "simpleenroll", str(requests), "0(0.00%)"] in [row[:4] for row in rows]


def test_workers_leave_in_order(fleet: Ended) -> None:
    """The master's quit is their end; clocks were compared."""
    assert [code for code, _ in fleet.workers] == [0, 0], fleet.workers
    ((told,),) = fleet.rows("run", "SELECT value FROM run WHERE key = 'clock_offsets'")
    offsets = json.loads(told)
    assert set(offsets) == {"0", "1"}
    assert all(abs(offset) < 0.5 and 0 < round_trip < 1 for offset, round_trip in offsets.values())
    assert {path.name for path in fleet.folder.iterdir()} == {
        "report.html", "run.sqlite", "sandbox.sqlite", "scenario.yaml", "summary.json",
    }  # fmt: skip


@pytest.mark.long
def test_a_worker_that_dies_is_told_and_accounted(tmp_path: Path) -> None:
    """Kill -9 of one: its devices by number, exit 4, and what it had handed on is counted."""
    meters = {"devices": 40, "boot": {"burst": "2s"}, "enroll": {"cacerts": "never"}, "renew": {"after": "500ms"}}
    plan = PLAN | {"cohorts": {"meters": meters}, "duration": "9s", "thresholds": ["failures < 1%"]}
    ended = linked(tmp_path, plan, kill_after='{"Device": 40}')
    assert ended.code == 4, ended.said
    summary = ended.summary
    assert "its 20 devices were lost (numbers" in summary["generator"]["why"]
    assert "its 20 devices were lost (numbers" in ended.said
    assert summary["fleet"]["states"]["lost"] == 20
    counted = sum(each["requests"] for each in summary["operations"].values())
    assert ended.rows("run", "SELECT COUNT(*) FROM exchanges WHERE cause != 'preflight'") == [(counted,)]
    known = set(ended.rows("sandbox", "SELECT request_id FROM exchanges"))
    assert set(ended.rows("run", "SELECT request_id FROM exchanges WHERE sent_ns IS NOT NULL")) <= known
    assert sorted(code for code, _ in ended.workers) == [-9, 0]
