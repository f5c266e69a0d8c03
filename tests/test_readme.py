"""What the README shows is so: its scenario loads, its mistakes read as printed, its commands are one line each."""

import re
from pathlib import Path

import pytest

from estsim.cli.serve import read_config
from estsim.errors import ScenarioError
from estsim.scenario.library import library, question
from estsim.scenario.loader import load_scenario
from estsim.server.fault_config import FaultKind

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(marker: str, language: str) -> str:
    """Return the fenced block below a marker."""
    found = re.search(rf"<!-- {marker} -->\n```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None, marker
    return found[1]


@pytest.mark.parametrize("name", ["run", "test"])
def test_the_two_commands_are_one_line_each_that_sets_everything_up(name: str) -> None:
    """A fresh machine with Python needs no other step."""
    command = block(f"command: {name}", "sh")
    assert command.count("\n") == 1
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_the_scenario_loads_and_is_as_short_as_promised(tmp_path: Path) -> None:
    """Twelve lines make a fleet."""
    text = block("example: scenario", "yaml")
    assert text.count("\n") <= 12
    path = tmp_path / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_scenario(path).devices == 300


def test_the_whole_language_s_example_is_a_scenario(tmp_path: Path) -> None:
    """Every key that it shows is read."""
    path = tmp_path / "fleet.yaml"
    path.write_text(block("example: fleet", "yaml"), encoding="utf-8")
    scenario = load_scenario(path)
    assert (scenario.devices, len(scenario.events), len(scenario.phases)) == (3510, 5, 2)


def test_the_library_s_table_is_that_of_the_scenarios() -> None:
    """Each with its question."""
    found = re.search(r"<!-- library: .* -->\n(.*?)<!-- end of library -->", README, re.DOTALL)
    assert found is not None
    rows = [f"| `{name}` | {question(path)} |" for name, path in library().items()]
    assert found[1].splitlines() == ["| name | question |", "|---|---|", *rows]


def test_mistakes_read_as_the_readme_prints_them(tmp_path: Path) -> None:
    """The same scenario with two slips."""
    path = tmp_path / "fleet.yaml"
    text = (
        block("example: scenario", "yaml").replace("devices: 300", "devices: many").replace("burst: 10s", "burst: 10")
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value).replace(f"{tmp_path}/", "") in README


def test_the_pictures_are_there_and_ask_nobody_for_anything() -> None:
    """No font from a host on the internet."""
    pictures = re.findall(r"!\[.*\]\((.*)\)", README)
    assert len(pictures) == 2
    for picture in pictures:
        assert "@font-face" not in (Path(__file__).parents[1] / picture).read_text(encoding="utf-8")


def test_the_sandbox_s_configuration_is_one(tmp_path: Path) -> None:
    """``estsim serve`` takes it as it is printed."""
    path = tmp_path / "sandbox.yaml"
    path.write_text(block("example: sandbox", "yaml"), encoding="utf-8")
    config, _ = read_config(path)
    assert set(config.centers) == {"default", "meters"}
    assert len(config.centers["meters"].faults) == 2


def test_every_fault_there_is_is_in_the_table() -> None:
    """Under the name that YAML has for it."""
    (row,) = (line for line in README.splitlines() if line.startswith("| `faults[].kind`"))
    assert set(re.findall(r"`([a-z0-9_]+)`", row)) == {kind.value for kind in FaultKind}


@pytest.mark.parametrize("name", ["portal", "factory"])
def test_the_servers_that_ship_are_configurations_that_open_with_their_question(name: str) -> None:
    """Each says what it is for, and how to run it."""
    path = Path(__file__).parents[1] / "scenarios" / "servers" / f"{name}.yaml"
    first, *others = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ")
    assert first.endswith("?")
    assert any(f"estsim serve scenarios/servers/{name}.yaml" in line for line in others)
    assert read_config(path)[0].centers
