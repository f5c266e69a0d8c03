"""What the README shows is so: its scenario loads, its mistakes read as printed, its commands are one line each."""

import re
from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.scenario.loader import load_scenario

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


def test_the_picture_is_there_and_asks_nobody_for_anything() -> None:
    """No font from a host on the internet."""
    (picture,) = re.findall(r"!\[.*\]\((.*)\)", README)
    assert "@font-face" not in (Path(__file__).parents[1] / picture).read_text(encoding="utf-8")
