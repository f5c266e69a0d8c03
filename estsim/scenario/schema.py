"""The scenario language as JSON Schema, for editors: keys, their meaning, units and examples.

Generated from the models that read a scenario, so both have the same keys. The models' shorthands are added here, and
keys that may come from defaults are not required.
"""

from typing import Any, Final

from pydantic import BaseModel

from estsim.scenario.model import ScenarioModel
from estsim.server.config import SandboxConfig

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Final = {"type": "string", "pattern": r"\$\{"}  # a variable of the environment may stand for any value
_TEXT: Final = {"type": "string"}
_OFF: Final = {"const": "off"}
# Shorthands by model and key, in addition to the model's own schema.
_SHORT: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("CohortModel", "renew"): _OFF,
    ("CohortModel", "start"): {"enum": ["off", "operational"]},
    ("CohortModel", "on_boot"): {
        "type": "array",
        "items": {"anyOf": [{"const": "cacerts"}, {"type": "object", "additionalProperties": False,
                                                    "properties": {"renew_if": {**_TEXT, "examples": ["50%"]}}}]},
    },
    ("ScenarioModel", "phases"): {"type": "object", "additionalProperties": {**_TEXT, "examples": ["0s..5m"]}},
    ("ScenarioModel", "thresholds"): {
        "type": "array",
        "items": {"anyOf": [{**_TEXT, "examples": ["failures < 1%"]}, {"$ref": "#/$defs/ThresholdModel"}]},
    },
    ("ScenarioModel", "include"): {
        "anyOf": [_TEXT, {"type": "array", "items": _TEXT}],
        "description": "Files to include; keys of this file take precedence: fleet.yaml or a list.",
    },
    ("EventModel", "mark"): _TEXT,
    ("EventModel", "cohort_join"): _TEXT,
    ("BootModel", "ramp"): {**_TEXT, "examples": ["0/s..50/s"]},
    ("DeferralModel", "retry_after"): {
        "anyOf": [
            {"enum": ["obey", "ignore"]},
            {"type": "object", "additionalProperties": False, "maxProperties": 1,
             "properties": {"early": {**_TEXT, "examples": ["50%"]}, "late": {**_TEXT, "examples": ["20%"]}}},
        ]
    },
    ("RetryModel", "attempts"): {"const": "unlimited"},
    ("RetryModel", "on"): {"type": "array", "items": {"anyOf": [_TEXT, {"const": 429}]}},
    ("TargetModel", "url"): {**_TEXT, "format": "uri"},
    ("TargetModel", "label"): _TEXT,
    ("TargetModel", "trust"): {"const": "system"},
    ("GeneratorModel", "workers"): {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 256}]},
}  # fmt: skip
_INSTEAD: Final = frozenset(
    {
        ("ScenarioModel", "phases"),
        ("ScenarioModel", "thresholds"),
        ("CohortModel", "on_boot"),
        ("DeferralModel", "retry_after"),
        ("RetryModel", "on"),
        ("BootModel", "ramp"),
        ("TargetModel", "url"),
    }
)  # here the model's own schema would mislead


def scenario_schema() -> dict[str, Any]:
    """Return the schema of a scenario file."""
    schema = _schema_of(ScenarioModel, "An estsim scenario")
    definitions = schema["$defs"]
    schema["properties"]["defaults"] = {"$ref": "#/$defs/CohortModel", "description": "Defaults for all cohorts."}
    schema["properties"]["sandbox"] = {
        "$ref": "#/$defs/SandboxConfig",
        "description": schema["properties"]["sandbox"]["description"],
    }
    definitions["CohortModel"].pop("required", None)
    del definitions["TargetUrl"]  # a URL is text
    schema["anyOf"] = [{"required": ["include"]}, {"required": schema.pop("required")}]
    _open_sandbox(definitions["SandboxConfig"], definitions)
    return schema


def sandbox_schema() -> dict[str, Any]:
    """Return the schema of a configuration file for ``estsim serve``."""
    schema = _schema_of(SandboxConfig, "An estsim sandbox")
    _open_sandbox(schema, schema["$defs"])
    return schema


def _open_sandbox(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Allow the keys of one trust center at the top level."""
    for key, value in definitions["TrustCenterConfig"]["properties"].items():
        schema["properties"].setdefault(key, value)


def _schema_of(model: type[BaseModel], title: str) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    for name, definition in {model.__name__: schema, **definitions}.items():
        _complete(definition, name, definitions)
    return {"$schema": _DIALECT, **schema, "title": title}


def _complete(definition: dict[str, Any], model: str, definitions: dict[str, Any]) -> None:
    """Add shorthands, and allow a variable for any value."""
    properties = definition.get("properties")
    if properties is None:
        return
    for name, key in _SHORT:
        if name == model and key not in properties:
            properties[key] = _SHORT[name, key]
    for key, value in properties.items():
        short = _SHORT.get((model, key))
        ways = [short] if (model, key) in _INSTEAD and short else [_without_text(value), *([short] if short else [])]
        properties[key] = {"anyOf": [*ways, _VARIABLE], **_texts(value, definitions)}


def _texts(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    texts: dict[str, Any] = {key: value[key] for key in ("description", "title", "examples") if key in value}
    referred = value.get("$ref", "").rpartition("/")[2]
    if referred and "description" not in texts:  # pydantic omits it if it is the section's own
        texts["description"] = definitions[referred]["description"]
    if isinstance(value.get("default"), bool | int | str):  # others are in the model's units, not as in a file
        texts["default"] = value["default"]
    return texts


def _without_text(value: dict[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in value.items() if key not in ("description", "title", "default")}
