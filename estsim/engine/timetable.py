"""The timetable: a scenario's events, played while the fleet lives (DESIGN §6, ``events``).

What an event orders of each device is entered in the agenda a little ahead of its time, so that it happens on time and
a herd of ours queues in schedule lag like any other. Which devices, and when each, is a pure function of the plan. A
mark that waits for the operator holds back the events after it by as long as the operator took.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from estsim.engine.sandbox import Sandbox
from estsim.engine.shard import Shard
from estsim.errors import EstsimError
from estsim.fleet.clock import RunClock, to_ns
from estsim.fleet.devices import Fleet
from estsim.fleet.orders import Order, orders_of, told
from estsim.measure.recorder import Recorder
from estsim.scenario.happenings import Happening, Mark, Retire, SandboxChange
from estsim.scenario.plan import Scenario
from estsim.units import shown

_LEAD_S: Final = 0.5  # how far ahead of its time an event is entered
_ENTRIES_BETWEEN_YIELDS: Final = 64


@dataclass(slots=True)
class GoAhead:
    """The operator's Enter, which comes from another thread."""

    awaited: bool = False
    _token: trio.lowlevel.TrioToken | None = None
    _pressed: trio.Event = field(default_factory=trio.Event)

    def give(self) -> None:
        """Go on; safe from any thread, and nothing where nobody waits."""
        if self.awaited and self._token is not None:
            self._token.run_sync_soon(self._pressed.set)

    async def wait(self) -> None:
        """Wait for the operator."""
        self._token, self._pressed, self.awaited = trio.lowlevel.current_trio_token(), trio.Event(), True
        try:
            await self._pressed.wait()
        finally:
            self.awaited = False


class Timetable:
    """Plays the events of a scenario over one shard."""

    def __init__(
        self,
        scenario: Scenario,
        fleet: Fleet,
        shard: Shard,
        recorder: Recorder,
        clock: RunClock,
        *,
        sandbox: Sandbox | None,
        go_ahead: GoAhead | None,
    ) -> None:
        self._scenario = scenario
        self._devices = {device.index: device for device in fleet.devices} if scenario.events else {}
        self._shard = shard
        self._recorder = recorder
        self._clock = clock
        self._sandbox = sandbox
        self._go_ahead = go_ahead  # None: nobody is there to press Enter

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Play all events; the shard is not settled before. Has started once that is so."""
        held_s = 0.0
        with self._shard.busy():
            task_status.started()
            for number, happening in enumerate(self._scenario.events):
                at_s = happening.at_s + held_s
                await self._sleep_until(at_s - _LEAD_S)
                await self._enter(orders_of(self._scenario, number, at_s))
                await self._sleep_until(at_s)
                held_s += await self._happen(happening)

    async def _sleep_until(self, at_s: float) -> None:
        await trio.sleep(max(0.0, at_s - self._clock.now_s()))

    async def _enter(self, orders: Iterator[Order]) -> None:
        entered = 0
        for order in orders:
            device = self._devices.get(order.device)
            if device is None:
                continue
            self._shard.order(order.at_s, device, order.make)
            entered += 1
            if entered % _ENTRIES_BETWEEN_YIELDS == 0:
                await trio.lowlevel.checkpoint()

    async def _happen(self, happening: Happening) -> float:
        """Tell what happens now, and do what is not a device's to do; returns how long it held back what follows."""
        what, began_s = happening.what, self._clock.now_s()
        match what:
            case SandboxChange(changes):
                await self._change(changes)
            case Mark(text, wait_for_enter=True):
                await self._wait_for_operator(text)
                return self._clock.now_s() - began_s
            case _:
                self._tell(told(what), stirs=not isinstance(what, Mark | Retire))
        return 0.0

    async def _change(self, changes: Mapping[str, object]) -> None:
        assert self._sandbox is not None  # noqa: S101 - checked as the scenario was read
        words = ", ".join(f"{key}: {shown(value)}" for key, value in changes.items())
        try:
            await self._sandbox.change(changes)
        except EstsimError as error:
            self._tell(f"the sandbox refused {words}: {error}")
        else:
            self._tell(f"sandbox {words}")

    async def _wait_for_operator(self, text: str) -> None:
        if self._go_ahead is None:
            self._tell(f"{text} (no terminal to wait at for Enter, so it went on)")
            return
        self._recorder.awaiting = f"press Enter: {text}"
        try:
            await self._go_ahead.wait()
        finally:
            self._recorder.awaiting = None
        self._tell(text)

    def _tell(self, text: str, *, stirs: bool = False) -> None:
        self._recorder.mark(max(0, to_ns(self._clock.now_s())), text, kind="event" if stirs else "mark", stirs=stirs)
