"""Whatever a file holds, the loader gives a plan or a clean ScenarioError."""

import time
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
EXAMPLES_AT_MOST_S = 5.0
FULL: dict[str, Any] = YAML(typ="safe", pure=True).load(QUICKSTART.read_text(encoding="utf-8"))

WHOLE: dict[str, Any] = YAML(typ="safe", pure=True).load(
    """
version: 1
name: everything
description: "What if ${ESTSIM_NOBODY:-nothing} is as it should be?"
seed: 3
duration: 10m
until: settled
authorities: {mfg: {made: true}}
target: {label: meters, timeouts: {connect: 1s}, deferral_statuses: [202, 206]}
sandbox:
  trust_centers:
    default: {}
    meters:
      issuer: {validity: 1h}
      clients: {bootstrap_cas: [mfg], users: {alice: {password: secret}}}
      issue: {mode: deferred, share: 20%, retry_after: {kind: random, from: 1, to: 3}}
      capacity: {rate: 50/s, overflow: defer}
      faults: [{kind: latency, rate: 1%, add: 5ms..8ms}]
generator: {groups: [x25519], source_addresses: [127.0.0.2]}
defaults:
  on_boot: [cacerts, {renew_if: 50%}]
  renew: {at: 50%, spread: -5%..5%, times: 2}
cohorts:
  north:
    devices: 40
    key: rsa-2048
    keys: {prepare: 1000}
    bootstrap: {kind: manufacturer, authority: mfg}
    boot: {steps: [{rate: 10/s, for: 2s}, {rate: 20/s, for: 1s}]}
    network: {rtt: {lognormal: [80ms, 0.4]}, rate: 64kbit/s, stall: 1%, reset: 1%}
    clock: {skew: -30s..30s}
    faults: {unknown_ca: 5%, impatient: 5%}
    tls: {versions: 1.2..1.3, resume: true, keep_alive: 5s, close: vanish, send_chain: false}
  south: {devices: 3, boot: {trace: boots.csv}, bootstrap: {kind: shared}, keys: {prepare: 9}}
  east: {devices: 5, start: {operational: {age: 0%..50%}}, boot: {at_once: true}, renew: {expired: wait, after: 9m}}
  west: {devices: 8, boot: {stations: 2}, bootstrap: {kind: basic, user: alice, password: "${ESTSIM_NOBODY:-1}"}}
events:
  - {at: 1m, power_cut: {cohorts: [north, east], share: 40%, off: 5s..9s, return: {burst: 5s}, keeps: [key, pending]}}
  - {at: 2m, renew_now: {cohorts: [north], within: 10s}}
  - {at: 3m, retire: {cohorts: [east], share: 10%}}
  - {at: 10s, cohort_join: south}
  - {at: 4m, sandbox: {capacity.rate: 9/s, issue: {share: 5%}}}
  - {at: 5m, mark: {text: enough, wait_for: enter}}
phases: {calm: 0s..1m, recovery: 1m..8m}
expect: [{cohorts: [north], outcomes: [rejected], from: 1s, to: 9m}]
thresholds:
  - failures < 1%
  - recovery.cohorts.north.failures < 5%
  - {threshold: failures < 9%, abort_on_fail: true, after: 30s}
"""
)  # what the quickstart has no need of

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
            "0s..5m",
            "64kbit/s",
            "south",
            "$${",
        ],
        *["${ESTSIM_NOBODY:-1}", "$${X}", "${", "5m..8m", "0/s..5/s", "64kbit/s", "north", "east", "boots.csv", "."],
        *["cacerts", "operational", "enter", "vanish", "shared", "files", "key", "rsa-4096", "rejected", "a\0b"],
        *["manufacturer", "basic", "none", "system", "settled", "auto", "1.2..1.3", "simpleenroll", "dns:x", "9" * 500],
    ]
)
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])  # what a variable can hold
SCALARS = st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
KEYS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            *["version", "duration", "cohorts", "defaults", "target", "sandbox", "url", "trust", "ca", "boot", "burst"],
            *["rate", "renew", "deferral", "spread", "normal", "devices", "subject", "sans", "events", "thresholds"],
            *["at", "power_cut", "return", "off", "share", "keeps", "cohort_join", "mark", "phases", "expect", "from"],
            *["authorities", "cert", "key", "made", "clients", "bootstrap_cas", "trust_centers", "default", "users"],
            *["skew", "keys", "prepare", "reuse", "for", "capacity.rate", "issue.mode", "renew_now", "retire"],
            *["include", "steps", "trace", "stations", "network", "rtt", "faults", "start", "operational", "on_boot"],
        ]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


def _write_boots(folder: Path) -> None:
    (folder / "boots.csv").write_text("1\n2\n3\n", encoding="utf-8")


def _try(path: Path, content: bytes) -> None:
    """Load what is there: a plan or a ScenarioError, soon, and no file is written."""
    path.write_bytes(content)
    _write_boots(path.parent)
    before, began_s = sorted(path.parent.iterdir()), time.process_time()
    with suppress(ScenarioError):
        scenario = load_scenario(path)
        assert scenario.devices == sum(cohort.devices for cohort in scenario.cohorts)
        assert scenario.resolved
    assert time.process_time() - began_s < EXAMPLES_AT_MOST_S
    assert sorted(path.parent.iterdir()) == before


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
    """Replace, remove or add something anywhere in the quickstart, or in one that has all the rest."""
    whole = deepcopy(data.draw(st.sampled_from([FULL, WHOLE])))
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


def test_what_is_changed_there_is_good(tmp_path: Path) -> None:
    """Or nothing would be learned from a change; and its resolved text reads as the same plan."""
    _write_boots(tmp_path)
    path = tmp_path / "whole.yaml"
    path.write_bytes(_written(WHOLE))
    scenario = load_scenario(path)
    assert len(scenario.events) == 6
    path.write_text(
        scenario.resolved.replace("${ESTSIM_NOBODY}", "secret").replace("'***'", "secret"), encoding="utf-8"
    )
    again = load_scenario(path)
    assert (again.events, again.phases, again.expect) == (scenario.events, scenario.phases, scenario.expect)
    assert [cohort.arrivals for cohort in again.cohorts] == [cohort.arrivals for cohort in scenario.cohorts]


@reuses_one_file
@given(include=SCALARS | st.lists(SCALARS, max_size=3))
def test_any_include_loads_or_is_told(tmp_path: Path, include: object) -> None:
    """Whatever is named, be it no file, this file, a folder or no text at all."""
    _try(tmp_path / "including.yaml", _written({**FULL, "include": include}))


@reuses_one_file
@given(
    text=st.text(alphabet="${}:-AB 1", max_size=12),
    value=st.text(CHARACTERS, max_size=8) | st.sampled_from(["", "5", "0123", "[", "&a", "true", "${A}"]),
)
def test_any_variable_is_filled_in_or_told(tmp_path: Path, text: str, value: str) -> None:
    """What the environment holds is never read as YAML that is more than a scalar, nor filled in again."""
    path = tmp_path / "variable.yaml"
    path.write_bytes(_written({**FULL, "description": text}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("A", value)
        patch.delenv("B", raising=False)
        try:
            scenario = load_scenario(path)
        except ScenarioError:
            return
        again = tmp_path / "again.yaml"
        again.write_text(scenario.resolved, encoding="utf-8")
        assert load_scenario(again).description == scenario.description


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
    assert again.cohorts[0].requested.of(1, None) == scenario.cohorts[0].requested.of(1, None)
