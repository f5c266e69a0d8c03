"""What runs beside the fleet while it lives: signals, the run's clock, the writer, the self-monitor, the display."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Final

import trio

from estsim.engine.play import Force, Play
from estsim.engine.timetable import Timetable
from estsim.errors import noting
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.fleet.active_run import ActiveRun
from estsim.fleet.stop_signals import insists, stop_signals
from estsim.record.generator_totals import GeneratorTotals

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
        self._interrupts = interrupts
        self._show = show
        self._turn = Lock()  # of who shows something
        self._over = False
        self._elsewhere = elsewhere
        heard = None if elsewhere else run.record.own.generator
        self._play = Play(force, run.clock, timetable, heard=heard, note=run.note, stopping=self._drain)

    async def run(self) -> None:
        """Let the fleet live; returns when its last exchange has ended and been recorded."""
        scenario = self._run.scenario
        services = (self._write, self._draw, self._stop_on_signal, partial(self._play.serve, self._stop_when_broken))
        await self._play.run(until_settled=scenario.until_settled, duration_s=scenario.duration_s, services=services)
        with noting(self._run.note):
            self._read_fleet()
        self._play.take()
        with noting(self._run.note):
            self._show_the_end()

    def _read_fleet(self) -> None:
        if not self._elsewhere:
            self._run.record.own.fleet(self._force.reading())

    def totals(self) -> GeneratorTotals:
        """Return what the run has cost this process."""
        return self._play.totals()

    def _drain(self) -> None:
        self._run.stage = RunStage.DRAINING

    async def _stop_on_signal(self) -> None:
        await self._interrupts.asked.wait()
        self._play.stop()
        await self._interrupts.at_once.wait()
        self._play.cut()

    async def _stop_when_broken(self) -> None:
        while True:
            await trio.sleep(_ASK_S)
            if self._run.is_broken():
                self._play.stop()
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
                self._play.stop()

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


async def _in_thread(act: Callable[[], list[Exception]]) -> list[Exception]:
    """Write in a thread; a batch that was taken is written, whatever is cancelled meanwhile."""
    met: list[Exception] = []
    with trio.CancelScope(shield=True):
        met += await trio.to_thread.run_sync(act)
    return met
