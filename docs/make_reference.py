"""Write ``docs/scenario-reference.md``: every key of a scenario and of a sandbox, from the models' own schema.

``python docs/make_reference.py`` writes the page; a test compares it with what this module makes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from estsim.scenario.schema import sandbox_schema, scenario_schema

PAGE: Final = Path(__file__).parent / "scenario-reference.md"
_HEAD: Final = """<!-- made by docs/make_reference.py from the models, do not edit -->
# Scenario reference

Every key, section by section. [Writing scenarios](scenarios.md) shows them at work. `NAME` is a name of your choice.
`${VAR}` may stand for any value. Durations, rates and shares have units: `500ms`, `1h30m`, `20/s`, `64kbit/s`, `40%`.
A range `a..b` is uniform; `{normal: [80ms, 10ms]}` and `{lognormal: [80ms, 0.4]}` are distributions too.
"""
_TYPES: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}

Schema = dict[str, Any]


def reference() -> str:
    """Return the page."""
    lines = [_HEAD]
    homes: dict[str, str] = {}
    for title, schema, path in (("A scenario", scenario_schema(), ""), ("A sandbox", sandbox_schema(), "sandbox")):
        lines += [f"## {title}\n", *_sections(schema, path, homes)]
    return "\n".join(lines).rstrip() + "\n"


def _sections(root: Schema, path: str, homes: dict[str, str]) -> Iterator[str]:
    """Yield the tables of a schema's models, depth first, each model once: at the first path that leads to it."""
    definitions: dict[str, Schema] = root["$defs"]
    due: list[tuple[str, Schema]] = [(path, root)]
    while due:
        where, model = due.pop(0)
        if where != path:
            yield f"### `{where}`\n\n{_one_line(model.get('description', ''))}\n"
        yield "| key | value | default | meaning |\n|---|---|---|---|"
        below: list[tuple[str, Schema]] = []
        for key, value in sorted(model["properties"].items(), key=lambda item: item[0] == "defaults"):
            inside = list(_models(value, definitions, _join(where, key)))
            for at, name in inside:
                if name not in homes:
                    homes[name] = at
                    if name != "SandboxConfig":  # has a part of its own
                        below.append((at, definitions[name]))
            yield _row(key, value, definitions, [homes[name] for _, name in inside])
        yield ""
        due = below + due


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _row(key: str, value: Schema, definitions: dict[str, Schema], inside: list[str]) -> str:
    kinds = list(dict.fromkeys(_kinds(value, definitions)))
    kinds += [f"see `{at}`" for at in dict.fromkeys(inside)]
    default = value.get("default")
    told = f"`{str(default).lower() if isinstance(default, bool) else default}`" if default not in (None, "") else ""
    cells = (f"`{key}`", ", ".join(kinds), told, _one_line(value.get("description", "")))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _models(value: Schema, definitions: dict[str, Schema], at: str) -> Iterator[tuple[str, str]]:
    """Yield the models that a value may be, or hold, with the path that they have then."""
    name = value.get("$ref", "").rpartition("/")[2]
    if name and "properties" in definitions[name]:
        yield at, name
    for part in value.get("anyOf", ()):
        yield from _models(part, definitions, at)
    if isinstance(value.get("additionalProperties"), dict):
        yield from _models(value["additionalProperties"], definitions, f"{at}.NAME")
    if isinstance(value.get("items"), dict):
        yield from _models(value["items"], definitions, f"{at}[]")


def _kinds(value: Schema, definitions: dict[str, Schema]) -> Iterator[str]:
    """Yield the words for what a value may be, other than a model."""
    name = value.get("$ref", "").rpartition("/")[2]
    if name:
        yield from _kinds(definitions[name], definitions) if "properties" not in definitions[name] else ()
        return
    for part in value.get("anyOf", ()):
        yield from _kinds(part, definitions)
    if "pattern" in value and "$" in value["pattern"]:
        return  # a variable may stand for any value: the page says so once
    if "const" in value:
        yield f"`{value['const']}`"
    elif "enum" in value:
        yield from (f"`{each}`" for each in value["enum"])
    elif value.get("type") == "array":
        items = list(dict.fromkeys(_kinds(value.get("items", {}), definitions)))
        yield f"list of {' or '.join(items)}" if items else "list"
    elif examples := value.get("examples"):
        yield f"such as {', '.join(f'`{each}`' for each in examples)}"
    else:
        types = value.get("type", ())
        yield from (_TYPES[each] for each in ([types] if isinstance(types, str) else types) if each in _TYPES)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
