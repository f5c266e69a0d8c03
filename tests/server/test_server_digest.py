"""The sandbox's Digest check: right and wrong credentials, nonces that age, are repeated or are nobody's (RFC 7616)."""

import re
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.challenge import read_challenges, read_parameters
from estsim.est.digest import DigestCredentials, digest_authorization, read_digest
from estsim.est.messages import EstRequest
from estsim.server.admission import Admission
from estsim.server.answer import Refused
from estsim.server.config import ClientsConfig, HttpScheme, UserConfig
from estsim.server.digest import NONCE_LIFE_S, DigestCheck, DigestRefused

USERS = {
    "alice": UserConfig.model_validate({"password": "se:cret", "schemes": ["digest", "digest-md5"]}),
    "bob": UserConfig.model_validate({"password": "b", "schemes": ["basic"]}),
    "J\u00e4s\u00f8n": UserConfig.model_validate({"password": "\u20ac", "schemes": ["digest-sha-512-256"]}),
}
ALL = (HttpScheme.DIGEST, HttpScheme.DIGEST_MD5, HttpScheme.DIGEST_SHA_512_256)


def a_check() -> DigestCheck:
    """Return the check of a server with users of several schemes."""
    return DigestCheck("realm", USERS, ALL)


def credentials(
    check: DigestCheck, user: str, password: str, *, algorithm: str = "SHA-256", count: int = 1, at_s: float = 0.0
) -> dict[str, str]:
    """Return the parameters with which a client answers the challenge of an algorithm."""
    challenges = (read_digest(each) for each in read_challenges(check.challenges(at_s)))
    asked = next(each for each in challenges if each.algorithm == algorithm)
    who = DigestCredentials(user, password)
    value = digest_authorization(asked, who, method="POST", target="/x", count=count, cnonce="c")
    return read_parameters(value.removeprefix("Digest "))


def user_of(check: DigestCheck, given: Mapping[str, str], *, now_s: float = 1.0) -> str:
    """Return whose credentials these are, for the request that they were made for."""
    return check.user_of(given, method="POST", target="/x", now_s=now_s)


def test_each_algorithm_lets_its_users_in() -> None:
    """A user name in UTF-8 comes as ``username*``; MD5 is what an answer without an algorithm means."""
    check = a_check()
    assert user_of(check, credentials(check, "alice", "se:cret")) == "alice"
    md5 = credentials(check, "alice", "se:cret", algorithm="MD5", count=2)
    assert user_of(check, {name: value for name, value in md5.items() if name != "algorithm"}) == "alice"
    assert (
        user_of(check, credentials(check, "J\u00e4s\u00f8n", "\u20ac", algorithm="SHA-512-256", count=3))
        == "J\u00e4s\u00f8n"
    )


@pytest.mark.parametrize(
    ("user", "password", "changed", "told"),
    [
        ("alice", "wrong", {}, "unknown user or wrong password"),
        ("nobody", "", {}, "unknown user or wrong password"),
        ("bob", "b", {}, "unknown user or wrong password"),  # Basic only
        ("alice", "se:cret", {"realm": "another"}, "unknown user or wrong password"),
        ("alice", "se:cret", {"response": ""}, "unknown user or wrong password"),
        ("alice", "se:cret", {"uri": "/y"}, "credentials for the path of the request"),
        ("alice", "se:cret", {"qop": "auth-int"}, "expected Digest with qop=auth (got auth-int)"),
        ("alice", "se:cret", {"algorithm": "SHA-256-sess"}, "(got SHA-256-SESS)"),
    ],
)
def test_wrong_credentials_are_refused_with_the_reason(
    user: str, password: str, changed: dict[str, str], told: str
) -> None:
    """And are not called stale: a client must not try again with them."""
    check = a_check()
    with pytest.raises(DigestRefused, match=re.escape(told)) as refused:
        user_of(check, credentials(check, user, password) | changed)
    assert not refused.value.stale


def test_a_nonce_has_an_end_and_each_count_is_used_once() -> None:
    """What is too old, repeated, or of another server is stale, if the password is right."""
    check, other = a_check(), a_check()
    first = credentials(check, "alice", "se:cret")
    assert user_of(check, first) == "alice"
    late = credentials(check, "alice", "se:cret", count=2)
    stale = [
        (first, 1.0, "higher nc"),
        (late, NONCE_LIFE_S + 1, "at most 300s old"),
        (credentials(other, "alice", "se:cret"), 1.0, "has issued since its start"),
    ]
    for sent, now_s, told in stale:
        with pytest.raises(DigestRefused, match=told) as refused:
            user_of(check, sent, now_s=now_s)
        assert refused.value.stale
    assert user_of(check, late) == "alice"


KEYS = ["username", "username*", "nonce", "nc", "qop", "uri", "algorithm", "realm"]


@given(st.dictionaries(st.sampled_from(KEYS), st.text()))
def test_any_credentials_are_a_user_s_or_refused(changed: dict[str, str]) -> None:
    """Total over what a client may send."""
    check = a_check()
    sent = credentials(check, "alice", "se:cret")
    with suppress(DigestRefused):
        assert user_of(check, sent | changed) == "alice"


def test_the_challenges_are_in_the_order_of_the_schemes() -> None:
    """One for each scheme that any user has; a wrong scheme says which ones there are."""
    users = {"a": {"password": "x", "schemes": ["digest", "basic"]}, "b": {"password": "y", "schemes": ["digest-md5"]}}
    admission = Admission(ClientsConfig.model_validate({"users": users}), b"", (), verified=False)
    request = EstRequest("POST", "/x", (("authorization", "Bearer x"),), b"")
    with pytest.raises(Refused, match=r"expected Digest or Basic credentials \(got Bearer\)") as refused:
        admission.user_of(request)
    fields = [value for name, value in refused.value.response().headers if name == "www-authenticate"]
    found = read_challenges(fields)
    algorithms = [(each.scheme, each.parameter("algorithm")) for each in found]
    assert algorithms == [("digest", "SHA-256"), ("basic", ""), ("digest", "MD5")]
