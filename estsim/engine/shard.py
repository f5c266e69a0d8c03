"""One process's share of the fleet: one timer queue, one scheduler task, and a short task for each awake device.

Theory of operation. A waiting device is an entry in the timer queue. The scheduler sleeps until the earliest entry,
lets the machines of all due devices decide, and starts a task for each that is to exchange something. Starts are
capped: after every eighth the scheduler yields, so that a herd of ours queues in our own schedule lag and not,
unseen, in the latency that we would book on the server (docs/scale.md, rule 2). A task carries out exchanges until
the machine waits again.

A device has one outstanding command. A new one cancels the exchange under way, which is recorded as abandoned.

A bug of ours that a device meets, in whatever is done for it, stops that device and no other: see :meth:`Shard._fail`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf, isfinite
from typing import Final

import trio

from estsim.device.commands import Command, Continue, Exchange, Stop, WaitUntil
from estsim.device.events import Answered, Event, PowerCut, Started, StopAsked, Woke
from estsim.device.states import State
from estsim.engine.exchange_task import ExchangeTask
from estsim.engine.timer_queue import FIRST_BOOT, TimerQueue
from estsim.errors import noting
from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.fleet.devices import Device, Fleet
from estsim.fleet.ledger import Ledger
from estsim.fleet.settled import Settled
from estsim.fleet.stations import Stations
from estsim.record.sample import RADAR_S, FleetReading

STARTS_PER_PASS: Final = 8
WAKES_PER_PASS: Final = 64  # most of which start nothing: a power cut, an order that is kept in mind
DRAIN_S: Final = 10.0  # what an exchange under way at the end may still take
_LONGEST_SLEEP_S: Final = 3600.0


class Shard:
    """Runs a fleet until nothing is planned any more, or until it is told to stop."""

    def __init__(self, fleet: Fleet, exchanges: ExchangeTask, ledger: Ledger, clock: RunClock) -> None:
        self.in_flight = 0
        self.drain_s = DRAIN_S
        self.ramp_s = max((at_s for at_s, _ in fleet.boots), default=0.0)  # the last device's boot
        self._devices = fleet.devices
        self._exchanges = exchanges
        self._ledger = ledger
        self._clock = clock
        self._timers: TimerQueue[Device] = TimerQueue()
        self._states: dict[str, Counter[str]] = {}  # by cohort
        self._orders: dict[int, Callable[[float], Event]] = {}  # by the turn of their entries, below FIRST_BOOT
        self._turns: dict[Callable[[float], Event], int] = {}
        self._stations: Stations[Device] = Stations()
        self._busy = 0  # who may still order something
        self._stopping = False
        self._something_new = trio.Event()
        self._sleeping_until_s = -inf
        for device in fleet.devices:
            self._states.setdefault(device.cohort.plan.name, Counter())[device.machine.state] += 1
        for at_s, device in fleet.boots:
            self._timers.push(at_s, device, FIRST_BOOT)
        for places, line in fleet.stationed:
            for device in self._stations.admit(line, places):
                self._timers.push(0.0, device, FIRST_BOOT)
        for wait, device in fleet.waiting:
            self._rest(device, wait)

    async def run(self, *, until_settled: bool) -> None:
        """Keep the fleet going; returns when the last exchange has ended after :meth:`stop`, or all is settled.

        Cancelled from outside, what it cuts is recorded as abandoned.
        """
        try:
            async with trio.open_nursery() as services:
                services.start_soon(self._close_idle)
                async with trio.open_nursery() as nursery:
                    await self._schedule(nursery, until_settled=until_settled)
                services.cancel_scope.cancel()
        finally:
            with noting(self._note):
                self._exchanges.lines.close()
            for device in self._devices:
                with self._stopping_at_bug(device):
                    self._ledger.open_at_the_end(device)

    async def _close_idle(self) -> None:
        """Close idle connections; without it they end with their device's next exchange, or with the run."""
        with noting(self._note):
            await self._exchanges.lines.close_idle()

    def order(self, at_s: float, device: Device, make: Callable[[float], Event]) -> None:
        """Tell a device something at a time of the run; ``make`` makes the event of the time that was planned."""
        turn = self._turns.get(make)
        if turn is None:
            turn = self._turns[make] = FIRST_BOOT - 1 - len(self._turns)
            self._orders[turn] = make
        self._plan(at_s, device, turn)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Say that something may still be ordered: the fleet does not settle before."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._something_new.set()

    def stop(self) -> None:
        """Ask every device to stop: nothing new is begun, exchanges under way may end."""
        if self._stopping:
            return
        self._stopping = True
        self._timers.clear()
        self._stations.clear()
        for device in self._devices:
            if not device.machine.stopped:
                with self._stopping_at_bug(device):
                    self._step(device, StopAsked(), self._clock.now_s())
        self._something_new.set()

    def reading(self) -> FleetReading:
        """Say where the fleet stands and who is about to wake."""
        states: Counter[str] = Counter()
        for counts in self._states.values():
            states.update(counts)
        return FleetReading(
            at_ns=self._clock.now_ns(),
            states=_by_name(states),
            wakeups=self._timers.due_per_second(self._clock.now_s(), RADAR_S),
            waiting_deferred=states[State.DEFERRED],
            cohorts={name: _by_name(counts) for name, counts in self._states.items()},
            planned=len(self._timers) + self.in_flight,
        )

    def admit(self, device: Device) -> None:
        """Take in a device that was made since the shard was; it does nothing until it is told."""
        self._devices.append(device)
        self._states.setdefault(device.cohort.plan.name, Counter())[device.machine.state] += 1

    # -- the scheduler

    async def _schedule(self, nursery: trio.Nursery, *, until_settled: bool) -> None:
        started = woken = 0
        while not self._stopping:
            due = self._timers.pop_due(self._clock.now_s())
            if due is not None:
                woken += 1
                started += self._wake(nursery, *due)
                if started == STARTS_PER_PASS or woken == WAKES_PER_PASS:
                    started = woken = 0
                    await trio.lowlevel.checkpoint()
            elif until_settled and self._is_settled:
                return
            else:
                started = woken = 0
                await self._sleep_until(self._timers.next_s())

    @property
    def _is_settled(self) -> bool:
        return not (self.in_flight or len(self._timers) or self._busy)

    async def _sleep_until(self, at_s: float) -> None:
        """Sleep until a time, or until something earlier is planned, the last exchange ended, or a stop was asked."""
        self._something_new = trio.Event()
        self._sleeping_until_s = at_s
        with trio.move_on_after(min(max(0.0, at_s - self._clock.now_s()), _LONGEST_SLEEP_S)):
            await self._something_new.wait()
        self._sleeping_until_s = -inf

    def _wake(self, nursery: trio.Nursery, at_s: float, device: Device, turn: int) -> bool:
        """Let a due device decide; returns whether it started an exchange. One that meets a bug of ours stops."""
        try:
            return self._let_decide(nursery, at_s, device, turn)
        except Exception as bug:  # noqa: BLE001 - whatever it is, the others go on
            self._fail(device, bug)
            return False

    def _let_decide(self, nursery: trio.Nursery, at_s: float, device: Device, turn: int) -> bool:
        if turn <= FIRST_BOOT and device.machine.stopped:
            return False  # ordered of a device that has left meanwhile
        if turn > FIRST_BOOT and turn == device.machine.turn:
            device.wakes_s = None
        event = self._event(at_s, turn)
        command = self._step(device, event, self._clock.now_s())
        self._ledger.event(device, event)
        if isinstance(event, PowerCut):
            self._exchanges.lines.forget(device)
        if isinstance(command, Continue):
            return False
        if device.wakes_s is not None:
            self._timers.overtake(device.wakes_s)
            device.wakes_s = None
        if device.scope is not None:
            device.scope.cancel()
        self._book(device, command, None, self._clock.now_ns())
        if isinstance(command, Exchange):
            self.in_flight += 1
            nursery.start_soon(self._live, device, command)
            return True
        self._rest(device, command)
        return False

    def _event(self, at_s: float, turn: int) -> Event:
        if turn > FIRST_BOOT:
            return Woke(turn)
        return Started(at_s) if turn == FIRST_BOOT else self._orders[turn](at_s)

    # -- one device

    def _step(self, device: Device, event: Event, now_s: float) -> Command:
        before = device.machine.state
        try:
            return device.machine.step(event, now_s)
        finally:
            if device.machine.state is not before:
                self._count(device, before)

    def _count(self, device: Device, before: str) -> None:
        """Count a device in its state, and no longer in the one before."""
        state = device.state
        if state != before:
            states = self._states[device.cohort.plan.name]
            states[before] -= 1
            states[state] += 1

    async def _live(self, device: Device, command: Exchange) -> None:
        """Carry out exchanges until the machine waits: the task of a device that is awake."""
        scope = device.scope = trio.CancelScope()
        try:
            with self._stopping_at_bug(device), scope:
                following: Command = command
                while isinstance(following, Exchange):
                    settled = await self._exchanges.perform(device, following)
                    following = self._answer(device, following, settled)
                self._rest(device, following)
        finally:
            if device.scope is scope:
                device.scope = None
            self.in_flight -= 1
            if self._is_settled:
                self._something_new.set()

    def _answer(self, device: Device, command: Exchange, settled: Settled) -> Command:
        """Tell the machine how an exchange ended, and keep the books."""
        event = Answered(command.turn, settled.outcome, settled.lifetime)
        following = self._step(device, event, settled.stamps.ended_ns / NS_PER_S)
        if not isinstance(following, Continue):
            self._book(device, following, settled, settled.stamps.ended_ns)
        return following

    def _book(self, device: Device, command: Exchange | WaitUntil | Stop, settled: Settled | None, now_ns: int) -> None:
        """Keep the books, and let the next device to the station of one that is done."""
        self._ledger.command(device, command, settled, now_ns)
        if command.ends is not None and (following := self._stations.done(device)) is not None:
            self._plan(self._clock.now_s(), following, FIRST_BOOT)

    def _rest(self, device: Device, command: Command) -> None:
        if isinstance(command, WaitUntil):
            self._plan(command.at_s, device, command.turn)
            device.wakes_s = command.at_s if isfinite(command.at_s) else None
        else:
            self._exchanges.lines.forget(device)

    # -- a device that meets a bug of ours

    @contextmanager
    def _stopping_at_bug(self, device: Device) -> Iterator[None]:
        """Stop a device at a bug of ours that ends the block, and let all others go on."""
        with noting(partial(self._fail, device)):
            yield

    def _fail(self, device: Device, bug: Exception) -> None:
        """Stop a device: what it sought ends, what it had under way is cut, and whoever waits for its place begins.

        Each of these may meet the bug once more, so each is done whatever becomes of the others.
        """
        now_ns = self._clock.now_ns()
        with noting(partial(self._note, device=device)):
            self._ledger.internal_error(device, bug, now_ns)
        before = device.state
        device.stop_at(bug)
        self._count(device, before)
        if device.wakes_s is not None and not self._stopping:  # when the timer queue was cleared
            self._timers.overtake(device.wakes_s)
        device.wakes_s = None
        if device.scope is not None:
            device.scope.cancel()
        if (following := self._stations.done(device)) is not None:
            self._plan(self._clock.now_s(), following, FIRST_BOOT)
        with noting(partial(self._note, device=device)):
            self._exchanges.lines.forget(device)

    def _note(self, bug: Exception, device: Device | None = None) -> None:
        """Take note of a bug that stops no device, or one that has been stopped."""
        self._ledger.note(bug, device, self._clock.now_ns())

    def _plan(self, at_s: float, device: Device, turn: int) -> None:
        self._timers.push(at_s, device, turn)
        if at_s < self._sleeping_until_s:
            self._something_new.set()


def _by_name(states: Counter[str]) -> dict[str, int]:
    return {str(state): count for state, count in states.items() if count}
