"""Devices that were lost with the process that played them: told, taken out of the fleet's states, and judged.

A run that lost devices asked less of the server than its plan, so its figures are not defended: the generator was the
limit.
"""

from dataclasses import dataclass, field
from typing import Final

from estsim.fleet.part import Part
from estsim.record.run_record import RunRecord
from estsim.record.saturation import LOST
from estsim.scenario.plan import Scenario

_FEW: Final = 5
_NS: Final = 1_000_000_000


@dataclass(slots=True)
class Losses:
    """The workers that a run has lost."""

    scenario: Scenario
    record: RunRecord
    devices: int = 0
    told: list[str] = field(default_factory=list)

    def lose(self, worker: int, part: Part, how: str, *, at_ns: int) -> None:
        """Take note of a worker that is gone: ``how`` says it after its number, as in ``was killed``."""
        lost = {cohort.name: part.devices(cohort) for cohort in self.scenario.cohorts}
        devices = sum(lost.values())
        self.devices += devices
        which = _numbers(part, self.scenario)
        text = f"worker {worker} {how} after {at_ns / _NS:.1f} s: its {devices} devices were lost (numbers {which})"
        self.told.append(text)
        states = {name: {LOST: count} for name, count in lost.items() if count}
        self.record.lose(worker, states, at_ns=at_ns, told=text)

    def miss(self, worker: int, worker_reports: int, *, at_ns: int) -> None:
        """Take note of worker reports of a worker that did not arrive: what they counted is in no figure."""
        lost = (
            f"1 report from worker {worker} was"
            if worker_reports == 1
            else f"{worker_reports} reports from worker {worker} were"
        )
        text = f"{lost} lost, up to {at_ns / _NS:.1f} s"
        self.told.append(text)
        self.record.miss(at_ns=at_ns, told=text)


def _numbers(part: Part, scenario: Scenario) -> str:
    """Return which numbers of the fleet were a part's, in words for people."""
    numbers = [
        number
        for cohort in scenario.cohorts
        for number in range(cohort.first_device, cohort.first_device + cohort.devices)
        if part.has(number, cohort)
    ]
    if len(numbers) <= _FEW:
        return ", ".join(map(str, numbers))
    return f"{numbers[0]}, {numbers[1]}, {numbers[2]} … {numbers[-1]}"
