"""A server that asks for a password whatever certificate is shown: at the first enrolment and at each one after."""

from pathlib import Path
from threading import Lock
from typing import Final

import pytest
from foreign_pki import ForeignCA
from foreign_runs import DRIVERS, Keys, assert_issued, play_against, run_against
from odd_server import Answer, Asked, Handler, answer, est_server, odd_server

from estsim.est.challenge import read_challenges
from estsim.est.digest import DigestCredentials, digest_response, read_digest

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
    with odd_server(asking("Negotiate, NTLM"), tmp_path) as server:
        run = run_against(server, tmp_path, devices=1, cohort={"bootstrap": {"kind": "none"}, "http_auth": AUTH})
    assert run.code == 3
    (refused,) = (row for row in run.rows() if row["operation"] == "simpleenroll")
    assert refused["kind"] == "unauthorized"
    assert "requires negotiate, ntlm; estsim supports only Digest and Basic" in refused["detail"]


LIBEST: Final = 'Digest qop="auth", realm="estrealm", nonce="{nonce}"'  # as libest's server writes it: MD5, unnamed


class DigestServer:
    """A server with Digest that checks every answer; ``uses`` is how often it takes a nonce, ``names`` the next one."""

    def __init__(self, text: str, *, uses: int = 1 << 20, names: bool = False) -> None:
        self._text = text
        self._serve = est_server(ForeignCA())
        self._uses = uses
        self._names = names
        self._made = 0
        self._counts: dict[str, int] = {}
        self._lock = Lock()
        self.challenged: list[str] = []  # why

    def __call__(self, asked: Asked) -> bytes | Answer | None:
        """Answer a request; only those for certificates need a password."""
        if asked.operation == "cacerts":
            return self._serve(asked)
        with self._lock:
            why = self._refuses(asked)
            if why is not None:
                self.challenged.append(why)
                ending = ", stale=true" if why == "stale" else ""
                value = self._text.format(nonce=self._nonce()) + ending
                return answer(401, headers=[("WWW-Authenticate", value)], reason="Unauthorized")
            served = self._serve(asked)
            if not self._names or not isinstance(served, bytes):
                return served
            return served.replace(b"\r\n", f'\r\nAuthentication-Info: nextnonce="{self._nonce()}"\r\n'.encode(), 1)

    def _nonce(self) -> str:
        self._made += 1
        self._counts[str(self._made)] = 0
        return str(self._made)

    def _refuses(self, asked: Asked) -> str | None:
        """Say why a request is not let in: None where its proof is right and its nonce may be used once more."""
        challenges = read_challenges([asked.headers.get("authorization", "")])
        if not challenges:
            return "none"
        (given,) = challenges
        told = read_digest(read_challenges([self._text.format(nonce=given.parameter("nonce"))])[0])
        right = digest_response(
            told,
            DigestCredentials("alice", "open-sesame"),
            method=asked.method,
            target=asked.path,
            nc=given.parameter("nc"),
            cnonce=given.parameter("cnonce"),
        )
        if given.parameter("response") != right or given.parameter("username") != "alice":
            return "wrong"
        count = self._counts.get(given.parameter("nonce"))
        expected = f"{(count or 0) + 1:08x}" if told.has_qop else ""
        if count is None or count >= self._uses or given.parameter("nc") != expected:
            return "stale"
        self._counts[given.parameter("nonce")] = count + 1
        return None


CHALLENGES: Final = [
    LIBEST,
    'Digest realm="est", nonce="{nonce}", qop="auth,auth-int", algorithm=SHA-256, opaque="a\\"b"',
    'Digest realm="est", nonce="{nonce}", qop="auth", algorithm=SHA-512-256, userhash=true',
    'Digest realm="est", nonce="{nonce}"',  # RFC 2069
    'Digest realm="caf\xe9", nonce="{nonce}", qop="auth", algorithm=SHA-256',  # octets come back as they are
]


@pytest.mark.parametrize(
    ("driver", "text"),
    [
        *(("trio", text) for text in CHALLENGES),
        ("threads", LIBEST),
        pytest.param("gevent", LIBEST, marks=pytest.mark.long),
    ],
)
async def test_digest_is_answered_wherever_it_is_asked_for(driver: str, text: str, tmp_path: Path) -> None:
    """By each driver and with each algorithm, at the first enrolment and at the re-enrolment."""
    handler = DigestServer(text)
    with odd_server(handler, tmp_path) as server:
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
    assert handler.challenged == ["none", "none"]


@pytest.mark.parametrize(
    ("uses", "names", "challenged"),
    [(1 << 20, False, ["none"]), (1, False, ["none", "stale", "stale"]), (1, True, ["none"])],
)
def test_a_preemptive_device_is_challenged_when_its_nonce_is_spent(
    uses: int,
    *,
    names: bool,
    challenged: list[str],
    tmp_path: Path,
) -> None:
    """Not at all where the server counts on or names the next one; a stale nonce is no failure."""
    handler = DigestServer(CHALLENGES[1], uses=uses, names=names)
    with odd_server(handler, tmp_path) as server:
        auth = {**AUTH, "scheme": "digest", "preemptive": True}
        cohort = {
            "bootstrap": {"kind": "none"},
            "http_auth": auth,
            "renew": {"after": "300ms", "times": 2, "then": "leave"},
        }
        run = run_against(server, tmp_path, devices=1, cohort=cohort, thresholds=["failures < 1%"])
    assert_issued(run, 3)
    assert handler.challenged == challenged
    assert run.kinds.count("challenged") == len(challenged)


def test_a_wrong_password_is_told_once_and_a_scheme_that_is_not_allowed_is_named(tmp_path: Path) -> None:
    """The response that was sent is in no row."""
    told = []
    for number, auth in enumerate(({**AUTH, "password": "wrong-sesame"}, {**AUTH, "scheme": "basic"})):
        with odd_server(DigestServer(LIBEST), tmp_path / str(number)) as server:
            cohort = {"bootstrap": {"kind": "none"}, "http_auth": auth, "retry": {"attempts": 1}}
            run = run_against(server, tmp_path / str(number), devices=1, cohort=cohort)
            (refused,) = (row for row in run.rows("simpleenroll") if row["kind"] == "unauthorized")
            told.append(refused["detail"])
    assert told[0].startswith("401 the server rejected this user and password (Digest)")
    assert told[1].startswith("401 the server requires Digest, and http_auth allows only Basic")
