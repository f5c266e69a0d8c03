"""The virtual-time driver: the fleet's machines against a model of the server, with no network and no clock.

Exchanges take no time, so what remains is what waiting and capacity do to a fleet: the oracle of the herd tests. It
drives the very machine that the live engine drives. A dry run does so for a whole scenario: estsim.virtual.dry_run.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from estsim.device.behaviour import Behaviour
from estsim.device.commands import Command, Exchange, WaitUntil
from estsim.device.events import Answered, Lifetime, Started, Woke
from estsim.device.machine import Machine
from estsim.device.policy import Policy
from estsim.engine.timer_queue import FIRST_BOOT, TimerQueue
from estsim.est.enrolment import Cause
from estsim.est.operations import Operation
from estsim.est.outcome import (
    CACertificates,
    Deferred,
    Issued,
    NoCSRAttributes,
    Outcome,
    RetryAfter,
    RetryAfterForm,
)
from estsim.server.capacity import Overflow, TokenBucket


@dataclass(slots=True)
class ServerModel:
    """A server that can sign ``rate_per_s`` with ``burst``, and defers the rest by a fixed Retry-After.

    ``overflow`` DEFER keeps what it defers and gives it a slot in order; DEFER_FORGET tells it to come again.
    """

    rate_per_s: float = inf
    burst: int = 1
    overflow: Overflow = Overflow.DEFER
    retry_after_s: float = 60.0
    validity_s: float = 86_400.0
    _bucket: TokenBucket | None = field(init=False, default=None)
    _slots: dict[int, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.rate_per_s < inf:
            self._bucket = TokenBucket(self.rate_per_s, self.burst)

    def answer(self, operation: Operation, device: int, now_s: float) -> Outcome:
        """Answer a request that arrives now."""
        if operation is Operation.CACERTS:
            return CACertificates(())
        if operation is Operation.CSRATTRS:
            return NoCSRAttributes()
        if self._signs(device, now_s):
            return Issued(None)
        return Deferred(RetryAfter(self.retry_after_s, RetryAfterForm.SECONDS))

    def _signs(self, device: int, now_s: float) -> bool:
        if self._bucket is None:
            return True
        slot_s = self._slots.pop(device, None)
        if slot_s is None:
            if self._bucket.try_take(now_s) is not None:
                return True
            if self.overflow is Overflow.DEFER_FORGET:
                return False
            slot_s = self._bucket.reserve(now_s)
        if slot_s <= now_s:
            return True
        self._slots[device] = slot_s
        return False


@dataclass(slots=True)
class VirtualResult:
    """What a virtual run came to; the definitions are those of docs/metrics.md."""

    first_boot_s: float = inf
    last_certificate_s: float = -inf
    ended_s: float = 0.0
    certificates: int = 0
    exchanges: int = 0  # enrolment exchanges, CA certificates included
    polls: int = 0
    wasted_polls: int = 0

    @property
    def drain_s(self) -> float:
        """First boot to last certificate."""
        return self.last_certificate_s - self.first_boot_s

    @property
    def exchanges_per_certificate(self) -> float:
        """All enrolment exchanges for each certificate."""
        return self.exchanges / self.certificates if self.certificates else inf

    @property
    def wasted_share(self) -> float:
        """Polls answered by another deferral."""
        return self.wasted_polls / self.polls if self.polls else 0.0


class VirtualFleet:
    """Devices of one policy, booted at given times, run against a server model."""

    def __init__(self, policy: Policy, boot_times_s: Iterable[float], server: ServerModel, *, seed: int) -> None:
        self._server = server
        self._timers: TimerQueue[Machine] = TimerQueue()
        self.machines: list[Machine] = []
        self.result = VirtualResult()
        for index, at_s in enumerate(boot_times_s):
            machine = Machine(Behaviour(policy), seed=seed, device=index)
            self.machines.append(machine)
            self._timers.push(at_s, machine, FIRST_BOOT)
            self.result.first_boot_s = min(self.result.first_boot_s, at_s)

    def run(self, until_s: float = inf) -> VirtualResult:
        """Run until nothing is planned, or until the given time."""
        while (due := self._timers.pop_due(until_s)) is not None:
            at_s, machine, turn = due
            self.result.ended_s = at_s
            event = Started(at_s) if turn == FIRST_BOOT else Woke(turn)
            self._carry_out(machine, machine.step(event, at_s), at_s)
        return self.result

    def _carry_out(self, machine: Machine, command: Command, now_s: float) -> None:
        while isinstance(command, Exchange):
            outcome = self._server.answer(command.operation, machine.device, now_s)
            self._count(command, outcome, now_s)
            lifetime = Lifetime(now_s, now_s + self._server.validity_s) if isinstance(outcome, Issued) else None
            command = machine.step(Answered(command.turn, outcome, lifetime), now_s)
        if isinstance(command, WaitUntil):
            self._timers.push(command.at_s, machine, command.turn)

    def _count(self, command: Exchange, outcome: Outcome, now_s: float) -> None:
        result = self.result
        result.exchanges += 1
        if isinstance(outcome, Issued):
            result.certificates += 1
            result.last_certificate_s = now_s
        if command.cause is Cause.POLL:
            result.polls += 1
            result.wasted_polls += isinstance(outcome, Deferred)
