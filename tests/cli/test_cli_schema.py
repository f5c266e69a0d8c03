"""``estsim schema`` and ``estsim new``: what editors know of the language is what the loader knows."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from warm import run_warm

from estsim.errors import ScenarioError
from estsim.scenario.library import library
from estsim.scenario.loader import load_scenario
from estsim.scenario.sandbox_file import read_sandbox
from estsim.scenario.schema import sandbox_schema, scenario_schema

SERVERS: Final = sorted((Path(__file__).parents[2] / "scenarios" / "servers").glob("*.yaml"))
SHORTHANDS: Final = """
version: 1
duration: ${DURATION:-5m}
phases: {warmup: 0s..1m, calm: 1m..4m}
thresholds: [failures < 1%, {threshold: failures < 5%, abort_on_fail: true, after: 30s}]
events: [{at: 1m, mark: hello}, {at: 2m, cohort_join: b}, {at: 3m, sandbox: {capacity.rate: 5/s}}]
sandbox: {capacity: {rate: 9/s}}
defaults: {devices: 3, boot: {steps: [{rate: 10/s, for: 2s}]}, retry: {on: [429, 5xx], attempts: unlimited}}
cohorts:
  a: {renew: off, start: operational, on_boot: [cacerts, {renew_if: 50%}], network: {rtt: {normal: [80ms, 10ms]}}}
  b: {start: off, deferral: {retry_after: {early: 50%}}, keys: {prepare: "${N:-3}"}, boot: {ramp: 1/s..2/s, over: 1m}}
"""


def _estsim(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run_warm(words, cwd=folder or Path.cwd(), within_s=60)


def _yaml(text: str) -> Any:  # noqa: ANN401 - YAML data of any shape
    return YAML(typ="safe", pure=True).load(text)


def _described(schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, definition in {"": schema, **schema["$defs"]}.items():
        for key, value in definition.get("properties", {}).items():
            yield name, key, value.get("description", "")


def test_both_schemas_are_schemas_and_are_printed() -> None:
    """Of scenarios, and of a sandbox's configuration."""
    for words, schema in (((), scenario_schema()), (("--server",), sandbox_schema())):
        Draft202012Validator.check_schema(schema)
        assert json.loads(_estsim("schema", *words).stdout) == schema


@pytest.mark.parametrize("path", library().values(), ids=lambda path: path.stem)
def test_every_scenario_that_comes_with_estsim_is_valid_by_the_schema(path: Path) -> None:
    """An editor marks nothing in them."""
    assert [*Draft202012Validator(scenario_schema()).iter_errors(_yaml(path.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize("path", SERVERS, ids=lambda path: path.stem)
def test_every_server_that_comes_with_estsim_is_valid_by_the_schema(path: Path) -> None:
    """By that of a sandbox's configuration, and by its model."""
    assert [*Draft202012Validator(sandbox_schema()).iter_errors(_yaml(path.read_text(encoding="utf-8")))] == []
    read_sandbox(path, {})


def test_what_the_loader_takes_as_shorthand_the_schema_takes_too(tmp_path: Path) -> None:
    """Off, lists of words, ranges, distributions, texts instead of mappings, variables."""
    path = tmp_path / "fleet.yaml"
    path.write_text(SHORTHANDS, encoding="utf-8")
    assert load_scenario(path).devices == 6
    assert [*Draft202012Validator(scenario_schema()).iter_errors(_yaml(SHORTHANDS))] == []


@pytest.mark.parametrize(
    "misspelt", ["cohort: {}", "evnts: []", "cohorts: {a: {device: 3}}", "events: [{at: 1s, mrk: x}]"]
)
def test_a_misspelt_key_is_marked_by_the_schema_and_told_by_the_loader(tmp_path: Path, misspelt: str) -> None:
    """Wherever it stands."""
    path = tmp_path / "fleet.yaml"
    cohorts = "" if "cohorts" in misspelt else "cohorts: {a: {devices: 1, boot: {burst: 0s}}}\n"
    text = f"version: 1\nduration: 1m\n{cohorts}{misspelt}\n"
    path.write_text(text, encoding="utf-8")
    assert [*Draft202012Validator(scenario_schema()).iter_errors(_yaml(text))]
    with pytest.raises(ScenarioError, match="unknown key"):
        load_scenario(path)


def test_every_key_says_what_it_means() -> None:
    """In a sentence of its own."""
    for schema in (scenario_schema(), sandbox_schema()):
        assert [(name, key) for name, key, text in _described(schema) if not text.endswith((".", "…"))] == []


def test_a_new_scenario_is_in_order_and_names_the_schema(tmp_path: Path) -> None:
    """A commented copy of the quickstart, or of any other by name; nothing is overwritten."""
    begun = _estsim("new", "fleet.yaml", folder=tmp_path)
    assert (begun.returncode, begun.stderr) == (0, "")
    text = (tmp_path / "fleet.yaml").read_text(encoding="utf-8")
    assert "# yaml-language-server: $schema=estsim.schema.json\n" in text
    assert load_scenario(tmp_path / "fleet.yaml").devices == 500
    again = _estsim("new", "fleet.yaml", "--from", "renewal-storm", folder=tmp_path)
    assert (again.returncode, again.stderr) == (2, "fleet.yaml: already exists\n")
    assert (tmp_path / "fleet.yaml").read_text(encoding="utf-8") == text
    assert _estsim("new", "storm.yaml", "--from", "renewal-storm", folder=tmp_path).returncode == 0
    storm = load_scenario(tmp_path / "storm.yaml")
    assert (storm.name, storm.devices) == ("storm", load_scenario(library()["renewal-storm"]).devices)


def test_a_scenario_is_found_by_name_where_no_file_has_it(tmp_path: Path) -> None:
    """A folder of that name is no scenario; a file of that name comes first."""
    (tmp_path / "soak").mkdir()
    assert "120 devices" in _estsim("validate", "soak", folder=tmp_path).stdout
    (tmp_path / "power-cut").write_text(SHORTHANDS, encoding="utf-8")
    assert _estsim("validate", "power-cut", folder=tmp_path).stdout.startswith("power-cut: 6 devices in 2 cohorts")


@pytest.mark.parametrize(
    "words", [("validate", "powercut"), ("run", "powercut"), ("new", "x.yaml", "--from", "powercut")]
)
def test_a_name_that_no_scenario_has_is_told_the_nearest_and_all_there_are(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """With exit code 2, whatever was to be done with it."""
    refused = _estsim(*words, folder=tmp_path)
    assert refused.returncode == 2
    assert "no library scenario 'powercut' (did you mean 'power-cut'?)" in refused.stderr
    assert all(name in refused.stderr for name in library())
    assert [*tmp_path.iterdir()] == []
