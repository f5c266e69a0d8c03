"""A run whose devices are played elsewhere, or by users of Locust: reports merged, the store written, the verdict.

Knows no event loop and starts no process: whoever leads calls it, and sees to the order.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from estsim.errors import StoreError, noting
from estsim.figures.exits import OF_VERDICT, Exit
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.summary import Summary
from estsim.figures.verdict import Ending, Verdict
from estsim.fleet.clock import RunClock
from estsim.fleet.error_log import ErrorLog
from estsim.fleet.part import Part
from estsim.fleet.results import losing, make_folder, write_scenario, write_summary
from estsim.fleet.run_books import RunBooks
from estsim.record.generator_totals import GeneratorTotals, totals_of
from estsim.record.salvage import save
from estsim.record.store import RunStore
from estsim.record.worker_report import WorkerReport
from estsim.scenario.plan import Scenario

_Saved = list[Exception]  # the bugs that were met
_Within = Callable[[Callable[[], _Saved]], _Saved]


def _here(act: Callable[[], _Saved]) -> _Saved:
    return act()


@dataclass(slots=True)
class WorkerOfRun:
    """One worker of a run: its part, whether it has sent its last report or was lost, and how its clock stands."""

    number: int
    part: Part
    worker_reports: int = 0
    over: bool = False
    lost: bool = False
    offset_s: float | None = None  # by how much the leader's wall clock is ahead of the worker's
    round_trip_s: float | None = None
    totals: GeneratorTotals | None = None


@dataclass(slots=True)
class LedRun:
    """A run under way. ``workers`` are by whatever name their leader knows them."""

    scenario: Scenario
    folder: Path
    books: RunBooks
    store: RunStore
    clock: RunClock
    workers: dict[str, WorkerOfRun] = field(default_factory=dict)
    stage: RunStage = RunStage.RUNNING
    own: GeneratorTotals | None = None  # of the leader itself, where it plays devices
    trouble: str | None = None  # of the disk
    ended_ns: int | None = None
    log: ErrorLog = field(init=False)  # of the bugs of ours that were met

    def __post_init__(self) -> None:
        self.log = ErrorLog(self.folder, self.books.record.internal_errors)

    def note(self, bug: BaseException) -> None:
        """Take note of a bug of ours that belongs to no device."""
        self.books.record.own.internal_error(bug, at_ns=self._now_ns)

    @classmethod
    def begin(cls, scenario: Scenario, results: Path, *, target: str, in_s: float) -> "LedRun":
        """Make the folder and the store; the run's clock starts in ``in_s`` seconds. Raises UsageError, StoreError."""
        books = RunBooks(scenario)
        books.target = target
        folder = make_folder(results, scenario.name, books.started)
        write_scenario(folder, scenario.resolved)
        return cls(scenario, folder, books, RunStore(folder / "run.sqlite"), RunClock.start(in_s=in_s))

    def introduce(self) -> None:
        """Write the run's facts, once it is known how many workers it begins with."""
        self.books.workers = max(1, len(self.workers))
        self.books.introduce(self.store)
        self.store.put(target=self.books.target)

    def add_worker(self, name: str, part: Part) -> WorkerOfRun:
        """Take note of a worker and of its part of the fleet."""
        worker = self.workers[name] = WorkerOfRun(len(self.workers), part)
        return worker

    def next_part(self, *, of: int) -> Part:
        """Return the part of the next worker; one that comes when ``of`` have their parts plays devices beyond."""
        return Part(len(self.workers), of)

    def merge(self, name: str, worker_report: WorkerReport) -> None:
        """Add a worker report; of somebody who is no worker of this run, or that was counted before, nothing."""
        worker = self.workers.get(name)
        if worker is None or worker_report.number <= worker.worker_reports:
            return
        if (
            missing := worker_report.number - worker.worker_reports - 1
        ):  # a connection that broke may have had them under way
            self.books.losses.miss(worker.number, missing, at_ns=self._now_ns)
        worker.worker_reports = worker_report.number
        worker.totals = worker_report.totals
        worker.over = worker.over or worker_report.totals is not None
        with noting(partial(self._miss_report, worker)):
            self.books.record.merge(worker.number, worker_report)

    def _miss_report(self, worker: WorkerOfRun, bug: Exception) -> None:
        """Take note of a worker report that could not be added, because of a bug of ours."""
        self.note(bug)
        self.books.losses.miss(worker.number, 1, at_ns=self._now_ns)

    def lose(self, name: str, how: str) -> None:
        """Take note of a worker that is gone without a last worker report; ``how`` says it after its number."""
        worker = self.workers[name]
        if not worker.over:
            self._miss(worker, how)

    def leave(self, name: str) -> None:
        """Take note of a worker that left in order, with a last worker report, before it was to."""
        self._miss(self.workers[name], "left")

    def _miss(self, worker: WorkerOfRun, how: str) -> None:
        if worker.lost:
            return
        worker.lost = True
        self.books.losses.lose(worker.number, worker.part, how, at_ns=self._now_ns)

    def write(self, within: _Within = _here) -> None:
        """Write what has come since the last time; what the disk does not take is kept, and tried again.

        What a bug of ours keeps from being written is left out, and noted. The disk is waited for ``within`` a thread
        where the leader has one; everything else is done here, where others count.
        """
        with noting(self.note):
            batch = self.books.record.take_batch()
            try:
                for bug in within(partial(save, self.store, batch)):
                    self.note(bug)
                self.trouble = None
            except StoreError as error:
                self.books.record.keep(batch, error)
                self.trouble = str(error)
        self.log.save()

    def snapshot(self) -> Snapshot:
        """Return what a display shows now, or how the run ended."""
        return self.books.snapshot(self._now_ns if self.ended_ns is None else self.ended_ns, self.stage)

    @property
    def _now_ns(self) -> int:
        return max(0, self.clock.now_ns())

    @property
    def pending(self) -> list[str]:
        """The workers whose last worker report is still to come."""
        return [name for name, worker in self.workers.items() if not (worker.over or worker.lost)]

    @property
    def is_settled(self) -> bool:
        """Whether no device that has begun has a step planned any more."""
        return self.books.record.fleet_reading.planned == 0

    def finish(self, ending: Ending, *, unreachable: str | None = None) -> "LedEnd":
        """Write what is left, close the store, leave the summary; returns what the run came to."""
        ended_ns = self.ended_ns = self._now_ns
        self.stage = RunStage.DONE
        self.write()
        facts = {
            "ended": datetime.now(UTC).isoformat(),
            "ending": ending.value,
            "workers": str(max(1, len(self.workers))),
            "clock_offsets": json.dumps(self._offsets()),
        }
        lost: list[str] = []
        with losing(lost, f"the last rows were not written to {self.folder}"):
            self.store.put(**facts)
            self.books.look_back(self.store)
            if self.trouble:
                raise StoreError(self.trouble)
        with losing(lost, "cannot close the store"):
            self.store.close()
        self.books.workers = max(1, len(self.workers))
        totals = totals_of([*([self.own] if self.own else []), *(w.totals for w in self.workers.values() if w.totals)])
        summary = self.books.summary(ending, ended_ns=ended_ns, totals=totals, unreachable=unreachable)
        self.log.save()
        with losing(lost, "the summary was not saved"):
            write_summary(self.folder, summary)
        return LedEnd(self.folder, summary, tuple(lost), self.log.told())

    def _offsets(self) -> Mapping[str, list[float | None]]:
        """Return by how much each worker's wall clock is behind the leader's, and the round trip it was measured by."""
        return {str(worker.number): [worker.offset_s, worker.round_trip_s] for worker in self.workers.values()}


@dataclass(frozen=True, slots=True)
class LedEnd:
    """What a run came to; ``lost`` are results that could not be written, ``bug`` tells of bugs of ours."""

    folder: Path
    summary: Summary
    lost: tuple[str, ...] = ()
    bug: str | None = None

    @property
    def code(self) -> Exit:
        """The exit code of a command that ends with it."""
        verdict = Verdict(self.summary.verdict)
        return Exit.USAGE if self.lost and verdict is not Verdict.ABORTED else OF_VERDICT[verdict]
