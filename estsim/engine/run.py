"""A run from its scenario to its summary: reach the server, prepare the fleet, let it live, write down what happened.

Whatever ends a run — its time, Ctrl-C, a server that cannot be reached, a full disk — its rows and summary are written
first, and the caller is told how it ended.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trio

from estsim.engine.announcer import Announcer, GoAhead
from estsim.engine.live import Force, Interrupts, Live
from estsim.engine.process_fleet import ProcessFleet
from estsim.engine.result import RunResult
from estsim.engine.run_server import RunServer, server_of
from estsim.engine.sandbox import Sandbox
from estsim.engine.timetable import Timetable
from estsim.engine.worker_pool import worker_pool_of
from estsim.errors import PreflightError, UsageError, leaves, noting, shortage
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.verdict import Ending
from estsim.fleet.assignment import assignments_of
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun
from estsim.fleet.error_log import ErrorLog
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.limits import local_ports, plan_problems, raise_descriptor_limit, workers_of
from estsim.fleet.notices import needs_approval, notices_of
from estsim.fleet.own_processes import sandbox_ended
from estsim.fleet.preflight import fly, passed_over
from estsim.fleet.results import losing, make_folder, write_scenario, write_summary
from estsim.fleet.run_books import RunBooks
from estsim.fleet.server_access import ServerAccess
from estsim.net.client_hello import check_offer
from estsim.net.io_trio import TRIO, watch_loop
from estsim.net.openssl import require_openssl
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.salvage import save
from estsim.record.sample import FleetReading
from estsim.record.store import RunStore
from estsim.scenario.plan import Scenario

_SHOW_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line decides beside the scenario."""

    results: Path
    preflight: bool = True
    force: bool = False
    operator: bool = False  # somebody is at a terminal to press Enter
    export_authorities: Path | None = None  # a folder for the certificates of the authorities made for the run


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where what happens in a run is kept."""

    store: RunStore
    log: ErrorLog


class Run:
    """One run of a scenario, led from this process. ``show`` takes snapshots, from a thread, twice a second."""

    def __init__(self, scenario: Scenario, options: RunOptions, show: Callable[[Snapshot], None]) -> None:
        require_openssl()
        raise_descriptor_limit()
        problems = [] if options.force else plan_problems(scenario)
        if problems:
            raise UsageError(
                "\n".join(
                    [
                        *problems,
                        "this machine cannot run this plan without distorting the results; --force runs it anyway",
                    ]
                )
            )
        self._scenario = scenario
        self._options = options
        self._show = show
        self._books = RunBooks(
            scenario,
            workers=workers_of(scenario),
            ports_limit=local_ports(),
            descriptors_limit=raise_descriptor_limit(),
        )
        self._record = self._books.record
        self._ids = request_ids(self._books.id) if scenario.generator.request_ids else None
        self._interrupts = Interrupts()
        self._go_ahead = GoAhead()
        self._totals = GeneratorTotals(0.0, 0)
        self._ended_ns = 0
        self._ending = Ending.FINISHED
        self._clock: RunClock | None = None  # once the fleet lives

    def go_ahead(self) -> None:
        """Go on from where the run waits for its operator; from any thread."""
        self._go_ahead.give()

    async def go(self) -> RunResult:
        """Do the run. Raises UsageError for what the user can mend before anything was started.

        Cancelled from outside, it leaves the rows of all exchanges, and no summary.
        """
        watch_loop()
        folder = make_folder(self._options.results, self._scenario.name, self._books.started)
        write_scenario(folder, self._scenario.resolved)
        log = ErrorLog(folder, self._record.internal_errors)
        unreachable: str | None = None
        with RunStore(folder / "run.sqlite") as store:
            self._books.introduce(store)
            try:
                with self._saving_if_cancelled(store, log), noting(self._end_at_bug, on_purpose=True):
                    async with trio.open_nursery() as nursery:
                        await nursery.start(self._interrupts.watch)
                        await self._play(_Kept(store, log))
                        nursery.cancel_scope.cancel()
            except* PreflightError as errors:
                self._ending, unreachable = Ending.UNREACHABLE, _first(errors)
            if self._interrupts.asked.is_set():
                self._ending = Ending.ABORTED
            lost = self._write_the_rest(store)
        summary = self._books.summary(
            self._ending, ended_ns=self._ended_ns, totals=self._totals, unreachable=unreachable
        )
        log.save()
        with losing(lost, "the summary was not saved"):
            write_summary(folder, summary)
        told = tuple(self._books.losses.told)
        return RunResult(folder, summary, self._ending, log, self._ended_ns, unreachable, tuple(lost), told)

    @contextmanager
    def _saving_if_cancelled(self, store: RunStore, log: ErrorLog) -> Iterator[None]:
        """Write the last rows of a run that is cancelled from outside, and let the cancellation go on.

        Nothing is awaited for that, so no cancellation cuts it short.
        """
        try:
            yield
        except BaseException as error:
            if any(isinstance(leaf, trio.Cancelled) for leaf in leaves(error)):
                self._ending = Ending.ABORTED
                self._write_the_rest(store)
                log.save()
            raise

    def _end_at_bug(self, bug: Exception) -> None:
        """Take note of a bug of ours, or a shortage, that belongs to no device, and leaves nothing to go on with."""
        self._note(bug)
        if shortage(bug) is None:
            self._ending = Ending.ERROR

    def _note(self, bug: Exception) -> None:
        self._record.own.internal_error(bug, at_ns=max(0, self._clock.now_ns()) if self._clock else 0)

    def _write_the_rest(self, store: RunStore) -> list[str]:
        """Write the last rows, and how the run ended, and close the store; returns what could not be."""
        lost: list[str] = []
        with losing(lost, f"the last rows were not written to {store.path.parent}"):
            with noting(self._note, on_purpose=True):
                for bug in save(store, self._record.take_batch()):
                    self._note(bug)
            store.put(ended=datetime.now(UTC).isoformat(), ending=self._ending.value)
            self._books.look_back(store)
        with losing(lost, "cannot close the store"):
            store.close()
        return lost

    # -- the acts of a run

    async def _play(self, kept: "_Kept") -> None:
        with trio.CancelScope() as setting_up:
            self._interrupts.cancels(setting_up)
            async with server_of(self._scenario, kept.log.folder) as server:
                self._books.target = str(server)
                kept.store.put(target=self._books.target)
                if self._options.export_authorities is not None:
                    server.export_authorities(self._options.export_authorities)
                cohorts = [server.host.cohort(plan) for plan in self._scenario.cohorts]
                if self._options.preflight:
                    await self._preflight(cohorts, server)
                if server.sandbox is not None:
                    await server.sandbox.begin_now()
                if self._books.workers == 1:
                    await self._alone(cohorts, server, kept)
                else:
                    await self._with_workers(server, kept)

    async def _preflight(self, cohorts: list[CohortRun], server: RunServer) -> None:
        clock = RunClock.start()
        access = ServerAccess.to(server.host, self._books.groups, clock)
        for cohort in cohorts:
            check_offer(access.context(cohort, None))
        flight = await fly(
            cohorts,
            access,
            TRIO,
            seed=self._scenario.seed,
            request_id=f"{self._books.id}-preflight" if self._ids else None,
        )
        for sample in flight.samples:
            self._record.own.exchange(sample)
        flight.check(str(server.host.url), self._scenario.target)
        if notice := passed_over(cohorts, flight):
            self._record.notice(0, notice)

    async def _alone(self, cohorts: list[CohortRun], server: RunServer, kept: "_Kept") -> None:
        """Play the fleet in this process."""
        process_fleet = ProcessFleet(server.host, cohorts)
        await self._make(process_fleet.prepare)
        clock = RunClock.start(in_s=process_fleet.lead_s)
        shard = process_fleet.begin(clock, self._record.own, groups=self._books.groups, request_ids=self._ids)
        announcer = self._announcer(server, clock)
        timetable = Timetable(self._scenario, clock, announcer, note=self._note, fleet=process_fleet.fleet, shard=shard)
        await self._live(shard, timetable, server, kept=kept, clock=clock)

    async def _with_workers(self, server: RunServer, kept: "_Kept") -> None:
        """Play the fleet in worker processes."""
        assignments = assignments_of(server.host, self._books.id, self._books.workers)
        async with worker_pool_of(
            self._scenario, self._record, self._books.losses, assignments, kept.log.folder
        ) as pool:
            await self._make(pool.prepare)
            clock = RunClock.start(in_s=pool.lead_s)
            await pool.begin(clock)
            announcer = self._announcer(server, clock, held=pool.held)
            timetable = Timetable(self._scenario, clock, announcer, note=self._note)
            try:
                await self._live(pool, timetable, server, kept=kept, clock=clock, elsewhere=True)
            finally:
                self._totals = pool.totals(self._totals)

    async def _make(self, prepare: Callable[[Callable[[int], None]], Awaitable[None]]) -> None:
        """Have all devices made, showing how many there are."""
        clock = RunClock.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show_preparing, clock)
            await prepare(lambda made: self._record.fleet(FleetReading(0, {"off": made})))
            nursery.cancel_scope.cancel()
        self._interrupts.cancels(None)

    async def _show_preparing(self, clock: RunClock) -> None:
        while True:
            await trio.sleep(_SHOW_S)
            await trio.to_thread.run_sync(self._show, self._books.snapshot(clock.now_ns(), RunStage.PREPARING))

    def _announcer(
        self, server: RunServer, clock: RunClock, held: Callable[[int, float], None] = lambda _number, _held_s: None
    ) -> Announcer:
        go_ahead = self._go_ahead if self._options.operator else None
        return Announcer(self._record, clock, sandbox=server.sandbox, go_ahead=go_ahead, held=held)

    async def _live(
        self,
        force: Force,
        timetable: Timetable,
        server: RunServer,
        *,
        kept: "_Kept",
        clock: RunClock,
        elsewhere: bool = False,
    ) -> None:
        """Let the fleet live, from the zero of the clock to the end of the last exchange."""
        self._clock = clock
        if server.sandbox is not None:
            await server.sandbox.begin(clock.wall_epoch_s)
        for notice in notices_of(self._scenario):
            self._record.mark(0, notice, kind="notice")
        if server.sandbox is not None and needs_approval(self._scenario):
            self._record.mark(0, f"approve with: estsim pending approve {server.sandbox.folder} all", kind="notice")
        live = Live(
            force=force,
            timetable=timetable,
            record=self._record,
            store=kept.store,
            log=kept.log,
            clock=clock,
            interrupts=self._interrupts,
            snapshot=lambda stage: self._books.snapshot(max(0, clock.now_ns()), stage),
            show=self._show,
            broken=self._books.is_broken if self._books.may_end_early else None,
            elsewhere=elsewhere,
        )
        try:
            async with trio.open_nursery() as beside:
                if server.sandbox is not None:
                    beside.start_soon(self._miss_sandbox, server.sandbox, clock)
                await live.run(duration_s=self._scenario.duration_s, until_settled=self._scenario.until_settled)
                beside.cancel_scope.cancel()
        finally:
            self._ended_ns = max(0, clock.now_ns())
            self._totals = live.totals()
            if server.sandbox is not None:
                self._look_back_at(server.sandbox)

    def _look_back_at(self, sandbox: Sandbox) -> None:
        """Take note of what a sandbox of ours met that is no server's failure: a bug, a disk that was full."""
        if (bug := sandbox.bug()) is not None:
            self._note(bug)
        if (unwritten := sandbox.unwritten()) is not None:
            self._record.miss(at_ns=self._ended_ns, told=unwritten)

    async def _miss_sandbox(self, sandbox: Sandbox, clock: RunClock) -> None:
        """Take note of a sandbox of ours that has ended before the run: what the fleet meets then is no server's."""
        code = await sandbox.process.wait()
        at_ns = max(0, clock.now_ns())
        self._record.miss(at_ns=at_ns, told=sandbox_ended(code, at_ns=at_ns))


def _first(errors: BaseExceptionGroup[PreflightError]) -> str:
    """Return the text of the first error in a group."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
