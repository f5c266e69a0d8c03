"""A server that asks for a password whatever certificate is shown: at the first enrolment and at each one after."""

from pathlib import Path

import pytest
from foreign_pki import ForeignCA
from foreign_runs import DRIVERS, Keys, assert_issued, play_against, run_against
from odd_server import Answer, Asked, Handler, answer, est_server, odd_server

AUTH: Keys = {"user": "alice", "password": "open-sesame"}
RENEWING: Keys = {"renew": {"after": "300ms", "times": 1, "then": "leave"}}


def asking(challenge: str = 'Basic realm="est"') -> Handler:
    """Return a handler that takes no request for a certificate without a password."""
    serve = est_server(ForeignCA())

    def handle(asked: Asked) -> bytes | Answer | None:
        if asked.operation != "cacerts" and "authorization" not in asked.headers:
            return answer(401, headers=[("WWW-Authenticate", challenge)], reason="Unauthorized")
        return serve(asked)

    return handle


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_password_is_given_wherever_it_is_asked_for(driver: str, tmp_path: Path) -> None:
    """Re-enrolment too, where the certificate in hand is shown beside it."""
    with odd_server(asking(), tmp_path) as server:
        cohort = {"bootstrap": {"kind": "none"}, "http_auth": AUTH, **RENEWING}
        played = await play_against(driver, server, tmp_path, devices=1, cohort=cohort)
    (story,) = played.story.values()
    assert [(operation, cause, kind) for operation, cause, kind, *_ in story] == [
        ("cacerts", "plan", "ok"),
        ("simpleenroll", "chain", "challenged"),
        ("simpleenroll", "challenge", "ok"),
        ("simplereenroll", "plan", "challenged"),
        ("simplereenroll", "challenge", "ok"),
    ]


def test_a_preemptive_password_is_in_every_request_and_in_no_result(tmp_path: Path) -> None:
    """Beside a shared certificate; nothing that the run leaves repeats it."""
    with odd_server(asking(), tmp_path) as server:
        cohort = {"http_auth": {**AUTH, "preemptive": True}, **RENEWING}
        run = run_against(server, tmp_path, devices=2, cohort=cohort)
        assert_issued(run, 2)
        assert all("authorization" in asked.headers for asked in server.asked)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name in {"summary.json", "run.sqlite"}]
    resolved = [path for path in tmp_path.rglob("scenario.yaml") if "***" in path.read_text(encoding="utf-8")]
    assert (len(kept), len(resolved)) == (2, 1)
    for path in [*kept, *resolved]:
        assert b"open-sesame" not in path.read_bytes()
    assert "open-sesame" not in run.done.out + run.done.err


def test_a_scheme_that_estsim_does_not_have_is_named(tmp_path: Path) -> None:
    """In the row, with a password at hand or not."""
    with odd_server(asking('Negotiate, Digest realm="est", nonce="1"'), tmp_path) as server:
        run = run_against(server, tmp_path, devices=1, cohort={"bootstrap": {"kind": "none"}, "http_auth": AUTH})
    assert run.code == 3
    (refused,) = (row for row in run.rows() if row["operation"] == "simpleenroll")
    assert refused["kind"] == "unauthorized"
    assert "requires negotiate, digest; estsim supports only Basic" in refused["detail"]
