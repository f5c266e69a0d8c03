"""Whatever a file holds, the loader gives a plan or a clean ScenarioError."""

from contextlib import suppress
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from estsim.errors import ScenarioError, UsageError
from estsim.scenario.loader import load_scenario
from estsim.scenario.source import Overrides

QUICKSTART = Path(__file__).parents[2] / "scenarios" / "quickstart.yaml"
FULL: dict[str, Any] = YAML(typ="safe", pure=True).load(QUICKSTART.read_text(encoding="utf-8"))

WORDS = st.sampled_from(
    [
        *[
            "off",
            "obey",
            "1s..2s",
            "-5%..5%",
            "10s",
            "50/s",
            "-3/s",
            "40%",
            "https://h",
            "${X}",
            "CN={index}",
            "*",
            "&",
        ],
        *["manufacturer", "basic", "none", "system", "settled", "auto", "1.2..1.3", "simpleenroll", "dns:x", "9" * 500],
    ]
)
SCALARS = st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
KEYS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            *["version", "duration", "cohorts", "defaults", "target", "sandbox", "url", "trust", "ca", "boot", "burst"],
            *["rate", "renew", "deferral", "spread", "normal", "devices", "subject", "sans", "events", "thresholds"],
            *["authorities", "cert", "key", "made", "clients", "bootstrap_cas", "trust_centers", "default", "users"],
        ]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


def _try(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with suppress(ScenarioError):
        load_scenario(path)


def _paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    return [at] * bool(at) + [path for key, member in members for path in _paths(member, (*at, key))]


def _written(value: object) -> bytes:
    text = StringIO()
    YAML(typ="safe", pure=True).dump(value, text)
    return text.getvalue().encode()


reuses_one_file = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)  # the file is written anew for each example


@reuses_one_file
@given(content=st.binary(max_size=200) | st.text(alphabet="ab:-{}[]&*!|>'\"%@`#,?~ \n\t<", max_size=60).map(str.encode))
def test_any_bytes_give_a_clean_error(tmp_path: Path, content: bytes) -> None:
    """Binary, and text made of what YAML is made of."""
    _try(tmp_path / "any.yaml", content)


@reuses_one_file
@given(st.data())
def test_any_value_in_any_place_of_a_good_scenario_loads_or_is_told(tmp_path: Path, data: st.DataObject) -> None:
    """Replace, remove or add something anywhere in the quickstart."""
    whole = deepcopy(FULL)
    path = data.draw(st.sampled_from(_paths(whole)))
    parent = whole
    for step in path[:-1]:
        parent = parent[step]
    if data.draw(st.booleans()):
        parent[path[-1]] = data.draw(VALUES)
    elif isinstance(parent, dict):
        del parent[path[-1]]
        parent[data.draw(KEYS)] = data.draw(VALUES)
    _try(tmp_path / "changed.yaml", _written(whole))


@reuses_one_file
@given(value=st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_mapping_gives_a_clean_error(tmp_path: Path, value: dict[str, Any]) -> None:
    """Keys of the language in the wrong places."""
    _try(tmp_path / "mapping.yaml", _written(value))


@settings(max_examples=40, deadline=None)
@given(
    key=st.text(max_size=12) | st.sampled_from(["cohorts.meters.devices", "cohorts", "sandbox.issue", "a.b"]),
    text=st.text(max_size=12),
)
def test_any_set_option_loads_or_is_told(key: str, text: str) -> None:
    """A broken key or value of --set is a usage error or a mistake of the scenario."""
    with suppress(ScenarioError, UsageError):
        load_scenario(QUICKSTART, overrides=Overrides(set=((key, text),)))


@settings(max_examples=30, deadline=None)
@given(devices=st.integers(min_value=1, max_value=100_000), seed=st.integers(min_value=0, max_value=2**63 - 1))
def test_the_resolved_text_of_any_run_reads_as_the_same_plan(
    tmp_path_factory: pytest.TempPathFactory, devices: int, seed: int
) -> None:
    """What is kept of a run can be run again."""
    scenario = load_scenario(QUICKSTART, overrides=Overrides(devices=devices, seed=seed))
    path = tmp_path_factory.getbasetemp() / "again.yaml"
    path.write_text(scenario.resolved, encoding="utf-8")
    again = load_scenario(path)
    assert (again.name, again.seed, again.devices, again.sandbox) == ("quickstart", seed, devices, scenario.sandbox)
    assert again.cohorts[0].policy == scenario.cohorts[0].policy
    assert again.cohorts[0].subject(1) == scenario.cohorts[0].subject(1)
