"""``--set KEY=VALUE``: what it names that is not there is told with the option, beside the file's own mistakes."""

from pathlib import Path
from typing import Final

import pytest

from estsim.errors import ScenarioError, UsageError
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import MadeAuthority, Scenario
from estsim.scenario.source import Overrides

FLEET: Final = """\
version: 1
duration: 10m
authorities: {mfg-2026: {made: true}}
phases: {recovery: 5m..8m}
cohorts:
  extra:
    devices: 30
    boot: {burst: 5s}
    renew: off
events:
  - {at: 1m, mark: x}
"""


def _load(folder: Path, *settings: str) -> Scenario:
    path = folder / "fleet.yaml"
    path.write_text(FLEET, encoding="utf-8")
    pairs = [setting.partition("=") for setting in settings]
    return load_scenario(path, overrides=Overrides(set=tuple((key, value) for key, _, value in pairs)))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("cohorts.extar.devices=5", "5:1: cohorts.extar.devices: there is no cohort 'extar' (did you mean 'extra'?)"),
        ("cohorts.night.renew.at=50%", "5:1: cohorts.night.renew.at: there is no cohort 'night'"),
        ("extra.devices=5", "1:1: extra.devices: unknown key: write cohorts.extra.devices"),
        ("cohort.extra.devices=5", "1:1: cohort: unknown key (did you mean 'cohorts'?)"),
        ("phases.recovry=5m..9m", "4:1: phases.recovry: there is no phase 'recovry' (did you mean 'recovery'?)"),
        (
            "authorities.mfg-2025.made=true",
            "3:1: authorities.mfg-2025.made: there is no authority 'mfg-2025' (did you mean 'mfg-2026'?)",
        ),
        ("events.0.at=2m", "10:1: events.0.at: events is a list; set it as a whole: --set 'events=[…]'"),
        ("duration.x=5", "2:1: duration.x: duration is a value without keys (got 10m)"),
        ("capacity.rate=5/s", "1:1: capacity: unknown key: 'capacity' belongs under sandbox"),
        ("cohorts.extra.device=5", "6:3: cohorts.extra.device: unknown key (did you mean 'devices'?)"),
        ("thresholds.0=failures < 1%", "1:1: thresholds: must be a list: begin each entry with `- ` (got a mapping)"),
    ],
)
def test_an_option_that_names_what_is_not_there_is_told_alone(tmp_path: Path, setting: str, told: str) -> None:
    """With the nearest name, and the option that it came from."""
    with pytest.raises(ScenarioError) as caught:
        _load(tmp_path, setting)
    assert str(caught.value).replace(f"{tmp_path}/", "") == f"fleet.yaml:{told}, from --set {setting}"


def test_what_is_wrong_with_several_options_is_told_at_once(tmp_path: Path) -> None:
    """As with a file's mistakes."""
    with pytest.raises(ScenarioError) as caught:
        _load(tmp_path, "cohorts.extar.devices=5", "duration=5")
    assert len(caught.value.mistakes) == 2


def test_options_may_add_what_is_no_slip(tmp_path: Path) -> None:
    """A cohort, a phase, an authority of another name, keys where there was off."""
    plan = _load(
        tmp_path,
        "cohorts.night={devices: 3, boot: {burst: 1s}}",
        "phases.dawn=8m..9m",
        "authorities.gray.made=true",
        "cohorts.extra.renew.at=50%",
    )
    assert [cohort.name for cohort in plan.cohorts] == ["extra", "night"]
    assert [phase.name for phase in plan.phases] == ["recovery", "dawn"]
    assert plan.authorities["gray"] == MadeAuthority("gray")
    assert plan.cohorts[0].policy.renew is not None


def test_broken_yaml_in_an_option_is_told_without_a_password(tmp_path: Path) -> None:
    """The option is repeated, its value is not."""
    with pytest.raises(UsageError) as caught:
        _load(tmp_path, "cohorts.extra.http_auth={user: alice, password: hunter2")
    assert str(caught.value) == ("--set cohorts.extra.http_auth=***: is not valid YAML: this { is not closed")


def test_a_folder_is_no_scenario_and_one_in_it_is_named(tmp_path: Path) -> None:
    """A run's own copy before others."""
    with pytest.raises(ScenarioError, match=r"is a directory, not a file$"):
        found(tmp_path)
    (tmp_path / "b.yaml").touch()
    with pytest.raises(ScenarioError, match=f"write the path of the scenario, such as {tmp_path}/b.yaml$"):
        found(tmp_path)
    (tmp_path / "scenario.yaml").touch()
    with pytest.raises(ScenarioError, match=f"write the path of the scenario, such as {tmp_path}/scenario.yaml$"):
        found(tmp_path)
