"""What a row says of an outcome, in words and numbers for people."""

from estsim.est.outcome import (
    Abandoned,
    Challenged,
    Deferred,
    Failed,
    Malformed,
    Outcome,
    OutcomeClass,
    Overloaded,
    Rejected,
    ServerError,
    Unauthorized,
)
from estsim.measure.sample import Sample

_OK = 200
_UNAUTHORIZED = 401


def status_of(outcome: Outcome) -> int | None:
    """Return the HTTP status that an outcome was judged from, None where there was none or it is not known."""
    if isinstance(outcome, Deferred | Overloaded | Rejected | ServerError):
        return outcome.status
    if isinstance(outcome, Challenged | Unauthorized):
        return _UNAUTHORIZED
    return _OK if outcome.kind is OutcomeClass.OK else None


def detail_of(outcome: Outcome) -> str:
    """Return one line for people: the reason, the alert, the server's first words."""
    match outcome:
        case Failed(_, _, reason, alert):
            return f"{reason} (alert {alert})" if alert and alert not in reason.replace(" ", "_") else reason
        case Malformed(reason, section):
            return f"{reason} ({section})"
        case Rejected(status, detail) | ServerError(status, detail):
            return f"{status} {detail}".strip()
        case Unauthorized(detail) | Abandoned(detail):
            return detail
    return ""


def failure_of(sample: Sample) -> str | None:
    """Return what failed in a line, for Locust's statistics; None where nothing did.

    A deferral, a challenge, a refusal that is part of the plan and what we cut ourselves are no failures.
    """
    if not sample.kind.is_failure or sample.expected:
        return None
    where = f" in {sample.phase.value}" if sample.phase else ""
    return f"{sample.kind.value}{where}: {sample.detail}" if sample.detail else sample.kind.value
