"""A bug of ours as a user meets it: exit code 1, a line, and errors.log; never a traceback, and everything saved."""

import json
import os
import pty
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from bugs import bug_in, bug_in_answers
from cli_runs import COMMAND, Done, Results, assert_log_agrees, ended, estsim, results_in, started, write_scenario

RENEWING = {"devices": 8, "boot": {"burst": "500ms"}, "renew": {"after": "300ms", "times": 1}}


def ran(environment: dict[str, str], *words: str | Path) -> Done:
    """Run a command with a bug in it."""
    with started(*words, **environment) as process:
        return ended(process, within_s=60.0)


def assert_one_device_stopped(run: Results, done: Done, *, devices: int = 8) -> None:
    """Check what a run says and leaves in which device 3 met a bug, and no other."""
    summary = run.summary
    assert (done.code, summary["verdict"]) == (1, "error")
    assert summary["fleet"]["states"] == {"operational": devices - 1, "internal_error": 1}
    assert summary["certificates"]["issued"] == summary["certificates"]["verified"] == 2 * (devices - 1)
    assert [each["passed"] for each in summary["thresholds"]] == [True, True]
    assert_log_agrees(run)
    assert run.rows("SELECT kind, detail FROM exchanges WHERE device = 3 AND cause != 'preflight'")[0][:] == (
        "abandoned",
        "internal error of estsim: see errors.log",
    )
    assert run.one("SELECT end FROM enrolments WHERE device = 3") == "internal_error"
    log = (run.folder / "errors.log").read_text(encoding="ascii")
    assert "once at" in log
    assert "stopped 1 device: 3" in log
    assert r"RuntimeError: boom \x1b[31m\nforged line" in log
    assert log.count("Traceback") == 1
    (line,) = [line for line in done.err.splitlines() if "internal error of estsim" in line]
    assert line.startswith("estsim: internal error of estsim: RuntimeError at estsim/fleet/exchanges.py:")
    assert "1 device stopped, the others continued" in line
    assert str(run.folder / "errors.log") in line
    assert "INTERNAL ERRORS" in done.out
    assert 'id="internal-errors"' in (run.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("workers", [1, 2])
def test_one_device_stops_and_the_run_goes_on(workers: int, tmp_path: Path) -> None:
    """In one process and in two: the bug is in every process, device 3 meets it in one."""
    scenario = write_scenario(tmp_path, cohort=RENEWING)
    bug = bug_in_answers(tmp_path)
    done = ran(bug, "run", scenario, "--results", tmp_path / "results", "--workers", str(workers))
    run = results_in(tmp_path / "results")
    assert_one_device_stopped(run, done)
    story = estsim("device", run.folder, "3")
    assert "stopped by an internal error of estsim: RuntimeError" in story.out
    assert "enrolment 1: internal_error after" in story.out


@pytest.mark.long
def test_a_thousand_bugs_are_one_kind(tmp_path: Path) -> None:
    """Every device meets one with a message of its own: the run ends, its log is small, and no password is in it."""
    born = {"kind": "basic", "user": "alice", "password": "open-sesame"}
    scenario = write_scenario(
        tmp_path,
        cohort={"devices": 1000, "boot": {"burst": "1s"}, "bootstrap": born, "enroll": {"cacerts": "never"}},
        sandbox={"clients": {"require_certificate": "never", "users": {"alice": {"password": "open-sesame"}}}},
    )
    message = "f'{self._device} {self._profile} {self._authorization()}' + 'x' * self._device"
    bug = bug_in_answers(tmp_path, tuple(range(1000)), message)
    done = ran(bug, "run", scenario, "--results", tmp_path / "results", "--no-preflight")
    run = results_in(tmp_path / "results")
    assert (done.code, run.summary["verdict"]) == (1, "error")
    assert run.summary["fleet"]["states"] == {"internal_error": 1000}
    assert "1000 devices stopped, the others continued" in done.err
    log = (run.folder / "errors.log").read_text(encoding="ascii")
    assert len(log) < 10_000
    assert "1000 times, first at" in log
    assert "stopped 1000 devices: " in log
    assert run.one("SELECT COUNT(*) FROM enrolments WHERE end = 'internal_error'") == 1000
    for text in (log, done.out, done.err, json.dumps(run.summary)):
        assert "open-sesame" not in text
        assert "b3Blbi1zZXNhbW" not in text


@pytest.mark.long
def test_a_worker_that_ends_at_a_bug_tells_of_it_and_is_lost(tmp_path: Path) -> None:
    """A bug that belongs to no device: what the others count is whole, and the exit code is not the generator's."""
    scenario = write_scenario(tmp_path, cohort={**RENEWING, "renew": {"after": "1s", "times": 1}})
    patch = "    if '-m' in sys.orig_argv:\n        module.TimerQueue.pop_due = lambda self, now_s: self._no_such_thing"
    bug = bug_in(tmp_path, "estsim.engine.timer_queue", patch)
    done = ran(bug, "run", scenario, "--results", tmp_path / "results", "--workers", "2")
    run = results_in(tmp_path / "results")
    assert (done.code, run.summary["verdict"]) == (1, "error")
    assert run.summary["fleet"]["states"] == {"lost": 8}
    assert {kind["error"] for kind in run.summary["internal_errors"]["kinds"]} == {"AttributeError"}
    assert "_no_such_thing" in (run.folder / "errors.log").read_text(encoding="ascii")


def test_a_dry_run_that_meets_a_bug_is_a_line_and_a_file(tmp_path: Path) -> None:
    """There is no folder of a run then: the line names the file."""
    bug = bug_in(tmp_path, "estsim.virtual.dry_run", "    module.DryRun._forecast = None")
    done = ran({**bug, "TMPDIR": str(tmp_path)}, "run", write_scenario(tmp_path), "--dry-run")
    assert_a_line_and_a_file(done, "TypeError: 'NoneType' object is not callable")


def test_a_command_that_meets_a_bug_is_a_line_and_a_file(tmp_path: Path) -> None:
    """Before a scenario is read nobody knows its passwords, so no message is told."""
    bug = bug_in(tmp_path, "estsim.scenario.loader", "    module.load_source = None")
    done = ran({**bug, "TMPDIR": str(tmp_path)}, "validate", write_scenario(tmp_path))
    assert_a_line_and_a_file(done, "TypeError: (message omitted: it may contain a secret)")


def assert_a_line_and_a_file(done: Done, message: str) -> None:
    """Check that a command has ended with a line that names a file, and what is in that."""
    assert (done.code, done.out) == (1, "")
    found = re.fullmatch(
        r"estsim: internal error of estsim: TypeError at estsim/\S+ in \S+; traceback: (\S+); please report it\n",
        done.err,
    )
    assert found is not None, done.err
    path = Path(found[1])
    assert path.stat().st_mode & 0o777 == 0o600
    assert message in path.read_text(encoding="ascii")


@pytest.mark.long
def test_a_dashboard_that_cannot_be_drawn_gives_way_to_lines(tmp_path: Path) -> None:
    """On a terminal: the run goes on in plain lines, and says at its end that it met a bug."""
    scenario = write_scenario(tmp_path, cohort={**RENEWING, "renew": {"after": "1s", "times": 2}})
    bug = bug_in(tmp_path, "estsim.terminal.dashboard", "    module.render = lambda *words, **keys: 1 / 0")
    code, out = on_a_terminal(bug, "run", str(scenario), "--results", str(tmp_path / "results"))
    run = results_in(tmp_path / "results")
    assert code == 1
    assert run.summary["certificates"]["issued"] == 24
    assert [kind["error"] for kind in run.summary["internal_errors"]["kinds"]] == ["ZeroDivisionError"]
    assert run.summary["internal_errors"]["count"] == 1
    assert "running | " in out
    assert "Traceback" not in out
    assert "no device was stopped" in out


def on_a_terminal(environment: dict[str, Any], *words: str) -> tuple[int, str]:
    """Run a command to its end on a terminal of its own, and return its exit code and all that it wrote there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*COMMAND, *words], {**environment, "TERM": "xterm"})  # noqa: S606 - ours
    said = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that the other side has gone
            break
        if not piece:
            break
        said += piece
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), said.decode(errors="replace")
