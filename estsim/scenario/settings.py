"""``--set KEY=VALUE``: where it leads in a scenario, and what it names that is not there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from estsim.errors import ScenarioError, UsageError
from estsim.nearness import nearest, suggestion
from estsim.scenario.document import Location, dotted, parse_document
from estsim.scenario.nodes import DEEPEST
from estsim.units import shown

_SECRET: Final = frozenset({"password", "http_auth", "users"})  # what is set there may be a password
_COHORT_KEY: Final = 3  # cohorts.NAME.KEY: the cohort is there already
_NAMED: Final = {"cohorts": "cohort", "phases": "phase", "authorities": "authority"}


def location_of(key: str) -> Location:
    """Return the place of ``cohorts.north.devices``; raises UsageError."""
    steps = tuple(key.split("."))
    if not all(steps):
        raise UsageError(f"--set {key}: expected a key such as cohorts.north.devices")
    if len(steps) > DEEPEST:
        raise UsageError(f"--set {shown(key)}: is nested more than {DEEPEST} deep")
    return steps


def value_of(key: str, text: str) -> object:
    """Return a value as YAML reads it; raises UsageError."""
    try:
        return parse_document(Path("--set"), text).root.value if text.strip() else None
    except ScenarioError as error:
        raise UsageError(f"{option_of(key, text)}: {error.mistakes[0].message}") from error


def option_of(key: str, text: str) -> str:
    """Return the option as a message names it: without a password."""
    hidden = not _SECRET.isdisjoint(key.split(".")) or "password" in text
    return f"--set {key}={'***' if hidden else text}"


def nowhere(at: Location, data: object) -> str | None:
    """Return what is wrong with a place that leads through what is not there, or through what has no keys."""
    names = data.get(at[0]) if isinstance(data, dict) else None
    if len(at) > 1 and at[0] in _NAMED and isinstance(names, dict) and at[1] not in names:
        name, known = str(at[1]), tuple(map(str, names))
        # A whole cohort may be added; and a phase or an authority that is no slip for another.
        if (at[0] == "cohorts" and len(at) >= _COHORT_KEY) or nearest(name, known):
            return f"there is no {_NAMED[str(at[0])]} '{shown(name)}'{suggestion(name, known)}"
    top = data if isinstance(data, dict) else {}
    cohorts = top.get("cohorts")
    if isinstance(cohorts, dict) and at[0] in cohorts and at[0] not in top:
        return f"unknown key: write cohorts.{dotted(at)}"
    value: Any = data
    for depth, step in enumerate(at):
        if isinstance(value, list):
            return f"{dotted(at[:depth])} is a list; set it as a whole: --set '{dotted(at[:depth])}=[…]'"
        if depth > 0 and value is not None and value != "off" and not isinstance(value, dict):
            return f"{dotted(at[:depth])} is a value without keys (got {shown(value)})"
        value = value.get(step) if isinstance(value, Mapping) else None
    return None
