"""Dry runs for tests: a scenario against a sandbox, its forecast, and the fleet at a time."""

from collections.abc import Mapping
from dataclasses import replace

from engine_kit import PATIENT, scenario

from estsim.device.policy import EnrollPolicy, Fetch, Policy, RenewPolicy
from estsim.figures.forecast import Forecast
from estsim.scenario.happenings import (
    Happening,
    Touched,
    What,
)
from estsim.scenario.plan import (
    Cohort,
    Scenario,
)
from estsim.server.config import SandboxConfig
from estsim.virtual.dry_run import DryRun

METERS = Touched(("meters",))
HERD = Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER), renew=RenewPolicy(times=0), deferral=PATIENT)
STAYS = Policy(renew=None, deferral=PATIENT)


def plan(
    *cohorts: Cohort,
    sandbox: Mapping[str, object] | None = None,
    events: tuple[tuple[float, What], ...] = (),
    **keys: object,
) -> Scenario:
    """Return a scenario against a sandbox."""
    happenings = tuple(Happening(at_s, what) for at_s, what in events)
    config = SandboxConfig.model_validate(sandbox or {})
    return replace(scenario(*cohorts), sandbox=config, events=happenings, **keys)  # type: ignore[arg-type]


def forecast(*cohorts: Cohort, **keys: object) -> Forecast:
    """Run a scenario dry."""
    return DryRun(plan(*cohorts, **keys)).run()  # type: ignore[arg-type]  # a shorthand


def at(made: Forecast, at_s: float) -> Mapping[str, int]:
    """Return the fleet's states at a moment."""
    return next(point.states for point in made.fleet if point.at_s >= at_s)
