"""Odd HTTP, read in memory: an answer as it is, or a failure that says what was wrong, and nothing else."""

from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from net_kit import read_in_memory

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import WireStamps
from estsim.net.http import Question

NO_BODY = b"Content-Length: 0\r\n\r\n"

# What a redirect may name that is no URL: an httpx client raises for most of these, redirects followed or not.
LOCATIONS = (
    b"https://est.example.com:${PORT}/est",
    b"mailto:admin@example.com",
    b"javascript:alert(1)",
    b"https://xn--/",
    b"https://[::1/",
    b"https://[v1.x]/",
    b"//",
    b"https://host:99999999/",
    b"https://\xe4\xf6\xfc.example/",
    "https://пример.example/%zz".encode(),
    b"https://a b/\x01\x7f",
    b"",
    b"x" * 65536,
)


@pytest.mark.parametrize("location", LOCATIONS, ids=range(len(LOCATIONS)))
def test_a_location_is_text(location: bytes) -> None:
    """Nobody follows it here, so nobody parses it."""
    answer = read_in_memory(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: " + location + b"\r\n" + NO_BODY)
    assert answer.status == 307
    assert dict(answer.headers)["location"].encode("latin-1") == location


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200\r\n" + NO_BODY, 200, b""),
        (b"HTTP/1.1 200 \xe4\xff\r\n" + NO_BODY, 200, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", 200, b"abc"),
        (b"HTTP/1.1 999 Odd\r\n" + NO_BODY, 999, b""),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc", 304, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", 200, b"abc"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            200,
            b"abc",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br, zstd, x\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=\xff\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc"),
        (
            b"HTTP/1.1 200 OK\r\nSet-Cookie: =;=;\xff; expires=x; domain=[\r\nContent-Length: 3\r\n\r\nabc",
            200,
            b"abc",
        ),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc"),
        (b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", 200, b"abc"),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n" + NO_BODY, 200, b""),
    ],
    ids=range(16),
)
def test_an_odd_answer_is_read(answer: bytes, status: int, body: bytes) -> None:
    """What is distinguishable from the rest of the stream is accepted, with its body undecoded."""
    read = read_in_memory(answer)
    assert (read.status, read.body) == (status, body)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 20 OK\r\n" + NO_BODY,
        b"HTTP/1.1 2000 OK\r\n" + NO_BODY,
        b"HTTP/1.1 +20 OK\r\n" + NO_BODY,
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/11 200 OK\r\n" + NO_BODY,
        b"http/1.1 200 OK\r\n" + NO_BODY,
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        b"\r\nHTTP/1.1 200 OK\r\n" + NO_BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n" + NO_BODY,
        b"HTTP/1.1 200 OK\r\nX Y: a\r\n" + NO_BODY,
        b"HTTP/1.1 200 OK\r\n: a\r\n" + NO_BODY,
        b"HTTP/1.1 200 OK\r\n folded: a\r\n" + NO_BODY,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
    ids=range(26),
)
@pytest.mark.parametrize("piece", [1, 1 << 14])
def test_what_is_no_http_is_named(answer: bytes, piece: int) -> None:
    """The row's words are few, and can be shown."""
    with pytest.raises(TransportFailed) as caught:
        read_in_memory(answer, piece=piece)
    assert caught.value.trouble is Trouble.PROTOCOL
    assert caught.value.phase in {Phase.WAIT, Phase.RECEIVE}
    assert len(caught.value.reason) < 300
    assert caught.value.reason.isprintable()


_LINE = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"Content-Length: 3",
            b"Transfer-Encoding: chunked",
            b"Connection: close",
            b" fold",
            b"",
            b"a: b",
            b"3",
            b"abc",
        ]
    ),
    st.builds(lambda name, value: name + b":" + value, st.binary(max_size=8), st.binary(max_size=20)),
    st.builds(b"HTTP/1.1 %d X".__mod__, st.integers(0, 1000)),
)


@given(st.lists(_LINE, max_size=12), st.sampled_from([b"\r\n", b"\n"]), st.integers(1, 40))
def test_any_lines_are_an_answer_or_a_failure(lines: list[bytes], end: bytes, piece: int) -> None:
    """Lines that HTTP is made of, in any order and cut anywhere."""
    with suppress(TransportFailed):
        read_in_memory(end.join([b"HTTP/1.1 200 OK", *lines, b""]), piece=piece)


@pytest.mark.parametrize(
    "question",
    [
        Question("localhost", "GE T", "/x", (), b"", 5),
        Question("localhost", "GET", "/x\r\ny", (), b"", 5),
        Question("localhost", "GET", "/\u0444", (), b"", 5),
        Question("localhost", "GET", "/x", (("a", "b\nc"),), b"", 5),
        Question("localhost", "GET", "/x", (("a", "\u0444"),), b"", 5),
        Question("xn--\u0444:x", "GET", "/x", (), b"", 5),
        Question("[::1", "GET", "/x", (), b"", 5),
    ],
    ids=range(7),
)
def test_a_request_that_cannot_be_sent_is_a_failure_too(question: Question) -> None:
    """What httpx or h11 would not take of ours is no exception of theirs."""
    with pytest.raises(TransportFailed, match="the request cannot be sent") as caught:
        read_in_memory(b"", question=question)
    assert (caught.value.phase, caught.value.trouble) == (Phase.SEND, Trouble.PROTOCOL)


def test_a_path_goes_out_as_written() -> None:
    """Httpx would rewrite what it thinks is wrong in a path; a server may see a difference."""
    path = "/a%2Fb/ca:3/My%20CA/%zz/x'"
    request = Question("localhost", "GET", path, (), b"", 5).on(None, clock=lambda: 1, stamps=WireStamps())  # type: ignore[arg-type]
    assert isinstance(request, httpx.Request)
    assert request.extensions["target"] == path.encode()
