"""A fleet in play under trio, with what every process has beside it: heartbeat, readings, timetable, and its end.

Used by the one process of a run, by whoever leads worker processes, by such a worker, and by a worker of a Locust
master. What else runs beside a fleet is given as ``services``.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from math import inf
from typing import Protocol

import trio

from estsim.engine.loop_monitor import LoopMonitor
from estsim.engine.timetable import Timetable
from estsim.errors import noting
from estsim.fleet.clock import RunClock
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.sample import FleetReading, GeneratorReading

Service = Callable[[], Awaitable[None]]


class Force(Protocol):
    """What plays the fleet: a shard of this process, or a pool of workers."""

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


class Play:
    """A fleet in play. ``heard`` takes readings of this process; None says that others play it, and are watched there.

    A bug of ours that a look at this process meets goes to ``note``; one of a service ends the play. ``stopping`` is
    called as the end begins.
    """

    def __init__(
        self,
        force: Force,
        clock: RunClock,
        timetable: Timetable | None,
        *,
        heard: Callable[[GeneratorReading], None] | None,
        note: Callable[[Exception], object],
        stopping: Callable[[], object] = lambda: None,
    ) -> None:
        self._force = force
        self._clock = clock
        self._timetable = timetable
        self._is_here = heard is not None
        self._note = note
        self._stopping = stopping
        self._monitor = LoopMonitor(clock, lambda: force.in_flight, heard or _unheard)
        self._scope = trio.CancelScope()

    async def run(
        self,
        *,
        until_settled: bool,
        duration_s: float = inf,
        ramp_s: float | None = None,
        services: Iterable[Service] = (),
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Let the fleet live until its last exchange has ended; has started once events can be ordered."""
        ramp_s = self._force.ramp_s if ramp_s is None else ramp_s
        async with trio.open_nursery() as beside:
            if self._is_here:
                beside.start_soon(self.serve, self._monitor.beat)
            beside.start_soon(self.serve, partial(self._monitor.read, ramp_s=ramp_s))
            if self._timetable is not None:
                await beside.start(self._timetable.run)
            beside.start_soon(self._stop_after, duration_s)
            for service in services:
                beside.start_soon(service)
            task_status.started()
            with self._scope:
                await self._force.run(until_settled=until_settled)
            beside.cancel_scope.cancel()

    def stop(self) -> None:
        """Begin nothing more; what is under way may end within the drain."""
        self._stopping()
        self._force.stop()
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + self._force.drain_s)

    def cut(self) -> None:
        """End at once what is under way."""
        self._scope.cancel()

    def take(self) -> None:
        """Take a last reading of this process."""
        with noting(self._note):
            self._monitor.take()

    def totals(self) -> GeneratorTotals:
        """Return what the fleet's time has cost this process."""
        return self._monitor.totals()

    async def serve(self, service: Service) -> None:
        """Let a service go on until the end; one that meets a bug of ours ends alone, and the verdict says so."""
        with noting(self._note):
            await service()

    async def _stop_after(self, duration_s: float) -> None:
        await trio.sleep(max(0.0, duration_s - self._clock.now_s()))
        self.stop()


def _unheard(_: GeneratorReading) -> None:
    """Take a reading that says nothing of the fleet."""
