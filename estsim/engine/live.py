"""What runs beside the fleet while it lives: signals, the run's clock, the writer, the self-monitor, the display."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Final, Protocol

import trio

from estsim.engine.loop_monitor import LoopMonitor
from estsim.engine.timetable import Timetable
from estsim.errors import noting
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.fleet.active_run import ActiveRun
from estsim.fleet.stop_signals import insists, stop_signals
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.sample import FleetReading, GeneratorReading

_WRITE_S: Final = 0.5  # acknowledged rows are at most this old, so that a kill costs less than a second
_SHOW_S: Final = 0.5
_ASK_S: Final = 1.0
_DRAWING_STRIKES: Final = 2  # a dashboard has lines to fall back on, which may have a bug as well
_PATIENCE_WITH_DISK: Final = 10  # failed writes in a row, after which the run stops


@dataclass(slots=True)
class Interrupts:
    """Ctrl-C, SIGTERM and a terminal that hangs up: the first asks for a stop, another for one at once."""

    asked: trio.Event = field(default_factory=trio.Event)
    at_once: trio.Event = field(default_factory=trio.Event)
    _scope: trio.CancelScope | None = None

    def cancels(self, scope: trio.CancelScope | None) -> None:
        """Name the scope that the first signal cancels; None while there is something to stop in order."""
        self._scope = scope
        if scope is not None and self.asked.is_set():
            scope.cancel()

    async def watch(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take signals, for ever."""
        with trio.open_signal_receiver(*stop_signals()) as received:
            task_status.started()
            async for number in received:
                if self.asked.is_set() and insists(number):
                    self.at_once.set()
                self.asked.set()
                if self._scope is not None:
                    self._scope.cancel()


class Force(Protocol):
    """What plays the fleet: a shard of this process, or a worker pool of workers."""

    ramp_s: float  # when the last device boots
    drain_s: float  # what is under way at the end may still take so long

    @property
    def in_flight(self) -> int:
        """How many exchanges are on the wire."""

    async def run(self, *, until_settled: bool) -> None:
        """Keep the fleet going; returns when the last exchange has ended after :meth:`stop`, or all is settled."""

    def stop(self) -> None:
        """Begin nothing more."""

    def reading(self) -> FleetReading:
        """Say where the fleet stands."""


class Live:
    """A fleet with the services of a run.

    The end comes by settling, by time, by a signal, by a threshold that may end the run, or by a disk that stays full.
    ``elsewhere`` says that workers play the fleet: their loops are watched there, and this process is no part of them.
    """

    def __init__(
        self,
        run: ActiveRun,
        force: Force,
        *,
        interrupts: Interrupts,
        show: Callable[[Snapshot], None],
        timetable: Timetable | None = None,
        elsewhere: bool = False,
    ) -> None:
        self._run = run
        self._force = force
        self._timetable = timetable
        self._interrupts = interrupts
        self._show = show
        self._turn = Lock()  # of who shows something
        self._over = False
        self._elsewhere = elsewhere
        heard = _unheard if elsewhere else run.record.own.generator
        self._loop_monitor = LoopMonitor(run.clock, lambda: force.in_flight, heard)
        self._fleet_scope = trio.CancelScope()

    async def run(self) -> None:
        """Let the fleet live; returns when its last exchange has ended and been recorded."""
        scenario = self._run.scenario
        async with trio.open_nursery() as services:
            if not self._elsewhere:
                services.start_soon(self._serve, self._loop_monitor.beat)
            services.start_soon(self._serve, partial(self._loop_monitor.read, ramp_s=self._force.ramp_s))
            if self._timetable is not None:
                await services.start(self._timetable.run)
            services.start_soon(self._write)
            services.start_soon(self._draw)
            services.start_soon(self._stop_after, scenario.duration_s)
            services.start_soon(self._stop_on_signal)
            services.start_soon(self._serve, self._stop_when_broken)
            with self._fleet_scope:
                await self._force.run(until_settled=scenario.until_settled)
            services.cancel_scope.cancel()
        for last in (self._read_fleet, self._loop_monitor.take, self._show_the_end):
            with noting(self._run.note):
                last()

    async def _serve(self, service: Callable[[], Awaitable[None]]) -> None:
        """Let a service go on until the end; one that meets a bug of ours ends alone, and the verdict says so."""
        with noting(self._run.note):
            await service()

    def _read_fleet(self) -> None:
        if not self._elsewhere:
            self._run.record.own.fleet(self._force.reading())

    def totals(self) -> GeneratorTotals:
        """Return what the run has cost this process."""
        return self._loop_monitor.totals()

    def _stop(self) -> None:
        """Begin nothing more; what is under way may end within the drain."""
        self._run.stage = RunStage.DRAINING
        self._force.stop()
        self._fleet_scope.deadline = min(self._fleet_scope.deadline, trio.current_time() + self._force.drain_s)

    async def _stop_after(self, duration_s: float) -> None:
        await trio.sleep(max(0.0, duration_s - self._run.clock.now_s()))
        self._stop()

    async def _stop_on_signal(self) -> None:
        await self._interrupts.asked.wait()
        self._stop()
        await self._interrupts.at_once.wait()
        self._fleet_scope.cancel()

    async def _stop_when_broken(self) -> None:
        while True:
            await trio.sleep(_ASK_S)
            if self._run.is_broken():
                self._stop()
                return

    async def _write(self) -> None:
        failures = 0
        while True:
            await trio.sleep(_WRITE_S)
            written = await self._run.write(_in_thread)
            with noting(self._run.note):
                await self._settle()
            failures = 0 if written else failures + 1
            if failures == _PATIENCE_WITH_DISK:
                self._stop()

    async def _settle(self) -> None:
        """Add up what came, giving way between its parts."""
        for _ in self._run.record.book.settle():
            await trio.lowlevel.checkpoint()

    async def _draw(self) -> None:
        """Show where the run stands; a bug of ours in that is noted, and after a second one nothing more is shown."""
        strikes = 0
        while True:
            with noting(self._run.note):
                self._read_fleet()
            if strikes < _DRAWING_STRIKES:
                strikes += 1
                with noting(self._run.note):
                    snapshot = self._run.snapshot()
                    await trio.to_thread.run_sync(self._show_next, snapshot, abandon_on_cancel=True)  # may be slow
                    strikes -= 1
            with noting(self._run.note):
                await self._settle()
            await trio.sleep(_SHOW_S)

    def _show_next(self, snapshot: Snapshot) -> None:
        """Show a moment, from a thread, unless the end has been shown since it was taken."""
        with self._turn:
            if not self._over:
                self._show(snapshot)

    def _show_the_end(self) -> None:
        """Show the end, after what a thread that was left behind may still be drawing, if that is done soon."""
        self._over = True
        had_turn = self._turn.acquire(timeout=_SHOW_S)
        try:
            self._show(self._run.snapshot(RunStage.DONE))
        finally:
            if had_turn:
                self._turn.release()


def _unheard(_: GeneratorReading) -> None:
    """Take a reading that says nothing of the fleet."""


async def _in_thread(act: Callable[[], list[Exception]]) -> list[Exception]:
    """Write in a thread; a batch that was taken is written, whatever is cancelled meanwhile."""
    met: list[Exception] = []
    with trio.CancelScope(shield=True):
        met += await trio.to_thread.run_sync(act)
    return met
