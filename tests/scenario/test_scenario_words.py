"""Words that stand for values: tries without an end, variables that are text, what devices in service need not say."""

import sys
from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.load.arrivals import Burst
from estsim.scenario.happenings import SandboxChange
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import HttpAuth, Scenario

HEAD = "version: 1\nduration: 10m\n"


def _load(folder: Path, text: str) -> Scenario:
    path = folder / "fleet.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_scenario(path)


def _fleet(keys: str) -> str:
    return f"cohorts: {{a: {{devices: 2, {keys}}}}}\n"


def test_a_device_may_try_for_ever(tmp_path: Path) -> None:
    """As a number that is never reached."""
    (cohort,) = _load(tmp_path, _fleet("boot: {burst: 5s}, retry: {attempts: unlimited}")).cohorts
    assert cohort.policy.retry.attempts == sys.maxsize
    with pytest.raises(ScenarioError, match=r"retry\.attempts: must be a whole number \(got endless\)"):
        _load(tmp_path, _fleet("boot: {burst: 5s}, retry: {attempts: endless}"))


def test_devices_in_service_need_no_boot(tmp_path: Path) -> None:
    """They have booted before the run begins; all others say when they do."""
    (cohort,) = _load(tmp_path, _fleet("start: operational")).cohorts
    assert cohort.arrivals == Burst(0.0)
    for start in ("", "start: off"):
        with pytest.raises(ScenarioError, match=r"cohorts\.a\.boot: is missing"):
            _load(tmp_path, _fleet(start))


def test_what_takes_text_keeps_it_where_a_variable_looks_like_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password may be 0123, a run's name 7; a number of devices is a number."""
    for name, value in (("PASSWORD", "0123"), ("NAME", "7"), ("DEVICES", "5")):
        monkeypatch.setenv(name, value)
    text = _fleet("boot: {burst: 5s}, bootstrap: {kind: basic, user: '${NAME}', password: '${PASSWORD}'}")
    scenario = _load(tmp_path, "name: ${NAME}\n" + text.replace("devices: 2", "devices: '${DEVICES}'"))
    assert (scenario.name, scenario.devices, scenario.cohorts[0].http_auth) == ("7", 5, HttpAuth("7", "0123"))
    assert "0123" not in scenario.resolved


def test_a_file_to_include_may_be_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not set is reported at the include."""
    (tmp_path / "north.yaml").write_text(_fleet("boot: {burst: 5s}"), encoding="utf-8")
    monkeypatch.setenv("SITE", "north")
    assert _load(tmp_path, "include: ${SITE}.yaml\n").devices == 2
    with pytest.raises(ScenarioError, match=r"fleet\.yaml:3:1: include: the variable NOWHERE is not set"):
        _load(tmp_path, "include: ${NOWHERE}.yaml\n")


def test_a_password_is_not_told_with_the_mistake_in_it(tmp_path: Path) -> None:
    """Not of a device, nor of a user of the sandbox."""
    with pytest.raises(ScenarioError) as caught:
        _load(
            tmp_path,
            _fleet("boot: {burst: 5s}, bootstrap: {kind: basic, user: a, password: 4711}")
            + "sandbox: {clients: {users: {a: {password: 4711}}}}\n",
        )
    assert str(caught.value).count("password: must be text: put it in quotes (got ***)") == 2
    assert "4711" not in str(caught.value)


def test_a_change_of_a_section_leaves_its_other_keys_alone(tmp_path: Path) -> None:
    """Written as a mapping or as a dotted key it means the same; not both for one key."""
    scenario = _load(
        tmp_path,
        _fleet("boot: {burst: 5s}") + "sandbox: {capacity: {rate: 9/s, queue: 3, overflow: refuse}}\n"
        "events: [{at: 1s, sandbox: {capacity: {rate: 5/s}, issue: {mode: deferred, retry_after: {seconds: 4}}}}]\n",
    )
    assert scenario.events[0].what == SandboxChange(
        {"capacity.rate": "5/s", "issue.mode": "deferred", "issue.retry_after": {"seconds": 4}}
    )
    both = "{capacity.rate: 5/s, capacity: {rate: 6/s}}"
    with pytest.raises(ScenarioError, match=r"duplicate key 'capacity\.rate'"):
        _load(tmp_path, f"{_fleet('boot: {burst: 5s}')}events: [{{at: 1s, sandbox: {both}}}]\n")
