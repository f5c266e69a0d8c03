"""Requests of HTTP clients octet by octet, as the sandbox is sent them: request lines, fields, framing, and pieces."""

from dataclasses import dataclass
from typing import Final

from fuzz_draw import Draw
from fuzz_headers import Header, others
from fuzz_http import End, chunked
from fuzz_mutations import mutated

_CRLF: Final = b"\r\n"
_BASE: Final = b"/.well-known/est/"
_OPERATIONS: Final = (
    b"simpleenroll",
    b"simpleenroll",
    b"simpleenroll",
    b"simplereenroll",
    b"cacerts",
    b"csrattrs",
    b"serverkeygen",
    b"fullcmc",
    b"",
    b"x",
    b"cacerts/",
    b"SimpleEnroll",
)
_LABELS: Final = (
    b"slow/",
    b"open/",
    b"person/",
    b"none/",
    b"../",
    b"%2e%2e/",
    b"a/b/",
    b"\xff/",
    b"a" * 500 + b"/",
    b"//",
    b"%00/",
    b"cacerts/",
)
_TARGETS: Final = (
    b"*", b"/", b"", b"http://localhost/.well-known/est/cacerts", b"localhost:443", b"/health", b"/healthz",
    b"/.well-known/est", b"/.well-known/est/cacerts?x=y", b"/.well-known/est/cacerts#f",
    b"/%2ewell-known/est/cacerts", b"/a" * 6000, b"/\x7f", b"/\xe9", b"/.well-known/est/cacerts HTTP/1.1\r\nX: y",
    b"/.well-known//est/cacerts", b"/;/",
)  # fmt: skip
_METHODS: Final = (
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"get",
    b"",
    b"A" * 300,
    b"G\x00T",
    b"\xc3\xa9",
    b"PRI",
    b"DELETE",
    b"PATCH",
)
_NOT_HTTP: Final = (
    b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n\r\n\r\n", b"\n", b"GET", b"GET /",
    b"GET / HTTP/1.1", b"quit\r\n", b"\x00" * 5000, b"A" * 20_000, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: " + b"h" * 20_000,
    b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
)  # fmt: skip
_TYPES: Final = (
    b"application/pkcs10",
    b"application/pkcs10",
    b"application/pkcs10",
    b"application/pkcs10",
    b"application/pkcs10; charset=utf-8",
    b"APPLICATION/PKCS10",
    b"text/plain",
    b"",
    b"a" * 900,
    b"\xff",
)
_AUTHORIZATIONS: Final = (
    b"Basic YWxpY2U6Y29ycmVjdC1ob3JzZS1mdXp6", b"Basic YWxpY2U6d3Jvbmc=", b"basic YWxpY2U6Y29ycmVjdC1ob3JzZS1mdXp6",
    b"Basic", b"Basic ", b"Basic !!!", b"Basic Og==", b"Basic YWxpY2U=",
    b"Basic /////w==", b'Digest username="alice"', b"Bearer x", b"Negotiate " + b"A" * 9000, b"",
    b"Basic " + b"QQ" * 5000, b"Basic YWxpY2U6Y29ycmVjdC1ob3JzZS1mdXp6, Basic x",
)  # fmt: skip
_HOSTS: Final = (
    b"localhost",
    b"localhost",
    b"localhost",
    b"localhost:443",
    b"",
    b"a b",
    b"[::1",
    b"evil.example",
    b"\xff",
    b"a, b",
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a client sends on a connection, piece by piece, and how it leaves then."""

    pieces: tuple[bytes, ...]
    end: End


def request(draw: Draw, operation: bytes | None, body: bytes, identifier: bytes) -> bytes:
    """Return a request; with an operation it is a plain one, mostly, so that the body is read."""
    if draw.chance(0.03):
        return draw.one(_NOT_HTTP)
    plain = operation is not None and draw.chance(0.7)
    path = _BASE + operation if operation is not None and draw.chance(0.95) else _path(draw)
    method = b"POST" if body else b"GET"
    if not plain and draw.chance(0.15):
        method = draw.one(_METHODS)
    version = (
        b"HTTP/1.1"
        if plain or draw.chance(0.9)
        else draw.one((b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"", b"HTTP/1.1 "))
    )
    fields: list[Header] = [(b"Host", b"localhost" if plain else draw.one(_HOSTS))]
    if body:
        fields.append((b"Content-Type", b"application/pkcs10" if plain else draw.one(_TYPES)))
    fields.append(
        (b"X-Request-ID", identifier if draw.chance(0.95) else draw.one((b"", b"\x1b[31m", b"i" * 9000, b"\xff")))
    )
    if draw.chance(0.2):
        fields += [(b"Authorization", draw.one(_AUTHORIZATIONS)) for _ in range(draw.few())]
    if not plain:
        fields += others(draw)
    framed, message = _framed(draw, body, plain=plain)
    end = _CRLF if plain or draw.chance(0.97) else b"\n"
    head = (
        method
        + b" "
        + path
        + b" "
        + version
        + end
        + b"".join([name + b": " + value + end for name, value in (*fields, *framed)])
        + end
    )
    whole = head + message
    return mutated(draw, whole) if draw.chance(0.03) else whole


def _path(draw: Draw) -> bytes:
    if draw.chance(0.3):
        return draw.one(_TARGETS)
    return _BASE + (draw.one(_LABELS) if draw.chance(0.6) else b"") + draw.one(_OPERATIONS)


def _framed(draw: Draw, body: bytes, *, plain: bool) -> tuple[list[Header], bytes]:
    length = (b"Content-Length", b"%d" % len(body))
    if not body and draw.chance(0.9):
        return [], b""
    match 0 if plain else int(draw.random() * 9):
        case 0 | 1 | 2:
            return [length], body
        case 3:
            return [(b"Transfer-Encoding", b"chunked")], chunked(draw, body)
        case 4:
            return [(b"Transfer-Encoding", b"chunked"), length], draw.one((chunked(draw, body), body))
        case 5:
            odd = draw.one(
                (
                    b"-1",
                    b"abc",
                    b"",
                    b"%d, %d" % (len(body), len(body)),
                    b"9" * 30,
                    b"%d" % (len(body) + 1),
                    b"0",
                    b"70000",
                    b"+5",
                    b"\xb2",
                )
            )
            return [(b"Content-Length", odd)], body
        case 6:
            return [(b"Expect", draw.one((b"100-continue", b"100-Continue", b"200-ok"))), length], body
        case 7:
            return [length, (b"Content-Length", b"%d" % draw.one((len(body), 5)))], body
        case _:
            return [(b"Content-Length", b"%d" % (len(body) + 80_000))], body + b"\n" * 80_000


def sent(draw: Draw, requests: list[bytes]) -> Sent:
    """Return requests as they come on one connection: pipelined, in pieces, and to whatever end."""
    whole = b"".join(requests)
    if draw.chance(0.7):
        return Sent(tuple(requests), draw.one((End.NOTIFY, End.NOTIFY, End.NOTIFY, End.SILENCE, End.RESET)))
    if draw.chance(0.3):
        whole = whole[: int(draw.random() * len(whole))]
    if draw.chance(0.1):
        return Sent((*(whole[at : at + 1] for at in range(min(len(whole), 300))), whole[300:]), End.NOTIFY)
    cuts = sorted(int(draw.random() * (len(whole) + 1)) for _ in range(draw.few()))
    pieces = tuple(whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True))
    return Sent(pieces, draw.one((End.NOTIFY, End.SILENCE, End.RESET)))
