"""What a scenario demands of its figures: the thresholds, and the recorders that can answer them."""

from estsim.measure.gatherer import Gatherer
from estsim.measure.recorder import Recorder
from estsim.measure.thresholds import Threshold, limits_of, parse_thresholds
from estsim.scenario.plan import Scenario


def thresholds_of(scenario: Scenario) -> tuple[Threshold, ...]:
    """Return the scenario's thresholds, or the default ones."""
    return parse_thresholds(
        [demand.expression for demand in scenario.thresholds],
        cohorts={cohort.name for cohort in scenario.cohorts},
        phases={phase.name for phase in scenario.phases},
    )


def recorder_of(scenario: Scenario, *, ports_limit: int = 0, descriptors_limit: int = 0) -> Recorder:
    """Return the recorder of a run, for whoever leads it."""
    return Recorder(
        cohorts={cohort.name: cohort.devices for cohort in scenario.cohorts},
        within_s=limits_of(thresholds_of(scenario)),
        max_lag_s=scenario.generator.max_lag_s,
        max_cpu=scenario.generator.max_cpu,
        phases=scenario.phases,
        ports_limit=ports_limit,
        descriptors_limit=descriptors_limit,
    )


def gatherer_of(scenario: Scenario) -> Gatherer:
    """Return the gatherer of a worker, whose parcels that recorder merges."""
    return Gatherer(
        within_s=limits_of(thresholds_of(scenario)),
        max_lag_s=scenario.generator.max_lag_s,
        max_cpu=scenario.generator.max_cpu,
        phases=scenario.phases,
    )
