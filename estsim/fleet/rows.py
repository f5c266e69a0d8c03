"""What a row says of an outcome, in words and numbers for people."""

from collections.abc import Iterable

from estsim.est.outcome import (
    Abandoned,
    Challenged,
    CSRAttributes,
    Deferred,
    Failed,
    Issued,
    Malformed,
    NonConformance,
    Outcome,
    OutcomeClass,
    Overloaded,
    Redirected,
    Rejected,
    ServerError,
    Unauthorized,
)
from estsim.est.verify import NAMES_DIFFER
from estsim.record.error_kinds import reason
from estsim.record.sample import Sample

_MOST_CHARACTERS = 500
_OK = 200
_UNAUTHORIZED = 401


def status_of(outcome: Outcome) -> int | None:
    """Return the HTTP status that an outcome was judged from, None where there was none or it is not known."""
    if isinstance(outcome, Deferred | Issued | Overloaded | Redirected | Rejected | ServerError):
        return outcome.status
    if isinstance(outcome, Challenged | Unauthorized):
        return _UNAUTHORIZED
    return _OK if outcome.kind is OutcomeClass.OK else None


def detail_of(outcome: Outcome) -> str:
    """Return one line for people: the reason, the alert, the server's first words."""
    match outcome:
        case Failed(_, _, reason, alert, advice):
            named = f"{reason} (alert {alert})" if alert and alert not in reason.replace(" ", "_") else reason
            return f"{named}; {advice}" if advice else named
        case Malformed(reason, section):
            return f"{reason} ({section})"
        case Rejected(status, detail) | ServerError(status, detail) | Overloaded(_, status, detail):
            return f"{status} {detail}".strip()
        case Redirected(status, location):
            return f"{status} redirect to {location}"
        case Unauthorized(detail):
            return f"{_UNAUTHORIZED} {detail}"
        case Abandoned(detail) | CSRAttributes(detail=detail):
            return detail
    return ""


def notes_of(broken: Iterable[NonConformance]) -> str:
    """Return what is told of the cases in which an answer broke a rule and was used, in one line."""
    told = dict.fromkeys(map(_told, broken))
    return "; ".join(filter(None, told))[:_MOST_CHARACTERS]


def _told(broken: NonConformance) -> str:
    if not broken.detail or broken.detail.startswith(NAMES_DIFFER):
        return broken.detail
    return f"{broken.rule}: {broken.detail}"


def failure_of(sample: Sample) -> str | None:
    """Return what failed in a line, for Locust's statistics; None where nothing did.

    A deferral, a challenge, a refusal that is part of the plan and what we cut ourselves are no failures.
    """
    if not sample.kind.is_failure or sample.expected:
        return None
    return reason(sample.kind.value, sample.phase.value if sample.phase else None, sample.detail)
