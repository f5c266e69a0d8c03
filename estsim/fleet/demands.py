"""What a scenario demands of its figures: the thresholds, and the recorder and the record that can answer them."""

import os

from estsim.figures.thresholds import Threshold, limits_of, parse_thresholds
from estsim.fleet.link_secret import VARIABLE
from estsim.record.exceptions import passwords_in, secrets_in
from estsim.record.recorder import Recorder
from estsim.record.run_record import RunRecord
from estsim.scenario.plan import Scenario


def thresholds_of(scenario: Scenario) -> tuple[Threshold, ...]:
    """Return the scenario's thresholds, or the default ones."""
    return parse_thresholds(
        [demand.expression for demand in scenario.thresholds],
        cohorts={cohort.name for cohort in scenario.cohorts},
        phases={phase.name for phase in scenario.phases},
        strict={demand.expression for demand in scenario.thresholds if demand.strict},
    )


def recorder_of(scenario: Scenario) -> Recorder:
    """Return the recorder of a process that plays a part of the scenario, or all of it."""
    return Recorder(
        within_s=limits_of(thresholds_of(scenario)),
        max_lag_s=scenario.generator.max_lag_s,
        max_cpu=scenario.generator.max_cpu,
        phases=scenario.phases,
        secrets=secrets_of(scenario),
    )


def record_of(scenario: Scenario) -> RunRecord:
    """Return the record of a run, for whoever leads it."""
    return RunRecord({cohort.name: cohort.devices for cohort in scenario.cohorts}, recorder_of(scenario))


def secrets_of(scenario: Scenario) -> frozenset[str]:
    """Return the texts that nothing may show: the passwords of a scenario, and the secret of a link."""
    return secrets_in([*passwords_in(scenario.document), os.environ.get(VARIABLE, "")])
