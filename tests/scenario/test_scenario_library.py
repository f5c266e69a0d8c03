"""The scenarios that come with estsim: what each must be, and how they are found by name."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from estsim.errors import ScenarioError
from estsim.scenario.library import found, library, question

MODELINE = "# yaml-language-server: $schema=estsim.schema.json"


@pytest.mark.parametrize("path", library().values(), ids=lambda path: path.stem)
def test_each_opens_with_its_question_and_ends_with_thresholds(path: Path) -> None:
    """The description is the question, or nearly; how to run it stands below; no path is of one machine."""
    text = path.read_text(encoding="utf-8")
    scenario = YAML(typ="safe", pure=True).load(text)
    asked = question(path)
    assert text.startswith(f"# {asked}\n")
    assert asked.endswith("?")
    words, asked_words = (set(re.findall(r"\w+", sentence.lower())) for sentence in (scenario["description"], asked))
    assert len(words - asked_words) <= 1
    assert scenario["description"].endswith("?")
    assert scenario["name"] == path.stem
    assert list(scenario)[-1] == "thresholds"
    assert scenario["thresholds"]
    assert re.search(rf"^#   estsim run (scenarios/)?{path.stem}\b", text, re.MULTILINE)
    assert not re.search(r"(?<![\w.])/(home|work|tmp|root|Users|etc|var)\b", text)


@pytest.mark.parametrize("path", library().values(), ids=lambda path: path.stem)
def test_each_names_the_schema_for_editors_at_the_end_of_its_head(path: Path) -> None:
    """Once, as the last line of the comments that it begins with: the first stays the question."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    assert lines.count(MODELINE) == 1
    assert head[-1] == MODELINE


def test_what_the_design_promises_is_there() -> None:
    """By name, sorted."""
    promised = (
        "factory-line rollout-ramp power-cut renewal-storm deferral-herd deferral-next-slot impatient-firmware "
        "shared-bootstrap-key portal ca-rotation bad-devices slow-radio overload-503 soak quickstart"
    )
    assert set(promised.split()) <= set(library())
    assert list(library()) == sorted(library())


def test_a_name_finds_its_scenario_and_a_path_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of that name in the working directory comes first; a folder of that name does not get in the way."""
    monkeypatch.chdir(tmp_path)
    assert found(Path("power-cut")) == library()["power-cut"]
    for path in (Path("power-cut.yaml"), Path("x/power-cut"), Path("./no.yml")):
        assert found(path) == path
    (tmp_path / "power-cut").mkdir()
    assert found(Path("power-cut")) == library()["power-cut"]
    (tmp_path / "soak").write_text("version: 1\n")
    assert found(Path("soak")) == Path("soak")


def test_an_unknown_name_is_told_the_nearest_and_all_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a mistake of the scenario, one line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError) as caught:
        found(Path("power-cuts"))
    told = str(caught.value)
    assert told.startswith("power-cuts:1:1: no such file, and no library scenario 'power-cuts'")
    assert "(did you mean 'power-cut'?)" in told
    assert all(name in told for name in library())
    with pytest.raises(ScenarioError, match="no library scenario 'zzz'; available"):
        found(Path("zzz"))
