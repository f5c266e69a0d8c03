"""The locustfile as users run it, and devices beside other users: exit codes, and counts that are the sandbox's."""

import signal
import time
from pathlib import Path

import pytest
from locust_runs import (
    LOCUSTFILE,
    Results,
    assert_books_balance,
    assert_log_agrees,
    closed_port,
    ended,
    fleet,
    in_processes,
    locust,
    runs_in,
    started,
)

BESIDE = """
import http.server, threading
from locust import HttpUser, constant, task
from estsim.locust.shape import BootCurve
from estsim.locust.user import EstDevice

class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status}, "so")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()

class Browser(HttpUser):
    fixed_count = 2
    host = f"http://127.0.0.1:{{server.server_port}}"
    wait_time = constant(0.2)
    @task
    def look(self):
        self.client.get("/")

class Meter(EstDevice):
    scenario = "scenario.yaml"
    cohort = "meters"
"""


def only_run(folder: Path) -> Results:
    """Return the one run that was left."""
    (run,) = runs_in(folder)
    return run


def assert_whole(run: Results, devices: int) -> None:
    """Check that every device has its certificate, and that the books are right against themselves and the sandbox."""
    assert_books_balance(run)
    assert_log_agrees(run)
    assert run.one("SELECT COUNT(DISTINCT device) FROM exchanges") == devices
    assert run.summary["certificates"]["issued"] == devices
    assert run.summary["fleet"] == {"devices": devices, "states": {"operational": devices}}


def test_the_locustfile_is_short() -> None:
    """It is what people copy."""
    assert len(LOCUSTFILE.read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.parametrize("processes", [1, 2])
def test_headless_it_plays_the_scenario_and_is_over_with_it(tmp_path: Path, processes: int) -> None:
    """In one process or with workers: each device once, as the sandbox saw them, and everything that a run leaves."""
    done = locust(tmp_path, "--scenario", fleet(tmp_path), *(in_processes(2) if processes > 1 else ()))
    assert done.code == 0, done.log
    run = only_run(tmp_path)
    assert_whole(run, 20)
    assert run.summary["verdict"] == "passed"
    assert run.summary["run"]["workers"] == processes
    left = {"scenario.yaml", "run.sqlite", "sandbox.sqlite", "summary.json", "report.html"}
    assert {path.name for path in run.folder.iterdir()} == left
    assert f"passed; results folder: results/{run.folder.name}" in done.log


@pytest.mark.long
def test_devices_that_leave_are_not_replaced(tmp_path: Path) -> None:
    """Locust would spawn others in their place while the rest still boot."""
    short = {"boot": {"burst": "5s"}, "renew": {"after": "100ms", "times": 1, "then": "leave"}}
    done = locust(tmp_path, "--scenario", fleet(tmp_path, sandbox={}, cohort=short))
    assert done.code == 0, done.log
    assert only_run(tmp_path).one("SELECT COUNT(DISTINCT device) FROM exchanges") == 20
    assert only_run(tmp_path).summary["fleet"] == {"devices": 20, "states": {"retired": 20}}


def test_devices_boot_when_the_scenario_has_them_boot(tmp_path: Path) -> None:
    """Not when Locust spawns their users: a device a quarter of a second, planned so and begun so."""
    done = locust(tmp_path, "--scenario", fleet(tmp_path, 12, cohort={"boot": {"rate": "4/s", "shape": "even"}}))
    assert done.code == 0, done.log
    first_certificates = only_run(tmp_path).rows("SELECT intended_ns FROM enrolments WHERE number = 1 ORDER BY device")
    assert [row["intended_ns"] / 1e9 for row in first_certificates] == pytest.approx(
        [0.25 * place for place in range(12)]
    )


@pytest.mark.long
def test_a_broken_threshold_is_exit_3(tmp_path: Path) -> None:
    """As estsim run has it."""
    done = locust(tmp_path, "--scenario", fleet(tmp_path, thresholds=["exchanges_per_certificate < 1"]))
    assert done.code == 3, done.log
    assert only_run(tmp_path).summary["verdict"] == "failed"
    assert "exchanges_per_certificate < 1: failed" in done.log


def test_ctrl_c_is_exit_130_and_everything_is_kept(tmp_path: Path) -> None:
    """What was done until then is written, summed up, and as the sandbox saw it."""
    endless = fleet(tmp_path, duration="10m", cohort={"renew": {"after": "300ms"}})
    with started(tmp_path, "--headless", "--only-summary", "--scenario", endless) as process:
        time.sleep(6)
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 130, done.log
    run = only_run(tmp_path)
    assert run.summary["verdict"] == "aborted"
    assert_log_agrees(run)


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (("--scenario", "nosuch"), "no library scenario 'nosuch'", 2),
        (("--scenario", "quickstart", "--host", "http://127.0.0.1:1"), "must begin with https://", 2),
        (("--scenario", "quickstart", "--devices", "many"), "--devices: expected a number (got many)", 2),
    ],
)
def test_what_cannot_be_played_is_told_and_ends_locust(
    tmp_path: Path, options: tuple[str, ...], words: str, code: int
) -> None:
    """Before any device does anything."""
    done = locust(tmp_path, *options)
    assert done.code == code, done.log
    assert words in done.log


def test_python_code_that_a_scenario_names_is_refused(tmp_path: Path) -> None:
    """By name and with its place, and it is not imported."""
    (tmp_path / "unwanted.py").write_text("open('imported', 'w').close()", encoding="utf-8")
    done = locust(tmp_path, "--scenario", fleet(tmp_path, cohort={"behaviour": "unwanted:Patient"}))
    assert done.code == 2, done.log
    assert "cohorts.meters.behaviour: names Python code, which only estsim run and estsim validate import" in done.log
    assert not (tmp_path / "imported").exists()


def test_a_server_that_cannot_be_reached_is_exit_5(tmp_path: Path) -> None:
    """Nobody listens there, so the fleet does not begin."""
    shared = {"bootstrap": {"kind": "none"}}
    scenario = fleet(tmp_path, cohort=shared)
    done = locust(tmp_path, "--scenario", scenario, "--host", f"https://127.0.0.1:{closed_port()}/.well-known/est")
    assert done.code == 5, done.log
    assert only_run(tmp_path).summary["verdict"] == "unreachable"


@pytest.mark.parametrize(("status", "code"), [(200, 0), pytest.param(500, 1, marks=pytest.mark.long)])
def test_devices_play_beside_other_users(tmp_path: Path, status: int, code: int) -> None:
    """Two browsers and a fleet in one locustfile: each in Locust's statistics, failures of the others not hidden."""
    fleet(tmp_path)
    file = tmp_path / "beside.py"
    file.write_text(BESIDE.format(status=status), encoding="utf-8")
    done = locust(tmp_path, "-u", "22", "-r", "22", "-t", "10s", file=file)
    assert done.code == code, done.log
    assert_whole(only_run(tmp_path), 20)
    assert "EST      simpleenroll" in done.log
    assert "GET      /" in done.log
