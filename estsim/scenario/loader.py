"""Reading scenarios: every mistake at once, each with file, line and column."""

import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from pydantic import ValidationError

from estsim.errors import Doubt, Mistake, ScenarioError
from estsim.scenario.checks import findings, is_nameless
from estsim.scenario.composition import compose
from estsim.scenario.credential_doubts import credential_doubts
from estsim.scenario.document import Location
from estsim.scenario.doubts import doubts, long_durations
from estsim.scenario.masked import fill_masked
from estsim.scenario.mistakes import shape_mistakes
from estsim.scenario.model import ScenarioModel
from estsim.scenario.naming import name_of
from estsim.scenario.parts import readable_parts
from estsim.scenario.plan import Scenario
from estsim.scenario.planning import plan_scenario
from estsim.scenario.sample_doubts import sample_doubts
from estsim.scenario.sandbox_file import is_sandbox
from estsim.scenario.sizes import size_findings
from estsim.scenario.source import Overrides, Source, overridden
from estsim.scenario.typography import typographic

_SANDBOX = "is a sandbox configuration, not a scenario: check with validate --server, run with serve"
_MOST_TOLD = 500  # of each kind; who has more will run it again anyway


def load_scenario(path: Path, *, overrides: Overrides = Overrides()) -> Scenario:  # noqa: B008 - frozen
    """Read a scenario with the command line's overrides.

    Raises ScenarioError with every mistake in its place, and UsageError for an override that cannot be one.
    """
    source = overridden(compose(path, os.environ), overrides)
    refuse_masked(source, fill_masked(source.data, os.environ))
    return load_source(source, path)


def refuse_masked(source: Source, found: Iterable[tuple[Location, str]]) -> None:
    """Raise ScenarioError where a password is what a run has put in its place."""
    if mistakes := [source.tell(at, message) for at, message in islice(found, _MOST_TOLD)]:
        raise ScenarioError(mistakes)


def load_source(source: Source, path: Path) -> Scenario:
    """Return the plan of what was read and merged; raises ScenarioError with every mistake in its place."""
    mistakes = [source.tell(place, message) for place, message in islice(size_findings(source.data), _MOST_TOLD)]
    if mistakes:  # nothing else is said: to find it might take for ever
        raise ScenarioError(mistakes)
    if is_sandbox(source.data):
        raise ScenarioError([source.tell((), _SANDBOX)])
    mistakes += source.mistakes
    model: ScenarioModel | None = None
    try:
        model = ScenarioModel.model_validate(source.data)
    except ValidationError as error:
        found = shape_mistakes(error, ScenarioModel, source.tell, source.data)
        mistakes += [each for each in found if not (each.path.startswith("cohorts") and is_nameless(source.data))]
    mistakes += _checked(source, path.parent)
    mistakes = _without_quotes(source, mistakes)
    if mistakes or model is None:
        raise ScenarioError(list(dict.fromkeys(mistakes)))
    name = model.name or name_of(path)
    plan = plan_scenario(model, name=name, source=path, data=source.data)
    return replace(plan, warnings=_warnings(source, model, plan))


def _without_quotes(source: Source, mistakes: list[Mistake]) -> list[Mistake]:
    """Return the mistakes with those of typographic quotes, in the place of what these have made wrong."""
    found = [source.tell(place, message) for place, message in islice(typographic(source.data), _MOST_TOLD)]
    places = {(each.line, each.column, each.file) for each in found}
    return [*(each for each in mistakes if (each.line, each.column, each.file) not in places), *found]


def _warnings(source: Source, model: ScenarioModel, plan: Scenario) -> tuple[Doubt, ...]:
    looked_for = (doubts(model), credential_doubts(plan), sample_doubts(plan), long_durations(source.data))
    found = islice(chain.from_iterable(looked_for), _MOST_TOLD)
    told = (source.tell(place, message) for place, message in found)
    return tuple(sorted({Doubt(each.line, each.column, each.path, each.message, each.file) for each in told}))


def _checked(source: Source, folder: Path) -> list[Mistake]:
    if not isinstance(source.data, dict):
        return []
    parts = readable_parts(source.data, folder)
    return [source.tell(place, message) for place, message in islice(findings(parts), _MOST_TOLD)]
