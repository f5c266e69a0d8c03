"""The workers of a run, for whoever leads it: their parts, what they sent, and which were lost with their devices.

A run that lost devices asked less of the server than its plan, so its figures are not defended: the generator was the
limit.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from estsim.errors import noting
from estsim.fleet.part import Part
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.run_record import RunRecord
from estsim.record.saturation import LOST
from estsim.record.worker_report import WorkerReport
from estsim.scenario.plan import Scenario

_FEW: Final = 5
_NS: Final = 1_000_000_000


@dataclass(slots=True)
class Worker:
    """One worker of a run: its part, whether it has sent its last report or was lost, and how its clock stands."""

    number: int
    part: Part
    reports: int = 0
    over: bool = False
    lost: bool = False
    offset_s: float | None = None  # by how much the leader's wall clock is ahead of the worker's
    round_trip_s: float | None = None
    totals: GeneratorTotals | None = None


class Workers:
    """All workers of a run, by whatever name their leader knows them; ``told`` are losses, each in a sentence."""

    def __init__(self, scenario: Scenario, record: RunRecord, now_ns: Callable[[], int]) -> None:
        self.by_name: dict[str, Worker] = {}
        self.told: list[str] = []
        self._scenario = scenario
        self._record = record
        self._now_ns = now_ns

    def __len__(self) -> int:
        return len(self.by_name)

    def add(self, name: str, part: Part) -> Worker:
        """Take note of a worker and of its part of the fleet."""
        worker = self.by_name[name] = Worker(len(self.by_name), part)
        return worker

    def next_part(self, *, of: int) -> Part:
        """Return the part of the next worker; one that comes when ``of`` have their parts plays devices beyond."""
        return Part(len(self.by_name), of)

    @property
    def pending(self) -> list[str]:
        """The workers whose last report is still to come."""
        return [name for name, worker in self.by_name.items() if not (worker.over or worker.lost)]

    @property
    def totals(self) -> Iterable[GeneratorTotals]:
        """What they cost. Of a lost worker that is not known."""
        return (worker.totals for worker in self.by_name.values() if worker.totals is not None)

    @property
    def offsets(self) -> Mapping[str, list[float | None]]:
        """By how much each one's wall clock is behind the leader's, and the round trip it was measured by."""
        return {str(worker.number): [worker.offset_s, worker.round_trip_s] for worker in self.by_name.values()}

    def merge(self, name: str, report: WorkerReport) -> None:
        """Add a report; of somebody who is no worker of this run, or that was counted before, nothing."""
        worker = self.by_name.get(name)
        if worker is None or report.number <= worker.reports:
            return
        if missing := report.number - worker.reports - 1:  # a connection that broke may have had them under way
            self._miss(worker, missing)
        worker.reports, worker.totals = report.number, report.totals
        worker.over = worker.over or report.totals is not None
        with noting(partial(self.miss, worker)):
            self._record.merge(worker.number, report)

    def miss(self, worker: Worker, bug: Exception) -> None:
        """Take note of a report that could not be added, because of a bug of ours: what it counted is nowhere."""
        self._record.own.internal_error(bug, at_ns=self._now_ns())
        self._miss(worker, 1)

    def lose(self, name: str, how: str) -> None:
        """Take note of a worker that is gone without a last report; ``how`` says it after its number."""
        worker = self.by_name[name]
        if not worker.over:
            self._lose(worker, how)

    def leave(self, name: str) -> None:
        """Take note of a worker that left in order, with a last report, before it was to."""
        self._lose(self.by_name[name], "left")

    def _lose(self, worker: Worker, how: str) -> None:
        if worker.lost:
            return
        worker.lost = True
        at_ns = self._now_ns()
        lost = {cohort.name: worker.part.devices(cohort) for cohort in self._scenario.cohorts}
        which = _numbers(worker.part, self._scenario)
        devices = sum(lost.values())
        text = (
            f"worker {worker.number} {how} after {at_ns / _NS:.1f} s: its {devices} devices were lost (numbers {which})"
        )
        self.told.append(text)
        states = {name: {LOST: count} for name, count in lost.items() if count}
        self._record.lose(worker.number, states, at_ns=at_ns, told=text)

    def _miss(self, worker: Worker, reports: int) -> None:
        at_ns = self._now_ns()
        which = f"from worker {worker.number}"
        lost = f"1 report {which} was" if reports == 1 else f"{reports} reports {which} were"
        text = f"{lost} lost, up to {at_ns / _NS:.1f} s"
        self.told.append(text)
        self._record.miss(at_ns=at_ns, told=text)


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
