"""A user's behaviour class through the command line: allowed or refused, played alike everywhere, and its bugs."""

import json
from pathlib import Path
from textwrap import dedent

import pytest
from cli_runs import Keys, assert_books_balance, estsim, results_in, write_scenario

DEFERRING: Keys = {"issue": {"mode": "deferred", "delay": "1s", "retry_after": {"seconds": 1}}}
PATIENT = """
    import estsim

    class Patient(estsim.Behaviour):
        def deferral_wait(self, retry_after_s, deferrals, draw):
            return 1.5 + draw() / 2
"""
IN_A_HURRY = """
    import estsim

    class Hasty(estsim.Behaviour):
        def deferral_wait(self, retry_after_s, deferrals, draw):
            if draw() < 0.5:
                raise LookupError("no idea")
            return retry_after_s - 10
"""
WAITS = "SELECT device, told_ns, device_ns FROM enrolments ORDER BY device"


def written(folder: Path, name: str, module: str, devices: int = 6) -> Path:
    """Write a scenario whose devices are deferred, and the module of their behaviour."""
    (folder / f"{name.partition(':')[0]}.py").write_text(dedent(module), encoding="utf-8")
    cohort = {"devices": devices, "behaviour": name, "enroll": {"cacerts": "never"}}
    return write_scenario(folder, cohort=cohort, sandbox=DEFERRING, seed=7)


def test_without_the_option_nothing_is_imported(tmp_path: Path) -> None:
    """A line with the place and what to add, exit code 2, for a run, its forecast and a check."""
    path = written(tmp_path, "unwanted:Patient", "open('imported', 'w').close()")
    for words in (("run", path), ("run", path, "--dry-run"), ("validate", path)):
        done = estsim(*words, cwd=tmp_path)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"{path}:")
        assert done.err.endswith("cohorts.meters.behaviour: names Python code: add --allow-code to import it\n")
    assert estsim("validate", path, "--allow-code", cwd=tmp_path).code == 2
    assert (tmp_path / "imported").is_file()


def test_a_worker_of_a_locust_master_refuses_it_by_name(tmp_path: Path) -> None:
    """It plays the master's scenario, and never the code that that names."""
    path = written(tmp_path, "unwanted:Patient", "open('imported', 'w').close()")
    done = estsim("worker", path, "--master", "127.0.0.1:1", "--patience", "0s", cwd=tmp_path)
    assert done.code == 2
    assert "cohorts.meters.behaviour: names Python code, which only estsim run and estsim validate import" in done.err
    assert not (tmp_path / "imported").exists()


@pytest.mark.long
def test_a_run_a_worker_process_and_a_forecast_decide_alike(tmp_path: Path) -> None:
    """The same draws for a seed, however the fleet is split; the forecast's machine is the same."""
    path = written(tmp_path, "patient_mod:Patient", PATIENT)
    waits = []
    for workers in ("1", "2"):
        folder = tmp_path / workers
        done = estsim("run", path, "--allow-code", "--workers", workers, "--results", folder, "--no-dashboard")
        assert done.code == 0, done.err
        run = results_in(folder)
        assert_books_balance(run)
        waits.append([tuple(row) for row in run.rows(WAITS)])
    assert waits[0] == waits[1]
    assert {told_ns for _, told_ns, _ in waits[0]} == {1_000_000_000}
    own = [device_ns for *_, device_ns in waits[0]]
    assert all(500_000_000 <= each < 1_000_000_000 for each in own)
    assert len({*own}) == 6
    forecasts = [json.loads(estsim("run", path, "--allow-code", "--dry-run", "--json").out) for _ in range(2)]
    for each in forecasts:
        del each["needs"]  # which says how much memory is free
    assert forecasts[0] == forecasts[1]
    assert forecasts[0]["fleet"]["states"] == {"operational": 6}
    assert 1.5 < forecasts[0]["run"]["ended_s"] < 2.2  # with the wait of the class and two exchanges


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_bug_of_the_class_stops_its_device_and_is_told_as_the_class_s(workers: str, tmp_path: Path) -> None:
    """With its name and line; the verdict is error, and nobody is asked to report it."""
    path = written(tmp_path, "hasty_mod:Hasty", IN_A_HURRY, devices=8)
    done = estsim("run", path, "--allow-code", "--workers", workers, "--results", tmp_path / "results")
    run = results_in(tmp_path / "results")
    assert (done.code, run.summary["verdict"]) == (1, "error")
    assert run.summary["fleet"]["states"] == {"internal_error": 8}
    assert run.one("SELECT COUNT(*) FROM enrolments WHERE end = 'internal_error'") == 8
    (raised, returned) = sorted(run.summary["internal_errors"]["kinds"], key=lambda kind: str(kind["error"]))
    assert raised["error"] == "behaviour hasty_mod:Hasty: LookupError"
    assert raised["place"] == f"{tmp_path.name}/hasty_mod.py:7 in deferral_wait"
    wrong = "returned a negative number, expected seconds from 0 to 4294967296"
    assert returned["error"] == f"behaviour hasty_mod:Hasty: {wrong}"
    assert returned["place"] == f"{tmp_path.name}/hasty_mod.py:5 in deferral_wait"
    (line,) = [line for line in done.err.splitlines() if "behaviour" in line]
    assert line.startswith("estsim: error in behaviour hasty_mod:Hasty: ")
    assert line.endswith(f"{run.folder / 'errors.log'}; the error is in the behaviour's code, not in estsim")
    assert "report" not in line
    log = (run.folder / "errors.log").read_text(encoding="ascii")
    assert "A behaviour's errors are bugs in the scenario's Python class, not in estsim.\n" in log
    assert "Please report" not in log
    assert "LookupError: no idea" in log
    assert "Error in a behaviour class, not in estsim: it stopped 8 devices" in " ".join(done.out.split())
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Errors in a behaviour class, not in estsim" in page
    assert "Internal error" not in page
    story = estsim("device", run.folder, "3")
    assert "stopped by an error in behaviour hasty_mod:Hasty" in " ".join(story.out.split())


def test_a_bug_of_the_class_ends_a_forecast(tmp_path: Path) -> None:
    """There is nothing to go on with: a line, and a file with the traceback."""
    path = written(tmp_path, "hasty_mod:Hasty", IN_A_HURRY)
    done = estsim("run", path, "--allow-code", "--dry-run")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("estsim: error in behaviour hasty_mod:Hasty: ")
    assert done.err.endswith("; the error is in the behaviour's code, not in estsim\n")
    Path(done.err.partition("traceback: ")[2].partition(";")[0]).unlink()


def test_help_names_the_option() -> None:
    """Of both commands that have it."""
    for command in ("run", "validate"):
        assert "--allow-code" in estsim(command, "--help").out
