"""The text within braces or brackets that has to be in quotes, as it was probably meant: ``subject: "CN=a,O=b"``."""

import re
from typing import Final

from estsim.units import shown

_KEY: Final = re.compile(r"\s*([A-Za-z_][\w.-]*):\s+")
# A comma ends a value, but not in the name of a subject, which has its own.
_COMMA: Final = re.compile(r",(?=\s)(?!\s*[A-Za-z][A-Za-z0-9.]*=)")
_PAIRS: Final = {"{": "}", "[": "]"}
_SECRETS: Final = ("password", "users", "http_auth")  # near them, a text may be a password


def entry_quoted(line: str, column: int) -> str | None:
    """Return the entry of braces or brackets around a place, its value in quotes; None where it cannot be told apart.

    ``failures < ${MAX:-1}%`` of ``[failures < ${MAX:-1}%]``, ``subject: CN={index}`` of ``{subject: CN={index}}``.
    """
    start, end = _bounds(line, column)
    entry = line[start:end].strip()
    key = _KEY.match(entry)
    name, value = (f"{key[1]}: ", entry[key.end() :]) if key else ("", entry)
    if not value or any(quote in value for quote in "\"'\\") or not any(brace in value for brace in "{[%"):
        return None
    is_secret = any(key in line for key in _SECRETS)
    return f'{name}"{"…" if is_secret else shown(value)}"'


def _bounds(line: str, column: int) -> tuple[int, int]:
    """Return where the entry around a column begins and ends: what is in braces of its own belongs to it."""
    start, commas = 0, {match.start() for match in _COMMA.finditer(line)}
    open_at: list[int] = []
    for at, char in enumerate(line):
        is_placeholder = char in _PAIRS and _is_within_text(line, at)
        if char in _PAIRS:
            open_at.append(-1 if is_placeholder else at)
            start = start if is_placeholder or at >= column else at + 1
        elif char in _PAIRS.values():
            if at >= column and (not open_at or open_at[-1] >= 0):
                return start, at
            if open_at:
                open_at.pop()
        elif at in commas and -1 not in open_at:
            if at >= column:
                return start, at
            start = at + 1
    return start, len(line)


def _is_within_text(line: str, at: int) -> bool:
    """Say whether a brace is within a text: ``${NAME}``, ``meter-{index}``."""
    return line[at - 1 : at] not in ("", " ", "[", "{", ",")
