"""Names and alternative names of any bytes: a text always, never an exception but the declared one."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.der import OBJECT_IDENTIFIER, SEQUENCE, SET, DERError, encode
from estsim.est.extensions import read_extensions
from estsim.est.names import (
    alternative_names,
    name_text,
    name_value,
    read_general_names,
    read_name,
    same_name,
    text_parts,
)

BYTES = st.binary(max_size=24)
TAGS = st.sampled_from(
    [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E, 0x30, 0x31, 0xA0, 0xA4, 0x80]
)


def elements(depth: int) -> st.SearchStrategy[bytes]:
    """Return DER of any shape, to a depth."""
    inner = BYTES if depth == 0 else st.lists(elements(depth - 1), max_size=3).map(b"".join)
    return st.builds(encode, TAGS, inner)


def names() -> st.SearchStrategy[bytes]:
    """Return what is nearly a Name."""
    attribute = st.lists(elements(0) | st.just(encode(OBJECT_IDENTIFIER, b"\x55\x04\x03")), max_size=3).map(b"".join)
    rdn = st.builds(encode, st.sampled_from([SET, SEQUENCE]), st.builds(encode, st.just(SEQUENCE), attribute))
    return st.builds(encode, st.just(SEQUENCE), st.lists(rdn, max_size=3).map(b"".join))


@given(BYTES | elements(2) | names())
def test_any_bytes_have_a_text_and_a_value(der: bytes) -> None:
    """For rows and screens, whatever a peer sends; a name equals itself."""
    assert name_text(der).isprintable()
    assert same_name(der, der)
    hash(name_value(der))
    with suppress(DERError):
        assert len(read_name(der).parts()) == len(read_name(der).rdns)


@given(BYTES | st.builds(encode, st.just(SEQUENCE), st.lists(elements(1) | names(), max_size=3).map(b"".join)))
def test_any_bytes_are_alternative_names_or_none(der: bytes) -> None:
    """Each entry has a text, also of a kind that there is not."""
    assert all(text.isprintable() for text in alternative_names(der).texts)
    with suppress(DERError):
        found = read_general_names(der)
        assert set(found.unreadable) <= set(found.texts)
        assert len(found.dns) + len(found.addresses) <= len(found.texts)


@given(BYTES | elements(3))
def test_any_bytes_are_extensions_or_none(der: bytes) -> None:
    """One that cannot be read is noted; what is none of them raises DERError alone."""
    with suppress(DERError):
        read_extensions(der, 0, len(der))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("CN=meter-1,O=Example", {"CN=meter-1", "O=Example"}),
        ("CN=a\\,b,O=c", {"CN=a\\,b", "O=c"}),
        ("CN=a\\\\,O=c", {"CN=a\\\\", "O=c"}),
        ("", set()),
    ],
)
def test_a_text_is_taken_apart_as_it_was_put_together(text: str, parts: set[str]) -> None:
    """A comma that is escaped parts nothing."""
    assert text_parts(text) == parts
