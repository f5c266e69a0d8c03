"""What an answer means to a device: which outcomes lead on, which are tried again, which are final."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from estsim.device.commands import Command
from estsim.device.events import Answered
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
    KeyAndCertificate,
    NoCSRAttributes,
    Outcome,
    Overloaded,
    ServerError,
)

if TYPE_CHECKING:
    from estsim.device.machine import Machine

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


def decide(machine: "Machine", event: Answered) -> Command:
    """Choose what follows an answer: a certificate is always taken, then the limits count, then the outcome."""
    outcome = event.outcome
    if isinstance(outcome, _BELONGS_TO_A_STEP) and not isinstance(outcome, _ANSWERS_STEP[machine.step_of_chain]):
        raise IllegalTransition(f"{machine!r} cannot take {outcome!r}: it answers another operation")
    if isinstance(outcome, Issued | KeyAndCertificate):
        if event.lifetime is None:
            raise IllegalTransition(f"{machine!r} was issued a certificate without a lifetime")
        return machine.take_certificate(event.lifetime)
    if isinstance(outcome, Challenged | Abandoned):
        raise IllegalTransition(f"{machine!r} cannot take {outcome!r}: it belongs inside an exchange")
    limit = machine.limit_reached()
    if limit is not None:
        return machine.fail(limit)
    if isinstance(outcome, CACertificates):
        machine.has_ca = True
        return machine.advance()
    if isinstance(outcome, CSRAttributes | NoCSRAttributes):
        return machine.advance()
    if isinstance(outcome, Deferred):
        return machine.defer(outcome)
    return _after_failure(machine, outcome)


def _after_failure(machine: "Machine", outcome: Outcome) -> Command:
    """Try again what is worth it, a stubborn device everything; the rest is a refusal."""
    retry = machine.policy.retry
    if retry.stubborn:
        return machine.back_off(None)
    if isinstance(outcome, Overloaded | ServerError | Failed) and not retry.on.isdisjoint(retry_reasons(outcome)):
        return machine.back_off(outcome.retry_after if isinstance(outcome, Overloaded) else None)
    return machine.fail(EnrolmentEnd.REFUSED)


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
