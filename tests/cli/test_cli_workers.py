"""``estsim run --workers``: the fleet of one process in several, whatever becomes of them."""

import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import psutil
import pytest
from cli_runs import (
    CLASSES,
    Done,
    Results,
    assert_books_balance,
    assert_log_agrees,
    at_once,
    ended,
    estsim,
    interrupt,
    query_rows,
    recorded,
    results_in,
    started,
    until,
    write_scenario,
)

from estsim.report.run_report import read_run

BUSY = {"devices": 10, "boot": {"burst": "200ms"}, "renew": {"after": "300ms"}}  # and so on until somebody stops it
ISSUED = "SELECT COUNT(*) FROM enrolments WHERE end = 'issued'"
GONE_S = 5.0
BEGINNINGS = "SELECT cohort, device, intended_ns, subject FROM enrolments WHERE number = 1 ORDER BY device"


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the worker processes of a run, in the order of their numbers."""
    children = psutil.Process(process.pid).children()
    return [child for child in children if "estsim.engine.worker" in child.cmdline()]


def ran(scenario: Path, results: Path, *options: str, code: int = 0) -> Results:
    """Run a scenario to its end."""
    done = estsim("run", scenario, "--results", results, *options)
    assert done.code == code, done.out + done.err
    return results_in(results)


@pytest.fixture(scope="module", name="runs")
def one_fleet_in_one_and_in_three_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Results]:
    """Play one fleet with deferrals, renewals, events and a closed loop, in so many processes.

    The power is cut when nobody has anything under way, so that what is cut does not hang on the moment.
    """
    folder, half = tmp_path_factory.mktemp("workers"), {"cohorts": ["meters"], "share": "50%"}
    scenario = write_scenario(
        folder,
        sandbox={"issue": {"mode": "deferred", "share": "50%", "delay": "300ms", "retry_after": {"seconds": 1}}},
        cohorts={
            "meters": {"devices": 11, "boot": {"burst": "1s"}, "renew": {"after": "1s", "times": 1}},
            "line": {"devices": 7, "boot": {"stations": 2}, "renew": "off"},
            "late": {"devices": 4, "boot": {"burst": "500ms"}, "renew": "off"},
        },
        events=[
            {"at": "1500ms", "cohort_join": {"cohort": "late"}},
            {
                "at": "4500ms",
                "power_cut": {**half, "off": "200ms", "return": {"burst": "1s"}},
            },
            {"at": "4600ms", "mark": "calm"},
        ],
        phases={"early": "0s..1s", "rest": "1s..30s"},
        thresholds=["failures < 1%", "early.failures < 1%"],
        seed=7,
    )
    done = at_once(
        {
            str(count): partial(estsim, "run", scenario, "--results", folder / str(count), "--workers", str(count))
            for count in (1, 3)
        }
    )
    assert [each.code for each in done.values()] == [0, 0], done
    return {count: results_in(folder / str(count)) for count in (1, 3)}


def test_the_fleet_and_its_plan_are_those_of_one_process(runs: dict[int, Results]) -> None:
    """The same devices under the same names, each meant to begin at the same nanosecond of the run."""
    alone = [tuple(row) for row in runs[1].rows(BEGINNINGS)]
    assert len(alone) == 22
    shared = [tuple(row) for row in runs[3].rows(BEGINNINGS)]
    assert [row for row in shared if row[0] != "line"] == [row for row in alone if row[0] != "line"]
    assert [row[1::2] for row in shared] == [row[1::2] for row in alone]  # a line begins when a place is free


@pytest.mark.parametrize("count", [1, 3])
def test_totals_rows_and_the_server_agree(runs: dict[int, Results], count: int) -> None:
    """What the summary counts is in run.sqlite, and each request sent is in the sandbox's log, once."""
    run = runs[count]
    assert_books_balance(run)
    assert_log_agrees(run)
    assert run.summary["run"]["workers"] == count
    assert run.one("SELECT value FROM run WHERE key = 'workers'") == str(count)
    assert run.summary["phases"]["early"]["operations"]["simpleenroll"]["requests"] >= 11
    assert {path.name for path in run.folder.iterdir()} == {
        "scenario.yaml", "run.sqlite", "summary.json", "report.html", "sandbox.sqlite",
    }  # fmt: skip


def test_each_worker_has_its_share(runs: dict[int, Results]) -> None:
    """Devices go to workers in turn; its request ids say who sent what, its readings who took how much."""
    requests = runs[3].rows("SELECT device, request_id FROM exchanges WHERE cause != 'preflight' AND device < 11")
    assert {(device % 3, request_id.split("-")[1]) for device, request_id in requests} == {
        (slot, f"w{slot}") for slot in range(3)
    }
    readings = runs[3].rows("SELECT DISTINCT worker FROM generator ORDER BY worker")
    assert [row["worker"] for row in readings] == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_events_reach_every_part(runs: dict[int, Results], count: int) -> None:
    """Told once, they act on the devices of all workers; stations are never more than there are."""
    run = runs[count]
    told = [row["text"] for row in run.rows("SELECT text FROM marks WHERE kind != 'notice' ORDER BY at_ns")]
    assert told == ["late joins", "power cut: 50% of meters", "calm"]
    dark = run.rows("SELECT states FROM fleet WHERE cohort = 'meters' AND second >= 4")
    assert max(json.loads(row["states"]).get("off", 0) for row in dark) >= 1
    spans = run.rows("SELECT intended_ns, ended_ns FROM enrolments WHERE cohort = 'line' AND end = 'issued'")
    moments = sorted([(row["intended_ns"], 1) for row in spans] + [(row["ended_ns"], -1) for row in spans])
    busy = [sum(step for _, step in moments[: place + 1]) for place in range(len(moments))]
    assert max(busy) <= 2


@pytest.mark.parametrize("count", [1, 3])
def test_a_report_tells_the_same_of_a_run_with_workers(runs: dict[int, Results], count: int) -> None:
    """Rebuilt from run.sqlite, its figures are those of the summary, and it says who played."""
    figures, summary = read_run(runs[count].folder).figures.as_dict(), runs[count].summary
    for name, operation in summary["operations"].items():
        assert {kind: figures["operations"][name][kind] for kind in CLASSES} == {k: operation[k] for k in CLASSES}
    for part in ("certificates", "fleet"):
        assert figures[part] == summary[part]
    assert figures["deferral"]["polls"] == summary["deferral"]["polls"] > 0
    assert figures["run"]["workers"] == count
    assert [each["passed"] for each in figures["thresholds"]] == [True, True]


def test_a_worker_that_dies_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    """A kill -9 of one of two: its devices are lost by number, the other's live on, exit 4, and no total is wrong."""
    scenario, results = write_scenario(tmp_path, cohort=BUSY, duration="3s"), tmp_path / "results"
    with started("run", scenario, "--results", results, "--workers", "2") as process:
        until(lambda: recorded(results, ISSUED) > 15)
        workers_of(process)[1].kill()
        done = ended(process)
    run = results_in(results)
    summary = run.summary
    assert (done.code, summary["verdict"]) == (4, "saturated")
    why = summary["generator"]["why"]
    assert "worker 1 was killed (SIGKILL) after" in why
    assert "its 5 devices were lost (numbers 1, 3, 5, 7, 9)" in why
    assert f"estsim: {why.split('; the figures do not cover')[0]}\n" in done.err
    assert summary["fleet"]["states"]["lost"] == 5
    assert_books_balance(run)
    after = run.one("SELECT MAX(ended_ns) FROM exchanges WHERE device % 2 = 0")
    assert after > run.one("SELECT MAX(ended_ns) FROM exchanges WHERE device % 2 = 1") + 500_000_000
    served = {row["request_id"] for row in run.log("SELECT request_id FROM exchanges")}
    assert {row["request_id"] for row in run.rows("SELECT request_id FROM exchanges WHERE sent_ns NOTNULL")} <= served
    assert json.loads(estsim("export", run.folder, "--format", "jsonl").out.splitlines()[0])
    retold = read_run(run.folder).figures.as_dict()
    assert (retold["verdict"], retold["generator"]["why"]) == ("saturated", why)


def test_the_death_of_all_ends_the_run(tmp_path: Path) -> None:
    """There is nobody to wait for."""
    scenario, results = write_scenario(tmp_path, cohort=BUSY), tmp_path / "results"
    with started("run", scenario, "--results", results, "--workers", "2") as process:
        until(lambda: recorded(results, ISSUED) > 5)
        for worker in workers_of(process):
            worker.kill()
        done = ended(process, within_s=GONE_S * 2)
    assert done.code == 4
    assert results_in(results).summary["fleet"]["states"] == {"lost": 10}


def test_an_interrupt_drains_all_workers(tmp_path: Path) -> None:
    """Ctrl-C to the whole process group: each ends what is under way, nothing is lost, nobody is left."""
    scenario, results = write_scenario(tmp_path, cohort=BUSY), tmp_path / "results"
    with started("run", scenario, "--results", results, "--workers", "2") as process:
        until(lambda: recorded(results, ISSUED) > 15)
        workers = workers_of(process)
        interrupt(process)
        done = ended(process)
    run = results_in(results)
    assert (done.code, run.summary["verdict"]) == (130, "aborted")
    assert "results so far are saved" in done.err
    assert run.one("SELECT COUNT(*) FROM exchanges WHERE kind IN ('abandoned', 'failed')") == 0
    assert_books_balance(run)
    assert_log_agrees(run)
    assert not any(worker.is_running() for worker in workers)


def test_a_second_interrupt_cuts_what_is_under_way(tmp_path: Path) -> None:
    """In every worker: their exchanges are abandoned, and written."""
    capacity = {"rate": "1/h", "burst": 1, "overflow": "wait"}
    scenario, results = write_scenario(tmp_path, sandbox={"capacity": capacity}), tmp_path / "results"
    with started("run", scenario, "--results", results, "--workers", "2") as process:
        until(lambda: recorded(results, ISSUED) == 1)
        interrupt(process)
        assert process.stdout is not None
        assert any("draining" in line for line in process.stdout)
        interrupt(process)
        done = ended(process, within_s=2 * GONE_S)
    run = results_in(results)
    assert done.code == 130
    enrolls = run.summary["operations"]["simpleenroll"]
    assert {name: enrolls[name] for name in CLASSES if enrolls[name]} == {"ok": 1, "abandoned": 4}
    assert_books_balance(run)


def test_the_leader_s_death_leaves_nobody(tmp_path: Path) -> None:
    """After kill -9 of the run its workers end by themselves, and what they had sent is in run.sqlite."""
    scenario, results = write_scenario(tmp_path, cohort=BUSY), tmp_path / "results"
    with started("run", scenario, "--results", results, "--workers", "2") as process:
        until(lambda: recorded(results, ISSUED) > 15)
        workers = workers_of(process)
        assert len(workers) == 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        gone, alive = psutil.wait_procs(workers, timeout=GONE_S)
    assert (len(gone), alive) == (2, [])
    (folder,) = results.iterdir()
    assert [row[0] for row in query_rows(folder / "run.sqlite", "PRAGMA integrity_check")] == ["ok"]
    parts = query_rows(folder / "run.sqlite", "SELECT device % 2 AS part, COUNT(*) AS n FROM exchanges GROUP BY 1")
    assert [row["part"] for row in parts] == [0, 1]


def test_a_file_that_no_worker_could_use_is_told_before_the_run(tmp_path: Path) -> None:
    """A device's own file: exit 2 and its name, before a worker is started."""
    folder = tmp_path / "born"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.pem").write_text("no certificate", encoding="utf-8")
    cohort = {"bootstrap": {"kind": "files", "path": str(folder)}}
    done = estsim("run", write_scenario(tmp_path, cohort=cohort), "--results", tmp_path / "results", "--workers", "2")
    assert done.code == 2
    assert f"{folder}/" in done.err
    assert "no certificate found" in done.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("workers", "message"),
    [("0", "must be auto or a number from 1 to 256 (got 0)"), ("many", "must be auto or a number from 1 to 256")],
)
def test_a_number_of_workers_that_is_none(tmp_path: Path, workers: str, message: str) -> None:
    """Told with the option that it came from."""
    done: Done = estsim("run", write_scenario(tmp_path), "--workers", workers)
    assert done.code == 2
    assert message in done.err
    assert f"from --workers {workers}" in done.err


def test_more_workers_than_devices_are_as_many_as_devices(tmp_path: Path) -> None:
    """Nobody is started for nothing."""
    run = ran(write_scenario(tmp_path, cohort={"devices": 2}), tmp_path / "results", "--workers", "5")
    assert run.summary["run"]["workers"] == 2
    assert run.summary["fleet"]["states"] == {"operational": 2}
    sent = [row["request_id"] for row in run.rows("SELECT request_id FROM exchanges")]
    assert len(set(sent)) == len(sent) == 5  # the preflight's, and two of each device
