"""A run from its scenario to its summary: reach the server, prepare the fleet, let it live, write down what happened.

Whatever ends a run — its time, Ctrl-C, a server that cannot be reached, a full disk — its rows and summary are written
first, and the caller is told how it ended.
"""

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import trio

from estsim import __version__
from estsim.engine.announcer import Announcer, GoAhead
from estsim.engine.crew import crew_of
from estsim.engine.detachment import Detachment
from estsim.engine.limits import local_ports, plan_problems, raise_descriptor_limit, workers_of
from estsim.engine.live import Force, Interrupts, Live
from estsim.engine.preflight import fly
from estsim.engine.results import make_folder, write_scenario, write_summary
from estsim.engine.run_server import RunServer, server_of
from estsim.engine.timetable import Timetable
from estsim.engine.wire import wire_to
from estsim.errors import PreflightError, StoreError, UsageError
from estsim.fleet.briefing import briefings_of
from estsim.fleet.clock import RunClock
from estsim.fleet.demands import recorder_of, thresholds_of
from estsim.fleet.devices import CohortRun
from estsim.fleet.errand import request_ids
from estsim.fleet.losses import Losses
from estsim.fleet.notices import needs_approval, notices_of
from estsim.fleet.offer import groups_offered
from estsim.measure.sample import FleetReading
from estsim.measure.snapshot import RunStage, Snapshot
from estsim.measure.store import RunStore
from estsim.measure.summary import Ending, GeneratorTotals, RunFacts, build_summary
from estsim.measure.thresholds import Judgement, Vigil
from estsim.net.client_hello import check_offer
from estsim.net.openssl import openssl_version, require_openssl
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
        self._thresholds, demands = thresholds_of(scenario), scenario.thresholds
        watched = [(t, d.after_s) for t, d in zip(self._thresholds, demands, strict=False) if d.aborts]
        self._vigil = Vigil(tuple(watched))
        self._broken: Judgement | None = None
        self._groups = groups_offered(scenario)
        self._id = secrets.token_hex(4)
        self._ids = request_ids(self._id) if scenario.generator.request_ids else None
        self._interrupts = Interrupts()
        self._go_ahead = GoAhead()
        self._workers = workers_of(scenario)
        self._recorder = recorder_of(scenario, ports_limit=local_ports(), descriptors_limit=raise_descriptor_limit())
        self._losses = Losses(scenario, self._recorder)
        off = {cohort.name: {"off": cohort.devices} for cohort in scenario.cohorts}
        self._recorder.fleet(FleetReading(0, {"off": scenario.devices}, cohorts=off))
        self._started = datetime.now(UTC)
        self._target = str(scenario.target.url) if scenario.target else "sandbox"
        self._totals = GeneratorTotals(0.0, 0)
        self._ended_ns = 0

    def go_ahead(self) -> None:
        """Go on from where the run waits for its operator; from any thread."""
        self._go_ahead.give()

    async def go(self) -> RunResult:
        """Do the run. Raises UsageError for what the user can mend before anything was started."""
        folder = make_folder(self._options.results, self._scenario.name, self._started)
        write_scenario(folder, self._scenario.resolved)
        ending, unreachable, lost = Ending.FINISHED, None, None
        with RunStore(folder / "run.sqlite") as store:
            self._introduce(store)
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
        summary = self._summary(ending)
        write_summary(folder, summary)
        return RunResult(folder, summary, ending, unreachable, lost, tuple(self._losses.told))

    def _introduce(self, store: RunStore) -> None:
        """Write what is known of the run before it begins."""
        facts = {
            "id": self._id,
            "scenario": self._scenario.name,
            "seed": str(self._scenario.seed),
            "started": self._started.isoformat(),
            "version": __version__,
            "groups_offered": ",".join(self._groups),
            "workers": str(self._workers),
            "duration_s": repr(self._scenario.duration_s),
            "cohorts": json.dumps({cohort.name: cohort.devices for cohort in self._scenario.cohorts}),
            "phases": json.dumps([[phase.name, phase.from_s, phase.to_s] for phase in self._scenario.phases]),
            "thresholds": json.dumps([demand.expression for demand in self._scenario.thresholds]),
            "max_lag_s": repr(self._scenario.generator.max_lag_s),
            "max_cpu": repr(self._scenario.generator.max_cpu),
            "scenario_text": self._scenario.resolved,
        }
        store.put(**facts)

    # -- the acts of a run

    async def _play(self, folder: Path, store: RunStore) -> None:
        with trio.CancelScope() as setting_up:
            self._interrupts.cancels(setting_up)
            async with server_of(self._scenario, folder) as server:
                self._target = str(server)
                store.put(target=self._target)
                if self._options.export_authorities is not None:
                    server.export_authorities(self._options.export_authorities)
                cohorts = [server.host.cohort(plan) for plan in self._scenario.cohorts]
                if self._options.preflight:
                    await self._preflight(cohorts, server)
                if self._workers == 1:
                    await self._alone(cohorts, server, store)
                else:
                    await self._with_crew(server, store, folder)

    async def _preflight(self, cohorts: list[CohortRun], server: RunServer) -> None:
        clock = RunClock.start()
        wire = wire_to(server.host, self._groups, clock)
        for cohort in cohorts:
            check_offer(wire.context(cohort, None))
        flight = await fly(
            cohorts,
            wire,
            clock,
            seed=self._scenario.seed,
            request_id=f"{self._id}-preflight" if self._ids else None,
        )
        for sample in flight.samples:
            self._recorder.exchange(sample)
        flight.check(str(server.host.url))

    async def _alone(self, cohorts: list[CohortRun], server: RunServer, store: RunStore) -> None:
        """Play the fleet in this process."""
        detachment = Detachment(server.host, cohorts)
        await self._make(detachment.prepare)
        clock = RunClock.start(in_s=detachment.lead_s)
        shard = detachment.begin(clock, self._recorder, groups=self._groups, request_ids=self._ids)
        announcer = self._announcer(server, clock)
        timetable = Timetable(self._scenario, clock, announcer, fleet=detachment.fleet, shard=shard)
        await self._live(shard, timetable, server, store=store, clock=clock)

    async def _with_crew(self, server: RunServer, store: RunStore, folder: Path) -> None:
        """Play the fleet in worker processes."""
        briefings = briefings_of(server.host, self._id, self._workers)
        async with crew_of(self._scenario, self._recorder, self._losses, briefings, folder) as crew:
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
            await trio.to_thread.run_sync(self._show, self._snapshot(clock.now_ns(), RunStage.PREPARING))

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
            snapshot=lambda stage: self._snapshot(max(0, clock.now_ns()), stage),
            show=self._show,
            broken=self._is_broken if self._vigil.thresholds else None,
            elsewhere=elsewhere,
        )
        try:
            await live.run(duration_s=self._scenario.duration_s, until_settled=self._scenario.until_settled)
        finally:
            self._ended_ns = max(0, clock.now_ns())
            self._totals = live.totals()

    # -- the parts

    def _is_broken(self, at_ns: int) -> bool:
        """Ask the thresholds that may end the run, and remember the first that does."""
        self._broken = self._vigil.broken(self._recorder.scopes(at_ns))
        return self._broken is not None

    def _snapshot(self, at_ns: int, stage: RunStage) -> Snapshot:
        return self._recorder.snapshot(
            name=self._scenario.name,
            target=self._target,
            stage=stage,
            at_ns=at_ns,
            duration_s=self._scenario.duration_s,
        )

    def _summary(self, ending: Ending) -> dict[str, Any]:
        recorder, scenario = self._recorder, self._scenario
        facts = RunFacts(
            id=self._id,
            scenario=scenario.name,
            seed=scenario.seed,
            started=self._started.isoformat(),
            ended=datetime.now(UTC).isoformat(),
            version=__version__,
            workers=self._workers,
            target=self._target,
            groups=self._groups,
            openssl=openssl_version(),
            notices=notices_of(scenario),
        )
        return build_summary(
            facts,
            recorder.scopes(self._ended_ns),
            generator=self._totals,
            saturation=recorder.verdict(),
            thresholds=self._thresholds,
            broken=self._broken,
            findings=recorder.findings,
            ending=ending,
        )


def _first(errors: BaseExceptionGroup[PreflightError]) -> str:
    """Return the text of the first error in a group."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
