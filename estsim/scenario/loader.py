"""Reading scenarios: every mistake at once, each with file, line and column."""

import os
import re
from pathlib import Path

from pydantic import ValidationError

from estsim.errors import Mistake, ScenarioError
from estsim.scenario.checks import findings
from estsim.scenario.composition import compose
from estsim.scenario.mistakes import shape_mistakes
from estsim.scenario.model import ScenarioModel
from estsim.scenario.parts import readable_parts
from estsim.scenario.plan import Scenario
from estsim.scenario.planning import plan_scenario
from estsim.scenario.source import Overrides, Source, overridden


def load_scenario(path: Path, *, overrides: Overrides = Overrides()) -> Scenario:  # noqa: B008 - frozen
    """Read a scenario with the command line's overrides.

    Raises ScenarioError with every mistake in its place, and UsageError for an override that cannot be one.
    """
    return load_source(overridden(compose(path, os.environ), overrides), path)


def load_source(source: Source, path: Path) -> Scenario:
    """Return the plan of what was read and merged; raises ScenarioError with every mistake in its place."""
    mistakes: list[Mistake] = []
    model: ScenarioModel | None = None
    try:
        model = ScenarioModel.model_validate(source.data)
    except ValidationError as error:
        mistakes += shape_mistakes(error, ScenarioModel, source.tell)
    mistakes += _checked(source, path.parent)
    if mistakes or model is None:
        raise ScenarioError(list(dict.fromkeys(mistakes)))
    name = model.name or _name_of(path)
    return plan_scenario(model, name=name, source=path, data=source.data)


def _checked(source: Source, folder: Path) -> list[Mistake]:
    if not isinstance(source.data, dict):
        return []
    parts = readable_parts(source.data, folder)
    return [source.tell(place, message) for place, message in findings(parts)]


def _name_of(path: Path) -> str:
    """Return the file's stem as a name that can be part of a folder's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:64] or "scenario"
