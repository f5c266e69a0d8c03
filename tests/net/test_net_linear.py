"""What reads an answer off the wire is linear in its bytes, and in the pieces that they come in."""

from collections.abc import Callable
from typing import Final

import pytest
from linear import Reader, assert_linear
from net_kit import read_in_memory as read

from estsim.errors import TransportFailed
from estsim.net.http import LARGEST_BODY_BYTES, LARGEST_HEAD_BYTES, WireAnswer

OK: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HEAD: Final = LARGEST_HEAD_BYTES - 1024
BODY: Final = LARGEST_BODY_BYTES - 1024


def byte_by_byte(answer: bytes) -> WireAnswer:
    """Read an answer that comes in records of one byte."""
    return read(answer, piece=1)


def head_of(unit: bytes, *, after: bytes = b"\r\n\r\n") -> Callable[[int], bytes]:
    """Return a maker of answers whose head repeats something."""
    return lambda size: OK + unit * (size // len(unit)) + after


def body_of(unit: bytes, *, head: bytes = CHUNKED, after: bytes = b"0\r\n\r\n") -> Callable[[int], bytes]:
    """Return a maker of answers whose body repeats something."""
    return lambda size: head + unit * (size // len(unit)) + after


def with_length(size: int) -> bytes:
    """Return an answer with a body of a size."""
    return OK + b"Content-Length: %d\r\n\r\n" % size + bytes(size)


READERS: Final = (
    Reader("one long field", read, head_of(b"a", after=b": b\r\n\r\n"), HEAD),
    Reader("one long value", read, lambda size: OK + b"a: " + b"b " * (size // 2) + b"c\r\n\r\n", HEAD),
    Reader(
        "one long value with a NUL",
        read,
        lambda size: OK + b"a: " + b"b " * (size // 2) + b"\x00\r\n\r\n",
        HEAD,
    ),
    Reader("a value of blanks", read, lambda size: OK + b"a: b" + b" " * size + b"c\r\n\r\n", HEAD),
    Reader("many short fields", read, head_of(b"a:\n"), HEAD),
    Reader("many folded lines", read, lambda size: OK + b"a: b\r\n" + b" c\n" * (size // 3) + b"\r\n", HEAD),
    Reader("many lengths", read, lambda size: OK + b"Content-Length: " + b"0," * (size // 2) + b"0\r\n\r\n", HEAD),
    Reader(
        "many codings",
        read,
        lambda size: OK + b"Transfer-Encoding: " + b"a," * (size // 2) + b"\r\n\r\n",
        HEAD,
    ),
    Reader("many options", read, lambda size: OK + b"Connection: " + b"a," * (size // 2) + b"\r\n\r\n", HEAD),
    Reader("a long reason", read, lambda size: b"HTTP/1.1 200 " + b"a " * (size // 2) + b"\r\n\r\n", HEAD),
    Reader("a long status", read, lambda size: b"HTTP/1.1 2" + b"0" * size + b" OK\r\n\r\n", HEAD),
    Reader("a head that never ends", read, head_of(b"a: b\r\n", after=b""), HEAD * 4),
    Reader("a head byte by byte", byte_by_byte, lambda size: OK + b"a: " + b"b" * size + b"\r\n\r\n", HEAD),
    Reader(
        "interim answers",
        read,
        lambda size: b"HTTP/1.1 103 Early\r\n\r\n" * (size // 22) + OK + b"\r\n",
        BODY,
    ),
    Reader("chunks of one byte", read, body_of(b"1\r\na\r\n"), BODY * 6),
    Reader("chunks of a line", read, body_of(b"41\r\n" + b"a" * 65 + b"\r\n"), BODY),
    Reader(
        "a chunk with an extension",
        read,
        lambda size: CHUNKED + b"1;a=" + b"b" * size + b"\r\nc\r\n0\r\n\r\n",
        HEAD,
    ),
    Reader("trailers", read, body_of(b"a:\n", head=CHUNKED + b"0\r\n", after=b"\r\n"), HEAD),
    Reader("a long body", read, with_length, BODY),
    Reader("a body byte by byte", byte_by_byte, with_length, BODY // 64),  # of which more would take minutes
    Reader("a body until the end", read, lambda size: OK + b"\r\n" + bytes(size), BODY),
    Reader("no HTTP", read, lambda size: b"HTTP/" + bytes(size), BODY),
)


@pytest.mark.alone
@pytest.mark.parametrize("reader", READERS, ids=str)
def test_reading_an_answer_is_linear(reader: Reader) -> None:
    """Ten times the bytes take ten times the time, whatever they are."""
    assert_linear(reader)


@pytest.mark.parametrize("name", ["one long value", "many short fields", "chunks of a line", "a long body"])
def test_what_is_large_and_right_is_read(name: str) -> None:
    """The limits leave room for all that is sane: a field of 64 KiB, a megabyte in chunks of a line."""
    reader = next(each for each in READERS if each.name == name)
    made = reader.make(reader.full)
    assert isinstance(made, bytes)
    assert read(made).status == 200


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("interim answers", "more than 100 interim"),
        ("chunks of one byte", "too many chunks"),
        ("a head that never ends", "not an HTTP/1.1 response"),
    ],
)
def test_what_is_in_too_many_pieces_is_named(name: str, reason: str) -> None:
    """Above the limits the row says which it was, in a line of sane length."""
    reader = next(each for each in READERS if each.name == name)
    made = reader.make(reader.full)
    assert isinstance(made, bytes)
    with pytest.raises(TransportFailed, match=reason) as caught:
        read(made)
    assert len(caught.value.reason) < 300
