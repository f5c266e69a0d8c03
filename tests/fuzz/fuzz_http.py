"""Answers of HTTP servers octet by octet (RFC 9112): status lines, fields, framing, and how a connection ends.

What is odd is odd in one place mostly, so that what stands behind it is read.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fuzz_draw import Draw
from fuzz_headers import Header, others
from fuzz_mutations import mutated

_CRLF: Final = b"\r\n"
_REASONS: Final = (b"OK", b"", b"Accepted", b"\xe9\xff", b"a" * 5000, b"200 OK", b"\t", b"\x1b[31mno")
_VERSIONS: Final = (
    b"HTTP/1.0",
    b"HTTP/1.1 ",
    b"HTTP/2",
    b"HTTP/0.9",
    b"http/1.1",
    b"HTTP/1.9",
    b"HTTP/11",
    b"ICY",
    b"HTTP/1.1\t",
)
_NOT_HTTP: Final = (
    b"SSH-2.0-OpenSSH_9.6\r\n", b"220 smtp ready\r\n", b"<html><body>It works</body></html>",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    b"\r\n\r\n", b"HTTP", b"HTTP/", b"HTTP/1.1", b"HTTP/1.1 200", b"HTTP/1.1 200 OK", b"H",
    b"\x15\x03\x01\x00\x02\x02\x28", b"\r\n" * 9000, b"HTTP/1.1 200 OK\n\n",
)  # fmt: skip
_LARGEST_BODY: Final = 1024 * 1024


class End(Enum):
    """How a server ends a connection after an answer, if it does."""

    KEPT = "kept"
    NOTIFY = "close_notify"
    ABRUPT = "a FIN alone"
    RESET = "a reset"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes onto the wire, a TLS record for each piece, and what becomes of the connection then."""

    pieces: tuple[bytes, ...]
    end: End = End.KEPT


def answer(draw: Draw, status: int, headers: Sequence[Header], body: bytes) -> Answer:
    """Return an answer with this status, fields and body, mostly as it should be."""
    if draw.chance(0.02):
        return Answer((draw.one(_NOT_HTTP),), draw.one((End.NOTIFY, End.ABRUPT, End.RESET, End.SILENCE)))
    if draw.chance(0.5):
        return Answer((head(status, (*headers, (b"Content-Length", b"%d" % len(body)))) + body,))
    fields = [*headers, *others(draw)]
    if draw.chance(0.1):
        draw.shuffle(fields)
    framing, framed, ends = _framed(draw, body)
    first = _status_line(draw, status)
    message = (
        _interim(draw)
        + first
        + _fields(draw, [*fields, *framing])
        + framed
        + (draw.octets(40) if draw.chance(0.02) else b"")
    )
    if draw.chance(0.05):
        message = mutated(draw, message)
    return Answer(_pieces(draw, message), _end(draw, must_end=ends))


def head(status: int, headers: Sequence[Header]) -> bytes:
    """Return the head of an answer as it should be."""
    return b"HTTP/1.1 %d OK\r\n" % status + b"".join([b"%s: %s\r\n" % field for field in headers]) + _CRLF


def _status_line(draw: Draw, status: int) -> bytes:
    if draw.chance(0.9):
        return b"HTTP/1.1 %d %s\r\n" % (status, draw.one(_REASONS) if draw.chance(0.2) else b"OK")
    text = draw.one(
        (
            b"%d" % status,
            b"%03d" % draw.one((0, 7, 99, 100, 101, 103, 199, 600, 999)),
            b"20",
            b"2000",
            b"abc",
            b"-200",
            b"+200",
            b"2e2",
            b"",
            "\u0662\u0660\u0660".encode(),
        )
    )
    version = draw.one(_VERSIONS) if draw.chance(0.5) else b"HTTP/1.1"
    return version + b" " + text + draw.one((b"", b" ", b" OK", b"  OK")) + draw.one((_CRLF, b"\n", b"\r", b"\r\n "))


def _interim(draw: Draw) -> bytes:
    """Return the 1xx answers that come before."""
    if draw.chance(0.9):
        return b""
    one = draw.one((
        b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n", b"\r\n",
    ))  # fmt: skip
    return one * draw.one((1, 1, 2, 50, 2000))


def _fields(draw: Draw, headers: list[Header]) -> bytes:
    separator = b": " if draw.chance(0.9) else draw.one((b":", b":\t", b" : ", b"", b"="))
    end = _CRLF if draw.chance(0.95) else draw.one((b"\n", b"\r\n\t", b"\r"))
    return b"".join([name + separator + value + end for name, value in headers]) + (
        _CRLF if draw.chance(0.98) else b"\n"
    )


def _framed(draw: Draw, body: bytes) -> tuple[list[Header], bytes, bool]:
    """Return the framing's fields, the body within it, and whether only the end of the connection ends it."""
    match int(draw.random() * 12):
        case 0 | 1 | 2 | 3:
            return [(b"Content-Length", b"%d" % len(body))], body, False
        case 4 | 5:
            return [(b"Transfer-Encoding", b"chunked")], chunked(draw, body), False
        case 6:
            return [], body, True
        case 7:
            return [_odd_length(draw, len(body))], body, True
        case 8:
            both: list[Header] = [
                (b"Content-Length", b"%d" % draw.one((len(body), 0, 5))),
                (b"Transfer-Encoding", b"chunked"),
            ]
            return both, chunked(draw, body), True
        case 9:
            return (
                [
                    (
                        b"Transfer-Encoding",
                        draw.one(
                            (
                                b"gzip, chunked",
                                b"identity",
                                b"chunked, chunked",
                                b"xchunked",
                                b"CHUNKED",
                                b"",
                                b"chunked;q=1",
                            )
                        ),
                    )
                ],
                chunked(draw, body),
                True,
            )
        case 10:
            coded = (
                gzip.compress(body, 1, mtime=0) if draw.chance(0.7) else gzip.compress(bytes(_LARGEST_BODY), 9, mtime=0)
            )
            return [(b"Content-Encoding", b"gzip"), (b"Content-Length", b"%d" % len(coded))], coded, False
        case _:
            large = (
                body + b"\n" * draw.one((_LARGEST_BODY - len(body), _LARGEST_BODY, 70_000))
                if draw.chance(0.1)
                else body
            )
            return [(b"Content-Length", b"%d" % len(large))], large, False


def _odd_length(draw: Draw, length: int) -> Header:
    text = draw.one((
        b"%d" % (length + 1), b"%d" % max(0, length - 1), b"0", b"-1", b"+%d" % length, b"0%d" % length,
        b"%d, %d" % (length, length), b"%d, %d" % (length, length + 1), b"", b"abc",
        b"0x10", b"9" * 19, b"9" * 400, b"%d" % draw.edge(), b"1_0", "\u0665".encode(), b"%d.0" % length,
    ))  # fmt: skip
    return (b"Content-Length", text)


def chunked(draw: Draw, body: bytes) -> bytes:
    """Return a body in chunks, mostly as they should be (RFC 9112 §7.1)."""
    sound = draw.chance(0.6)
    size = draw.one((len(body) or 1, 1000, 100, 7)) if len(body) < 5000 else 4000
    parts: list[bytes] = []
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        extension = b"" if sound else draw.one((b"", b"", b";a=b", b";" + b"x" * 3000, b' ;a="b\r\n"', b"\t"))
        length = (
            b"%x" % len(piece)
            if sound or draw.chance(0.9)
            else draw.one(
                (
                    b"%X" % len(piece),
                    b"000%x" % len(piece),
                    b"0x%x" % len(piece),
                    b"-1",
                    b"",
                    b"f" * 20,
                    b"g",
                    b"%x " % len(piece),
                )
            )
        )
        parts.append(
            length
            + extension
            + (_CRLF if sound or draw.chance(0.97) else b"\n")
            + piece
            + (_CRLF if sound or draw.chance(0.97) else b"")
        )
    last = (
        b"0\r\n\r\n"
        if sound
        else draw.one(
            (
                b"0\r\n\r\n",
                b"0\r\nX-T: v\r\n\r\n",
                b"0\r\n",
                b"",
                b"00000\r\n\r\n",
                b"0\r\n" + b"X: y\r\n" * 500 + b"\r\n",
                b"0\r\nContent-Length: 1\r\n\r\n",
            )
        )
    )
    return b"".join(parts) + last


def _pieces(draw: Draw, message: bytes) -> tuple[bytes, ...]:
    """Cut a message into the pieces that it arrives in."""
    match int(draw.random() * 8):
        case 0 if len(message) < 3000:
            return (*(message[at : at + 1] for at in range(min(len(message), 60))), message[60:])
        case 1:
            at = int(draw.random() * len(message))
            return (message[:at], message[at:])
        case 2:
            cuts = sorted(int(draw.random() * len(message)) for _ in range(5))
            return tuple(message[start:end] for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True))
        case 3 if draw.chance(0.3):
            return (message[: int(draw.random() * len(message))],)
        case _:
            return (message,)


def _end(draw: Draw, *, must_end: bool) -> End:
    if must_end and draw.chance(0.9):
        return draw.one((End.NOTIFY, End.NOTIFY, End.ABRUPT, End.RESET))
    if draw.chance(0.8):
        return End.KEPT
    return draw.one((End.NOTIFY, End.ABRUPT, End.RESET, End.SILENCE))
