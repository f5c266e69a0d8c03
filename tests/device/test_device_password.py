"""A password that a server repeats, however it is written: no row and no message has it."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.device.password import HttpUser, without_password

PASSWORD = "it's-s3cret@x/ä"
CREDENTIALS = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
USER = HttpUser("alice", PASSWORD)


@pytest.mark.parametrize(
    "written",
    [
        PASSWORD,
        html.escape(PASSWORD),
        PASSWORD.replace("'", "&#39;"),
        "".join(f"&#{ord(each)};" for each in PASSWORD),
        json.dumps(PASSWORD),
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        "".join(f"%{octet:02x}" for octet in PASSWORD.encode()),
        PASSWORD.encode().decode("latin-1"),
        repr(PASSWORD.encode()),
        CREDENTIALS,
        CREDENTIALS.rstrip("="),
        quote(CREDENTIALS, safe=""),
        html.escape(quote(PASSWORD)),
        PASSWORD[:10],  # as much as a text had room for
    ],
)
def test_it_is_taken_out(written: str) -> None:
    """As it is, and in every way that servers were seen to write it; the words around it stay where they can."""
    told = without_password(f"403 no right for {written}", USER)
    assert "***" in told
    for view in (told, html.unescape(told)):
        assert "s3cret" not in view
        assert CREDENTIALS[:12] not in view


def test_other_texts_stay_as_they_are() -> None:
    """Whoever has no password, and who says nothing of it."""
    assert without_password("403 &amp; no right", USER) == "403 &amp; no right"
    assert without_password(f"403 {PASSWORD}", None) == f"403 {PASSWORD}"
    assert without_password("403", HttpUser("alice", "")) == "403"


@given(st.text(min_size=3, max_size=30), st.text(max_size=30), st.sampled_from([str, html.escape, quote]))
def test_no_password_is_left(password: str, around: str, written: Callable[[str], str]) -> None:
    """Whatever it is, and whatever stands around it."""
    told = without_password(f"{around}{written(password)}{around}", HttpUser("u", password))
    assert password not in told or password in "*** (omitted: the server's text contains the password)"
