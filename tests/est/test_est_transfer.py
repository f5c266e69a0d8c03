"""RFC 8951 §3: base64 both ways, tolerant of white space and of PEM armour, strict about everything else."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.transfer import NO_PADDING, PEM_ARMOUR, TransferError, decode_body, encode_body


@given(st.binary(min_size=1), st.none() | st.integers(1, 100))
def test_what_was_encoded_is_decoded(der: bytes, columns: int | None) -> None:
    """Every length and every width of line comes back without a complaint."""
    assert decode_body(encode_body(der, columns=columns)) == (der, ())


@given(st.binary(min_size=1), st.lists(st.tuples(st.integers(0, 200), st.sampled_from("\r\n \t"))))
def test_white_space_may_stand_anywhere(der: bytes, blanks: list[tuple[int, str]]) -> None:
    """CR, LF, space and tab change nothing, wherever they stand."""
    text = base64.b64encode(der).decode()
    for at, blank in blanks:
        text = text[: at % (len(text) + 1)] + blank + text[at % (len(text) + 1) :]
    assert decode_body(text.encode()) == (der, ())


@given(st.binary() | st.text("AQgw=-\r\n ").map(str.encode))
def test_arbitrary_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing but TransferError is raised, and nothing is read as no bytes."""
    with suppress(TransferError):
        decoded, _ = decode_body(body)
        assert decoded


def test_lines_are_no_longer_than_64_and_each_is_ended() -> None:
    """A server was seen to want lines of at most 64, each of them ended."""
    lines = encode_body(bytes(100)).split(b"\n")
    assert [len(line) for line in lines] == [64, 64, 8, 0]


def test_one_line_has_no_end_of_line() -> None:
    """A client was seen to choke on any line break."""
    assert encode_body(bytes(100), columns=None) == base64.b64encode(bytes(100))


@pytest.mark.parametrize("end_of_line", ["\n", "\r\n", ""])
def test_pem_armour_is_read_and_noted(end_of_line: str) -> None:
    """Armour breaks the RFC, but what it holds is plain."""
    body = end_of_line.join(["-----BEGIN PKCS7-----", base64.b64encode(b"0 der").decode(), "-----END PKCS7-----", ""])
    assert decode_body(body.encode()) == (b"0 der", (PEM_ARMOUR,))


def test_missing_padding_is_read_and_noted() -> None:
    """Base64 without its padding still says everything."""
    assert decode_body(base64.b64encode(b"four").rstrip(b"=")) == (b"four", (NO_PADDING,))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "an empty body"),
        (b" \r\n\t", "an empty body"),
        (b"\x30\x82\x01\x02rest", "bare DER"),
        (b"<html>no</html>", "expected base64: "),
        (b"AAAA====", "expected base64: "),
        (b"AA==AAAA", "expected base64: "),
        (b"A", "expected base64: "),
        (b"-_-_", "expected base64: "),
        (b"AAAA\x00", "expected base64: "),
        (b"-----BEGIN PKCS7-----\nAAAA", "without its BEGIN or END line"),
    ],
)
def test_what_is_not_base64_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    """The message says what came instead."""
    with pytest.raises(TransferError, match=reason):
        decode_body(body)
