"""A run from its scenario to its summary: reach the server, prepare the fleet, let it live, write down what happened.

Whatever ends a run — its time, Ctrl-C, a server that cannot be reached, a full disk — its rows and summary are written
first, and the caller is told how it ended.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from estsim.engine.announcer import Announcer, GoAhead
from estsim.engine.live import Interrupts, Live
from estsim.engine.play import Force
from estsim.engine.process_fleet import ProcessFleet
from estsim.engine.run_server import RunServer, server_of
from estsim.engine.sandbox import Sandbox
from estsim.engine.timetable import Timetable
from estsim.engine.worker_pool import worker_pool_of
from estsim.errors import PreflightError, UsageError, leaves, noting
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.verdict import Ending
from estsim.fleet.active_run import ActiveRun
from estsim.fleet.assignment import assignments_of
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.limits import local_ports, plan_problems, raise_descriptor_limit, workers_of
from estsim.fleet.notices import needs_approval
from estsim.fleet.results import RunResult
from estsim.fleet.run_books import RunBooks
from estsim.fleet.server_access import ServerAccess
from estsim.net.client_hello import check_offer
from estsim.net.io_trio import TRIO, watch_loop
from estsim.net.openssl import require_openssl
from estsim.record.sample import FleetReading
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
        self._ids = request_ids(self._books.id) if scenario.generator.request_ids else None
        self._interrupts = Interrupts()
        self._go_ahead = GoAhead()

    def go_ahead(self) -> None:
        """Go on from where the run waits for its operator; from any thread."""
        self._go_ahead.give()

    async def go(self) -> RunResult:
        """Do the run. Raises UsageError for what the user can mend before anything was started.

        Cancelled from outside, it leaves the rows of all exchanges, and no summary.
        """
        watch_loop()
        with ActiveRun(self._books, self._options.results, has_one_clock=True) as run:
            run.introduce()
            try:
                with noting(run.end_at_bug, on_purpose=True):
                    async with trio.open_nursery() as nursery:
                        await nursery.start(self._interrupts.watch)
                        await self._play(run)
                        nursery.cancel_scope.cancel()
            except* PreflightError as errors:
                run.ending, run.unreachable = Ending.UNREACHABLE, str(next(leaves(errors)))
            if self._interrupts.asked.is_set():
                run.ending = Ending.ABORTED
            return run.finish()

    async def _play(self, run: ActiveRun) -> None:
        with trio.CancelScope() as setting_up:
            self._interrupts.cancels(setting_up)
            async with server_of(self._scenario, run.folder) as server:
                self._books.target = str(server)
                run.store.put(target=self._books.target)
                if self._options.export_authorities is not None:
                    server.export_authorities(self._options.export_authorities)
                cohorts = [server.host.cohort(plan) for plan in self._scenario.cohorts]
                if self._options.preflight:
                    access = ServerAccess.to(server.host, self._books.groups, RunClock.start())
                    for cohort in cohorts:
                        check_offer(access.context(cohort, None))
                    await run.preflight(cohorts, access, TRIO, str(server.host.url))
                if server.sandbox is not None:
                    await server.sandbox.begin_now()
                if self._books.workers == 1:
                    await self._alone(cohorts, server, run)
                else:
                    await self._with_workers(server, run)

    async def _alone(self, cohorts: list[CohortRun], server: RunServer, run: ActiveRun) -> None:
        """Play the fleet in this process."""
        process_fleet = ProcessFleet(server.host, cohorts)
        await self._make(run, process_fleet.prepare)
        run.clock = clock = RunClock.start(in_s=process_fleet.lead_s)
        shard = process_fleet.begin(clock, run.record.own, groups=self._books.groups, request_ids=self._ids)
        announcer = self._announcer(server, run)
        timetable = Timetable(self._scenario, clock, announcer, note=run.note, fleet=process_fleet.fleet, shard=shard)
        await self._live(run, shard, timetable, server)

    async def _with_workers(self, server: RunServer, run: ActiveRun) -> None:
        """Play the fleet in worker processes."""
        assignments = assignments_of(server.host, self._books.id, self._books.workers)
        async with worker_pool_of(run, assignments) as pool:
            await self._make(run, pool.prepare)
            run.clock = clock = RunClock.start(in_s=pool.lead_s)
            await pool.begin(clock)
            timetable = Timetable(self._scenario, clock, self._announcer(server, run, held=pool.held), note=run.note)
            await self._live(run, pool, timetable, server, elsewhere=True)

    async def _make(self, run: ActiveRun, prepare: Callable[[Callable[[int], None]], Awaitable[None]]) -> None:
        """Have all devices made, showing how many there are."""
        clock = RunClock.start()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._show_preparing, clock)
                await prepare(lambda made: run.record.fleet(FleetReading(0, {"off": made})))
                nursery.cancel_scope.cancel()
        finally:
            run.record.fleet(self._books.all_off)
        self._interrupts.cancels(None)

    async def _show_preparing(self, clock: RunClock) -> None:
        while True:
            await trio.sleep(_SHOW_S)
            await trio.to_thread.run_sync(self._show, self._books.snapshot(clock.now_ns(), RunStage.PREPARING))

    def _announcer(
        self, server: RunServer, run: ActiveRun, held: Callable[[int, float], None] = lambda _number, _held_s: None
    ) -> Announcer:
        go_ahead = self._go_ahead if self._options.operator else None
        return Announcer(run.record, run.clock, sandbox=server.sandbox, go_ahead=go_ahead, held=held)

    async def _live(
        self, run: ActiveRun, force: Force, timetable: Timetable, server: RunServer, *, elsewhere: bool = False
    ) -> None:
        """Let the fleet live, from the zero of the clock to the end of the last exchange."""
        sandbox = server.sandbox
        if sandbox is not None:
            await sandbox.begin(run.clock.wall_epoch_s)
        run.announce()
        if sandbox is not None and needs_approval(self._scenario):
            run.record.mark(0, f"approve with: estsim pending approve {sandbox.folder} all", kind="notice")
        live = Live(run, force, timetable=timetable, interrupts=self._interrupts, show=self._show, elsewhere=elsewhere)
        try:
            async with trio.open_nursery() as beside:
                if sandbox is not None:
                    beside.start_soon(_miss_sandbox, sandbox, run)
                await live.run()
                beside.cancel_scope.cancel()
        finally:
            run.end(live.totals(), sandbox)


async def _miss_sandbox(sandbox: Sandbox, run: ActiveRun) -> None:
    """Take note of a sandbox of ours that has ended before the run."""
    run.miss_sandbox(await sandbox.process.wait())
