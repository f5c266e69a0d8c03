"""The transitions: where each event may lead from each state. Data alone.

A pair that is not here raises IllegalTransition in :meth:`estsim.device.machine.Machine.step`, and so does a handler's
choice outside its set. The diagram in docs/architecture.md is drawn from this table.
"""

from collections.abc import Mapping
from typing import Final

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
from estsim.device.states import State

_SEEKING: Final = frozenset({State.FETCHING_CA, State.FETCHING_ATTRS, State.ENROLLING})
_WITHOUT_CERTIFICATE: Final = _SEEKING | {State.GAVE_UP, State.EXPIRED}
_BOOTED: Final = _WITHOUT_CERTIFICATE | {State.DEFERRED, State.OPERATIONAL, State.RENEWING, State.OFF}
_RENEWAL_BEGUN: Final = _WITHOUT_CERTIFICATE | {State.RENEWING}
_ENROLMENT_ANSWERED: Final = frozenset(
    {State.DEFERRED, State.BACKING_OFF, State.OPERATIONAL, State.GAVE_UP, State.RETIRED}
)
_STEP_ANSWERED: Final = _WITHOUT_CERTIFICATE | {State.RENEWING, State.BACKING_OFF, State.OPERATIONAL, State.RETIRED}
_WAIT_OVER: Final = _WITHOUT_CERTIFICATE | {State.RENEWING, State.OPERATIONAL}

EXCHANGING: Final = _SEEKING | {State.RENEWING}
"""The states in which an exchange is under way."""


def _only(state: State) -> frozenset[State]:
    return frozenset({state})


def _exchanging(state: State, answered: frozenset[State]) -> Mapping[EventType, frozenset[State]]:
    return {
        Answered: answered,
        PowerCut: _only(State.OFF),
        RenewNow: _only(state),
        Retire: _only(state),
        StopAsked: _only(state),
    }


def _waiting(state: State) -> Mapping[EventType, frozenset[State]]:
    return {
        PowerCut: _only(State.OFF),
        RenewNow: _only(state),
        Retire: _only(State.RETIRED),
        StopAsked: _only(state),
    }


TRANSITIONS: Final[Mapping[State, Mapping[EventType, frozenset[State]]]] = {
    State.OFF: {
        **_waiting(State.OFF),
        Started: _BOOTED,
        Commissioned: _only(State.OPERATIONAL),
        PowerRestored: _BOOTED,
    },
    State.FETCHING_CA: _exchanging(State.FETCHING_CA, _STEP_ANSWERED),
    State.FETCHING_ATTRS: _exchanging(State.FETCHING_ATTRS, _STEP_ANSWERED),
    State.ENROLLING: _exchanging(State.ENROLLING, _ENROLMENT_ANSWERED),
    State.RENEWING: _exchanging(State.RENEWING, _ENROLMENT_ANSWERED | _WITHOUT_CERTIFICATE),
    State.DEFERRED: {**_waiting(State.DEFERRED), Woke: _WAIT_OVER},
    State.BACKING_OFF: {**_waiting(State.BACKING_OFF), Woke: _WAIT_OVER},
    State.OPERATIONAL: {
        **_waiting(State.OPERATIONAL),
        Woke: _RENEWAL_BEGUN,
        RenewNow: _RENEWAL_BEGUN | _SEEKING,
    },
    State.EXPIRED: _waiting(State.EXPIRED),
    State.GAVE_UP: _waiting(State.GAVE_UP),
    State.RETIRED: {},
}
