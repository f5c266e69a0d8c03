"""A bug of ours in an ``estsim worker``: its master hears of it, and its run's verdict is an error of ours."""

import sys
from pathlib import Path

import pytest
from test_worker_fleet import PLAN, Ended, linked

sys.path.append(str(Path(__file__).parents[2] / "cli"))

from bugs import bug_in, bug_in_answers

METERS = {"devices": 12, "boot": {"burst": "2s"}, "enroll": {"cacerts": "never"}, "renew": "off"}
SMALL = PLAN | {"cohorts": {"meters": METERS}, "sandbox": {}, "thresholds": ["failures < 1%"]}


def errors_log(ended: Ended) -> str:
    """Return the log in the master's results."""
    return (ended.folder / "errors.log").read_text(encoding="ascii")


@pytest.mark.long
def test_one_device_stops_and_the_master_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Device 3 is a worker's; the other worker has none, and leaves with 0."""
    monkeypatch.setenv("PYTHONPATH", bug_in_answers(tmp_path)["PYTHONPATH"])
    ended = linked(tmp_path, SMALL)
    summary = ended.summary
    assert (ended.code, summary["verdict"]) == (1, "error"), ended.said
    assert summary["fleet"]["states"] == {"operational": 11, "internal_error": 1}
    assert [each["passed"] for each in summary["thresholds"]] == [True]
    assert ended.rows("run", "SELECT kind FROM exchanges WHERE device = 3") == [("abandoned",)]
    log = errors_log(ended)
    assert r"RuntimeError: boom \x1b[31m\nforged line" in log
    assert "stopped 1 device: 3" in log
    assert "internal error of estsim: RuntimeError at estsim/fleet/exchanges.py:" in ended.said
    assert sorted(code for code, _ in ended.workers) == [0, 1]
    told = next(told for code, told in ended.workers if code)
    assert "1 device stopped, the others continued; see errors.log in the master's results folder" in told


@pytest.mark.long
@pytest.mark.parametrize(
    ("module", "patch"),
    [
        ("estsim.engine.timer_queue", "    module.TimerQueue.pop_due = lambda self, now_s: 1 / 0"),
        ("estsim.locust.worker.worker_fleet", "    module.boots_of = lambda scenario, part: 1 / 0"),
    ],
    ids=["as it plays", "as it prepares"],
)
def test_a_worker_that_ends_at_a_bug_tells_its_master(
    module: str, patch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to no device; the master's verdict names it, not the generator."""
    monkeypatch.setenv("PYTHONPATH", bug_in(tmp_path, module, patch)["PYTHONPATH"])
    ended = linked(tmp_path, SMALL | {"duration": "8s"})
    assert (ended.code, ended.summary["verdict"]) == (1, "error"), ended.said
    assert "ZeroDivisionError" in errors_log(ended)
    assert [code for code, _ in ended.workers] == [1, 1], ended.workers
