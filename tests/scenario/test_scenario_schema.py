"""The schema for editors: as strict as the loader where it can be, and never stricter."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from ruamel.yaml import YAML

from estsim.fields import Section
from estsim.scenario.model import ScenarioModel
from estsim.scenario.nature_model import FaultsModel
from estsim.scenario.schema import sandbox_schema, scenario_schema
from estsim.server.config import SandboxConfig

SCENARIO, SANDBOX = scenario_schema(), sandbox_schema()
HEAD = "version: 1\nduration: 1m\n"
COHORT = "{devices: 1, boot: {burst: 0s}}"


def _mistakes(text: str, schema: dict[str, Any] = SCENARIO) -> list[str]:
    value = YAML(typ="safe", pure=True).load(text)
    return [error.json_path for error in Draft202012Validator(schema).iter_errors(value)]


def _mappings(schema: dict[str, Any], top: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every mapping of a schema that has keys of its own, by its name."""
    yield top, schema
    for name, definition in schema["$defs"].items():
        if "properties" in definition:
            yield name, definition


def _models() -> dict[str, type[BaseModel]]:
    """Return every model of the two languages, by its name."""
    found: dict[str, type[BaseModel]] = {"FaultsModel": FaultsModel}
    waiting: list[type[BaseModel]] = [Section]
    while waiting:
        model = waiting.pop()
        found[model.__name__] = model
        waiting += model.__subclasses__()
    return found


@pytest.mark.parametrize(
    ("schema", "top", "model"), [(SCENARIO, "ScenarioModel", ScenarioModel), (SANDBOX, "SandboxConfig", SandboxConfig)]
)
def test_it_knows_the_keys_that_the_models_know(schema: dict[str, Any], top: str, model: type[BaseModel]) -> None:
    """All of them and no other, but for ``include``, which is gone before a model sees it; each with a meaning."""
    models = _models()
    assert models[top] is model
    for name, definition in _mappings(schema, top):
        known = {field.alias or key for key, field in models[name].model_fields.items()}
        assert set(definition["properties"]) - {"include"} == known, name
        assert definition["additionalProperties"] is False, name
        for key, value in definition["properties"].items():
            assert "$ref" in value or value.get("description"), f"{name}.{key}"


def test_every_section_of_both_languages_is_in_a_schema() -> None:
    """But for those that others are made from."""
    met = {name for schema in (SCENARIO, SANDBOX) for name, _ in _mappings(schema, "")}
    met |= {ScenarioModel.__name__, SandboxConfig.__name__}
    assert _models().keys() - met == {"Section", "TouchedModel"}


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}cohorts: {{a: {COHORT}}}\n",
        f"{HEAD}defaults: {{boot: {{burst: 0s}}}}\ncohorts: {{a: {{devices: 1}}}}\n",
        "include: base.yaml\n",
        "include: [base.yaml, other.yaml]\nseed: 3\n",
        f"{HEAD}seed: '${{SEED:-3}}'\ncohorts: {{a: {{devices: '${{N}}', boot: {{burst: '${{B}}'}}}}}}\n",
        f"{HEAD}cohorts: {{a: {{devices: 1, boot: {{ramp: 0/s..5/s, over: 1m}}, renew: off, start: off}}}}\n",
        f"{HEAD}cohorts: {{a: {{devices: 1, start: operational, on_boot: [cacerts, {{renew_if: 5%}}]}}}}\n",
        f"{HEAD}cohorts: {{a: {{devices: 1, boot: {{at_once: true}}, deferral: {{retry_after: {{early: 5%}}}}}}}}\n",
        f"{HEAD}cohorts: {{a: {{devices: 1, network: {{rtt: {{normal: [8ms, 1ms]}}}}, retry: {{on: [429]}}}}}}\n",
        f"{HEAD}cohorts: {{a: {COHORT}}}\nevents: [{{at: 1s, mark: x}}, {{at: 2s, cohort_join: a}}]\n",
        f"{HEAD}cohorts: {{a: {COHORT}}}\nevents: [{{at: 1s, sandbox: {{capacity.rate: 2/s, faults: []}}}}]\n",
        f"{HEAD}cohorts: {{a: {COHORT}}}\nphases: {{calm: 0s..5s}}\nexpect: [{{from: 1s, to: 5s}}]\n",
        f"{HEAD}cohorts: {{a: {COHORT}}}\nthresholds: [a < 1%, {{threshold: failures < 1%, abort_on_fail: true}}]\n",
        f"{HEAD}cohorts: {{a: {COHORT}}}\ntarget: {{url: 'https://h', trust: system, deferral_statuses: [202, 206]}}\n",
    ],
)
def test_what_the_language_allows_is_not_marked(text: str) -> None:
    """Short forms, defaults, includes, variables."""
    assert _mistakes(text) == []


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}cohorts: {{a: {COHORT}}}\ncohrts: {{}}\n",
        f"{HEAD}cohorts: {{a: {{devices: 1, boot: {{brust: 0s}}}}}}\n",
        f"{HEAD}cohorts: {{a: {{devices: one, boot: {{burst: 0s}}}}}}\n",
        f"{HEAD}cohorts: {{a: {{devices: 1, on_boot: cacerts}}}}\n",
        f"{HEAD}cohorts: {{a: {{devices: 1, renew: never}}}}\n",
        f"{HEAD}cohorts: {{a: {{devices: 1, key: rsa}}}}\n",
        f"{HEAD}cohorts: {{a: {{devices: 1, faults: {{unknwn_ca: 1%}}}}}}\n",
        f"{HEAD}cohorts: {{a: {COHORT}}}\nevents: [{{at: 1s, power_cut: {{cohorts: [a], of: 1s}}}}]\n",
        f"{HEAD}cohorts: {{a: {COHORT}}}\nsandbox: {{capcity: {{rate: 5/s}}}}\n",
        f"{HEAD}cohorts: {{a: {COHORT}}}\ntarget: {{url: {{host: h, port: 1}}}}\n",
        f"duration: 1m\ncohorts: {{a: {COHORT}}}\n",
        f"{HEAD}cohorts: {{}}\n",
    ],
)
def test_a_slip_is_marked(text: str) -> None:
    """A misspelt key anywhere, a word that is none, a key that is missing."""
    assert _mistakes(text)


def test_what_an_editor_would_put_in_as_a_default_is_what_one_writes() -> None:
    """No seconds and parts of one, which need their units in a file."""
    for schema, top in ((SCENARIO, "ScenarioModel"), (SANDBOX, "SandboxConfig")):
        for name, definition in _mappings(schema, top):
            for key, value in definition["properties"].items():
                if "default" in value:
                    alone = {"$defs": schema["$defs"], "properties": {key: value}}
                    assert Draft202012Validator(alone).is_valid({key: value["default"]}), f"{name}.{key}"
                    assert not isinstance(value["default"], float), f"{name}.{key}"
