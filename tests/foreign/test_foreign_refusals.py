"""Ways to be refused, each of which is one outcome: the row and the preflight say which, and what would help."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from foreign_pki import ForeignCA
from foreign_runs import DRIVERS, play_against, run_against
from odd_server import Asked, ServerTls, answer, est_server, odd_server

PAGE: Final = (
    b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n"
    b"<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a server refuses, and what the row says."""

    name: str
    refuse: Callable[[Asked], bytes | None]
    kind: str
    words: str

    def __str__(self) -> str:
        return self.name


def challenge(*schemes: str) -> bytes:
    """Return a 401 that asks for these."""
    headers = [("WWW-Authenticate", scheme) for scheme in schemes]
    return answer(401, headers=headers, reason="Unauthorized")


REFUSALS: Final = (
    Refusal(
        "no challenge",
        lambda _: challenge(),
        "unauthorized",
        "401 no WWW-Authenticate header: the server may require a different client certificate",
    ),
    Refusal(
        "other schemes",
        lambda _: challenge("Negotiate", 'NTLM realm="x"'),
        "unauthorized",
        "401 the server requires negotiate, ntlm; estsim supports only Digest and Basic",
    ),
    Refusal(
        "a password",
        lambda _: challenge('Basic realm="x"'),
        "unauthorized",
        "401 the server requires a password (Basic), and the device has none: see http_auth",
    ),
    Refusal(
        "a page",
        lambda _: answer(403, PAGE, content_type="text/html", reason="Forbidden"),
        "rejected",
        "403 403 Forbidden nginx/1.22.1; an HTML page, possibly from a proxy; check the path (target.url) and the "
        "client certificate",
    ),
    Refusal(
        "a close",
        lambda _: None,
        "failed",
        "the server closed the connection without responding; possible causes: overload, a restart, or a rejected "
        "client certificate (bootstrap)",
    ),
)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_each_is_an_outcome_of_its_own(driver: str, tmp_path: Path) -> None:
    """In the same class and the same words for every driver."""
    serve = est_server(ForeignCA())
    came = {}
    for refusal in REFUSALS:
        folder = tmp_path / refusal.name

        def refuse(asked: Asked, refusal: Refusal = refusal) -> bytes | None:
            return serve(asked) if asked.operation == "cacerts" else refusal.refuse(asked)

        with odd_server(refuse, folder) as server:
            played = await play_against(driver, server, folder, devices=1, cohort={"retry": {"attempts": 1}})
        came[refusal.name] = (played.story[0][-1][2], played.words[0][-1])
    assert came == {each.name: (each.kind, each.words) for each in REFUSALS if each.name in came}


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_the_preflight_says_which(refusal: Refusal, tmp_path: Path) -> None:
    """Exit 5, in the words of the row."""
    with odd_server(refusal.refuse, tmp_path) as server:
        run = run_against(server, tmp_path, devices=1)
    assert run.code == 5
    assert refusal.words in " ".join(run.done.err.split())


def ask_for_certificates(context: ssl.SSLContext) -> None:
    """Let a server want a client certificate."""
    context.verify_mode = ssl.CERT_REQUIRED


@pytest.mark.parametrize("driver", DRIVERS)
async def test_an_alert_says_what_would_help(driver: str, tmp_path: Path) -> None:
    """A client without a certificate, where one is required: with TLS 1.3 the alert comes with the first answer."""
    with odd_server(est_server(ForeignCA()), tmp_path, tls=ServerTls(adjust=ask_for_certificates)) as server:
        played = await play_against(driver, server, tmp_path, devices=1, cohort={"retry": {"attempts": 1}})
    assert played.story[0][-1][2] == "failed"
    assert played.words[0][-1] == (
        "the peer sent the alert certificate_required; the server requires a client certificate (bootstrap)"
    )
