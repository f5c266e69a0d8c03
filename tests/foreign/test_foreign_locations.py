"""A Location that is no URL is the server's fault, row by row, and neither ends a run nor reaches the terminal."""

from pathlib import Path

import pytest
from foreign_pki import Asking
from foreign_runs import DRIVERS, play_against, run_against
from odd_server import Asked, Handler, answer, odd_server

LOCATIONS = (
    "https://est.example.com:${PORT}/est",
    "mailto:admin@example.com",
    "javascript:alert(1)",
    "https://xn--/",
    "https://[::1/",
    "https://[v1.x]:x/",
    "https://host:99999999/",
    "//",
    "https://\xe4\xf6\xfc.example/",
    "https://a\x01\x1b[31mb\x7f/\x9b",
    "\u202egro.elpmaxe//:sptth".encode().decode("latin-1"),
    "x" * 65536,
    "",
)


def redirect(status: int, *locations: str) -> bytes:
    """Return a redirect to all of these."""
    return answer(status, headers=[("Location", each) for each in locations], reason="Redirect")


def by_device(asked: Asked) -> bytes:
    """Answer each device by a redirect of its own."""
    return redirect(307, LOCATIONS[Asking.of(asked.body).number])


@pytest.mark.parametrize("driver", DRIVERS)
async def test_what_is_no_url_is_a_rejection(driver: str, tmp_path: Path) -> None:
    """A row for each request, of the same class and in the same words for every driver."""
    with odd_server(by_device, tmp_path) as server:
        played = await play_against(
            driver, server, tmp_path, devices=len(LOCATIONS), cohort={"enroll": {"cacerts": "never"}}
        )
        assert len(server.asked) == len(LOCATIONS)
    assert played.story == {each: [("simpleenroll", "plan", "rejected", 1, 1)] for each in range(len(LOCATIONS))}
    for device, [words] in played.words.items():
        assert words.startswith("307 redirect to"), words
        assert words.isprintable()
        assert len(words) < 300
        assert LOCATIONS[device][:9] in words or not LOCATIONS[device].isascii()


@pytest.mark.parametrize(
    "handler",
    [by_device, lambda _: redirect(302, *LOCATIONS[:5]), lambda _: redirect(308)],
    ids=["one each", "several", "none at all"],
)
def test_a_run_goes_on(handler: Handler, tmp_path: Path) -> None:
    """Each device is refused, each request has its row, and the run has failed as others do: exit 3."""
    with odd_server(handler, tmp_path) as server:
        run = run_against(server, tmp_path, "--no-preflight", devices=3, cohort={"enroll": {"cacerts": "never"}})
        assert len(run.rows()) == len(server.asked) == 3
    assert run.code == 3
    assert run.kinds == ["rejected"] * 3
    assert run.ends == ["refused"] * 3


def test_a_preflight_says_so(tmp_path: Path) -> None:
    """Exit 5, in one line that can be shown."""
    with odd_server(lambda _: redirect(302, *LOCATIONS[:5]), tmp_path) as server:
        run = run_against(server, tmp_path)
    assert run.code == 5
    assert "cacerts failed: rejected: 302 redirect to https://est.example.com:${PORT}/est" in run.done.err
