"""What a row says of each outcome, in a table."""

import pytest

from estsim.errors import Phase, Trouble
from estsim.est.certificate import Certificate
from estsim.est.outcome import (
    Abandoned,
    CACertificates,
    Challenged,
    Deferred,
    Failed,
    Issued,
    Malformed,
    NoCSRAttributes,
    Outcome,
    Overloaded,
    Redirected,
    Rejected,
    ServerError,
    Unauthorized,
)
from estsim.fleet.rows import detail_of, status_of

NO_CERTIFICATES: tuple[Certificate, ...] = ()


@pytest.mark.parametrize(
    ("outcome", "status", "detail"),
    [
        (CACertificates(NO_CERTIFICATES), 200, ""),
        (Issued(None), 200, ""),
        (NoCSRAttributes(), 200, ""),
        (Deferred(), 202, ""),
        (Deferred(status=206), 206, ""),
        (Overloaded(detail="come later"), 503, "503 come later"),
        (Overloaded(status=429), 429, "429"),
        (Challenged("basic", "est"), 401, ""),
        (Redirected(308, "https://h:443/x"), 308, "308 redirect to https://h:443/x"),
        (Unauthorized("who are you?"), 401, "401 who are you?"),
        (Rejected(403, "not you"), 403, "403 not you"),
        (Rejected(404, ""), 404, "404"),
        (ServerError(500, "oops"), 500, "500 oops"),
        (Malformed("no PKCS#7", "RFC 7030 §4.2.3"), None, "no PKCS#7 (RFC 7030 §4.2.3)"),
        (Abandoned("cut by estsim"), None, "cut by estsim"),
        (Failed(Phase.CONNECT, Trouble.REFUSED, "nobody listens"), None, "nobody listens"),
        (Failed(Phase.HANDSHAKE, Trouble.TLS, "refused", "unknown_ca"), None, "refused (alert unknown_ca)"),
        (Failed(Phase.HANDSHAKE, Trouble.TLS, "alert unknown ca", "unknown_ca"), None, "alert unknown ca"),
        (Failed(Phase.WAIT, Trouble.TLS, "refused", advice="see bootstrap"), None, "refused; see bootstrap"),
    ],
)
def test_status_and_detail(outcome: Outcome, status: int | None, detail: str) -> None:
    """The status where there was one, one line for people; an alert is not named twice."""
    assert (status_of(outcome), detail_of(outcome)) == (status, detail)
