"""The timetable: a scenario's events, played while the fleet lives (docs/scenario-reference.md, ``events``).

What an event orders of each device is entered in the timer queue a little ahead of its time, so that it happens on
time and a herd of ours queues in schedule lag like any other. Which devices, and when each, is a pure function of the
plan. A mark that waits for the operator holds back the events after it by as long as the operator took.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Final, Protocol

import trio

from estsim.engine.shard import Shard
from estsim.errors import noting
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import Fleet
from estsim.fleet.orders import Order, orders_of
from estsim.scenario.happenings import Happening
from estsim.scenario.plan import Scenario

_LEAD_S: Final = 0.5  # how far ahead of its time an event is entered
_ENTRIES_BETWEEN_YIELDS: Final = 64


class Happen(Protocol):
    """Does what an event is beside its orders to devices."""

    async def __call__(self, number: int, happening: Happening) -> float:
        """Let the event at this place of the scenario happen; returns how long it held back what follows (seconds)."""


class Timetable:
    """Plays the events of a scenario: over the devices of one shard where they are here, and by what else they are.

    A bug of ours that meets one of them is handed to ``note``, and the events after it happen all the same.
    """

    def __init__(
        self,
        scenario: Scenario,
        clock: RunClock,
        happen: Happen,
        *,
        note: Callable[[Exception], None],
        fleet: Fleet | None = None,
        shard: Shard | None = None,
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self._happen = happen
        self._note = note
        self._devices = {device.index: device for device in fleet.devices} if fleet and scenario.events else {}
        self._shard = shard

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Play all events; the shard is not settled before. Has started once that is so."""
        with self._shard.busy() if self._shard else nullcontext():
            task_status.started()
            await self._play()

    async def _play(self) -> None:
        held_s = 0.0
        for number, happening in enumerate(self._scenario.events):
            with noting(self._note):
                held_s += await self._let_happen(number, happening, happening.at_s + held_s)

    async def _let_happen(self, number: int, happening: Happening, at_s: float) -> float:
        await self._sleep_until(at_s - _LEAD_S)
        if self._shard is not None:
            await self._enter(self._shard, orders_of(self._scenario, number, at_s))
        await self._sleep_until(at_s)
        return await self._happen(number, happening)

    async def _sleep_until(self, at_s: float) -> None:
        await trio.sleep(max(0.0, at_s - self._clock.now_s()))

    async def _enter(self, shard: Shard, orders: Iterator[Order]) -> None:
        entered = 0
        for order in orders:
            device = self._devices.get(order.device)
            if device is None:
                continue  # another process plays it
            shard.order(order.at_s, device, order.make)
            entered += 1
            if entered % _ENTRIES_BETWEEN_YIELDS == 0:
                await trio.lowlevel.checkpoint()
