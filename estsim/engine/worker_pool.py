"""The worker pool: worker processes that share the fleet, as the one who leads the run sees them.

Theory of operation. Each worker gets an assignment through its standard input, makes its devices, and begins when it is
told, all by one clock: processes of a machine share the monotonic one. From then on it sends worker reports, counts
and rows together, which are merged as they come: whatever becomes of a worker, what it sent is whole and what it did
not send is nowhere. One that dies is told by its devices, and the others go on.
"""

import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import IO, Final

import trio

from estsim.engine.pipe import Pipe
from estsim.engine.shard import DRAIN_S
from estsim.errors import EstsimError, InternalFailure, UsageError, noting
from estsim.fleet.active_run import ActiveRun
from estsim.fleet.assignment import Assignment
from estsim.fleet.clock import RunClock
from estsim.fleet.own_processes import how_it_ended
from estsim.fleet.workers import Worker
from estsim.record.internal_errors import InternalErrors
from estsim.record.sample import FleetReading
from estsim.record.worker_report import unpack

_LEAD_S: Final = 0.2  # for the order to begin to reach everybody
_GRACE_S: Final = 5.0  # beyond the drain of the workers, for their last worker reports
_STOP_S: Final = 2.0
_SILENT_S: Final = 30.0  # a worker says something twice a second
_CHECK_S: Final = 1.0
_LAST_WORDS: Final = 300
_UNCAUGHT: Final = 1  # what Python exits with at an exception that nobody takes


@dataclass(slots=True, eq=False)
class _PoolWorker:
    """One worker process."""

    worker: Worker
    process: trio.Process
    pipe: Pipe
    words: Path  # what it writes on stderr
    made: int = 0
    lead_s: float = 0.0
    ready: bool = False
    done: bool = False
    gone: bool = False
    has_told_of_bug: bool = False
    heard_s: float = 0.0  # by trio's clock

    @property
    def number(self) -> int:
        """Its place among the workers."""
        return self.worker.number


@dataclass(slots=True)
class WorkerPool:
    """Plays the fleet in several processes. Made by :func:`worker_pool_of`."""

    active: ActiveRun
    nursery: trio.Nursery
    worker_processes: list[_PoolWorker] = field(default_factory=list)
    ramp_s: float = 0.0
    drain_s: float = DRAIN_S + _GRACE_S
    hearing: trio.CancelScope = field(default_factory=lambda: trio.CancelScope(shield=True))
    _has_begun: bool = False
    _failed: EstsimError | None = None
    _changed: trio.Event = field(default_factory=trio.Event)

    @property
    def in_flight(self) -> int:
        """How many exchanges are on the wire: the record knows."""
        return 0

    @property
    def lead_s(self) -> float:
        """How long the slowest of them takes from the start of the clock to what is planned at zero."""
        return _LEAD_S + max(worker_process.lead_s for worker_process in self.worker_processes)

    async def prepare(self, tell: Callable[[int], None]) -> None:
        """Wait until all devices are made; tells now and then how many there are. Raises what stopped a worker."""
        while not all(worker_process.ready for worker_process in self.worker_processes):
            if self._failed is not None:
                raise self._failed
            tell(sum(worker_process.made for worker_process in self.worker_processes))
            await self._changed.wait()

    async def begin(self, clock: RunClock) -> None:
        """Tell all when it begins."""
        self._has_begun = True
        for worker_process in self.worker_processes:
            await worker_process.pipe.send("begin", [clock.mono_epoch_ns, clock.wall_epoch_s])

    async def run(self, *, until_settled: bool) -> None:  # noqa: ARG002 - workers know their scenario
        """Wait until every worker has sent its last worker report, or has been lost."""
        try:
            await self._all_over()
        finally:
            with trio.move_on_after(_GRACE_S, shield=True):
                for worker_process in self._at_work():
                    await worker_process.pipe.send("cut")
                await self._all_over()

    def stop(self) -> None:
        """Begin nothing more; what is under way may end."""
        for worker_process in self._at_work():
            self._order(worker_process, "stop")

    def reading(self) -> FleetReading:
        """Say where the fleet stands, as last heard."""
        return self.active.record.fleet_reading

    def held(self, number: int, held_s: float) -> None:
        """Tell all that an operator has let a mark pass."""
        for worker_process in self._at_work():
            self._order(worker_process, "held", [number, held_s])

    # -- what is heard

    async def hear_all(self) -> None:
        """Take what workers say until they have gone; a run that is cancelled still hears their last reports."""
        with self.hearing:
            async with trio.open_nursery() as nursery:
                for worker_process in self.worker_processes:
                    nursery.start_soon(self.hear, worker_process)

    async def hear(self, worker_process: _PoolWorker) -> None:
        """Take what a worker says until it has gone; then it was done, or it is lost."""
        while (message := await worker_process.pipe.receive()) is not None:
            worker_process.heard_s = trio.current_time()
            with noting(partial(self.active.workers.miss, worker_process.worker)):
                self._take(worker_process, *message)
            self._something_changed()
        with trio.move_on_after(_STOP_S):
            await worker_process.process.wait()
        worker_process.gone = True
        if not worker_process.done:
            self._lose(worker_process)
        self._something_changed()

    def _take(self, worker_process: _PoolWorker, word: str, value: object) -> None:
        match word, value:
            case "made", int(made):
                worker_process.made = made
            case "ready", [int(made), float(lead_s)]:
                worker_process.made, worker_process.lead_s, worker_process.ready = made, lead_s, True
            case "parcel", bytes(packed):
                self.active.workers.merge(str(worker_process.number), unpack(packed))
            case "internal_errors", [*packed]:
                errors = InternalErrors.unpacked(packed)
                self.active.record.merge_errors(errors)
                worker_process.has_told_of_bug = True
                if not self._has_begun and not errors.count:
                    self._failed = UsageError(
                        f"worker {worker_process.number} ran out of {', '.join(errors.shortages)}"
                    )
            case "refused", str(why):
                self._failed = UsageError(why)
            case "done", _:
                worker_process.done = True

    def _lose(self, worker_process: _PoolWorker) -> None:
        how = how_it_ended(worker_process.process.returncode)
        if worker_process.process.returncode == _UNCAUGHT and not worker_process.has_told_of_bug:
            bug = InternalFailure(f"worker {worker_process.number} {how}: see {worker_process.words.name}")
            self.active.note(bug)
            worker_process.has_told_of_bug = True
        if not self._has_begun and worker_process.has_told_of_bug:
            self._failed = self._failed or InternalFailure(f"worker {worker_process.number} {how} before the run began")
            return
        if not self._has_begun:
            words = worker_process.words.read_text(encoding="utf-8", errors="replace").strip()[-_LAST_WORDS:]
            self._failed = self._failed or EstsimError(
                f"worker {worker_process.number} {how} before the run began: {words}"
            )
            return
        self.active.workers.lose(str(worker_process.number), how)

    async def watch(self) -> None:
        """Kill a worker that has said nothing for long, for ever; a pause of our own is not its fault."""
        while True:
            before_s = trio.current_time()
            await trio.sleep(_CHECK_S)
            now_s = trio.current_time()
            if now_s - before_s > 2 * _CHECK_S:
                for worker_process in self.worker_processes:
                    worker_process.heard_s = now_s
            for worker_process in self._at_work():
                if now_s - worker_process.heard_s > _SILENT_S:
                    worker_process.process.kill()

    def _at_work(self) -> list[_PoolWorker]:
        return [
            worker_process
            for worker_process in self.worker_processes
            if not (worker_process.done or worker_process.gone)
        ]

    async def _all_over(self) -> None:
        while self._at_work():
            await self._changed.wait()

    def _something_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _order(self, worker_process: _PoolWorker, word: str, value: object = None) -> None:
        """Send without waiting: orders are few and small."""
        self.nursery.start_soon(worker_process.pipe.send, word, value)


@asynccontextmanager
async def worker_pool_of(active: ActiveRun, assignments: list[Assignment]) -> AsyncGenerator[WorkerPool, None]:
    """Start a worker for each assignment, and see to it that none is left at the end.

    What workers write on stderr is kept in the run's folder where there is any.
    """
    async with trio.open_nursery() as nursery:
        pool = WorkerPool(active, nursery)
        try:
            for number, assignment in enumerate(assignments):
                worker = active.workers.add(str(number), assignment.part)
                pool.worker_processes.append(await _start_worker(worker, assignment, active))
            nursery.start_soon(pool.hear_all)
            nursery.start_soon(pool.watch)
            yield pool
        finally:
            if trio.current_effective_deadline() == -inf:
                pool.hearing.cancel()  # the run is cancelled: a worker that is ended now is not lost
            with trio.CancelScope(shield=True):
                for worker_process in pool.worker_processes:
                    await _end_worker(worker_process)
            pool.hearing.cancel()
            nursery.cancel_scope.cancel()


async def _start_worker(worker: Worker, assignment: Assignment, active: ActiveRun) -> _PoolWorker:
    words = active.folder / f"worker-{worker.number}.log"
    with words.open("wb") as stderr:
        process = await _started(stderr)
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    pipe = Pipe(process.stdout, process.stdin)
    await pipe.send("briefing", [assignment.packed(), str(active.scenario.source.absolute())])
    return _PoolWorker(worker, process, pipe, words, heard_s=trio.current_time())


async def _started(stderr: IO[bytes]) -> trio.Process:
    return await trio.lowlevel.open_process(
        [sys.executable, "-m", "estsim.engine.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,  # the terminal's Ctrl-C is the leader's
    )


async def _end_worker(worker_process: _PoolWorker) -> None:
    """End a worker's input, and its life if that is not enough."""
    await worker_process.pipe.close()
    with trio.move_on_after(_STOP_S):
        await worker_process.process.wait()
    if worker_process.process.returncode is None:
        worker_process.process.kill()
        await worker_process.process.wait()
    with suppress(OSError):
        if not worker_process.words.stat().st_size:
            worker_process.words.unlink()
