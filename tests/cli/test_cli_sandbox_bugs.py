"""Bugs of ours in the sandbox: a line and a traceback for each kind; a run that had it for a server never passes."""

import os
import signal
import stat
from pathlib import Path

import pytest
from bugs import bug_in
from cli_runs import MADE_BY_MAKER, ended, estsim, results_in, serving, started, write_scenario

FAILS_TO_ENROLL = """
    real = module.expect_method

    def expect_method(request, operation):
        if "simpleenroll" in request.path:
            raise KeyError("what a stranger sent")
        return real(request, operation)

    module.expect_method = expect_method
"""
LIMITED = {"retry": {"attempts": 2, "base": "100ms"}}


def test_a_bug_in_the_sandbox_of_a_run_is_an_error(tmp_path: Path) -> None:
    """Its answers of 500 are no server's failures: exit 1, and the traceback is kept beside the run's rows."""
    bug = bug_in(tmp_path, "estsim.server.service", FAILS_TO_ENROLL)
    scenario = write_scenario(tmp_path, cohort=LIMITED, thresholds=["failures <= 100%"])
    with started("run", scenario, "--results", tmp_path / "results", **bug) as process:
        done = ended(process, within_s=60.0)
    run = results_in(tmp_path / "results")
    assert (done.code, run.summary["verdict"]) == (1, "error")
    kept = run.folder / "sandbox-errors.log"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    text = kept.read_text(encoding="ascii")
    assert "KeyError at estsim/server/service.py" in text
    assert "10 times" in text
    assert text.count("Traceback") == 1
    assert "InternalFailure" in (run.folder / "errors.log").read_text(encoding="ascii")
    assert "sandbox-errors.log" in (run.folder / "errors.log").read_text(encoding="ascii")


def test_a_bug_in_a_sandbox_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For ten requests one line, without what a stranger sent; errors.log has the count."""
    monkeypatch.setenv("PYTHONPATH", bug_in(tmp_path, "estsim.server.service", FAILS_TO_ENROLL)["PYTHONPATH"])
    box = tmp_path / "box"
    with serving(box) as server:
        monkeypatch.delenv("PYTHONPATH")
        scenario = write_scenario(tmp_path, **server.target(), cohort={**MADE_BY_MAKER, **LIMITED})
        assert estsim("run", scenario, "--results", tmp_path / "results").code == 3
        os.kill(server.process.pid, signal.SIGTERM)
        done = ended(server.process)
    (line,) = done.mistakes
    assert line.startswith("estsim: internal error of the sandbox while handling a request: KeyError at estsim/server/")
    assert line.endswith(f"traceback: {box}/errors.log; please report it")
    text = (box / "errors.log").read_text(encoding="ascii")
    assert "10 times" in text
    assert "stranger" not in text


NO_ROOM = """
    from estsim.errors import StoreError
    real = module.Store.commit

    def commit(self, exchange, **more):
        if more and exchange.operation == "simpleenroll":
            raise StoreError("sandbox.sqlite: database or disk is full")
        return real(self, exchange, **more)

    module.Store.commit = commit
"""


def test_a_full_disk_of_the_sandbox_of_a_run_is_the_machine_s(tmp_path: Path) -> None:
    """Its answers of 503 are no server's that is overloaded: exit 4, with the reason."""
    bug = bug_in(tmp_path, "estsim.server.store", NO_ROOM)
    scenario = write_scenario(tmp_path, cohort=LIMITED, duration="4s", until=None)
    with started("run", scenario, "--results", tmp_path / "results", **bug) as process:
        done = ended(process, within_s=60.0)
    run = results_in(tmp_path / "results")
    assert (done.code, run.summary["verdict"]) == (4, "saturated")
    assert run.summary["generator"]["why"].startswith(
        "in the run's sandbox: the sandbox's store cannot be written: sandbox.sqlite: database or disk is full"
    )
