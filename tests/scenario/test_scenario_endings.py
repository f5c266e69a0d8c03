"""What the run would not live to see is reported before it: the return of power, expectations."""

from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario

HEAD = "version: 1\nduration: 10m\n"
COHORT = "cohorts: {a: {devices: 10, boot: {burst: 5s}}}\n"


def _load(folder: Path, text: str, head: str = HEAD) -> Scenario:
    path = folder / "fleet.yaml"
    path.write_text(head + text, encoding="utf-8")
    return load_scenario(path)


def _told(folder: Path, text: str, head: str = HEAD) -> str:
    with pytest.raises(ScenarioError) as caught:
        _load(folder, text, head)
    return str(caught.value).replace(f"{folder}/", "")


def _cut(cut: str) -> str:
    return f"{COHORT}events:\n  - {{at: 9m, power_cut: {{cohorts: [a], {cut}}}}}\n"


def test_power_that_is_not_back_before_the_end_is_told(tmp_path: Path) -> None:
    """Where it comes back, with when it would."""
    assert _told(tmp_path, _cut("off: 10s..30s, return: {burst: 30s}")) == (
        "fleet.yaml:5:55: events[0].power_cut.return: the last of 10 devices has power again at 10m, "
        "after the end of the run, 10m"
    )
    assert "again at 11m" in _told(tmp_path, _cut("off: 10s, share: 50%, return: {rate: 2/min, shape: even}"))
    assert "again at 16m" in _told(tmp_path, _cut("off: 10s, return: {ramp: 2/min..0/s, over: 10m}"))


@pytest.mark.parametrize("head", [HEAD, "version: 1\nduration: 1m\n", "version: 1\n"])
def test_power_that_never_comes_back_everywhere_is_told_whenever_it_begins_to(tmp_path: Path, head: str) -> None:
    """Also where that is after the end, or where nobody knows when the end is."""
    told = _told(tmp_path, _cut("off: 1h, return: {ramp: 2/s..0/s, over: 4s}"), head)
    assert "events[0].power_cut.return: stops after power has returned to 4 of 10 devices" in told


@pytest.mark.parametrize(
    "cut",
    [
        "off: 10s",
        "off: 10s..20s, return: {burst: 30s}",
        "off: 1h",
        "off: 10s, return: {ramp: 2/s..0/s, over: 10m}",
        "off: 1h, return: {ramp: 2/min..0/s, over: 10m}",
    ],
)
def test_power_that_is_back_in_time_or_meant_to_stay_off_is_taken(tmp_path: Path, cut: str) -> None:
    """Off for longer than the run is meant so."""
    assert len(_load(tmp_path, _cut(cut)).events) == 1


def test_an_expectation_begins_while_the_run_lasts(tmp_path: Path) -> None:
    """Later, nothing is left to be expected."""
    told = _told(tmp_path, f"{COHORT}expect: [{{from: 10m, outcomes: [rejected]}}]\n")
    assert "fleet.yaml:4:11: expect[0].from: must be before the end of the run, 10m" in told
