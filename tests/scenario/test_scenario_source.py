"""Overrides of the command line, and keys of a cohort that are indented too little, each reported once in its place."""

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


HEAD = "version: 1\nduration: 3m\ncohorts:\n"


def _written(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "  meters:\n    devices: 300\n  boot: {burst: 1s}\n",
            ["6:3: cohorts.boot: boot is a cohort's key: indent it under meters"],
        ),
        (
            "  meters:\n  devices: 300\n  boot: {burst: 1s}\n",
            [
                "5:3: cohorts.devices: devices is a cohort's key: indent it under meters",
                "6:3: cohorts.boot: boot is a cohort's key: indent it under meters",
            ],
        ),
        (
            "  a: {devices: 3, boot: {burst: 1s}}\n  b: {devices: 3, boot: {burst: 1s}}\n  renew: off\n  c: {}\n",
            [
                "6:3: cohorts.renew: renew is a cohort's key: indent it under b",
                "7:3: cohorts.c.boot: is missing",
                "7:3: cohorts.c.devices: is missing",
            ],
        ),
        (
            "  devices: 300\n  boot: {burst: 1s}\n",
            ["4:3: cohorts.devices: expected the name of a cohort: write cohorts: {NAME: {devices: …}}"],
        ),
    ],
)
def test_a_key_beside_its_cohort_is_told_where_it_belongs(tmp_path: Path, text: str, told: list[str]) -> None:
    """Its cohort lacks nothing then; without a cohort above it, one is to be named."""
    path = _written(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value).replace(f"{path}:", "").splitlines() == told


@pytest.mark.parametrize(
    "text",
    [
        "  a: {devices: 3, boot: {burst: 1s}}\n  network: {devices: 3, boot: {burst: 1s}}\n",
        "  a: {}\n  network: {}\ndefaults: {devices: 3, boot: {burst: 1s}}\n",
    ],
)
def test_a_cohort_may_have_the_name_of_a_key(tmp_path: Path, text: str) -> None:
    """What has devices, its own or by default, is one."""
    assert [cohort.name for cohort in load_scenario(_written(tmp_path, text)).cohorts] == ["a", "network"]


def test_a_comma_that_ends_a_name_or_a_number_is_told(tmp_path: Path) -> None:
    """With the whole of it; in a duplicate key too."""
    path = _written(tmp_path, "  a: {devices: 1,000, boot: {burst: 1s}, subject: CN=a,O=Acme}\n")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value).replace(f"{path}:", "").splitlines() == [
        "4:18: cohorts.a.000: a comma ends the value: write devices: 1000",
        '4:56: cohorts.a.O=Acme: a comma ends the value: write subject: "CN=a,O=Acme"',
    ]
    path = _written(tmp_path, "  a: {devices: 1,000,000, boot: {burst: 1s}}\n")
    with pytest.raises(ScenarioError, match=r"; a comma ends a value, write numbers without$"):
        load_scenario(path)


def test_typographic_quotes_in_free_text_are_its_own(tmp_path: Path) -> None:
    """A description may quote."""
    path = _written(tmp_path, "  a: {devices: 3, boot: {burst: 1s}}\ndescription: “What then?”\n")
    assert load_scenario(path).description == "“What then?”"
