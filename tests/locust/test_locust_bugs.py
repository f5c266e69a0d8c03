"""A bug of ours in Locust's processes: one user's device stops, Locust ends with exit code 1 and leaves errors.log."""

import sys
from pathlib import Path
from typing import Final

import pytest
from locust_runs import Done, Results, assert_log_agrees, fleet, in_processes, locust, runs_in

sys.path.append(str(Path(__file__).parent.parent / "cli"))

from bugs import bug_in, bug_in_answers

ANYBODY_S: Final = """
import gevent
from locust import User, task

from estsim.locust.master.run_master import lead_of
from estsim.locust.user import EstDevice


class Meter(EstDevice):
    scenario = "{scenario}"


class Other(User):
    # ends the test once seven devices have their certificates

    fixed_count = 1

    @task
    def wait_for_the_end(self):
        run = lead_of(self.environment).run
        if run is not None and run.books.record.fleet_reading.states.get("operational") == 7:
            gevent.spawn(self.environment.runner.quit)
        gevent.sleep(0.5)
"""


def assert_one_device_stopped(run: Results, done: Done, devices: int) -> None:
    """Check what is left and said of a run in which device 3 met a bug."""
    summary = run.summary
    assert (done.code, summary["verdict"]) == (1, "error"), done.log
    assert summary["fleet"]["states"] == {"operational": devices - 1, "internal_error": 1}
    assert (summary["internal_errors"]["count"], summary["internal_errors"]["devices"]) == (1, 1)
    assert [each["passed"] for each in summary["thresholds"]] == [True, True]
    assert_log_agrees(run)
    (row,) = run.rows("SELECT kind, detail FROM exchanges WHERE device = 3 AND cause != 'preflight'")
    assert tuple(row) == ("abandoned", "internal error of estsim: see errors.log")
    assert run.one("SELECT end FROM enrolments WHERE device = 3") == "internal_error"
    log = (run.folder / "errors.log").read_text(encoding="ascii")
    assert r"RuntimeError: boom \x1b[31m\nforged line" in log
    assert "stopped 1 device: 3" in log
    assert "internal error of estsim: RuntimeError at estsim/fleet/exchanges.py:" in done.log
    assert "1 device stopped, the others continued" in done.log
    assert f"tracebacks: {run.folder.relative_to(run.folder.parents[1])}/errors.log" in done.log


def test_in_anybody_s_locustfile_one_device_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside users of another kind, whose exit code would have been 0."""
    monkeypatch.setenv("PYTHONPATH", bug_in_answers(tmp_path)["PYTHONPATH"])
    scenario = fleet(tmp_path, 8, sandbox={})
    file = tmp_path / "anybody.py"
    file.write_text(ANYBODY_S.format(scenario=scenario), encoding="utf-8")
    options = ("--users", "9", "--spawn-rate", "20", "--run-time", "50s")
    done = locust(tmp_path, "--scenario", scenario, *options, file=file)
    (run,) = runs_in(tmp_path)
    assert_one_device_stopped(run, done, 8)


@pytest.mark.long
def test_under_a_master_the_reports_of_its_workers_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With workers of Locust's own kind."""
    monkeypatch.setenv("PYTHONPATH", bug_in_answers(tmp_path)["PYTHONPATH"])
    done = locust(tmp_path, "--scenario", fleet(tmp_path, 8, sandbox={}), *in_processes(2))
    (run,) = runs_in(tmp_path)
    assert_one_device_stopped(run, done, 8)


@pytest.mark.long
def test_a_worker_that_cannot_make_its_devices_tells_the_master(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that belongs to no device: the run's verdict is an error of ours, not a generator that was the limit."""
    patch = (
        "    class Broken(module.LocustFleet):\n"
        "        def make(self):\n            raise KeyError('a bug')\n"
        "    module.LocustFleet = Broken"
    )
    monkeypatch.setenv("PYTHONPATH", bug_in(tmp_path, "estsim.locust.users.process_fleet", patch)["PYTHONPATH"])
    options = (*in_processes(2), "--run-time", "8s")
    done = locust(tmp_path, "--scenario", fleet(tmp_path, 8, sandbox={}), *options)
    (run,) = runs_in(tmp_path)
    assert (done.code, run.summary["verdict"]) == (1, "error"), done.log
    assert "KeyError: 'a bug'" in (run.folder / "errors.log").read_text(encoding="ascii")


@pytest.mark.long
def test_a_run_that_meets_a_bug_as_it_begins_is_exit_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preflight's: no device is started, and what there is is saved."""
    monkeypatch.setenv("PYTHONPATH", bug_in_answers(tmp_path, (0,))["PYTHONPATH"])
    done = locust(tmp_path, "--scenario", fleet(tmp_path, 8, sandbox={}))
    (run,) = runs_in(tmp_path)
    assert (done.code, run.summary["verdict"]) == (1, "error"), done.log
    assert run.summary["fleet"]["states"] == {"off": 8}
    assert "internal error of estsim: RuntimeError at estsim/fleet/exchanges.py:" in done.log


@pytest.mark.long
def test_a_run_that_cannot_be_saved_is_not_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locust itself would say that all is well."""
    patch = "    module.ActiveRun.finish = lambda self: 1 / 0"
    monkeypatch.setenv("PYTHONPATH", bug_in(tmp_path, "estsim.fleet.active_run", patch)["PYTHONPATH"])
    done = locust(tmp_path, "--scenario", fleet(tmp_path, 3, sandbox={}))
    assert done.code == 1, done.log
    assert "internal error of estsim: ZeroDivisionError" in done.log
