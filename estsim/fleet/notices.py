"""What a reader of a run's figures has to know of its plan: said in the summary, on the display and in the report."""

from collections.abc import Iterator

from estsim.load.choice import count_of
from estsim.scenario.plan import Cohort, Scenario
from estsim.server.config import DEFAULT
from estsim.server.issuing_config import IssueMode


def notices_of(scenario: Scenario) -> tuple[str, ...]:
    """Return the notices of a plan, each a sentence."""
    return tuple(notice for cohort in scenario.cohorts for notice in _of_cohort(cohort))


def needs_approval(scenario: Scenario) -> bool:
    """Say whether a person has to approve what the sandbox issues."""
    if scenario.sandbox is None:
        return False
    return scenario.sandbox.centers[scenario.sandbox_label or DEFAULT].issue.mode is IssueMode.MANUAL


def _of_cohort(cohort: Cohort) -> Iterator[str]:
    name = cohort.name
    if cohort.stations is not None:
        yield (
            f"{name} is a closed loop of {cohort.stations} stations: a device starts when another finishes, so a slow "
            "server receives fewer requests, and response times exclude the time that devices queue for a station."
        )
    if cohort.network is not None:
        yield f"{name} has a simulated network: service and response times include its round trips and bit rate."
    if cohort.keys.reuse is not None:
        yield f"{name} reuses {cohort.keys.reuse} keys across devices, which no real fleet does."
    faulty = sum(count_of(share, cohort.devices) for share in cohort.faults.values())
    if faulty:
        yield f"{name} has {faulty} faulty devices: their expected refusals are excluded from the failures."
