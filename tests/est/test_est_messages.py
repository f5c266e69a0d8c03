"""Requests as they go to a server, and those that cannot be meant."""

import pytest

from estsim import __version__
from estsim.errors import UsageError
from estsim.est.messages import BodyForm, EstRequest, build_request
from estsim.est.operations import Operation

EVERY = (("User-Agent", f"estsim/{__version__}"), ("Accept-Encoding", "identity"))


def test_an_enrolment_request_is_base64_in_lines_of_64() -> None:
    """Content-Transfer-Encoding means nothing by RFC 8951, but servers were seen to want it."""
    request = build_request(
        Operation.SIMPLEENROLL, body_der=bytes(60), label="meters", request_id="r-1", authorization="Basic eA=="
    )
    assert request == EstRequest(
        "POST",
        "/.well-known/est/meters/simpleenroll",
        (
            *EVERY,
            ("Content-Type", "application/pkcs10"),
            ("Content-Transfer-Encoding", "base64"),
            ("X-Request-ID", "r-1"),
            ("Authorization", "Basic eA=="),
        ),
        b"A" * 64 + b"\n" + b"A" * 16 + b"\n",
    )


def test_a_body_may_be_one_line() -> None:
    """One known server refuses lines, another whatever has none."""
    request = build_request(Operation.SIMPLEENROLL, body_der=bytes(60), form=BodyForm.ONELINE)
    assert request.body == b"A" * 80


def test_a_read_has_no_body_and_no_headers_of_its_own() -> None:
    """A GET says all in its path, and who asks."""
    assert build_request(Operation.CACERTS, base="/est/") == EstRequest("GET", "/est/cacerts", EVERY, b"")


def test_a_full_cmc_request_has_its_own_type() -> None:
    """RFC 7030 §4.3.1."""
    headers = dict(build_request(Operation.FULLCMC, body_der=b"x").headers)
    assert headers["Content-Type"] == "application/pkcs7-mime; smime-type=CMC-request"


def test_requests_that_cannot_be_meant_are_refused() -> None:
    """A label named like an operation, a GET with a body, a POST without."""
    with pytest.raises(UsageError, match="must not be the name of an operation"):
        build_request(Operation.CACERTS, label="simpleenroll")
    with pytest.raises(UsageError, match="a body is sent with POST"):
        build_request(Operation.CACERTS, body_der=b"x")
    with pytest.raises(UsageError, match="a body is sent with POST"):
        build_request(Operation.SIMPLEENROLL)
