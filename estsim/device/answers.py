"""What an answer means to a device: which outcomes lead on, which are tried again, which are final."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from estsim.device.events import Answered, Lifetime
from estsim.device.policy import RetryOn, RetryPolicy
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
    KeyAndCertificate,
    NoCSRAttributes,
    Outcome,
    Overloaded,
    RetryAfter,
    ServerError,
)

_THROTTLED: Final = 429
_ANSWERS_STEP: Final[Mapping[Step, tuple[type, ...]]] = {
    Step.CACERTS: (CACertificates,),
    Step.CSRATTRS: (CSRAttributes, NoCSRAttributes),
    Step.CERTIFICATE: (Issued, KeyAndCertificate, Deferred),
}
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
    """Wait before another try: as the server says, or by the policy."""

    retry_after: RetryAfter | None


@dataclass(frozen=True, slots=True)
class Fail:
    """End the enrolment without a certificate."""

    end: EnrolmentEnd


class Advance(Enum):
    """Go on to the chain's next step."""

    NEXT_STEP = "next step"


ADVANCE: Final = Advance.NEXT_STEP
Decision = Take | Defer | BackOff | Fail | Advance


def decide(event: Answered, *, step: Step, limit: EnrolmentEnd | None, retry: RetryPolicy) -> Decision:
    """Choose what follows an answer: a certificate is always taken, then the limits count, then the outcome."""
    outcome = event.outcome
    if isinstance(outcome, _BELONGS_TO_A_STEP) and not isinstance(outcome, _ANSWERS_STEP[step]):
        raise IllegalTransition(f"{outcome!r} answers another operation than that of {step}")
    if isinstance(outcome, Issued | KeyAndCertificate):
        if event.lifetime is None:
            raise IllegalTransition("a certificate was issued without a lifetime")
        return Take(event.lifetime)
    if isinstance(outcome, Challenged | Abandoned):
        raise IllegalTransition(f"{outcome!r} belongs inside an exchange")
    if limit is not None:
        return Fail(limit)
    if isinstance(outcome, CACertificates | CSRAttributes | NoCSRAttributes):
        return ADVANCE
    if isinstance(outcome, Deferred):
        return Defer(outcome)
    return _after_failure(outcome, retry)


def _after_failure(outcome: Outcome, retry: RetryPolicy) -> Decision:
    """Try again what is worth it, a stubborn device everything; the rest is a refusal."""
    if retry.stubborn:
        return BackOff(None)
    if isinstance(outcome, Overloaded | ServerError | Failed) and not retry.on.isdisjoint(retry_reasons(outcome)):
        return BackOff(outcome.retry_after if isinstance(outcome, Overloaded) else None)
    return Fail(EnrolmentEnd.REFUSED)


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
