"""Redirects, for every driver: followed within the origin, a row each; elsewhere only where the scenario says so."""

from pathlib import Path

import pytest
from der_writer import common_name, dns_name, sequence
from foreign_pki import Asking, ForeignCA
from foreign_runs import DRIVERS, Keys, Played, assert_issued, play_against, run_against
from odd_server import Asked, ServerTls, answer, est_server, odd_server

OK, STEP, NO = "ok", "challenged", "rejected"
ELSEWHERE = "a different origin, which requires target.redirects: any"

# By the number of the device: what its request for a certificate is answered with, and what becomes of it.
CASES = (
    (307, "/moved/simpleenroll", (STEP, OK), ""),
    (308, "{origin}/moved/simpleenroll", (STEP, OK), ""),
    (307, "../../a%20b/ca:3/simpleenroll", (STEP, OK), ""),
    (301, "/moved/simpleenroll", (NO,), "which is followed for GET only"),
    (303, "/moved/simpleenroll", (NO,), "which is not followed"),
    (307, "{path}", (NO,), "a loop"),
    (307, "https://127.0.0.1:1/x", (NO,), ELSEWHERE),
    (307, "http://127.0.0.1/x", (NO,), "which is not an https URL"),
    (308, "/hop/2", (STEP,) * 5 + (OK,), ""),
    (308, "/hop/1", (STEP,) * 5 + (NO,), "which would exceed 5 redirects in a row"),
)
BASIC: Keys = {"kind": "basic", "user": "alice", "password": "secret", "preemptive": True}


def redirect(status: int, location: str) -> bytes:
    """Return a redirect."""
    return answer(status, headers=[("Location", location)], reason="Redirect")


def kinds(played: Played, device: int = 0) -> list[tuple[str, str]]:
    """Return cause and class of each of a device's rows, but of its CA certificates."""
    return [(cause, kind) for operation, cause, kind, _, _ in played.story[device] if operation != "cacerts"]


class Redirecting:
    """A server that redirects each device in its own way, and is a plain one where that leads."""

    def __init__(self) -> None:
        self._serve = est_server(ForeignCA())
        self.origin = ""

    def __call__(self, asked: Asked) -> bytes:
        """Answer a request."""
        if asked.path.startswith("/hop/"):
            hop = int(asked.operation)
            return redirect(308, f"/hop/{hop + 1}" if hop < 5 else "/moved/simpleenroll")
        if asked.path != "/.well-known/est/simpleenroll":
            return self._serve(asked)
        status, location, _, _ = CASES[Asking.of(asked.body).number]
        return redirect(status, location.format(origin=self.origin, path=asked.path))


@pytest.mark.parametrize("driver", DRIVERS)
async def test_redirects_of_an_enrolment(driver: str, tmp_path: Path) -> None:
    """Status, method, loop, length and origin decide, the same for every driver; rows and requests are as many."""
    handler = Redirecting()
    with odd_server(handler, tmp_path) as server:
        handler.origin = server.origin
        played = await play_against(driver, server, tmp_path, devices=len(CASES))
        assert len(server.asked) == sum(map(len, played.story.values()))
    for device, (status, _, came, said) in enumerate(CASES):
        assert kinds(played, device) == [("redirect" if at else "chain", kind) for at, kind in enumerate(came)]
        words = played.words[device][1:]
        assert words[0].startswith(f"{status} redirect to ")
        assert said in words[-1]


@pytest.mark.parametrize("driver", DRIVERS)
async def test_another_origin_never_sees_a_password(driver: str, tmp_path: Path) -> None:
    """Where `any` leads to another server, TLS checks it anew; its challenge is not answered, the first one's is."""
    tls = ServerTls()
    serve = est_server(ForeignCA())

    def elsewhere(asked: Asked) -> bytes:
        if asked.operation == "cacerts":
            return serve(asked)
        return answer(401, headers=[("WWW-Authenticate", 'Basic realm="b"')], reason="Unauthorized")

    with odd_server(elsewhere, tmp_path / "other", tls=tls) as other:

        def away(asked: Asked) -> bytes:
            status = 302 if asked.method == "GET" else 307
            return redirect(status, f"{other.origin}{asked.path}")

        with odd_server(away, tmp_path / "home", tls=tls) as home:
            played = await play_against(
                driver, home, tmp_path, devices=1, target={"redirects": "any"}, cohort={"bootstrap": BASIC}
            )
    assert kinds(played) == [("chain", STEP), ("redirect", "unauthorized")]
    assert played.words[0][-1] == (
        "401 the server requires a password (Basic), and passwords are not sent to a different origin"
    )
    assert [(asked.operation, "authorization" in asked.headers) for asked in home.asked] == [
        ("cacerts", True),
        ("simpleenroll", True),
    ]
    assert [(asked.operation, "authorization" in asked.headers) for asked in other.asked] == [
        ("cacerts", False),
        ("simpleenroll", False),
    ]
    assert other.asked[0].headers["host"] == f"127.0.0.1:{other.port}"


@pytest.mark.parametrize("driver", DRIVERS)
async def test_another_origin_is_checked_like_the_first(driver: str, tmp_path: Path) -> None:
    """A certificate for another host is refused, and the request stays ours; the way back goes home as ever."""
    trusted = ForeignCA(common_name("TLS Root"))
    wrong = ServerTls(san=sequence(dns_name(b"somebody.else")), ca=trusted)
    serve = est_server(ForeignCA())
    with odd_server(serve, tmp_path / "other", tls=wrong) as other:

        def away(asked: Asked) -> bytes:
            return redirect(307, f"{other.origin}{asked.path}") if asked.operation == "simpleenroll" else serve(asked)

        with odd_server(away, tmp_path / "home", tls=ServerTls(ca=trusted)) as home:
            target: Keys = {"redirects": "any"}
            played = await play_against(driver, home, tmp_path, devices=1, target=target)
    assert kinds(played) == [("chain", STEP), ("redirect", "failed")] + [("retry", STEP), ("redirect", "failed")] * 2
    assert "somebody.else, not for 127.0.0.1" in played.words[0][-1]
    assert other.asked == []


def test_a_run_through_redirects(tmp_path: Path) -> None:
    """From the command line: the preflight follows too, books and rows balance, and the devices renew."""
    serve = est_server(ForeignCA())

    def moved(asked: Asked) -> bytes:
        if asked.path.startswith("/moved"):
            return serve(asked)
        return redirect(301 if asked.method == "GET" else 308, f"/moved{asked.path}")

    with odd_server(moved, tmp_path) as server:
        run = run_against(server, tmp_path, cohort={"renew": {"after": "500ms", "times": 1, "then": "leave"}})
        assert len(run.rows(preflight=True)) == len(server.asked) == 14
    assert_issued(run, 2)
    assert sorted(row["cause"] for row in run.rows("simplereenroll")) == ["plan", "plan", "redirect", "redirect"]
    assert {row["status"] for row in run.rows() if row["kind"] == STEP} == {301, 308}
    assert run.results is not None
    summary = run.results.summary
    assert (summary["operations"]["simpleenroll"]["ok"], summary["operations"]["simpleenroll"]["challenged"]) == (2, 2)


def test_none_are_followed_where_the_scenario_says_so(tmp_path: Path) -> None:
    """`redirects: none` is a preflight that fails, with the reason."""
    with odd_server(lambda asked: redirect(307, f"/moved{asked.path}"), tmp_path) as server:
        run = run_against(server, tmp_path, target={"redirects": "none"})
    assert run.code == 5
    assert "which is not followed: target.redirects is none" in run.done.err
