"""Connections that end, and requests as servers want them: the same outcomes for every driver."""

from pathlib import Path

import pytest
from foreign_pki import ForeignCA
from foreign_runs import DRIVERS, Keys, play_against, run_against
from odd_server import Answer, Asked, End, Handler, answer, certificates_answer, est_server, odd_server

from estsim import __version__

BASIC: Keys = {"kind": "basic", "user": "alice", "password": "secret", "preemptive": False}


def challenging(end: End) -> Handler:
    """Return a handler that asks for a password and ends the connection without having said so."""
    serve = est_server(ForeignCA())

    def handle(asked: Asked) -> bytes | Answer:
        if asked.operation == "simpleenroll" and "authorization" not in asked.headers:
            challenge = answer(401, headers=[("WWW-Authenticate", 'Basic realm="estrealm"')], reason="Unauthorized")
            return Answer([challenge], end)
        return serve(asked)

    return handle


@pytest.mark.parametrize("end", [End.NOTIFY, End.ABRUPT])
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_challenge_on_a_connection_that_dies(driver: str, end: End, tmp_path: Path) -> None:
    """The answer goes out again on a new connection, in one row that is no failure and says what happened."""
    with odd_server(challenging(end), tmp_path) as server:
        played = await play_against(driver, server, tmp_path, devices=3, cohort={"bootstrap": BASIC})
        assert len(server.asked) == 9
    rows = [
        ("cacerts", "plan", "ok", 1, 1),
        ("simpleenroll", "chain", "challenged", 1, 2),
        ("simpleenroll", "challenge", "ok", 1, 2),
    ]
    assert played.story == dict.fromkeys(range(3), rows)


def test_the_row_of_a_request_that_went_twice_says_so(tmp_path: Path) -> None:
    """As a non-conformance, while rows and requests stay as many."""
    with odd_server(challenging(End.NOTIFY), tmp_path) as server:
        run = run_against(server, tmp_path, devices=3, cohort={"bootstrap": BASIC})
        assert len(run.rows(preflight=True)) == len(server.asked)
    assert run.code == 0
    assert set(run.ends) == {"issued"}
    told = [
        row for row in run.rows() if "persistent connection closed without notice" in (row["non_conformances"] or "")
    ]
    assert {(row["cause"], row["kind"], row["reused"]) for row in told} <= {("challenge", "ok", 0)}


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_server_that_only_closes(driver: str, tmp_path: Path) -> None:
    """On new connections it is a failure, tried as often as the plan says and no more."""
    serve = est_server(ForeignCA())
    with odd_server(lambda asked: serve(asked) if asked.operation == "cacerts" else None, tmp_path) as server:
        played = await play_against(driver, server, tmp_path, devices=1, cohort={"tls": {"keep_alive": "5s"}})
        assert len(server.asked_for("simpleenroll")) in {3, 4}  # the first perhaps twice
    assert [row[2] for row in played.story[0]] == ["ok", "failed", "failed", "failed"]
    assert played.words[0][-1].startswith(
        "the server closed the connection without responding; possible causes: overload, "
    )


@pytest.mark.parametrize("form", ["wrapped", "oneline"])
@pytest.mark.parametrize("driver", DRIVERS)
async def test_requests_as_servers_want_them(driver: str, form: str, tmp_path: Path) -> None:
    """Lines or none in the body, and every request says who asks and that nothing is to be coded."""
    serve = est_server(ForeignCA())

    def picky(asked: Asked) -> bytes:
        lines = asked.body.count(b"\n")
        if asked.method == "POST" and (lines == 0) is not (form == "oneline"):
            return answer(400, reason="Bad Request")
        return serve(asked)

    with odd_server(picky, tmp_path) as server:
        played = await play_against(driver, server, tmp_path, devices=1, target={"base64": form})
    assert [row[2] for row in played.story[0]] == ["ok", "ok"]
    for asked in server.asked:
        assert asked.headers["user-agent"] == f"estsim/{__version__}"
        assert asked.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_coded_answer_is_named(driver: str, tmp_path: Path) -> None:
    """A proxy that compresses whatever is asked for."""
    serve = est_server(ForeignCA())
    coded = answer(200, b"\x1f\x8b\x08\x00", headers=[("Content-Encoding", "gzip")])

    def forced(asked: Asked) -> bytes:
        return coded if asked.operation == "simpleenroll" else serve(asked)

    with odd_server(forced, tmp_path) as server:
        played = await play_against(driver, server, tmp_path, devices=1)
    assert played.story[0][-1][2] == "malformed"
    assert played.words[0][-1] == "the content has an unrequested coding (gzip) (RFC 9110 §12.5.3)"


@pytest.mark.parametrize("driver", DRIVERS)
async def test_large_headers_are_no_trouble(driver: str, tmp_path: Path) -> None:
    """A field of 64 KiB, as a proxy's cookies or policies come to."""
    large = [("Content-Security-Policy", "x" * 65536), ("Content-Transfer-Encoding", "base64")]

    def wrap(message: bytes) -> bytes:
        plain = certificates_answer(message)
        head, _, body = plain.partition(b"\r\n\r\n")
        more = "".join(f"\r\n{name}: {value}" for name, value in large[:1]).encode()
        return head + more + b"\r\n\r\n" + body

    with odd_server(est_server(ForeignCA(), wrap=wrap, wrap_cacerts=wrap), tmp_path) as server:
        played = await play_against(driver, server, tmp_path, devices=1)
    assert [row[2] for row in played.story[0]] == ["ok", "ok"]
