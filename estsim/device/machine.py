"""The simulated device as a pure state machine: ``step(event, now_s) → command``.

It never sleeps, reads a clock, draws from a generator or touches a socket, so the same machine runs live under trio,
inside a Locust user, and in virtual time. Where an event may lead is :data:`estsim.device.transitions.TRANSITIONS`;
this module holds what answers each event, over the actions of :class:`estsim.device.actions.Actions`.

Beside the state there is the *goal* (no certificate sought, enroll, renew) and the *step* of the chain it stands at, so
that waiting states need no copies. There is no expiry event: every wait ends at the earliest of the next step and the
limits of the goal, and every wake-up and answer compares the time with the limits.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from estsim.device.actions import Actions
from estsim.device.answers import BackOff, Defer, Fail, Take, decide
from estsim.device.commands import CONTINUE, Command, Continue, Stop
from estsim.device.events import (
    Answered,
    Commissioned,
    Event,
    EventType,
    PowerCut,
    PowerRestored,
    RenewNow,
    Retire,
    Started,
    StopAsked,
    Woke,
)
from estsim.device.states import State, Step, StopReason
from estsim.device.transitions import EXCHANGING, TRANSITIONS
from estsim.errors import IllegalTransition
from estsim.est.enrolment import Cause, Goal

_RESULT: Final = (Woke, Answered)
_ENDS_THERE: Final = (Continue, Stop)


class Machine(Actions):
    """One device: its memory, its actions, and which of them answers an event."""

    __slots__ = ()

    def step(self, event: Event, now_s: float) -> Command:
        """Take an event at a time and say what to do.

        A late result (its turn is over) answers ``Continue``. Raises IllegalTransition, and changes nothing, where
        the table has no answer to the event.
        """
        if isinstance(event, _RESULT) and event.turn != self.turn:
            return CONTINUE
        allowed = None if self.stopped else TRANSITIONS[self.state].get(type(event))
        if allowed is None:
            raise IllegalTransition(f"{self!r} has no answer to {event!r}")
        before_s, self.now_s = self.now_s, max(self.now_s, now_s)
        try:
            command = _HANDLERS[type(event)](self, event)
        except IllegalTransition:
            self.now_s = before_s
            raise
        if self.state not in allowed:
            raise IllegalTransition(f"{event!r} led {self!r} to a state that its table does not allow")
        return command

    def start(self, event: Started) -> Command:
        """Power up for the first time, or remember it until the power is there."""
        if self.started:
            raise IllegalTransition(f"{self!r} was started before")
        self.started = True
        return CONTINUE if self.cuts else self.boot(event.planned_s)

    def commission(self, event: Commissioned) -> Command:
        """Begin with a certificate from before the run."""
        if self.started or self.cuts:
            raise IllegalTransition(f"{self!r} was started before")
        self.started = True
        return self.begin_operational(event.lifetime)

    def wake(self, _: Woke) -> Command:
        """Renew, poll or retry, the wait being over; or end what has reached a limit."""
        self.now_s = max(self.now_s, self.wake_at_s)  # a wake-up is never before its time
        if self.state is not State.OPERATIONAL:
            limit = self.limit_reached()
            return self.fail(limit) if limit else self.repeat()
        if self.now_s >= self.not_after_s:
            return self.expire(self.wake_at_s, Cause.PLAN)
        return self.begin(Goal.RENEW, self.next_s, Cause.PLAN)

    def take_answer(self, event: Answered) -> Command:
        """Do what an answer leads to; then stop, where a stop or a retirement was asked for meanwhile."""
        command = self._after_answer(event)
        if isinstance(command, _ENDS_THERE):
            return command
        if self.retire_asked:
            return self.retire(ends=command.ends)
        if self.stop_asked:
            return self.stop(StopReason.ASKED, command.ends)
        return command

    def _after_answer(self, event: Answered) -> Command:
        decision = decide(event, step=self.step_of_chain, limit=self.limit_reached(), behaviour=self.behaviour)
        match decision:
            case Take():
                return self.take_certificate(decision.lifetime)
            case Defer():
                return self.defer(decision.deferral)
            case BackOff():
                return self.back_off(decision.status, decision.retry_after_s)
            case Fail():
                return self.fail(decision.end)
            case _:
                self.has_ca = self.has_ca or self.step_of_chain is Step.CACERTS
                self.has_attributes = self.has_attributes or self.step_of_chain is Step.CSRATTRS
                return self.advance()

    def cut_power(self, event: PowerCut) -> Command:
        """Go dark; where it is dark already, count the cut: two that overlap need two returns."""
        self.cuts += 1
        if self.state is State.OFF:
            return CONTINUE
        return self.lose_power(keeps_key=event.keeps_key, keeps_pending=event.keeps_pending)

    def restore_power(self, event: PowerRestored) -> Command:
        """Boot once the last cut is over and the device was started."""
        if not self.cuts:
            raise IllegalTransition(f"{self!r} has its power")
        self.cuts -= 1
        return CONTINUE if self.cuts or not self.started else self.boot(event.planned_s)

    def renew_now(self, event: RenewNow) -> Command:
        """Renew at once where the device is operational; elsewhere remember it."""
        if self.state is not State.OPERATIONAL:
            self.renew_asked = True
            return CONTINUE
        if self.now_s >= self.not_after_s:
            return self.expire(event.planned_s, Cause.PLAN)
        return self.begin(Goal.RENEW, event.planned_s, Cause.PLAN)

    def leave_service(self, _: Retire) -> Command:
        """Retire; in an exchange once its answer is there."""
        if self.state in EXCHANGING:
            self.retire_asked = True
            return CONTINUE
        return self.retire()

    def stop_when_asked(self, _: StopAsked) -> Command:
        """Stop; in an exchange once its answer is there."""
        if self.state in EXCHANGING:
            self.stop_asked = True
            return CONTINUE
        return self.stop(StopReason.ASKED)


_HANDLERS: Final[Mapping[EventType, Callable[[Machine, Any], Command]]] = {
    Started: Machine.start,
    Commissioned: Machine.commission,
    Woke: Machine.wake,
    Answered: Machine.take_answer,
    PowerCut: Machine.cut_power,
    PowerRestored: Machine.restore_power,
    RenewNow: Machine.renew_now,
    Retire: Machine.leave_service,
    StopAsked: Machine.stop_when_asked,
}
