"""Loading scenarios: includes, variables, overrides and checks, with every mistake at its file, line and column.

Every value keeps the place where it was written, in whichever file that is.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from pydantic import ValidationError

from estsim.device.behaviour import Behaviour
from estsim.errors import Doubt, Mistake, ScenarioError, UnitError
from estsim.scenario.behaviours import NO_CODE, OF_LIBRARY, CodeAccess
from estsim.scenario.checks import findings, is_nameless
from estsim.scenario.credential_doubts import credential_doubts
from estsim.scenario.data_checks import size_findings, typographic
from estsim.scenario.document import Document, Location
from estsim.scenario.doubts import doubts, long_durations
from estsim.scenario.inclusion import Inclusion
from estsim.scenario.library import is_included
from estsim.scenario.mistakes import shape_mistakes
from estsim.scenario.model import ScenarioModel
from estsim.scenario.parts import readable_parts
from estsim.scenario.plan import Scenario
from estsim.scenario.planning import plan_scenario
from estsim.scenario.resolved import fill_masked
from estsim.scenario.sandbox_file import is_sandbox
from estsim.scenario.source import Overrides, Source, overridden
from estsim.scenario.threshold_doubts import sample_doubts
from estsim.scenario.variables import Variables

_SANDBOX = "is a sandbox configuration, not a scenario: check with validate --server, run with serve"
_MOST_TOLD = 500  # of each kind; with more, it has to be run again anyway


def name_of(path: Path) -> str:
    """Return the name of a scenario without one of its own: the file's, made fit for a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:64] or "scenario"


def compose(path: Path, environment: Mapping[str, str]) -> Document:
    """Read a scenario with its includes, variables expanded. Raises ScenarioError with every mistake in its place.

    A variable with neither value nor default is a mistake; ``$${`` is a literal ``${``.
    """
    variables = Variables(environment)
    return variables.expanded(Inclusion(variables).document(path))


def load_scenario(
    path: Path,
    *,
    overrides: Overrides = Overrides(),  # noqa: B008 - frozen
    code: CodeAccess = NO_CODE,
) -> Scenario:
    """Read a scenario with the command line's overrides; ``code`` says whether the classes that it names are imported.

    Raises ScenarioError with every mistake in its place, and UsageError for an invalid override.
    """
    source = overridden(compose(path, os.environ), overrides)
    refuse_masked(source, fill_masked(source.data, os.environ))
    return load_source(source, path, replace(code, refusal=OF_LIBRARY) if is_included(path) else code)


def refuse_masked(source: Source, found: Iterable[tuple[Location, str]]) -> None:
    """Raise ScenarioError for passwords that are still masked."""
    if mistakes := [source.tell(at, message) for at, message in islice(found, _MOST_TOLD)]:
        raise ScenarioError(mistakes)


def load_source(source: Source, path: Path, code: CodeAccess = NO_CODE) -> Scenario:
    """Return the plan of a merged source; raises ScenarioError with every mistake in its place."""
    mistakes = [source.tell(place, message) for place, message in islice(size_findings(source.data), _MOST_TOLD)]
    if mistakes:  # nothing else is checked: that could take very long
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
    named = {} if model is None else {name: part.behaviour for name, part in model.cohorts.items() if part.behaviour}
    mistakes += [
        source.tell(_place(cohort), why) for cohort, name in named.items() if (why := code.refuses(name)) is not None
    ]
    mistakes = _without_quotes(source, mistakes)
    if mistakes or model is None:
        raise ScenarioError(list(dict.fromkeys(mistakes)))
    name = model.name or name_of(path)
    plan = plan_scenario(model, name=name, source=path, data=source.data)
    if named:
        plan = _with_behaviours(plan, named, source, code)
    return replace(plan, warnings=_warnings(source, model, plan))


def _place(cohort: str) -> Location:
    return ("cohorts", cohort, "behaviour")


def _with_behaviours(plan: Scenario, named: Mapping[str, str], source: Source, code: CodeAccess) -> Scenario:
    """Import the classes of the cohorts, once all else is in order. Raises ScenarioError."""
    mistakes: list[Mistake] = []
    found: dict[str, type[Behaviour]] = {}
    for cohort, name in named.items():
        try:
            found[cohort] = code.class_of(name, source.document.file.parent)
        except UnitError as error:
            mistakes.append(source.tell(_place(cohort), str(error)))
    if mistakes:
        raise ScenarioError(mistakes)
    cohorts = tuple(replace(each, behaviour=found.get(each.name, each.behaviour)) for each in plan.cohorts)
    return replace(plan, cohorts=cohorts)


def _without_quotes(source: Source, mistakes: list[Mistake]) -> list[Mistake]:
    """Return the mistakes, with typographic quotes replacing the mistakes that they cause."""
    found = [source.tell(place, message) for place, message in islice(typographic(source.data), _MOST_TOLD)]
    places = {(each.line, each.column, each.file) for each in found}
    return [*(each for each in mistakes if (each.line, each.column, each.file) not in places), *found]


def _warnings(source: Source, model: ScenarioModel, plan: Scenario) -> tuple[Doubt, ...]:
    kinds = (doubts(model), credential_doubts(plan), sample_doubts(plan), long_durations(source.data))
    found = islice(chain.from_iterable(kinds), _MOST_TOLD)
    placed = (source.tell(place, message) for place, message in found)
    return tuple(sorted({Doubt(each.line, each.column, each.path, each.message, each.file) for each in placed}))


def _checked(source: Source, folder: Path) -> list[Mistake]:
    if not isinstance(source.data, dict):
        return []
    parts = readable_parts(source.data, folder)
    return [source.tell(place, message) for place, message in islice(findings(parts), _MOST_TOLD)]
