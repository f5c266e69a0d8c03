"""One device from its boot to its stop, in plain blocking calls: the loop that a thread or a greenlet runs.

Theory of operation. The device has one outstanding command, as everywhere: an exchange, which the loop carries out, or
a wait, in which it sleeps. What the scenario's events order of a device is known beforehand, so nobody has to interrupt
it: a sleep ends when the next order is due, and an exchange ends, by a deadline like any other, when the power is to
fail. Other orders that came due while an exchange lasted are told to the machine after it and before its answer, at
their times: it only keeps them in mind. Just one thing comes unforeseen, that the user is to stop: an alarm, which ends
a sleep and is told to the machine at the same place. A waiting device is this loop in its sleep, and nothing else.
"""

from collections import deque
from collections.abc import Callable
from math import inf, isfinite
from typing import Protocol, overload

from estsim.device.commands import Continue, Exchange, Stop, WaitUntil
from estsim.device.events import Answered, Event, PowerCut, Started, StopAsked, Woke
from estsim.device.states import State
from estsim.errors import noting
from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.fleet.devices import Device
from estsim.fleet.exchanges import Exchanges
from estsim.fleet.kept_connection import KeptConnection
from estsim.fleet.ledger import Ledger
from estsim.fleet.run_context import RunContext
from estsim.fleet.settled import Settled
from estsim.net.io import run_through
from estsim.net.io_blocking import BlockingIo
from estsim.net.limit import CutOff


class Alarm(Protocol):
    """What ends a sleep before its time, once and for all: ``threading.Event``, and gevent's."""

    def is_set(self) -> bool:
        """Say whether it has rung."""

    @overload
    def wait(self, timeout: None = None, /) -> object: ...
    @overload
    def wait(self, timeout: float, /) -> object: ...
    def wait(self, timeout: float | None = None, /) -> object:
        """Sleep until it rings, or for so many seconds."""


def stop_at_bug(device: Device, bug: Exception, ledger: Ledger, clock: RunClock) -> None:
    """Stop a device that met a bug of ours; what it sought ends, and is nobody else's failure."""
    now_ns = clock.now_ns()
    with noting(lambda another: ledger.note(another, device, now_ns)):
        ledger.internal_error(device, bug, now_ns)
    device.stop_at(bug)


class DeviceLoop:
    """Runs one device, whose exchanges wait with an ``io`` of its own; ``start_limiter`` is called before each."""

    __slots__ = (
        "_alarm",
        "_clock",
        "_command",
        "_device",
        "_due",
        "_exchanges",
        "_io",
        "_kept",
        "_ledger",
        "_machine",
        "_start_limiter",
        "_stop_told",
    )

    def __init__(
        self,
        device: Device,
        context: RunContext,
        exchanges: Exchanges,
        alarm: Alarm,
        *,
        io: BlockingIo | None = None,
        start_limiter: Callable[[], None] | None = None,
    ) -> None:
        self._device = device
        self._machine = machine = device.machine
        self._exchanges = exchanges
        self._alarm = alarm
        self._start_limiter = start_limiter
        self._clock = context.clock
        self._ledger = context.ledger
        self._io = io = io or BlockingIo()
        self._kept = KeptConnection(context.access, io, device)
        self._stop_told = False
        self._command: Exchange | WaitUntil | Stop | None = None
        due = [(order.at_s, order.make(order.at_s)) for order in context.orders_of(device)]
        if machine.state is State.OFF:
            boots_s = context.boots_s(device)
            due.append((boots_s, Started(boots_s)))
        due.sort(key=lambda entry: entry[0])  # stable: what is ordered for one moment stays in its order
        self._due: deque[tuple[float, Event]] = deque(due)

    def run(self) -> None:
        """Live until the machine stops; whatever ends it, what is open is booked and nothing stays open.

        A bug of ours stops the device where it stands, and is no exception of its user's.
        """
        try:
            with noting(self._fail):
                self._live()
        finally:
            self._device.wakes_s = None
            with noting(self._fail):
                self._kept.drop()
            with noting(self._fail):
                self._ledger.open_at_the_end(self._device)

    def _live(self) -> None:
        while not self._machine.stopped:
            if self._alarm.is_set() and not self._stop_told:
                self._ask_to_stop()
            elif isinstance(self._command, Exchange):
                self._carry_out(self._command)
            else:
                self._sleep()

    def _fail(self, bug: Exception) -> None:
        """Stop at a bug of ours: what the device sought ends, and is nobody else's failure."""
        stop_at_bug(self._device, bug, self._ledger, self._clock)

    # -- waiting

    def _sleep(self) -> None:
        """Sleep until the next moment that matters, and act if it has come."""
        wakes_s = self._wakes_s
        next_s = min(wakes_s, self._kept.until_s, self._due[0][0] if self._due else inf)
        wait_s = next_s - self._clock.now_s()
        if wait_s > 0:
            self._alarm.wait(wait_s if wait_s < inf else None)
        elif next_s == self._kept.until_s:
            self._kept.drop()
        elif next_s == wakes_s:
            self._device.wakes_s = None
            self._tell(Woke(self._machine.turn), self._clock.now_s())
        else:
            self._tell(self._due.popleft()[1], self._clock.now_s())

    @property
    def _wakes_s(self) -> float:
        """When the outstanding wait is over; that of a device in service from before the run is the machine's own."""
        if isinstance(self._command, WaitUntil):
            return self._command.at_s
        return self._machine.wake_at_s if self._machine.state is State.OPERATIONAL else inf

    def _tell(self, event: Event, now_s: float) -> None:
        """Tell the machine, and take up the command that it answers with."""
        command = self._machine.step(event, now_s)
        self._ledger.event(self._device, event)
        if isinstance(event, PowerCut):
            self._kept.forget()
        if not isinstance(command, Continue):
            self._take_up(command, None, self._clock.now_ns())

    def _take_up(self, command: Exchange | WaitUntil | Stop, settled: Settled | None, now_ns: int) -> None:
        """Book a new command, which replaces the one before."""
        self._ledger.command(self._device, command, settled, now_ns)
        self._command = command
        at_s = command.at_s if isinstance(command, WaitUntil) else inf
        self._device.wakes_s = at_s if isfinite(at_s) else None
        if isinstance(command, Stop):
            self._kept.forget()

    def _ask_to_stop(self) -> None:
        """Pass the alarm on: nothing new is begun, an answer under way may still be taken."""
        self._stop_told = True
        self._machine.step(StopAsked(), self._clock.now_s())

    # -- exchanging

    def _carry_out(self, command: Exchange) -> None:
        """Do the exchange; then tell what came due meanwhile, and then what it came to, if that still counts."""
        if self._start_limiter is not None:
            self._start_limiter()
        power_fails_s = next((at_s for at_s, event in self._due if isinstance(event, PowerCut)), inf)
        self._io.cut_off_in(power_fails_s - self._clock.now_s())
        try:
            settled = run_through(self._exchanges.perform(self._device, command, self._kept))
        except CutOff:
            self._tell_due(max(power_fails_s, self._clock.now_s()))
            return
        ended_s = settled.stamps.ended_ns / NS_PER_S
        self._tell_due(ended_s)
        if self._alarm.is_set() and not self._stop_told and not self._machine.stopped:
            self._ask_to_stop()
        if self._command is not command:
            return  # the power had failed: the answer came too late
        following = self._machine.step(Answered(command.turn, settled.outcome, settled.lifetime), ended_s)
        if not isinstance(following, Continue):
            self._take_up(following, settled, settled.stamps.ended_ns)

    def _tell_due(self, until_s: float) -> None:
        """Tell what was due by then, each at its time."""
        while self._due and self._due[0][0] <= until_s and not self._machine.stopped:
            at_s, event = self._due.popleft()
            self._tell(event, at_s)
