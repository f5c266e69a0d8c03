"""What of a scenario a Locust user's devices cannot play: refused by name, never ignored."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from estsim.errors import UsageError
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Cohort, Scenario


@lru_cache(maxsize=8)
def read_scenario(name: str) -> Scenario:
    """Read a scenario by its path, or by its name if it comes with estsim; raises ScenarioError."""
    return load_scenario(found(Path(name)))


def check_playable(scenario: Scenario, cohort: str | None = None) -> None:
    """Refuse a scenario, or a cohort of it, that asks for more than a Locust user can do; raises UsageError."""
    names = [each.name for each in scenario.cohorts]
    if cohort is not None and cohort not in names:
        raise UsageError(f"cohorts: {scenario.source} has no cohort {cohort} (it has {', '.join(names)})")
    refused = [why for each in scenario.cohorts if cohort is None or each.name == cohort for why in _too_much(each)]
    if refused:
        raise UsageError("\n".join(refused))


def _too_much(cohort: Cohort) -> Iterator[str]:
    where = f"cohorts.{cohort.name}"
    if cohort.network is not None:
        yield f"{where}.network: a simulated network is supported by estsim run and estsim worker only"
    if cohort.stations is not None:
        yield f"{where}.boot.stations: stations are supported by estsim run only"
