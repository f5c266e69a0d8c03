"""EST requests and responses as values, and the table that says what a response means (RFC 7030 §3.2, §4).

Responses are judged by status, never by content type; what breaks a rule but can be used is noted beside the outcome.
:func:`read_response` is total: whatever came gives a :class:`Reading`. Whether an issued certificate is the one that
was asked for is :mod:`estsim.est.verify`'s question.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from estsim.errors import UsageError
from estsim.est.bodies import SECTIONS, Notes, content_type_notes, read_body
from estsim.est.challenge import basic_authorization, choose_challenge, read_challenges
from estsim.est.operations import PKCS7_MIME, PKCS10, WELL_KNOWN, Operation, operation_path
from estsim.est.outcome import (
    Challenged,
    Deferred,
    Malformed,
    NoCSRAttributes,
    NonConformance,
    Outcome,
    Overloaded,
    Rejected,
    RetryAfter,
    RetryAfterForm,
    ServerError,
    Unauthorized,
)
from estsim.est.retry_after import read_retry_after
from estsim.est.transfer import encode_body

__all__ = [
    "EstRequest",
    "EstResponse",
    "Reading",
    "basic_authorization",
    "build_request",
    "read_response",
    "readable",
]

STATUS_206: Final = NonConformance("206 used", "RFC 7030 §4.2.3")
NO_RETRY_AFTER_SENT: Final = NonConformance("no Retry-After", "RFC 7030 §4.2.3")
UNREADABLE_RETRY_AFTER: Final = NonConformance("unreadable Retry-After", "RFC 9110 §10.2.3")
NO_CHALLENGE: Final = NonConformance("401 without a challenge", "RFC 9110 §15.5.2")
INVALID_STATUS: Final = NonConformance("invalid status", "RFC 9110 §15")

DETAIL_CHARACTERS: Final = 200
"""How much of an error body is kept; it is for people."""

_DETAIL_BYTES: Final = 2048  # enough for 200 characters and white space that is dropped
_CMC_REQUEST: Final = f"{PKCS7_MIME}; smime-type=CMC-request"
_LABELS_TAKEN: Final = frozenset(operation.value for operation in Operation)


@dataclass(frozen=True, slots=True)
class EstRequest:
    """A request without what the transport adds: Host, Content-Length or chunks, Connection."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class EstResponse:
    """A whole response; the names of its headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header, None where it is missing."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a response came to, and the rules that it broke on the way."""

    outcome: Outcome
    non_conformances: tuple[NonConformance, ...] = ()


def build_request(
    operation: Operation,
    *,
    body_der: bytes | None = None,
    base: str = WELL_KNOWN,
    label: str | None = None,
    request_id: str | None = None,
    authorization: str | None = None,
) -> EstRequest:
    """Build the request of an operation; ``body_der`` goes with POST and only there.

    Content-Transfer-Encoding means nothing since RFC 8951 §3, but servers were seen to ask for it.
    """
    if label in _LABELS_TAKEN:
        raise UsageError(f"a label must not be the name of an operation (got {label!r}; RFC 7030 §3.2.2)")
    if (body_der is not None) != (operation.method == "POST"):
        raise UsageError(f"{operation.value} is a {operation.method}: a body goes with POST and only there")
    headers: list[tuple[str, str]] = []
    if body_der is not None:
        content_type = _CMC_REQUEST if operation is Operation.FULLCMC else PKCS10
        headers += [("Content-Type", content_type), ("Content-Transfer-Encoding", "base64")]
    if request_id is not None:
        headers.append(("X-Request-ID", request_id))
    if authorization is not None:
        headers.append(("Authorization", authorization))
    body = b"" if body_der is None else encode_body(body_der)
    path = operation_path(operation, base=base, label=label)
    return EstRequest(operation.method, path, tuple(headers), body)


def read_response(
    operation: Operation,
    response: EstResponse,
    *,
    deferral_statuses: frozenset[int] = frozenset({202}),
    wall_now_s: float,
    can_answer: frozenset[str] = frozenset(),
    public_key_der: bytes | None = None,
) -> Reading:
    """Say what a response came to: the table of outcomes, total over statuses, headers and bodies.

    ``deferral_statuses`` may add 206 to 202; ``can_answer`` holds the authentication schemes (lower case) that the
    device can answer; ``public_key_der`` is the request's key, which tells the issued certificate from extra ones.
    """
    match response.status:
        case 200:
            notes = content_type_notes(operation, response.header("content-type"))
            outcome, body_notes = read_body(operation, response.body, public_key_der)
            return Reading(outcome, notes + body_notes)
        case 202 | 206:
            return _read_deferral(operation, response, deferral_statuses, wall_now_s)
        case 401:
            return _read_challenge(response, can_answer)
        case 429 | 503:
            told = _retry_after(response, wall_now_s)
            return Reading(Overloaded(told, response.status), _unreadable_notes(told))
        case 204 | 404 | 501 if operation is Operation.CSRATTRS:
            return Reading(NoCSRAttributes())
        case 204:
            return Reading(_rejected(response))
        case _:
            return _read_by_class(operation, response)


def _read_by_class(operation: Operation, response: EstResponse) -> Reading:
    """Read the statuses that mean no more than their class."""
    status = response.status
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return Reading(Rejected(status, _join("not implemented", readable(response.body))))
    match status // 100:
        case 2:
            return Reading(Malformed(f"status {status} means nothing to {operation.value}", SECTIONS[operation]))
        case 3:
            location = readable((response.header("location") or "nowhere").encode("utf-8", "replace"))
            return Reading(Rejected(status, f"redirect to {location}"))
        case 4:
            return Reading(_rejected(response))
        case 5:
            return Reading(ServerError(status, _detail(response)))
        case 1:
            # "A client MUST be able to parse one or more 1xx responses received prior to a final response"
            return Reading(Malformed(f"status {status} is no final answer", "RFC 9110 §15.2"))
        case _:
            # "A client that receives a response with an invalid status code SHOULD process it as if it had a 5xx"
            return Reading(ServerError(status, _detail(response)), (INVALID_STATUS,))


def _read_deferral(
    operation: Operation, response: EstResponse, deferral_statuses: frozenset[int], wall_now_s: float
) -> Reading:
    """Read a 202, or a 206 that may stand for one (§4.2.3).

    One portal documents deferral as 206. It is one only where the scenario lists it and the answer cannot be a part
    of something: with Retry-After, without Content-Range.
    """
    status, section = response.status, SECTIONS[operation]
    if not operation.seeks_certificate:
        return Reading(Malformed(f"status {status}, but {operation.value} cannot be deferred", section))
    told = _retry_after(response, wall_now_s)
    if status == HTTPStatus.ACCEPTED:
        missing = (NO_RETRY_AFTER_SENT,) if told.form is RetryAfterForm.MISSING else ()
        return Reading(Deferred(told, status), missing + _unreadable_notes(told))
    if (
        status not in deferral_statuses
        or told.form is RetryAfterForm.MISSING
        or response.header("content-range") is not None
    ):
        return Reading(Malformed("status 206 (Partial Content) that is no deferral", section))
    return Reading(Deferred(told, status), (STATUS_206, *_unreadable_notes(told)))


def _read_challenge(response: EstResponse, can_answer: frozenset[str]) -> Reading:
    """Read a 401: challenged where the device can answer, else unauthorized (also what a POP mismatch was seen as)."""
    challenges = read_challenges(value for name, value in response.headers if name == "www-authenticate")
    notes = () if challenges else (NO_CHALLENGE,)
    chosen = choose_challenge(challenges, can_answer)
    if chosen is None:
        return Reading(Unauthorized(_detail(response)), notes)
    return Reading(Challenged(chosen.scheme, chosen.realm), notes)


def _retry_after(response: EstResponse, wall_now_s: float) -> RetryAfter:
    """Read a response's Retry-After against its own Date."""
    return read_retry_after(response.header("retry-after"), date=response.header("date"), wall_now_s=wall_now_s)


def _unreadable_notes(told: RetryAfter) -> Notes:
    return (UNREADABLE_RETRY_AFTER,) if told.form is RetryAfterForm.UNREADABLE else ()


def _rejected(response: EstResponse) -> Rejected:
    return Rejected(response.status, _detail(response))


def _detail(response: EstResponse) -> str:
    """Return the server's first words, or the status's name where it had none."""
    if said := readable(response.body):
        return said
    try:
        return HTTPStatus(response.status).phrase
    except ValueError:
        return ""


def _join(first: str, rest: str) -> str:
    return f"{first}: {rest}"[:DETAIL_CHARACTERS] if rest else first


def readable(text: bytes) -> str:
    """Return the first 200 characters of a text as one line, harmless to a terminal: no control, no bidi override."""
    words = " ".join(text[:_DETAIL_BYTES].decode("utf-8", "replace").split())[:DETAIL_CHARACTERS]
    return words if words.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in words)
