"""A 401's challenges in every shape that RFC 9110 allows, and Basic's answer."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.errors import UsageError
from estsim.est.challenge import basic_authorization, read_challenges


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (['Basic realm="est"'], [("basic", {"realm": "est"})]),
        (["BASIC REALM=est"], [("basic", {"realm": "est"})]),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a, \\"b\\" c=d", charset="UTF-8"'], [("basic", {"realm": 'a, "b" c=d', "charset": "UTF-8"})]),
        (
            ['Digest realm="d", qop="auth, auth-int", nonce=7 , Basic realm = "b"'],
            [("digest", {"realm": "d", "qop": "auth, auth-int", "nonce": "7"}), ("basic", {"realm": "b"})],
        ),
        (["Negotiate YWJj==, Basic realm=b"], [("negotiate", {}), ("basic", {"realm": "b"})]),
        (["Negotiate", 'Basic realm="b"'], [("negotiate", {}), ("basic", {"realm": "b"})]),
        ([""], []),
        ([",, ,"], []),
        (["=?"], []),
    ],
)
def test_challenges_are_read(values: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    """Quoted and bare parameters, several challenges in one field, several fields."""
    assert [(one.scheme, dict(one.parameters)) for one in read_challenges(values)] == expected


@given(st.lists(st.text() | st.text('Basic realm="x\\, =')))
def test_any_text_gives_challenges_or_none(values: list[str]) -> None:
    """Total, and a realm is always text."""
    assert all(isinstance(one.realm, str) for one in read_challenges(values))


def test_a_long_field_is_read_in_linear_time() -> None:
    """A server cannot stall a fleet with one header."""
    assert read_challenges(["a" * 100_000 + " " * 100_000 + '"' * 100_000])[0].scheme.startswith("aaa")


@given(st.text().filter(lambda user: ":" not in user), st.text())
def test_basic_says_user_and_password(user: str, password: str) -> None:
    """RFC 7617 §2, in UTF-8."""
    said = basic_authorization(user, password)
    assert base64.b64decode(said.removeprefix("Basic ")).decode() == f"{user}:{password}"


def test_a_user_with_a_colon_is_refused() -> None:
    """It could not be distinguished from the password."""
    with pytest.raises(UsageError, match="must not contain ':'"):
        basic_authorization("a:b", "c")
