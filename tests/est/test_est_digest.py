"""HTTP Digest: RFC 7616's own examples, what cannot be answered, and any text that a server may send."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.challenge import Challenge, read_challenges, read_parameters
from estsim.est.digest import (
    ALGORITHMS,
    DigestChallenge,
    DigestCredentials,
    DigestError,
    digest_authorization,
    digest_response,
    next_nonce,
    read_digest,
)
from estsim.est.login import Login, choose_challenge, why_not_answered

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
EXAMPLE = (  # RFC 7616 §3.9.1
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
    f'nonce="{NONCE}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
MUFASA = DigestCredentials("Mufasa", "Circle of Life")
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def challenge(text: str) -> Challenge:
    """Return the one challenge of a field."""
    (found,) = read_challenges([text])
    return found


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_the_rfc(algorithm: str, response: str) -> None:
    """RFC 7616 §3.9.1, parameter by parameter: which are quoted, and that opaque comes back."""
    asked = read_digest(challenge(EXAMPLE.format(algorithm=algorithm)))
    value = digest_authorization(asked, MUFASA, method="GET", target="/dir/index.html", count=1, cnonce=CNONCE)
    assert value == (
        f'Digest username="Mufasa", realm="http-auth@example.org", nonce="{NONCE}", uri="/dir/index.html", '
        f'algorithm={algorithm}, response="{response}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", '
        f'qop=auth, nc=00000001, cnonce="{CNONCE}"'
    )


def test_the_example_with_sha_512_256() -> None:
    """RFC 7616 §3.9.2: a user name in UTF-8 goes as ``username*``, and the hash has 256 bits."""
    asked = DigestChallenge("api@example.org", "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", "SHA-512-256")
    who = DigestCredentials("J\u00e4s\u00f8n Doe", "Secret, or not?")
    value = digest_authorization(asked, who, method="GET", target="/doe.json", count=1, cnonce="x")
    assert "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, " in value
    assert re.search(r'response="[0-9a-f]{64}"', value)


def test_without_an_algorithm_md5_is_meant_and_none_is_written() -> None:
    """RFC 7616 §3.3; and as RFC 2069's servers have it, without qop, count and cnonce."""
    asked = read_digest(challenge(f'Digest realm="http-auth@example.org", nonce="{NONCE}"'))
    assert (asked.algorithm, asked.has_qop) == (None, False)
    value = digest_authorization(asked, MUFASA, method="GET", target="/", count=3, cnonce=CNONCE)
    assert not re.search("algorithm|qop|nc=|cnonce", value)
    assert re.search(r'response="[0-9a-f]{32}"', value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('Digest realm="x"', "Digest without a nonce"),
        ('Digest realm="x", nonce="n", algorithm=MD5-sess', "Digest with algorithm MD5-sess; estsim supports MD5, SHA"),
        ('Digest realm="x", nonce="n", algorithm=SHA-512', "Digest with algorithm SHA-512;"),
        ('Digest realm="x", nonce="n", qop="auth-int"', "Digest with qop auth-int; estsim supports auth"),
        ('Digest realm="x", nonce="n\x01"', "Digest with control characters"),
    ],
)
def test_what_cannot_be_answered_is_named(text: str, why: str) -> None:
    """In the words of the row that the exchange ends with."""
    with pytest.raises(DigestError, match=re.escape(why)):
        read_digest(challenge(text))
    login = Login(can_answer=frozenset({"digest", "basic"}))
    assert choose_challenge([challenge(text)], login) is None
    assert why in why_not_answered([challenge(text)], login)


def test_of_several_digest_challenges_the_first_that_is_known_is_answered() -> None:
    """RFC 7616 §3.7: servers order them by preference; Digest goes before Basic wherever that stands."""
    fields = [
        'Basic realm="b", Digest realm="d", nonce="1", qop="auth", algorithm=SHA-256-sess',
        'Digest realm="d", nonce="2", qop="auth", algorithm=SHA-256, Digest realm="d", nonce="3", algorithm=MD5',
    ]
    challenges = read_challenges(fields)
    both = frozenset({"basic", "digest"})
    chosen = choose_challenge(challenges, Login(can_answer=both))
    assert chosen is not None
    assert chosen.parameter("nonce") == "2"
    basic = choose_challenge(challenges, Login(can_answer=frozenset({"basic"})))
    assert basic is not None
    assert basic.scheme == "basic"
    assert choose_challenge(read_challenges(["Negotiate"]), Login(can_answer=both)) is None


def test_a_stale_nonce_is_no_wrong_password() -> None:
    """It is answered again, as often as the login allows; a plain repetition means that the password is wrong."""
    stale, plain = challenge('Digest realm="d", nonce="2", stale=TRUE'), challenge('Digest realm="d", nonce="2"')
    again, spent = Login(used="digest", takes_another_nonce=True), Login(used="digest")
    assert choose_challenge([stale], again) == stale
    assert choose_challenge([plain], again) is None
    assert choose_challenge([stale], spent) is None
    assert why_not_answered([stale], spent) == "the server refuses every nonce of its own as stale (Digest)"
    assert why_not_answered([plain], again) == "the server rejected this user and password (Digest)"


def test_the_next_nonce_is_taken_from_authentication_info() -> None:
    """RFC 7616 §3.5."""
    asked = DigestChallenge("r", "old", stale=True)
    named = next_nonce(asked, read_parameters('qop=auth, rspauth="6629", cnonce="0a", nc=00000001, nextnonce="new"'))
    assert named == DigestChallenge("r", "new")
    for nothing in ("", 'nextnonce=""', 'nextnonce="\x02"', "rubbish, nextnonce"):
        assert next_nonce(asked, read_parameters(nothing)) == asked


@given(
    st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])),
    st.text(),
    st.text(),
    st.sampled_from([None, *ALGORITHMS]),
    st.integers(1, 1 << 33),
)
def test_what_is_written_is_read_back(realm: str, user: str, password: str, algorithm: str | None, count: int) -> None:
    """Whatever a server calls its realm, and however a user is called: the header is one that a reader understands."""
    asked = DigestChallenge(realm, 'a"b\\c', algorithm, opaque="")
    who = DigestCredentials(user, password)
    value = digest_authorization(asked, who, method="POST", target="/x", count=count, cnonce="c")
    value.encode("latin-1")
    given = challenge(value)
    assert (given.scheme, given.realm, given.parameter("nonce")) == ("digest", realm, 'a"b\\c')
    nc = given.parameter("nc")
    assert len(nc) == 8
    right = digest_response(asked, who, method="POST", target="/x", nc=nc, cnonce="c")
    assert given.parameter("response") == right


FIELDS = st.text(max_size=80) | st.text('Digest realm="x\\, =nonceqop').map(lambda end: f"Digest {end}")


@given(st.lists(FIELDS, max_size=4))
def test_any_text_is_answered_or_told(values: list[str]) -> None:
    """Total: a challenge is chosen and can be answered, or the reason why not is one line."""
    challenges = read_challenges(values)
    login = Login(can_answer=frozenset({"basic", "digest"}))
    chosen = choose_challenge(challenges, login)
    if chosen is None:
        assert "\n" not in why_not_answered(challenges, login)
    elif chosen.scheme == "digest":
        digest_authorization(read_digest(chosen), MUFASA, method="GET", target="/", count=1, cnonce="c")
