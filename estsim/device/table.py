"""The transition table: every pair of state and event that means something, what answers it, and where it may lead.

A pair that is not here raises IllegalTransition. The README's diagram is drawn from this table.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from estsim.device.answers import decide
from estsim.device.commands import CONTINUE, Command
from estsim.device.events import (
    Answered,
    Commissioned,
    EventType,
    PowerCut,
    PowerRestored,
    RenewNow,
    Retire,
    Started,
    StopAsked,
    Woke,
)
from estsim.device.states import State, StopReason
from estsim.errors import IllegalTransition
from estsim.est.enrolment import Cause, Goal

if TYPE_CHECKING:
    from estsim.device.machine import Machine


class Transition(NamedTuple):
    """What answers an event, and the states it may lead to."""

    handler: Callable[["Machine", Any], Command]
    leads_to: frozenset[State]


# -- handlers: one per meaning of an event


def _start(machine: "Machine", event: Started) -> Command:
    if machine.started:
        raise IllegalTransition(f"{machine!r} was started before")
    machine.started = True
    return CONTINUE if machine.cuts else machine.boot(event.planned_s)


def _commission(machine: "Machine", event: Commissioned) -> Command:
    if machine.started or machine.cuts:
        raise IllegalTransition(f"{machine!r} was started before")
    machine.started = True
    return machine.begin_operational(event.lifetime)


def _restore_power(machine: "Machine", event: PowerRestored) -> Command:
    if not machine.cuts:
        raise IllegalTransition(f"{machine!r} has its power")
    machine.cuts -= 1
    return CONTINUE if machine.cuts or not machine.started else machine.boot(event.planned_s)


def _cut_again(machine: "Machine", _: PowerCut) -> Command:
    machine.cuts += 1
    return CONTINUE


def _cut(machine: "Machine", event: PowerCut) -> Command:
    machine.cuts += 1
    return machine.lose_power(keeps_key=event.keeps_key, keeps_pending=event.keeps_pending)


def _remember_renewal(machine: "Machine", _: RenewNow) -> Command:
    machine.renew_asked = True
    return CONTINUE


def _renew_now(machine: "Machine", event: RenewNow) -> Command:
    if machine.now_s >= machine.not_after_s:
        return machine.expire(event.planned_s, Cause.PLAN)
    return machine.begin(Goal.RENEW, event.planned_s, Cause.PLAN)


def _renewal_due(machine: "Machine", _: Woke) -> Command:
    machine.now_s = max(machine.now_s, machine.wake_at_s)  # a wake-up is never before its time
    if machine.now_s >= machine.not_after_s:
        return machine.expire(machine.wake_at_s, Cause.PLAN)
    return machine.begin(Goal.RENEW, machine.next_s, Cause.PLAN)


def _wait_over(machine: "Machine", _: Woke) -> Command:
    machine.now_s = max(machine.now_s, machine.wake_at_s)
    limit = machine.limit_reached()
    return machine.fail(limit) if limit else machine.repeat()


def _retire(machine: "Machine", _: Retire) -> Command:
    return machine.retire()


def _remember_retirement(machine: "Machine", _: Retire) -> Command:
    machine.retire_asked = True
    return CONTINUE


def _stop(machine: "Machine", _: StopAsked) -> Command:
    return machine.stop(StopReason.ASKED)


def _remember_stop(machine: "Machine", _: StopAsked) -> Command:
    machine.stop_asked = True
    return CONTINUE


def _answered(machine: "Machine", event: Answered) -> Command:
    return machine.wind_up(decide(machine, event))


# -- the table

_SEEKING: Final = frozenset({State.FETCHING_CA, State.FETCHING_ATTRS, State.ENROLLING})
_WITHOUT_CERTIFICATE: Final = _SEEKING | {State.GAVE_UP, State.EXPIRED}
_BOOTED: Final = _WITHOUT_CERTIFICATE | {State.DEFERRED, State.OPERATIONAL, State.RENEWING, State.OFF}
_RENEWAL_BEGUN: Final = _WITHOUT_CERTIFICATE | {State.RENEWING}
_ENROLMENT_ANSWERED: Final = frozenset(
    {State.DEFERRED, State.BACKING_OFF, State.OPERATIONAL, State.GAVE_UP, State.RETIRED}
)


def _only(state: State) -> frozenset[State]:
    return frozenset({state})


def _exchanging(state: State, leads_to: frozenset[State]) -> Mapping[EventType, Transition]:
    return {
        Answered: Transition(_answered, leads_to),
        PowerCut: Transition(_cut, _only(State.OFF)),
        RenewNow: Transition(_remember_renewal, _only(state)),
        Retire: Transition(_remember_retirement, _only(state)),
        StopAsked: Transition(_remember_stop, _only(state)),
    }


def _waiting(state: State, woke: Transition | None = None) -> Mapping[EventType, Transition]:
    rows: dict[EventType, Transition] = {
        PowerCut: Transition(_cut, _only(State.OFF)),
        RenewNow: Transition(_remember_renewal, _only(state)),
        Retire: Transition(_retire, _only(State.RETIRED)),
        StopAsked: Transition(_stop, _only(state)),
    }
    return rows if woke is None else rows | {Woke: woke}


TABLE: Final[Mapping[State, Mapping[EventType, Transition]]] = {
    State.OFF: {
        Started: Transition(_start, _BOOTED),
        Commissioned: Transition(_commission, _only(State.OPERATIONAL)),
        PowerRestored: Transition(_restore_power, _BOOTED),
        PowerCut: Transition(_cut_again, _only(State.OFF)),
        RenewNow: Transition(_remember_renewal, _only(State.OFF)),
        Retire: Transition(_retire, _only(State.RETIRED)),
        StopAsked: Transition(_stop, _only(State.OFF)),
    },
    State.FETCHING_CA: _exchanging(
        State.FETCHING_CA,
        frozenset(
            {
                State.FETCHING_ATTRS,
                State.ENROLLING,
                State.RENEWING,
                State.BACKING_OFF,
                State.OPERATIONAL,
                State.GAVE_UP,
                State.EXPIRED,
                State.RETIRED,
                State.FETCHING_CA,
            }
        ),
    ),
    State.FETCHING_ATTRS: _exchanging(
        State.FETCHING_ATTRS,
        frozenset(
            {
                State.ENROLLING,
                State.RENEWING,
                State.BACKING_OFF,
                State.OPERATIONAL,
                State.GAVE_UP,
                State.EXPIRED,
                State.RETIRED,
                State.FETCHING_CA,
                State.FETCHING_ATTRS,
            }
        ),
    ),
    State.ENROLLING: _exchanging(State.ENROLLING, _ENROLMENT_ANSWERED),
    State.RENEWING: _exchanging(State.RENEWING, _ENROLMENT_ANSWERED | _WITHOUT_CERTIFICATE),
    State.DEFERRED: _waiting(
        State.DEFERRED,
        Transition(_wait_over, _WITHOUT_CERTIFICATE | {State.RENEWING, State.OPERATIONAL}),
    ),
    State.BACKING_OFF: _waiting(
        State.BACKING_OFF,
        Transition(_wait_over, _WITHOUT_CERTIFICATE | {State.RENEWING, State.OPERATIONAL}),
    ),
    State.OPERATIONAL: {
        **_waiting(State.OPERATIONAL, Transition(_renewal_due, _RENEWAL_BEGUN)),
        RenewNow: Transition(_renew_now, _RENEWAL_BEGUN | _SEEKING),
    },
    State.EXPIRED: _waiting(State.EXPIRED),
    State.GAVE_UP: _waiting(State.GAVE_UP),
    State.RETIRED: {},
}
