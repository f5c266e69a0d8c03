"""What a server may answer an EST request: every status with what belongs to it, and bodies for every operation."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fuzz_certificates import Asked
from fuzz_draw import Draw
from fuzz_headers import Header, challenge, content_type, location, retry_after
from fuzz_http import Answer, answer
from fuzz_messages import ca_certificates, certs_only, csr_attributes, issued, odd_certs_only, transferred

_REFUSALS: Final = (400, 403, 404, 405, 406, 410, 413, 415, 418, 422, 426, 451, 499)
_REDIRECTS: Final = (301, 302, 303, 307, 308, 300, 304, 399)
_BROKEN: Final = (500, 501, 502, 504, 505, 507, 511, 599)
_SUCCESSES: Final = (201, 203, 204, 205, 206, 226, 299)
_WORDS: Final = (
    b"", b"no", b"<html><head><title>403 Forbidden</title></head>\n<body>\n<h1>Forbidden</h1></body></html>",
    b"\x1b]0;owned\x07\x1b[2J", b"a" * 5000,
    b"line one\r\nline two\r\n\r\n", "\u202egnitirw\u202c \u2028 \ufeff".encode(), b"\xff\xfe\x00a\x00",
    b"\x00" * 300, b"%(password)s {0} %n", b"=cmd|' /C calc'!A0",
    b'{"error": {"code": 1}}', "\u0007\u009b31m\u00ad".encode(), "\U000e0001\ud7ff".encode(),
    b"\xed\xa0\x80\xed\xb0\x80",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """A request as the answer is drawn for it: its operation, what it asks for, and all that it said."""

    operation: str
    asked: Asked | None
    said: bytes
    wall_s: float


def answer_to(draw: Draw, question: Question) -> Answer:
    """Return an answer, one in two of them a 200."""
    match int(draw.random() * 20):
        case 0 | 1:
            return _short(draw, 202, question, [(b"Retry-After", retry_after(draw, question.wall_s))])
        case 2:
            named = [(b"WWW-Authenticate", challenge(draw)) for _ in range(draw.few())]
            return _short(draw, 401, question, named)
        case 3:
            return _short(draw, draw.one(_REDIRECTS), question, [(b"Location", location(draw))])
        case 4:
            return _short(draw, draw.one((503, 429)), question, [(b"Retry-After", retry_after(draw, question.wall_s))])
        case 5:
            return _short(draw, draw.one(_REFUSALS), question, [])
        case 6:
            return _short(draw, draw.one(_BROKEN), question, [])
        case 7:
            return _of_success(draw, draw.one(_SUCCESSES), question)
        case 8:
            told = draw.some((b"Retry-After", b"Location", b"WWW-Authenticate", b"Date", b"Content-Range"), 5)
            values = (b"1", b"/", challenge(draw), retry_after(draw, question.wall_s), location(draw))
            return _short(
                draw,
                draw.one((200, 202, 206, 302, 401, 503, 700)),
                question,
                [(name, draw.one(values)) for name in told],
            )
        case _:
            return _of_success(draw, 200, question)


def _short(draw: Draw, status: int, question: Question, headers: list[Header]) -> Answer:
    """Return an answer whose body is for people; the required field may be missing or doubled."""
    if headers and draw.chance(0.1):
        headers = draw.one(([], headers * 2))
    body = draw.one(_WORDS) if draw.chance(0.9) else draw.one((question.said, _body(draw, question)))
    return answer(draw, status, headers, body)


def _of_success(draw: Draw, status: int, question: Question) -> Answer:
    headers: list[Header] = [(b"Content-Type", content_type(draw))]
    if status == 206 or draw.chance(0.02):
        headers.append((b"Retry-After", retry_after(draw, question.wall_s)))
    return answer(draw, status, headers, _body(draw, question))


def _body(draw: Draw, question: Question) -> bytes:
    """Return the body of an answer that succeeds; of another operation at times."""
    return transferred(draw, _message(draw, question))


def _message(draw: Draw, question: Question) -> bytes:
    now = datetime.fromtimestamp(question.wall_s, UTC)
    operation = question.operation if draw.chance(0.97) else draw.one(("cacerts", "csrattrs", "simpleenroll"))
    if operation == "csrattrs":
        return csr_attributes(draw)
    if operation == "cacerts" or question.asked is None:
        return odd_certs_only(draw, ca_certificates(draw, now))
    if draw.chance(0.03):
        return draw.one((b"", b"\x30\x80", draw.octets(500), certs_only([])))
    return odd_certs_only(draw, issued(draw, question.asked, now))
