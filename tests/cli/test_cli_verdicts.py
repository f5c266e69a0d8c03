"""Exit codes that judge: thresholds that cannot be judged, and a generator that was itself the limit."""

import re
import time
from functools import partial
from pathlib import Path

import pytest
from cli_runs import (
    MADE_BY_MAKER,
    Done,
    Results,
    assert_books_balance,
    at_once,
    estsim,
    results_in,
    serving,
    write_scenario,
)

MANY = {**MADE_BY_MAKER, "devices": 60, "retry": {"attempts": 3, "base": "100ms"}}
THRESHOLDS = ["simpleenroll.response.p99 < 1h", "simplereenroll.response.p99 < 1h", "failures < 1%"]
Ended = dict[str, tuple[Done, Results]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Runs against one server: small ones, one with 40 descriptors, and one with files of 128 KiB at most."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("small", "thin", "strict", "descriptors", "disk")}
    with serving(tmp_path_factory.mktemp("server")) as server:
        keys = server.target()
        write_scenario(folders["small"], **keys, cohort=MADE_BY_MAKER, thresholds=THRESHOLDS)
        for name in ("thin", "strict"):
            write_scenario(folders[name], **keys, cohort=MADE_BY_MAKER, thresholds=[THRESHOLDS[0], THRESHOLDS[2]])
        write_scenario(folders["descriptors"], **keys, cohort=MANY)
        write_scenario(folders["disk"], **keys, cohort={**MANY, "boot": {"burst": "1s"}})
        limits = {"descriptors": ("n", 40), "disk": ("f", 128)}
        command = partial(estsim, "run", "scenario.yaml", "--force")
        options = {"strict": ["--strict"]}
        done = at_once(
            {
                name: partial(command, *options.get(name, []), cwd=folders[name], limit=limits.get(name))
                for name in folders
            }
        )
    return {name: (done[name], results_in(folders[name] / "results")) for name in folders}


def test_a_threshold_that_cannot_be_judged(runs: Ended) -> None:
    """Nobody renewed, so nothing is known of that: it is no pass. Others hold."""
    done, run = runs["small"]
    summary = run.summary
    assert (done.code, summary["verdict"]) == (3, "failed")
    p99, renewals, failures = summary["thresholds"]
    assert (p99["passed"], p99["value"] is not None) == (True, True)
    assert (renewals["passed"], renewals["value"], renewals["why"]) == (False, None, "not judged: no sample")
    assert (failures["passed"], failures["value"]) == (True, 0.0)
    said = " ".join(done.out.split())
    assert f"FAILED {THRESHOLDS[1]}" in said
    assert "not judged: no sample" in said


def test_a_thin_pass_passes_and_says_so(runs: Ended) -> None:
    """Five devices support no p99: terminal, summary and report say what it would take."""
    done, run = runs["thin"]
    p99, failures = run.summary["thresholds"]
    assert (done.code, run.summary["verdict"]) == (0, "passed")
    assert p99["support"] == failures["support"] == {"samples": 5, "needed": 299, "supported": False}
    said = " ".join(done.out.split())
    assert "2 of 2 passed, 2 thin" in said
    assert said.count("thin: 5 samples, 299 needed") == 2
    assert "thin: 5 samples, 299 needed" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_with_strict_a_thin_pass_fails(runs: Ended) -> None:
    """And the scenario in the run's folder is as strict as the run was."""
    done, run = runs["strict"]
    assert (done.code, run.summary["verdict"]) == (3, "failed")
    assert [
        judged["why"].endswith("thin: 5 samples, 299 needed; fails because it is strict")
        for judged in run.summary["thresholds"]
    ]
    assert not any(judged["passed"] for judged in run.summary["thresholds"])
    assert (run.folder / "scenario.yaml").read_text(encoding="utf-8").count("strict: true") == 2


def test_running_out_of_descriptors_is_the_generator_s_fault(runs: Ended) -> None:
    """60 connections need more than 40 descriptors: the verdict is on the generator, which did not get through."""
    done, run = runs["descriptors"]
    assert (done.code, run.summary["verdict"]) == (4, "saturated")
    assert "file descriptors" in run.summary["generator"]["why"]
    assert "file descriptors" in " ".join(done.out.split())
    failed = run.rows("SELECT phase, trouble, detail, sent_ns FROM exchanges WHERE kind = 'failed'")
    assert failed
    assert {(row["phase"], row["trouble"], row["sent_ns"]) for row in failed} == {("connect", "generator", None)}
    assert all("EMFILE" in row["detail"] for row in failed)
    assert_books_balance(run)


def test_a_disk_that_is_full_is_told(runs: Ended) -> None:
    """Rows that cannot be written are no success: exit 2 names what is missing, and the figures are still there."""
    done, run = runs["disk"]
    assert done.code == 2
    assert f"estsim: the last rows were not written to {Path('results', run.folder.name)}: " in done.err
    assert run.summary["certificates"]["issued"] == 60
    assert run.one("PRAGMA integrity_check") == "ok"


def test_a_threshold_may_end_the_run(tmp_path: Path) -> None:
    """A server that refuses everybody is not asked for a minute: exit 3 in a few seconds, and the reason is told."""
    scenario = write_scenario(
        tmp_path,
        duration="60s",
        sandbox={"faults": [{"kind": "wrong_status", "status": 403, "match": {"operation": "simpleenroll"}}]},
        cohort={"devices": 60, "boot": {"burst": "55s"}},
        thresholds=[{"threshold": "failures < 5%", "abort_on_fail": True, "after": "2s"}, "certificates.issued == 0"],
    )
    began = time.monotonic()
    done = estsim("run", scenario, "--results", tmp_path / "results")
    assert time.monotonic() - began < 30
    run = results_in(tmp_path / "results")
    assert (done.code, run.summary["verdict"]) == (3, "failed")
    broken, held = run.summary["thresholds"]
    assert (broken["value"], broken["passed"], held["passed"]) == (1.0, False, True)
    assert re.fullmatch(r"actual 100% after ([2-9]|1\d) s; this ended the run", broken["why"])
    assert broken["why"] in " ".join(done.out.split())
    assert_books_balance(run)
