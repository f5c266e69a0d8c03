"""Exit codes that judge: thresholds that fail or cannot be judged, and a generator that was itself the limit."""

import resource
from pathlib import Path

from cli_runs import MADE_BY_MAKER, assert_books_balance, estsim, results_in, serving, write_scenario

DESCRIPTORS = 40


def test_a_threshold_that_cannot_be_judged(tmp_path: Path) -> None:
    """Five devices say nothing of a p99: that is no pass, and the message says what it would take. Others hold."""
    scenario = write_scenario(tmp_path, thresholds=["simpleenroll.response.p99 < 1h", "failures < 1%"])
    done = estsim("run", scenario, "--results", tmp_path / "results")
    summary = results_in(tmp_path / "results").summary
    assert (done.code, summary["verdict"]) == (3, "failed")
    why = "not judged: needs 1000 samples, had 5"
    assert [(entry["passed"], entry["value"], entry["why"]) for entry in summary["thresholds"]] == [
        (False, None, why),
        (True, 0.0, "was 0%"),
    ]
    said = " ".join(done.out.split())
    assert "FAILED simpleenroll.response.p99 < 1h" in said
    assert why in said


def test_running_out_of_descriptors_is_the_generator_s_fault(tmp_path: Path) -> None:
    """60 connections need more than 40 descriptors: the verdict is on the generator, which did not get through."""
    with serving(tmp_path / "server") as server:
        cohort = {**MADE_BY_MAKER, "devices": 60, "retry": {"attempts": 3, "base": "100ms"}}
        scenario, results = write_scenario(tmp_path, **server.target(), cohort=cohort), tmp_path / "results"
        done = estsim("run", scenario, "--results", results, "--force", before=few_descriptors)
    run = results_in(results)
    assert (done.code, run.summary["verdict"]) == (4, "saturated")
    assert "file descriptors" in run.summary["generator"]["why"]
    assert "file descriptors" in " ".join(done.out.split())
    failed = run.rows("SELECT phase, trouble, detail, sent_ns FROM exchanges WHERE kind = 'failed'")
    assert failed
    assert {(row["phase"], row["trouble"], row["sent_ns"]) for row in failed} == {("connect", "generator", None)}
    assert all("EMFILE" in row["detail"] for row in failed)
    assert_books_balance(run)


def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    """Rows that cannot be written are no success: exit 2 names what is missing, and the figures are still shown."""
    with serving(tmp_path / "server") as server:
        cohort = {**MADE_BY_MAKER, "devices": 60, "boot": {"burst": "2s"}}
        scenario = write_scenario(tmp_path, **server.target(), cohort=cohort)
        done = estsim("run", scenario, "--results", tmp_path / "results", before=small_files)
    run = results_in(tmp_path / "results")
    assert done.code == 2
    assert done.err.startswith(f"estsim: the last rows are not in {run.folder}: ")
    assert run.summary["certificates"]["issued"] == 60
    assert run.one("PRAGMA integrity_check") == "ok"


def few_descriptors() -> None:
    """Allow the child a few open files, for good."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def small_files() -> None:
    """Allow the child files of 128 KiB only: what a full disk looks like to it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 * 1024, 128 * 1024))
