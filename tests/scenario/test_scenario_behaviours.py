"""``behaviour: module:Class``: imported only where that is allowed, and every mistake in its place."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from estsim.device.behaviour import Behaviour
from estsim.errors import ScenarioError
from estsim.fleet.assignment import Assignment
from estsim.scenario.behaviours import ANY_CODE, NO_CODE, CodeAccess, code_access
from estsim.scenario.library import library
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.scenario.portable import load_portable, portable_text
from estsim.scenario.source import Overrides

GOOD = """
    import estsim

    class Patient(estsim.Behaviour):
        def deferral_wait(self, retry_after_s, deferrals, draw):
            return 30.0
"""


def written(folder: Path, name: str, module: str | None = None, *, file: str | None = None) -> Path:
    """Write a scenario that names a class, and the module that has it."""
    folder.mkdir(exist_ok=True)
    if module is not None:
        place = folder / (file or f"{name.partition(':')[0].replace('.', '/')}.py")
        place.parent.mkdir(exist_ok=True, parents=True)
        place.write_text(dedent(module), encoding="utf-8")
    path = folder / "fleet.yaml"
    text = f"version: 1\nduration: 1m\ncohorts:\n  a:\n    devices: 3\n    boot: {{burst: 1s}}\n    behaviour: {name}\n"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(path: Path, code: CodeAccess = ANY_CODE) -> Scenario:
    """Load a scenario with its code."""
    return load_scenario(path, code=code)


def told(path: Path, code: CodeAccess = ANY_CODE) -> str:
    """Return what is reported of a scenario."""
    with pytest.raises(ScenarioError) as met:
        loaded(path, code)
    return str(met.value).replace(f"{path.parent}", "DIR")


def test_the_class_is_found_beside_the_scenario(tmp_path: Path) -> None:
    """Also in a package, and with what its module imports from there."""
    path = written(tmp_path, "pack_a.mod:Patient", "from pack_a.base import Patient as Base\nclass Patient(Base): pass")
    (tmp_path / "pack_a" / "base.py").write_text(dedent(GOOD), encoding="utf-8")
    (cohort,) = loaded(path).cohorts
    assert issubclass(cohort.behaviour, Behaviour)
    assert cohort.behaviour.__module__ == "pack_a.mod"


def test_the_class_is_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the scenario's folder, which comes first."""
    path = written(tmp_path / "a", "placed:Patient")
    (tmp_path / "placed.py").write_text(dedent(GOOD), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (cohort,) = loaded(path).cohorts
    assert sys.modules["placed"].__file__ == str(tmp_path / "placed.py")
    written(tmp_path / "a", "placed:Patient", GOOD)
    (other,) = loaded(path).cohorts
    assert sys.modules["placed"].__file__ == str(tmp_path / "a" / "placed.py")
    assert other.behaviour is not cohort.behaviour


def test_nothing_is_imported_where_that_is_not_allowed(tmp_path: Path) -> None:
    """By default, and without the option: one line with its place, and the module's file is not run."""
    path = written(tmp_path, "unwanted:Patient", "raise SystemExit('imported')")
    place = "DIR/fleet.yaml:7:5: cohorts.a.behaviour: names Python code"
    assert told(path, code_access("--allow-code", allowed=False)) == f"{place}: add --allow-code to import it"
    assert told(path, NO_CODE).startswith(f"{place}, which only estsim run and estsim validate import")
    assert "unwanted" not in sys.modules


def test_nothing_is_imported_before_the_rest_is_in_order(tmp_path: Path) -> None:
    """The scenario's other mistakes come first."""
    path = written(tmp_path, "unwanted:Patient", "raise SystemExit('imported')")
    path.write_text(path.read_text(encoding="utf-8").replace("1m", "1"), encoding="utf-8")
    assert "DIR/fleet.yaml:2:1: duration:" in told(path)
    assert "unwanted" not in sys.modules


def test_a_library_scenario_names_no_code() -> None:
    """Not even where an option says so."""
    overrides = Overrides(set=(("cohorts.meters.behaviour", "anything:Patient"),))
    with pytest.raises(ScenarioError, match=r"quickstart\.yaml.*names Python code, which a library scenario must not"):
        load_scenario(library()["quickstart"], overrides=overrides, code=ANY_CODE)


@pytest.mark.parametrize(
    ("name", "module", "expected"),
    [
        ("mod_none:Patient", None, "no module mod_none in DIR"),
        ("mod_part.sub:Patient", None, "no module mod_part in DIR"),
        ("mod_attr:Paitent", GOOD, "no class Paitent in DIR/mod_attr.py"),
        (
            "mod_type:Patient",
            "Patient = 3",
            "mod_type:Patient must be a subclass of estsim.Behaviour (got an object of",
        ),
        ("mod_kind:Patient", "class Patient: pass", "mod_kind:Patient must be a subclass of estsim.Behaviour (got the"),
        (
            "mod_boom:Patient",
            "\n1 / 0",
            "mod_boom cannot be imported: ZeroDivisionError: division by zero (mod_boom.py:2",
        ),
        ("mod_exit:Patient", "raise SystemExit(7)", "mod_exit cannot be imported: SystemExit: 7 (mod_exit.py:1)"),
        (
            "mod_lack:Patient",
            "import no_such_thing",
            "mod_lack cannot be imported: ModuleNotFoundError: No module named",
        ),
        (
            "mod_text:Patient",
            "class Patient(:",
            "mod_text cannot be imported: SyntaxError: invalid syntax (mod_text.py, l",
        ),
        ("token:Patient", GOOD, "token is the name of a module of Python: rename yours"),
        ("pytest:Patient", GOOD, "the name pytest is taken by a module that is already loaded: rename yours"),
        (
            "mod_meta:Patient",
            "import estsim\nclass Patient(estsim.Behaviour):\n    rekeys = property(lambda self: 1 / 0)",
            "mod_meta:Patient.rekeys must be a method",
        ),
        ("mod_base:Patient", "raise BaseException", "mod_base cannot be imported: BaseException"),
        (
            "mod_init:Patient",
            f"{GOOD}\n        def __init__(self): pass",
            "mod_init:Patient cannot be made: TypeError",
        ),
    ],
)
def test_what_is_wrong_with_a_class_is_told_in_its_place(
    name: str, module: str | None, expected: str, tmp_path: Path
) -> None:
    """A missing module or class, another type, and an import that raises."""
    assert told(written(tmp_path, name, module)).startswith(f"DIR/fleet.yaml:7:5: cohorts.a.behaviour: {expected}")


@pytest.mark.parametrize("name", ["Patient", "mod.Patient", "'mod:'", "'mod:A.B'", "a-b:C", "'../mod:C'", "[a]", "3"])
def test_a_name_that_is_none_is_told(name: str, tmp_path: Path) -> None:
    """It is a dotted module, a colon and a class."""
    assert "cohorts.a.behaviour: expected a Python class, such as mypkg.mod:Class (got " in told(
        written(tmp_path, name)
    )


def test_the_defaults_may_name_it(tmp_path: Path) -> None:
    """And an option may."""
    path = written(tmp_path, "in_defaults:Patient", GOOD)
    text = path.read_text(encoding="utf-8").replace("    behaviour: in_defaults:Patient\n", "")
    path.write_text(f"{text}defaults: {{behaviour: 'in_defaults:Patient'}}\n", encoding="utf-8")
    assert loaded(path).cohorts[0].behaviour.__module__ == "in_defaults"
    path.write_text(text, encoding="utf-8")
    overrides = Overrides(set=(("cohorts.a.behaviour", "in_defaults:Patient"),))
    plan = load_scenario(path, overrides=overrides, code=ANY_CODE)
    assert plan.cohorts[0].behaviour.__module__ == "in_defaults"
    assert "behaviour: in_defaults:Patient" in plan.resolved


def test_another_process_imports_it_only_if_it_is_told_to(tmp_path: Path) -> None:
    """A worker process of the same run is; an estsim worker or a Locust user is not."""
    path = written(tmp_path, "portable_mod:Patient", GOOD)
    plan = loaded(path)
    text = portable_text(plan, passwords=True)
    assert load_portable(text, source=path, code=ANY_CODE).cohorts[0].behaviour is plan.cohorts[0].behaviour
    assignment = Assignment("run", text, "https://127.0.0.1/", (), explicit=True)
    with pytest.raises(ScenarioError, match="no estsim worker"):
        assignment.scenario(source=path, own=plan)
