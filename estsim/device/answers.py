"""What an answer means to a device: which outcomes lead on, which are tried again, which are final."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from estsim.device.behaviour import Behaviour
from estsim.device.events import Answered, Lifetime
from estsim.device.policy import RetryOn
from estsim.device.states import Step
from estsim.errors import IllegalTransition, Phase, Trouble
from estsim.est.enrolment import EnrolmentEnd
from estsim.est.outcome import (
    Abandoned,
    CACertificates,
    Challenged,
    CSRAttributes,
    Deferred,
    Failed,
    Issued,
    NoCSRAttributes,
    Outcome,
    Overloaded,
    Redirected,
    Rejected,
    ServerError,
    Unauthorized,
)

_THROTTLED: Final = 429
_UNAUTHORIZED: Final = 401
_NONE: Final[frozenset[RetryOn]] = frozenset()
_ANSWERS_STEP: Final[Mapping[Step, tuple[type, ...]]] = {
    Step.CACERTS: (CACertificates,),
    Step.CSRATTRS: (CSRAttributes, NoCSRAttributes),
    Step.CERTIFICATE: (Issued, Deferred),
}
# Unions are made once: to make one costs more than the question.
_INSIDE_AN_EXCHANGE: Final = (Challenged, Abandoned)
_LEADS_ON: Final = (CACertificates, CSRAttributes, NoCSRAttributes)
_MAY_BE_RETRIED: Final = (Overloaded, ServerError, Failed)
_HAS_STATUS: Final = (Overloaded, ServerError, Rejected, Redirected)
_BELONGS_TO_A_STEP: Final = tuple(kind for kinds in _ANSWERS_STEP.values() for kind in kinds)
_RETRY_OF_PHASE: Final = {
    Phase.RESOLVE: RetryOn.CONNECT,
    Phase.CONNECT: RetryOn.CONNECT,
    Phase.HANDSHAKE: RetryOn.HANDSHAKE,
}


@dataclass(frozen=True, slots=True)
class Take:
    """Become what was issued."""

    lifetime: Lifetime


@dataclass(frozen=True, slots=True)
class Defer:
    """Wait as the deferral says, and poll."""

    deferral: Deferred


@dataclass(frozen=True, slots=True)
class BackOff:
    """Wait before another try; an overloaded server may say how long."""

    status: int | None
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class Fail:
    """End the enrolment without a certificate."""

    end: EnrolmentEnd


class Advance(Enum):
    """Go on to the chain's next step."""

    NEXT_STEP = "next step"


ADVANCE: Final = Advance.NEXT_STEP
Decision = Take | Defer | BackOff | Fail | Advance


def decide(event: Answered, *, step: Step, limit: EnrolmentEnd | None, behaviour: Behaviour) -> Decision:
    """Choose what follows an answer: a certificate is always taken, then the limits count, then the outcome."""
    outcome = event.outcome
    if isinstance(outcome, _BELONGS_TO_A_STEP) and not isinstance(outcome, _ANSWERS_STEP[step]):
        raise IllegalTransition(f"{outcome!r} answers another operation than that of {step}")
    if isinstance(outcome, Issued):
        if event.lifetime is None:
            raise IllegalTransition("a certificate was issued without a lifetime")
        return Take(event.lifetime)
    if isinstance(outcome, _INSIDE_AN_EXCHANGE):
        raise IllegalTransition(f"{outcome!r} belongs inside an exchange")
    if limit is not None:
        return Fail(limit)
    if isinstance(outcome, _LEADS_ON):
        return ADVANCE
    if isinstance(outcome, Deferred):
        return Defer(outcome)
    return _after_failure(outcome, behaviour)


def _after_failure(outcome: Outcome, behaviour: Behaviour) -> Decision:
    """Try again what is worth it; the rest is a refusal."""
    reasons = retry_reasons(outcome) if isinstance(outcome, _MAY_BE_RETRIED) else _NONE
    status = status_of(outcome)
    if not behaviour.retries(status, reasons):
        return Fail(EnrolmentEnd.REFUSED)
    return BackOff(status, outcome.retry_after.wait_s if isinstance(outcome, Overloaded) else None)


def status_of(outcome: Outcome) -> int | None:
    """Return the HTTP status of an answer that failed; None without an answer."""
    if isinstance(outcome, _HAS_STATUS):
        return outcome.status
    return _UNAUTHORIZED if isinstance(outcome, Unauthorized) else None


def retry_reasons(outcome: Overloaded | ServerError | Failed) -> frozenset[RetryOn]:
    """Return the names under which a scenario may list a failure in ``retry.on``."""
    if isinstance(outcome, ServerError):
        return frozenset({RetryOn.SERVER_ERROR})
    if isinstance(outcome, Overloaded):
        return frozenset({RetryOn.THROTTLED if outcome.status == _THROTTLED else RetryOn.SERVER_ERROR})
    by_phase = _RETRY_OF_PHASE.get(outcome.phase)
    if outcome.trouble in (Trouble.TIMEOUT, Trouble.NETWORK_STALL):
        return frozenset({RetryOn.TIMEOUT, by_phase} if by_phase else {RetryOn.TIMEOUT})
    return frozenset({by_phase or RetryOn.RESET})
