"""What a well-formed HTTP/1.1 answer of the sandbox is, read strictly and by nobody's library (RFC 9112)."""

import re
from dataclasses import dataclass
from typing import Final

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([\t\x20-\x7e]*)")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")
_HEAD_BYTES: Final = 1024  # a client was seen to parse by hand
_INTERIM: Final = 200
_NO_CONTENT: Final = (204, 304)


class NotWellFormed(ValueError):  # noqa: N818 - says what it is
    """Bytes that are no answer; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as a client hears it; the names of its fields are in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes


def heard(said: bytes, *, with_heads: bool = False) -> list[Heard]:
    """Return the final answers in what a server said; ``with_heads``: some may answer a HEAD, and have no body."""
    answers: list[Heard] = []
    while said:
        head, end, rest = said.partition(b"\r\n\r\n")
        if not end:
            raise NotWellFormed(f"a head without an end: {said[:80]!r}")
        if len(head) + 4 > _HEAD_BYTES:
            raise NotWellFormed(f"a head of {len(head) + 4} octets")
        first, *lines = head.split(b"\r\n")
        status = _STATUS_LINE.fullmatch(first)
        if status is None:
            raise NotWellFormed(f"a status line: {first!r}")
        fields = _fields(lines)
        code = int(status[1])
        if code < _INTERIM:
            said = rest
            continue
        size = _size(code, fields)
        body = b"" if with_heads and (not rest or rest.startswith(b"HTTP/1.1 ")) else rest[:size]
        if not with_heads and len(body) != size:
            raise NotWellFormed(f"{len(body)} of {size} octets of a body")
        answers.append(Heard(code, fields, body))
        said = rest[len(body) :]
    return answers


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise NotWellFormed(f"a field: {line!r}")
        name = field[1].decode().lower()
        if name in fields:
            raise NotWellFormed(f"a field that stands twice: {line!r}")
        fields[name] = (field[2] or b"").decode()
    return fields


def _size(code: int, fields: dict[str, str]) -> int:
    if code in _NO_CONTENT:
        if "content-length" in fields:
            raise NotWellFormed(f"a {code} with a Content-Length")
        return 0
    if not fields.get("content-length", "").isdecimal():
        raise NotWellFormed(f"no Content-Length: {fields}")
    if "date" not in fields:
        raise NotWellFormed("no Date")
    return int(fields["content-length"])
