"""A run from its scenario to its summary: reach the server, prepare the fleet, let it live, write down what happened.

Whatever ends a run — its time, Ctrl-C, a server that cannot be reached, a full disk — its rows and summary are written
first, and the caller is told how it ended.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import trio

from estsim.engine.announcer import Announcer, GoAhead
from estsim.engine.crew import crew_of
from estsim.engine.detachment import Detachment
from estsim.engine.limits import local_ports, plan_problems, raise_descriptor_limit, workers_of
from estsim.engine.live import Force, Interrupts, Live
from estsim.engine.preflight import fly
from estsim.engine.run_server import RunServer, server_of
from estsim.engine.timetable import Timetable
from estsim.engine.wire import wire_to
from estsim.errors import PreflightError, StoreError, UsageError
from estsim.fleet.briefing import briefings_of
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun
from estsim.fleet.errand import request_ids
from estsim.fleet.notices import needs_approval, notices_of
from estsim.fleet.results import make_folder, write_scenario, write_summary
from estsim.fleet.run_books import RunBooks
from estsim.measure.sample import FleetReading
from estsim.measure.snapshot import RunStage, Snapshot
from estsim.measure.store import RunStore
from estsim.measure.summary import Ending, GeneratorTotals
from estsim.net.client_hello import check_offer
from estsim.net.openssl import require_openssl
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
class RunResult:
    """How a run ended. ``unreachable`` is the reason of a failed preflight, ``lost`` of rows that were not written.

    ``told`` are workers that died, each in a sentence.
    """

    folder: Path
    summary: dict[str, Any]
    ending: Ending
    unreachable: str | None = None
    lost: str | None = None
    told: tuple[str, ...] = ()


class Run:
    """One run of a scenario, led from this process. ``show`` takes snapshots, from a thread, twice a second."""

    def __init__(self, scenario: Scenario, options: RunOptions, show: Callable[[Snapshot], None]) -> None:
        require_openssl()
        raise_descriptor_limit()
        problems = [] if options.force else plan_problems(scenario)
        if problems:
            raise UsageError(
                "\n".join([*problems, "this plan cannot be honest on this machine; --force runs it anyway"])
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
        self._recorder = self._books.recorder
        self._ids = request_ids(self._books.id) if scenario.generator.request_ids else None
        self._interrupts = Interrupts()
        self._go_ahead = GoAhead()
        self._totals = GeneratorTotals(0.0, 0)
        self._ended_ns = 0

    def go_ahead(self) -> None:
        """Go on from where the run waits for its operator; from any thread."""
        self._go_ahead.give()

    async def go(self) -> RunResult:
        """Do the run. Raises UsageError for what the user can mend before anything was started."""
        folder = make_folder(self._options.results, self._scenario.name, self._books.started)
        write_scenario(folder, self._scenario.resolved)
        ending, unreachable, lost = Ending.FINISHED, None, None
        with RunStore(folder / "run.sqlite") as store:
            self._books.introduce(store)
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self._interrupts.watch)
                    await self._play(folder, store)
                    nursery.cancel_scope.cancel()
            except* PreflightError as errors:
                ending, unreachable = Ending.UNREACHABLE, _first(errors)
            if self._interrupts.asked.is_set():
                ending = Ending.ABORTED
            try:
                store.write(self._recorder.take_batch())
                store.put(ended=datetime.now(UTC).isoformat(), ending=ending.value)
            except StoreError as error:
                lost = str(error)
        summary = self._books.summary(ending, ended_ns=self._ended_ns, totals=self._totals)
        write_summary(folder, summary)
        return RunResult(folder, summary, ending, unreachable, lost, tuple(self._books.losses.told))

    # -- the acts of a run

    async def _play(self, folder: Path, store: RunStore) -> None:
        with trio.CancelScope() as setting_up:
            self._interrupts.cancels(setting_up)
            async with server_of(self._scenario, folder) as server:
                self._books.target = str(server)
                store.put(target=self._books.target)
                if self._options.export_authorities is not None:
                    server.export_authorities(self._options.export_authorities)
                cohorts = [server.host.cohort(plan) for plan in self._scenario.cohorts]
                if self._options.preflight:
                    await self._preflight(cohorts, server)
                if self._books.workers == 1:
                    await self._alone(cohorts, server, store)
                else:
                    await self._with_crew(server, store, folder)

    async def _preflight(self, cohorts: list[CohortRun], server: RunServer) -> None:
        clock = RunClock.start()
        wire = wire_to(server.host, self._books.groups, clock)
        for cohort in cohorts:
            check_offer(wire.context(cohort, None))
        flight = await fly(
            cohorts,
            wire,
            clock,
            seed=self._scenario.seed,
            request_id=f"{self._books.id}-preflight" if self._ids else None,
        )
        for sample in flight.samples:
            self._recorder.exchange(sample)
        flight.check(str(server.host.url))

    async def _alone(self, cohorts: list[CohortRun], server: RunServer, store: RunStore) -> None:
        """Play the fleet in this process."""
        detachment = Detachment(server.host, cohorts)
        await self._make(detachment.prepare)
        clock = RunClock.start(in_s=detachment.lead_s)
        shard = detachment.begin(clock, self._recorder, groups=self._books.groups, request_ids=self._ids)
        announcer = self._announcer(server, clock)
        timetable = Timetable(self._scenario, clock, announcer, fleet=detachment.fleet, shard=shard)
        await self._live(shard, timetable, server, store=store, clock=clock)

    async def _with_crew(self, server: RunServer, store: RunStore, folder: Path) -> None:
        """Play the fleet in worker processes."""
        briefings = briefings_of(server.host, self._books.id, self._books.workers)
        async with crew_of(self._scenario, self._recorder, self._books.losses, briefings, folder) as crew:
            await self._make(crew.prepare)
            clock = RunClock.start(in_s=crew.lead_s)
            await crew.begin(clock)
            timetable = Timetable(self._scenario, clock, self._announcer(server, clock, held=crew.held))
            try:
                await self._live(crew, timetable, server, store=store, clock=clock, elsewhere=True)
            finally:
                self._totals = crew.totals(self._totals)

    async def _make(self, prepare: Callable[[Callable[[int], None]], Awaitable[None]]) -> None:
        """Have all devices made, showing how many there are."""
        clock = RunClock.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show_preparing, clock)
            await prepare(lambda made: self._recorder.fleet(FleetReading(0, {"off": made})))
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
        return Announcer(self._recorder, clock, sandbox=server.sandbox, go_ahead=go_ahead, held=held)

    async def _live(
        self,
        force: Force,
        timetable: Timetable,
        server: RunServer,
        *,
        store: RunStore,
        clock: RunClock,
        elsewhere: bool = False,
    ) -> None:
        """Let the fleet live, from the zero of the clock to the end of the last exchange."""
        if server.sandbox is not None:
            await server.sandbox.begin(clock.wall_epoch_s)
        for notice in notices_of(self._scenario):
            self._recorder.mark(0, notice, kind="notice")
        if server.sandbox is not None and needs_approval(self._scenario):
            self._recorder.mark(0, f"approve with: estsim pending approve {server.sandbox.folder} all", kind="notice")
        live = Live(
            force=force,
            timetable=timetable,
            recorder=self._recorder,
            store=store,
            clock=clock,
            interrupts=self._interrupts,
            snapshot=lambda stage: self._books.snapshot(max(0, clock.now_ns()), stage),
            show=self._show,
            broken=self._books.is_broken if self._books.may_end_early else None,
            elsewhere=elsewhere,
        )
        try:
            await live.run(duration_s=self._scenario.duration_s, until_settled=self._scenario.until_settled)
        finally:
            self._ended_ns = max(0, clock.now_ns())
            self._totals = live.totals()


def _first(errors: BaseExceptionGroup[PreflightError]) -> str:
    """Return the text of the first error in a group."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
