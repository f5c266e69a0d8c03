"""Verdicts that a person would give: a fleet that is well passes, and a server that never answers fails."""

from functools import partial
from typing import Any

import pytest
from cli_runs import Done, Results, assert_books_balance, at_once, estsim, results_in, write_scenario

pytestmark = pytest.mark.long  # the rules themselves are in tests/record

SILENT = {"faults": [{"kind": "stall", "for": "60s", "match": {"operation": "simpleenroll"}}]}
IN_SERVICE = {
    "devices": 30,
    "start": {"operational": {"age": "10%..50%"}},
    "boot": {"at_once": True},
    "on_boot": ["cacerts"],
}
CUT = [{"at": "1s", "power_cut": {"cohorts": ["meters"], "share": "50%", "off": "1s", "return": {"burst": "1s"}}}]
PLANS: dict[str, dict[str, Any]] = {
    "silent": {"duration": "13s", "sandbox": SILENT, "cohort": {"devices": 12, "boot": {"burst": "1s"}}},
    "well": {"duration": "5s", "until": None, "sandbox": {}, "cohort": IN_SERVICE, "events": CUT},
    "idle": {"duration": "2s", "until": None, "sandbox": {}, "cohort": {**IN_SERVICE, "on_boot": []}},
}
Ended = dict[str, tuple[Done, Results]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Each plan run without thresholds of its own."""
    folders = {name: tmp_path_factory.mktemp(name) for name in PLANS}
    for name, keys in PLANS.items():
        write_scenario(folders[name], **keys)
    command = partial(estsim, "run", "scenario.yaml", "--force")
    done = at_once({name: partial(command, cwd=folder) for name, folder in folders.items()})
    return {name: (done[name], results_in(folder / "results")) for name, folder in folders.items()}


def _judged(run: Results) -> dict[str, tuple[bool, str]]:
    return {each["expression"]: (each["passed"], each["why"]) for each in run.summary["thresholds"]}


def test_a_server_that_never_answers_fails(runs: Ended) -> None:
    """No enrolment has ended, so nobody can tell the share of failures; and all of them are open for too long."""
    done, run = runs["silent"]
    assert (done.code, run.summary["verdict"]) == (3, "failed")
    assert _judged(run) == {
        "failures < 1%": (False, "not judged: 12 enrolments began, and none ended"),
        "unfinished < 1%": (False, "actual 100%"),
    }
    assert run.summary["deferral"]["unfinished"] == 1
    assert_books_balance(run)


def test_a_fleet_that_is_well_after_a_power_cut_passes(runs: Ended) -> None:
    """It sought no certificate, having valid ones: that is no failure, and half of it has recovered at once."""
    done, run = runs["well"]
    assert (done.code, run.summary["verdict"]) == (0, "passed")
    assert {passed for passed, _ in _judged(run).values()} == {True}
    assert run.summary["deferral"]["recovered_within"]["1s"] == 1
    assert run.one("SELECT COUNT(*) FROM impacts WHERE kind = 'recovery' AND end = 'issued'") == 15
    assert run.one("SELECT COUNT(*) FROM enrolments") == 0


def test_a_run_without_an_exchange_fails(runs: Ended) -> None:
    """Whatever its thresholds say: it has tested nothing."""
    done, run = runs["idle"]
    assert (done.code, run.summary["verdict"]) == (3, "failed")
    assert _judged(run)["requests > 0"] == (False, "actual 0: no device sent a request, so nothing was tested")
