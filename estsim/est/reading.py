"""What a response means: the table of outcomes (RFC 7030 §3.2, §4).

Responses are judged by status, never by content type; a usable response that breaks a rule is noted with the outcome.
:func:`read_response` is total: any response gives a :class:`Reading`. Whether an issued certificate is the one that was
requested is checked in :mod:`estsim.est.verify`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from estsim.est.bodies import Notes, content_type_notes, read_body
from estsim.est.challenge import read_challenges
from estsim.est.login import NO_LOGIN, Login, choose_challenge, why_not_answered
from estsim.est.messages import EstResponse
from estsim.est.operations import Operation
from estsim.est.outcome import (
    Challenged,
    Deferred,
    Issued,
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
from estsim.est.readable import DETAIL_CHARACTERS, is_page, readable, words_of
from estsim.est.redirect import refused
from estsim.est.retry_after import read_retry_after

STATUS_201: Final = NonConformance("201 used", "RFC 7030 §4.2.3")
STATUS_206: Final = NonConformance("206 used", "RFC 7030 §4.2.3")
NO_RETRY_AFTER_SENT: Final = NonConformance("no Retry-After", "RFC 7030 §4.2.3")
UNREADABLE_RETRY_AFTER: Final = NonConformance("unreadable Retry-After", "RFC 9110 §10.2.3")
NO_CHALLENGE: Final = NonConformance("401 without a challenge", "RFC 9110 §15.5.2")
INVALID_STATUS: Final = NonConformance("invalid status", "RFC 9110 §15")
CODED: Final = NonConformance("unrequested content coding", "RFC 9110 §12.5.3")

_ADVICE_ON_PAGES: Final[dict[int, str]] = {
    HTTPStatus.FORBIDDEN: "an HTML page, possibly from a proxy; check the path (target.url) and the client certificate",
    HTTPStatus.NOT_FOUND: "an HTML page, possibly from a proxy; check the path (target.url)",
}
_WITH_CONTENT: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
_NO_CODING: Final = frozenset({"", "identity"})


@dataclass(frozen=True, slots=True)
class Reading:
    """The outcome of a response, and the rules that it broke."""

    outcome: Outcome
    non_conformances: tuple[NonConformance, ...] = ()


def read_response(
    operation: Operation,
    response: EstResponse,
    *,
    deferral_statuses: frozenset[int] = frozenset({202}),
    wall_now_s: float,
    login: Login = NO_LOGIN,
    redirected: Callable[[int, str | None], Outcome] = refused,
    public_key_der: bytes | None = None,
) -> Reading:
    """Return the outcome of a response; total over statuses, headers and bodies.

    ``deferral_statuses`` may add 206 to 202; ``redirected`` reads a redirect's status and Location; ``public_key_der``
    is the request's key, which picks the issued certificate out of several.
    """
    coding = response.header("content-encoding")
    if coding is not None and coding.strip().lower() not in _NO_CODING:
        reading = read_response(
            operation,
            _as_if_not_coded(response),
            deferral_statuses=deferral_statuses,
            wall_now_s=wall_now_s,
            login=login,
            redirected=redirected,
            public_key_der=public_key_der,
        )
        return _coded(reading, response.status, coding)
    match response.status:
        case 200:
            notes = content_type_notes(operation, response.header("content-type"))
            outcome, body_notes = read_body(operation, response.body, public_key_der)
            return Reading(outcome, notes + body_notes)
        case 201 if operation.seeks_certificate:
            return _read_created(operation, response, public_key_der)
        case 202 | 206:
            return _read_deferral(operation, response, deferral_statuses, wall_now_s)
        case 401:
            return _read_challenge(response, login)
        case 429 | 503:
            retry_after = _retry_after(response, wall_now_s)
            overloaded = Overloaded(retry_after, response.status, _detail(response))
            return Reading(overloaded, _unreadable_notes(retry_after))
        case 204 | 404 | 501 if operation is Operation.CSRATTRS:
            return Reading(NoCSRAttributes())
        case 204:
            return Reading(_rejected(response))
        case 300 | 301 | 302 | 303 | 305 | 307 | 308:
            return Reading(redirected(response.status, response.header("location")))
        case _:
            return _read_by_class(operation, response)


def _read_created(operation: Operation, response: EstResponse, public_key_der: bytes | None) -> Reading:
    """Read a 201, which one server sends: its certificate is used like a 200's.

    RFC 7030 §4.2.3: "If the enrollment is successful, the server response MUST contain an HTTP 200 response code".
    """
    outcome, notes = read_body(operation, response.body, public_key_der)
    if not isinstance(outcome, Issued):
        return _read_by_class(operation, response)
    type_notes = content_type_notes(operation, response.header("content-type"))
    return Reading(replace(outcome, status=response.status), (STATUS_201, *type_notes, *notes))


def _as_if_not_coded(response: EstResponse) -> EstResponse:
    """Return a response without its content coding; a body for people is dropped, as it is not text."""
    headers = tuple(header for header in response.headers if header[0] != "content-encoding")
    return replace(response, headers=headers, body=response.body if response.status in _WITH_CONTENT else b"")


def _coded(reading: Reading, status: int, coding: str) -> Reading:
    """Note an unrequested content coding; content that was not really coded can still be used."""
    name = readable(coding.encode("latin-1", "replace"))
    outcome = reading.outcome
    if status in _WITH_CONTENT and isinstance(outcome, Malformed):
        outcome = Malformed(f"the content has an unrequested coding ({name})", CODED.rfc_section)
    return Reading(outcome, (*reading.non_conformances, replace(CODED, detail=name)))


def _read_by_class(operation: Operation, response: EstResponse) -> Reading:
    """Read a status that means no more than its class."""
    status = response.status
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return Reading(Rejected(status, _join("not implemented", words_of(response.body))))
    match status // 100:
        case 2:
            return Reading(Malformed(f"status {status} is not defined for {operation.value}", operation.spec.section))
        case 3 | 4:
            return Reading(_rejected(response))
        case 5:
            return Reading(ServerError(status, _detail(response)))
        case 1:
            # "A client MUST be able to parse one or more 1xx responses received prior to a final response"
            return Reading(Malformed(f"expected a final status, got {status}", "RFC 9110 §15.2"))
        case _:
            # "A client that receives a response with an invalid status code SHOULD process it as if it had a 5xx"
            return Reading(ServerError(status, _detail(response)), (INVALID_STATUS,))


def _read_deferral(
    operation: Operation, response: EstResponse, deferral_statuses: frozenset[int], wall_now_s: float
) -> Reading:
    """Read a 202, or a 206 that may stand for one (§4.2.3).

    One portal documents deferral as 206. It counts only where the scenario lists it and the response cannot be partial
    content: with Retry-After, without Content-Range.
    """
    status, section = response.status, operation.spec.section
    if not operation.seeks_certificate:
        return Reading(Malformed(f"status {status}, but {operation.value} cannot be deferred", section))
    retry_after = _retry_after(response, wall_now_s)
    if status == HTTPStatus.ACCEPTED:
        missing = (NO_RETRY_AFTER_SENT,) if retry_after.form is RetryAfterForm.MISSING else ()
        return Reading(Deferred(retry_after, status), missing + _unreadable_notes(retry_after))
    if (
        status not in deferral_statuses
        or retry_after.form is RetryAfterForm.MISSING
        or response.header("content-range") is not None
    ):
        return Reading(Malformed("status 206 (Partial Content), which is not a deferral here", section))
    return Reading(Deferred(retry_after, status), (STATUS_206, *_unreadable_notes(retry_after)))


def _read_challenge(response: EstResponse, login: Login) -> Reading:
    """Read a 401: challenged where the device can answer, else unauthorized (as some servers report a POP mismatch)."""
    challenges = read_challenges(value for name, value in response.headers if name == "www-authenticate")
    chosen = choose_challenge(challenges, login)
    if chosen is not None:
        return Reading(Challenged(chosen.scheme, chosen.realm, chosen))
    why = why_not_answered(challenges, login)
    return Reading(Unauthorized(_join(why, words_of(response.body))), () if challenges else (NO_CHALLENGE,))


def _retry_after(response: EstResponse, wall_now_s: float) -> RetryAfter:
    """Read a response's Retry-After against its own Date."""
    return read_retry_after(response.header("retry-after"), date=response.header("date"), wall_now_s=wall_now_s)


def _unreadable_notes(retry_after: RetryAfter) -> Notes:
    return (UNREADABLE_RETRY_AFTER,) if retry_after.form is RetryAfterForm.UNREADABLE else ()


def _rejected(response: EstResponse) -> Rejected:
    detail, advice = _detail(response), _ADVICE_ON_PAGES.get(response.status)
    return Rejected(response.status, f"{detail}; {advice}" if advice and is_page(response.body) else detail)


def _detail(response: EstResponse) -> str:
    """Return the start of the server's text, or the status's name without one."""
    if words := words_of(response.body):
        return words
    try:
        return HTTPStatus(response.status).phrase
    except ValueError:
        return ""


def _join(first: str, rest: str) -> str:
    return f"{first}: {rest}"[:DETAIL_CHARACTERS] if rest else first
