"""Which redirects are followed, in a table, and how far."""

import pytest

from estsim.est.outcome import Redirected, Rejected
from estsim.est.redirect import MOST_REDIRECTS, RedirectChain, Redirects
from estsim.est.url import Origin, Place

HOME = Place(Origin("est.example"), "/.well-known/est/simpleenroll")
OTHER = "https://other.example/x"
ANOTHER = "a different origin, which requires target.redirects: any"
SAME, ANY, NONE = Redirects.SAME_ORIGIN, Redirects.ANY, Redirects.NONE


@pytest.mark.parametrize(
    ("policy", "method", "status", "location", "why_not"),
    [
        (SAME, "POST", 307, "/x", None),
        (SAME, "POST", 308, "/x", None),
        (SAME, "GET", 301, "/x", None),
        (SAME, "GET", 302, "/x", None),
        (SAME, "POST", 301, "/x", "followed for GET only"),
        (SAME, "POST", 302, "/x", "followed for GET only"),
        (SAME, "GET", 303, "/x", "which is not followed"),
        (SAME, "GET", 300, "/x", "which is not followed"),
        (SAME, "GET", 307, OTHER, ANOTHER),
        (SAME, "GET", 307, "https://est.example:8443/x", ANOTHER),
        (ANY, "POST", 308, OTHER, None),
        (ANY, "POST", 302, OTHER, "followed for GET only"),
        (NONE, "GET", 307, "/x", "target.redirects is none"),
        (ANY, "GET", 307, "http://est.example/x", "not an https URL"),
        (ANY, "GET", 307, "", "not an https URL"),
        (ANY, "GET", 307, None, "no Location header"),
        (SAME, "GET", 307, HOME.target, "a loop"),
    ],
)
def test_what_is_followed(
    policy: Redirects, method: str, status: int, location: str | None, why_not: str | None
) -> None:
    """By status, method, origin and the scenario's wish; what is not followed says why."""
    chain = RedirectChain(HOME, policy, method=method)
    outcome = chain.read(status, location)
    if why_not is None:
        assert outcome == Redirected(status, str(chain.place))
        assert chain.place != HOME
    else:
        assert isinstance(outcome, Rejected)
        assert why_not in outcome.detail
        assert chain.place == HOME


def test_five_in_a_row_and_no_more() -> None:
    """The sixth is refused, with the reason."""
    chain = RedirectChain(HOME, SAME, method="POST")
    outcomes = [chain.read(307, f"/{number}") for number in range(MOST_REDIRECTS + 1)]
    assert [type(outcome) for outcome in outcomes] == [Redirected] * 5 + [Rejected]
    assert isinstance(outcomes[5], Rejected)
    assert "exceed 5 redirects in a row" in outcomes[5].detail


def test_a_loop_is_told_at_its_end() -> None:
    """There and back again."""
    chain = RedirectChain(HOME, ANY, method="GET")
    assert isinstance(chain.read(302, OTHER), Redirected)
    assert not chain.is_home
    back = chain.read(302, str(HOME))
    assert isinstance(back, Rejected)
    assert "a loop" in back.detail
