"""A missing peer: a reason to skip on a developer's machine, a failure where the peers were installed."""

import pytest
from interop_peers import peer


@pytest.mark.parametrize("value", ["", "0"])
def test_a_missing_peer_skips_and_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The reason names the program and its package."""
    monkeypatch.setenv("ESTSIM_REQUIRE_PEERS", value)
    with pytest.raises(pytest.skip.Exception, match=r"^needs no-such-peer, which comes with its package$"):
        peer("no-such-peer", "its package")


def test_a_missing_peer_fails_where_peers_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """CI installs every peer, so one that is not there is a fault of CI."""
    monkeypatch.setenv("ESTSIM_REQUIRE_PEERS", "1")
    with pytest.raises(pytest.fail.Exception, match="needs no-such-peer"):
        peer("no-such-peer", "its package")
