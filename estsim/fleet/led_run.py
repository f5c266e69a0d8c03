"""A run whose devices are played elsewhere, or by users of Locust: parcels merged, the store written, the verdict.

Knows no event loop and starts no process: whoever leads calls it, and sees to the order.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from estsim.errors import StoreError
from estsim.fleet.clock import RunClock
from estsim.fleet.part import Part
from estsim.fleet.results import make_folder, write_scenario, write_summary
from estsim.fleet.run_books import RunBooks
from estsim.measure.exits import OF_VERDICT, Exit
from estsim.measure.parcel import Parcel
from estsim.measure.snapshot import RunStage, Snapshot
from estsim.measure.store import RunStore
from estsim.measure.summary import Ending, GeneratorTotals, Verdict, totals_of
from estsim.scenario.plan import Scenario


@dataclass(slots=True)
class WorkerOfRun:
    """One worker of a run: its part, whether it has sent its last parcel or was lost, and how its clock stands."""

    number: int
    part: Part
    parcels: int = 0
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

    def hire(self, name: str, part: Part) -> WorkerOfRun:
        """Take note of a worker and of its part of the fleet."""
        worker = self.workers[name] = WorkerOfRun(len(self.workers), part)
        return worker

    def next_part(self, *, of: int) -> Part:
        """Return the part of the next worker; one that comes when ``of`` have their parts plays devices beyond."""
        return Part(len(self.workers), of)

    def merge(self, name: str, parcel: Parcel) -> None:
        """Add a parcel; of somebody who is no worker of this run, or that was counted before, nothing."""
        worker = self.workers.get(name)
        if worker is None or parcel.number <= worker.parcels:
            return
        if missing := parcel.number - worker.parcels - 1:  # a connection that broke may have had them under way
            self.books.losses.miss(worker.number, missing, at_ns=self._now_ns)
        worker.parcels = parcel.number
        worker.totals = parcel.totals
        worker.over = worker.over or parcel.totals is not None
        self.books.recorder.merge(worker.number, parcel)

    def lose(self, name: str, how: str) -> None:
        """Take note of a worker that is gone without a last parcel; ``how`` says it after its number."""
        worker = self.workers[name]
        if not worker.over:
            self._miss(worker, how)

    def leave(self, name: str) -> None:
        """Take note of a worker that left in order, with a last parcel, before it was to."""
        self._miss(self.workers[name], "left")

    def _miss(self, worker: WorkerOfRun, how: str) -> None:
        if worker.lost:
            return
        worker.lost = True
        self.books.losses.lose(worker.number, worker.part, how, at_ns=self._now_ns)

    def write(self) -> None:
        """Write what has come since the last time; what the disk does not take is kept, and tried again."""
        batch = self.books.recorder.take_batch()
        try:
            self.store.write(batch)
            self.trouble = None
        except StoreError as error:
            self.books.recorder.keep(batch, error)
            self.trouble = str(error)

    def snapshot(self) -> Snapshot:
        """Return what a display shows now, or how the run ended."""
        return self.books.snapshot(self._now_ns if self.ended_ns is None else self.ended_ns, self.stage)

    @property
    def _now_ns(self) -> int:
        return max(0, self.clock.now_ns())

    @property
    def pending(self) -> list[str]:
        """The workers whose last parcel is still to come."""
        return [name for name, worker in self.workers.items() if not (worker.over or worker.lost)]

    @property
    def is_settled(self) -> bool:
        """Whether no device that has begun has a step planned any more."""
        return self.books.recorder.fleet_reading.planned == 0

    def finish(self, ending: Ending) -> "LedEnd":
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
        try:
            self.store.put(**facts)
        except StoreError as error:
            self.trouble = str(error)
        self.store.close()
        self.books.workers = max(1, len(self.workers))
        totals = totals_of([*([self.own] if self.own else []), *(w.totals for w in self.workers.values() if w.totals)])
        summary = self.books.summary(ending, ended_ns=ended_ns, totals=totals)
        write_summary(self.folder, summary)
        return LedEnd(self.folder, summary, self.trouble)

    def _offsets(self) -> Mapping[str, list[float | None]]:
        """Return by how much each worker's wall clock is behind the leader's, and the round trip it was measured by."""
        return {str(worker.number): [worker.offset_s, worker.round_trip_s] for worker in self.workers.values()}


@dataclass(frozen=True, slots=True)
class LedEnd:
    """What a run came to; ``trouble`` is of rows that could not be written."""

    folder: Path
    summary: dict[str, Any]
    trouble: str | None = None

    @property
    def code(self) -> Exit:
        """The exit code of a command that ends with it."""
        verdict = Verdict(self.summary["verdict"])
        return Exit.USAGE if self.trouble and verdict is not Verdict.ABORTED else OF_VERDICT[verdict]
