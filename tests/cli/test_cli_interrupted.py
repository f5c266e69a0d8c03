"""Runs that are cut short: by Ctrl-C, by SIGTERM, by kill -9. What happened until then is there, and nobody is left."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from cli_runs import (
    Done,
    Results,
    assert_books_balance,
    assert_log_agrees,
    ended,
    interrupt,
    query_rows,
    recorded,
    results_in,
    started,
    until,
    write_scenario,
)

# And so on until somebody stops it: for two minutes and a half, or a warning would say that it does not settle.
BUSY = {"devices": 10, "boot": {"burst": "200ms"}, "renew": {"after": "300ms", "times": 500}}
GONE_S = 5.0
WORTH_S = 1.0  # of the work of a run that is killed, as promised
ISSUED = "SELECT COUNT(*) FROM enrolments WHERE end = 'issued'"


def sandbox_of(process: "subprocess.Popen[str]") -> psutil.Process:
    """Return the sandbox that a run has started for itself."""
    (child,) = psutil.Process(process.pid).children()
    assert "serve" in child.cmdline()
    return child


def assert_whole(run: Results, *, ending: str) -> None:
    """Check that a store is one self-contained, sound file, and says how the run ended."""
    assert [path.name for path in run.folder.glob("run.sqlite*")] == ["run.sqlite"]
    assert run.one("PRAGMA integrity_check") == "ok"
    assert run.one("SELECT value FROM run WHERE key = 'ending'") == ending


def test_once_stops_in_order(tmp_path: Path) -> None:
    """What is under way ends, all is written, the folder is named; exit 130, and the sandbox is gone. Two runs."""
    scenario, folders = write_scenario(tmp_path, cohort=BUSY, duration="10m"), (tmp_path / "one", tmp_path / "other")
    with ExitStack() as stack:
        runs = [
            stack.enter_context(started("run", scenario, "--results", folder, TMPDIR=str(tmp_path)))
            for folder in folders
        ]
        until(lambda: all(recorded(folder, ISSUED) > 15 for folder in folders))
        sandboxes = [sandbox_of(process) for process in runs]
        interrupt(runs[0])
        runs[1].terminate()
        for process, folder in zip(runs, folders, strict=True):
            assert_ended_in_order(ended(process), results_in(folder))
    assert [sandbox.is_running() for sandbox in sandboxes] == [False, False]
    assert list(tmp_path.glob("estsim-*")) == [], "the sandbox's private folder was left behind"


def assert_ended_in_order(done: Done, run: Results) -> None:
    """Check an interrupted run that had the time to bring to an end what was under way."""
    assert done.code == 130
    assert done.err == f"estsim: interrupted; results so far are saved in {run.folder}\n"
    assert run.summary["verdict"] == "aborted"
    assert_whole(run, ending="aborted")
    assert run.one("SELECT COUNT(*) FROM exchanges WHERE kind IN ('abandoned', 'failed')") == 0
    assert_books_balance(run)
    assert_log_agrees(run)


def test_twice_stops_at_once(tmp_path: Path) -> None:
    """Exchanges that would take an hour are cut and recorded as abandoned: ours, not the server's failure."""
    capacity = {"rate": "1/h", "burst": 1, "overflow": "wait"}
    scenario, results = write_scenario(tmp_path, sandbox={"capacity": capacity}), tmp_path / "results"
    with started("run", scenario, "--results", results) as process:
        until(lambda: recorded(results, ISSUED) == 1)
        sandbox = sandbox_of(process)
        interrupt(process)
        assert process.stdout is not None
        assert any("draining" in line for line in process.stdout), "it did not say that it waits for exchanges"
        assert process.poll() is None
        interrupt(process)
        done = ended(process, within_s=GONE_S)
    run = results_in(results)
    assert (done.code, run.summary["verdict"]) == (130, "aborted")
    assert_whole(run, ending="aborted")
    kinds = run.rows(
        "SELECT kind, COUNT(*) FROM exchanges WHERE operation = 'simpleenroll' GROUP BY kind ORDER BY kind"
    )
    assert [tuple(row) for row in kinds] == [("abandoned", 4), ("ok", 1)]
    assert run.one("SELECT COUNT(*) FROM enrolments WHERE end IS NULL OR end = 'cut'") == 4
    assert_books_balance(run)
    assert_log_agrees(run)  # what was cut has a line too, with no status
    assert not sandbox.is_running()


def test_an_interrupt_in_the_first_moment(tmp_path: Path) -> None:
    """Before the command has even loaded all of itself: exit 130, and no word of Python's."""
    scenario = write_scenario(tmp_path)
    with started("run", scenario, "--results", tmp_path / "results") as process:
        maps = Path(f"/proc/{process.pid}/maps")
        until(lambda: "_pydantic_core" in maps.read_text(encoding="utf-8"))  # there is more to load after it
        interrupt(process)
        done = ended(process, within_s=GONE_S)
    assert done.code == 130


def test_an_interrupt_before_the_fleet_lives(tmp_path: Path) -> None:
    """While the sandbox starts there is nothing to drain: it ends, leaves a summary, and no process."""
    scenario, results = write_scenario(tmp_path, cohort=BUSY, duration="10m"), tmp_path / "results"
    with started("run", scenario, "--results", results) as process:
        until(lambda: results.is_dir() and any(results.iterdir()))  # imports of ours have short-lived children, too
        until(lambda: len(psutil.Process(process.pid).children()) == 1)
        sandbox = psutil.Process(process.pid).children()[0]
        interrupt(process)
        done = ended(process, within_s=GONE_S)
    run = results_in(results)
    assert (done.code, run.summary["verdict"]) == (130, "aborted")
    assert_whole(run, ending="aborted")
    assert run.summary["fleet"]["states"] == {"off": 10}
    assert not sandbox.is_running()


def test_kill_costs_the_last_second_and_leaves_nobody(tmp_path: Path) -> None:
    """After kill -9 the sandbox ends by itself, and what it served until a second before is in run.sqlite."""
    scenario, results = write_scenario(tmp_path, cohort=BUSY, duration="10m"), tmp_path / "results"
    with started("run", scenario, "--results", results, TMPDIR=str(tmp_path)) as process:
        until(lambda: recorded(results, ISSUED) > 30)
        sandbox = sandbox_of(process)
        os.kill(process.pid, signal.SIGKILL)
        killed_unix = time.time()
        process.wait()
        gone, alive = psutil.wait_procs([sandbox], timeout=GONE_S)
        assert (len(gone), alive) == (1, [])
    run = results_in(results)
    assert run.one("PRAGMA integrity_check") == "ok"
    kept = {row["request_id"] for row in run.rows("SELECT request_id FROM exchanges")}
    (log,) = tmp_path.glob("estsim-*/.sandbox/sandbox.sqlite")
    served = query_rows(log, "SELECT request_id, at_unix FROM exchanges")
    lost = {row["request_id"] for row in served if row["at_unix"] < killed_unix - WORTH_S} - kept
    assert lost == set()
    assert len(served) > 40
    assert kept <= {row["request_id"] for row in served}
    still_there = [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in (each.info["cmdline"] or [])]
    assert still_there == []
