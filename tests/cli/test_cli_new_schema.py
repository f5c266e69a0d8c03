"""``estsim new`` and ``estsim schema``: a scenario to begin with, and the language for editors."""

import json
from pathlib import Path

import pytest
import typer
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from estsim.cli.new import new
from estsim.cli.schema import schema
from estsim.scenario.library import library
from estsim.scenario.loader import load_scenario
from estsim.scenario.schema import sandbox_schema, scenario_schema

MODELINE = "# yaml-language-server: $schema=estsim.schema.json"

app = typer.Typer(add_completion=False)
app.command("new")(new)
app.command("schema")(schema)


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", library())
def test_it_writes_a_scenario_that_loads(tmp_path: Path, name: str) -> None:
    """A copy with its comments under its own name, and one word for the editor."""
    path = tmp_path / "fleet.yaml"
    result = _run("new", path, "--from", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"created {path}; run it with: estsim run {path}\n"
    text, original = path.read_text(encoding="utf-8"), library()[name].read_text(encoding="utf-8")
    assert text.replace(f"#   estsim run {path}", f"#   estsim run {name}").replace(
        "name: fleet", f"name: {name}", 1
    ) == (original)
    assert text.splitlines()[2].startswith(f"#   estsim run {path}")
    assert load_scenario(path).name == "fleet"
    assert path.read_text(encoding="utf-8").count(MODELINE) == 1
    assert load_scenario(path).devices == load_scenario(library()[name]).devices


def test_it_begins_with_the_quickstart(tmp_path: Path) -> None:
    """Where nothing else is asked for."""
    _run("new", tmp_path / "fleet.yaml")
    assert load_scenario(tmp_path / "fleet.yaml").devices == load_scenario(library()["quickstart"]).devices == 500


def test_a_copy_of_your_own_has_the_name_of_its_file(tmp_path: Path) -> None:
    """Also in the commands of its comments; a name that was left out stays so, and one that is no word of its own."""
    own, copy = tmp_path / "city.v1.yaml", tmp_path / "my city.yaml"
    own.write_text(
        f"{MODELINE}\n# estsim run city.v1.yaml --devices 3, estsim run city.v1.yaml.old, estsim run cities\n"
        "name: city   # the old one\nphases: {name: 0s..1s}\n"
    )
    assert _run("new", copy, "--from", own).stdout == f"created {copy}; run it with: estsim run '{copy}'\n"
    assert copy.read_text() == (
        f"{MODELINE}\n# estsim run '{copy}' --devices 3, estsim run city.v1.yaml.old, estsim run cities\n"
        "name: my-city   # the old one\nphases: {name: 0s..1s}\n"
    )


def test_a_copy_of_your_own_gets_the_word_for_the_editor(tmp_path: Path) -> None:
    """As its first line; never twice, whichever schema it names."""
    own, copy, again = (tmp_path / name for name in ("own.yaml", "copy.yaml", "again.yaml"))
    own.write_text("version: 1\n")
    assert _run("new", copy, "--from", own).exit_code == 0
    assert copy.read_text() == f"{MODELINE}\nversion: 1\n"
    assert _run("new", again, "--from", copy).exit_code == 0
    assert again.read_text() == copy.read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Not a file, not a folder."""
    path = tmp_path / "fleet.yaml"
    path.write_text("mine\n")
    for there in (path, tmp_path):
        result = _run("new", there)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"{there}: already exists\n"
    assert path.read_text() == "mine\n"


def test_an_unknown_name_is_answered_with_all_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its question; nothing is written."""
    monkeypatch.chdir(tmp_path)
    result = _run("new", "fleet.yaml", "--from", "renewal-strom")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "(did you mean 'renewal-storm'?)" in result.stderr
    assert "  renewal-storm          Does the server survive if a whole fleet renews at once?\n" in result.stderr
    assert all(f"  {name} " in result.stderr for name in library())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_or_written_is_told_by_its_own_name(tmp_path: Path) -> None:
    """The one to begin with, or the one to write; nothing is left behind."""
    path, binary = tmp_path / "fleet.yaml", tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe")
    for source, reason in (
        (tmp_path / "no.yaml", "cannot be read: No such file or directory"),
        (binary, "is not UTF-8 text"),
    ):
        result = _run("new", path, "--from", source)
        assert (result.exit_code, result.stderr) == (2, f"{source}: {reason}\n")
        assert not path.exists()
    nowhere = tmp_path / "no" / "fleet.yaml"
    result = _run("new", nowhere)
    assert (result.exit_code, result.stderr) == (2, f"{nowhere}: cannot be written: No such file or directory\n")


def test_the_schema_is_printed_as_json() -> None:
    """Of scenarios, or of servers; to be put in a file as it is."""
    result = _run("schema")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == scenario_schema()
    assert "§" in result.stdout  # text for people, not escapes
    assert json.loads(_run("schema", "--server").stdout) == sandbox_schema()
    Draft202012Validator.check_schema(json.loads(result.stdout))


@pytest.mark.parametrize("verb", ["new", "schema"])
def test_help_has_examples(verb: str) -> None:
    """A newcomer copies one."""
    assert f"  estsim {verb} " in _run(verb, "--help").stdout
