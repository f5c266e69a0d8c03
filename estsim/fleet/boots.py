"""When each device of a fleet is meant to begin, by the plan: with its cohort, or by the event that it joins with.

A pure function of the plan. Devices of a closed loop are there from the start; how many of them act is another matter.
"""

from collections.abc import Iterator
from typing import Final

from estsim.fleet.part import Part
from estsim.load.arrivals import boot_times
from estsim.scenario.happenings import CohortJoin
from estsim.scenario.plan import Cohort, Scenario

AHEAD_S: Final = 1.5  # by how much devices are let in before they boot: whoever does it looks once a second
_A_MOMENT_S: Final = 1.0


def boots_of(scenario: Scenario, part: Part | None = None) -> list[tuple[float, int]]:
    """Return (seconds of the run, device) of the fleet, or of a part of it, in the order of their beginnings."""
    boots = (boot for cohort in scenario.cohorts for boot in _of_cohort(scenario, cohort))
    cohorts = {cohort.name: cohort for cohort in scenario.cohorts}
    if part is None:
        return sorted((at_s, device) for at_s, device, _ in boots)
    return sorted((at_s, device) for at_s, device, name in boots if part.has(device, cohorts[name]))


def is_timely(planned_s: float, now_s: float) -> bool:
    """Say whether a device that may begin now is on time for the plan: then it begins at its own moment."""
    return now_s <= planned_s <= now_s + AHEAD_S + _A_MOMENT_S


def _of_cohort(scenario: Scenario, cohort: Cohort) -> Iterator[tuple[float, int, str]]:
    begins_s = _joins_s(scenario, cohort)
    if cohort.stations is not None or cohort.start is not None:
        times: Iterator[float] = iter([0.0] * cohort.devices)
    else:
        times = iter(boot_times(cohort.arrivals, cohort.devices, seed=scenario.seed, cohort=cohort.index))
    for device, at_s in enumerate(times, start=cohort.first_device):
        yield begins_s + at_s, device, cohort.name


def _joins_s(scenario: Scenario, cohort: Cohort) -> float:
    if not cohort.joins:
        return 0.0
    return next(
        event.at_s
        for event in scenario.events
        if isinstance(event.what, CohortJoin) and event.what.cohort == cohort.name
    )
