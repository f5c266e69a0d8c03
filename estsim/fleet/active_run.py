"""A run under way, for whoever leads it: its folder, store, clock, workers and end. The same for every driver.

It knows no event loop and starts no process. The one who leads calls it in this order, and closes it whatever happens::

    with ActiveRun(books, results) as run:
        run.introduce()                   # facts, once it is known how many workers there are
        await run.preflight(...)
        run.clock = RunClock.start()      # the fleet lives
        run.announce()
        await run.write(in_thread)        # twice a second
        run.end(totals)
        result = run.finish()
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from estsim.errors import StoreError, leaves, noting, shortage
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.verdict import Ending
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun
from estsim.fleet.error_log import ErrorLog
from estsim.fleet.notices import notices_of
from estsim.fleet.own_processes import sandbox_ended
from estsim.fleet.preflight import fly, passed_over
from estsim.fleet.results import RunResult, losing, make_folder, write_scenario, write_summary
from estsim.fleet.run_books import RunBooks
from estsim.fleet.sandbox_folder import OwnSandbox
from estsim.fleet.server_access import ServerAccess
from estsim.fleet.workers import Workers
from estsim.net.io import Io, run_through
from estsim.record.generator_totals import GeneratorTotals, totals_of
from estsim.record.salvage import save
from estsim.record.store import RunStore

_T = TypeVar("_T")
InThread = Callable[[Callable[[], list[Exception]]], Awaitable[list[Exception]]]
_NOT_SOON_S: Final = 1e9  # before the fleet lives, the run's clock is before its zero


async def _here(act: Callable[[], _T]) -> _T:
    return act()


class ActiveRun:
    """One run, from its folder to its summary. Making one raises UsageError and StoreError.

    ``has_one_clock`` says that workers share this machine's clock, so that nothing is to be said of theirs.
    """

    def __init__(self, books: RunBooks, results: Path, *, has_one_clock: bool = False) -> None:
        self.books, self.record, self.scenario = books, books.record, books.scenario
        self.folder = make_folder(results, self.scenario.name, books.started)
        write_scenario(self.folder, self.scenario.resolved)
        self.log = ErrorLog(self.folder, self.record.internal_errors)
        self.store = RunStore(self.folder / "run.sqlite")
        self.clock = RunClock.start(in_s=_NOT_SOON_S)
        self.workers = Workers(self.scenario, self.record, lambda: self.now_ns)
        self.stage = RunStage.RUNNING
        self.ending = Ending.FINISHED
        self.unreachable: str | None = None  # what the preflight says of a server that cannot be reached
        self.own: GeneratorTotals | None = None  # of the process that leads
        self.trouble: str | None = None  # of the disk
        self.ended_ns: int | None = None
        self._has_one_clock = has_one_clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store. A run that is cancelled from outside leaves all its rows first, and no summary.

        Nothing is awaited for that, so no cancellation cuts it short.
        """
        if error is not None and not all(isinstance(leaf, Exception) for leaf in leaves(error)):
            self.ending = Ending.ABORTED
            self._close()
            self.record.collect()
            self.log.save()
        self.store.close()

    @property
    def now_ns(self) -> int:
        """The time of the run; 0 before the fleet lives."""
        return max(0, self.clock.now_ns())

    def note(self, bug: BaseException) -> None:
        """Take note of a bug of ours that belongs to no device."""
        self.record.own.internal_error(bug, at_ns=self.now_ns)

    def end_at_bug(self, bug: BaseException) -> None:
        """Take note of a bug of ours, or a shortage, that leaves nothing to go on with."""
        self.note(bug)
        if shortage(bug) is None:
            self.ending = Ending.ERROR

    # -- the beginning

    def introduce(self) -> None:
        """Write the run's facts, as far as they are known."""
        self.books.workers = max(self.books.workers, len(self.workers))
        self.books.introduce(self.store)

    async def preflight(self, cohorts: Sequence[CohortRun], access: ServerAccess, io: Io, url: str) -> None:
        """Try the server with an exchange, which is in no figure; raises PreflightError where it does not answer."""
        request_id = f"{self.books.id}-preflight" if self.scenario.generator.request_ids else None
        flight = await fly(cohorts, access, io, seed=self.scenario.seed, request_id=request_id)
        for sample in flight.samples:
            self.record.own.exchange(sample)
        flight.check(url, self.scenario.target)
        if notice := passed_over(cohorts, flight):
            self.record.notice(0, notice)

    def announce(self) -> None:
        """Say what a reader of the figures has to know of the plan."""
        for notice in notices_of(self.scenario):
            self.record.mark(0, notice, kind="notice")

    # -- while it lasts

    async def write(self, in_thread: InThread = _here) -> bool:
        """Write what has come since the last time; returns whether that went well.

        What the disk does not take is kept, and tried again. What a bug of ours keeps from being written is left out,
        and noted. Only the disk is waited for ``in_thread``: everything else is done here, where others count.
        """
        written = False
        with noting(self.note):
            batch, errors = self.record.take_batch(), self.log.text()
            try:
                met = await in_thread(partial(self._write, partial(save, self.store, batch), errors))
            except StoreError as error:
                self.record.keep(batch, error)
                self.trouble = str(error)
            else:
                self.trouble, written = None, True
                for bug in met:
                    self.note(bug)
        return written

    def _write(self, save_batch: Callable[[], list[Exception]], errors: str | None) -> list[Exception]:
        self.log.write(errors)
        return save_batch()

    def snapshot(self, stage: RunStage | None = None) -> Snapshot:
        """Return what a display shows now, or how the run ended."""
        at_ns = self.now_ns if self.ended_ns is None else self.ended_ns
        return self.books.snapshot(at_ns, stage or self.stage)

    @property
    def is_settled(self) -> bool:
        """Whether no device that has begun has a step planned any more."""
        return self.record.fleet_reading.planned == 0

    def is_broken(self) -> bool:
        """Ask the thresholds that may end the run whether one has failed."""
        return self.books.may_end_early and self.books.is_broken(self.now_ns)

    def miss_sandbox(self, code: int) -> None:
        """Take note of a sandbox of ours that has ended before the run: what the fleet meets then is no server's."""
        at_ns = self.now_ns
        self.record.miss(at_ns=at_ns, told=sandbox_ended(code, at_ns=at_ns))

    # -- the end

    def end(self, own: GeneratorTotals | None = None, sandbox: OwnSandbox | None = None) -> None:
        """End the fleet's time. ``own`` is what it cost this process.

        What a sandbox of ours met that is no server's failure is noted: a bug, a disk that was full.
        """
        self.ended_ns, self.own = self.now_ns, own
        if sandbox is None:
            return
        if (bug := sandbox.bug()) is not None:
            self.note(bug)
        if (unwritten := sandbox.unwritten()) is not None:
            self.record.miss(at_ns=self.ended_ns, told=unwritten)

    def finish(self) -> RunResult:
        """Write what is left, close the store, leave the summary; returns what the run came to."""
        if self.ended_ns is None:
            self.ended_ns = self.now_ns
        self.stage = RunStage.DONE
        lost = self._close()
        totals = totals_of([*([self.own] if self.own else []), *self.workers.totals])
        summary = self.books.summary(self.ending, ended_ns=self.ended_ns, totals=totals, unreachable=self.unreachable)
        self.log.save()
        with losing(lost, "the summary was not saved"):
            write_summary(self.folder, summary)
        return RunResult(
            self.folder,
            summary,
            self.ending,
            self.log,
            self.ended_ns,
            self.unreachable,
            tuple(lost),
            tuple(self.workers.told),
        )

    def _close(self) -> list[str]:
        """Write the last rows, and how the run ended, and close the store; returns what could not be."""
        run_through(self.write())
        self.books.workers = max(self.books.workers, len(self.workers))
        facts = {
            "ended": datetime.now(UTC).isoformat(),
            "ending": self.ending.value,
            "workers": str(self.books.workers),
        }
        if not self._has_one_clock:
            facts["clock_offsets"] = json.dumps(self.workers.offsets)
        lost: list[str] = []
        with losing(lost, f"the last rows were not written to {self.folder}"):
            self.store.put(**facts)
            self.books.look_back(self.store)
            if self.trouble:
                raise StoreError(self.trouble)
        with losing(lost, "cannot close the store"):
            self.store.close()
        return lost

    def abandon(self) -> None:
        """Close the store of a run that did not begin; what the disk says to that is of no use to anybody."""
        with suppress(StoreError):
            self.store.close()
