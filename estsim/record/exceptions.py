"""Exceptions as text: location, traceback and message, safe to write anywhere.

All text becomes lines of printable ASCII of bounded length. A traceback has no local variables, and source lines of
estsim only. A message with a password is omitted; anything in it that looks like a key is replaced.
"""

import linecache
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Final
from urllib.parse import quote

import estsim
from estsim.errors import BehaviourFailed

MAX_TRACE: Final = 8_000  # characters of a traceback
MAX_LINE: Final = 300  # characters of a line, and of a message
_MAX_FRAMES: Final = 16  # of each exception, the innermost
_MAX_CHAIN: Final = 4  # exceptions, each raised because of the next
Secrets = frozenset[str] | None  # texts that no message may contain; None: not known

_PACKAGE: Final = Path(estsim.__file__).parent
_BLOB: Final = re.compile(r"[A-Za-z0-9+/=_-]{40,}")  # a key, token or certificate: words are shorter
_BYTES: Final = re.compile(r"""\bb(?P<quote>['"]).*?(?P=quote)""", re.DOTALL)
_REVEALING: Final = 4  # characters of base64; fewer may match by chance
_WITHHELD: Final = "(message omitted: it may contain a secret)"
_NO_MESSAGE: Final = "(message unavailable)"
_MORE: Final = "..."
_HEAD: Final = "Traceback (most recent call last):"
_CUT: Final = "  (earlier lines omitted)\n"


def described(error: BaseException) -> tuple[str, str]:
    """Return the kind of an exception: its type, and where it was raised."""
    if isinstance(error, BehaviourFailed):
        return line_of(error.kind), line_of(error.place)
    try:
        return _name(error), _place(error)
    except Exception:  # noqa: BLE001 - whatever a foreign class does when it is asked
        return "an exception", "an unknown location"


def _name(error: BaseException) -> str:
    kind = type(error)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return line_of(f"{module}{kind.__qualname__}")


def _place(error: BaseException) -> str:
    """Return the innermost location in estsim, and where the exception was raised if that is elsewhere."""
    raised = ours = ""
    for frame, line in _frames(error):
        raised = _position(frame, line)
        if _is_ours(frame.f_code.co_filename):
            ours = raised
    if not ours or ours == raised:
        return line_of(raised) or "an unknown location"
    return line_of(f"{ours} (raised at {raised})")


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    return walk_tb(error.__traceback__)


def _position(frame: FrameType, line: int) -> str:
    path = Path(frame.f_code.co_filename)
    shown = path.relative_to(_PACKAGE.parent) if _is_ours(str(path)) else Path(*path.parts[-2:])
    return f"{shown}:{line} in {frame.f_code.co_name}"


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(_PACKAGE)


def traced(error: BaseException, secrets: Secrets) -> str:
    """Return the traceback of an exception and its causes; if that fails, a line that says so."""
    try:
        text = "\n".join(line for each in _chain(error) for line in _lines(each, secrets))
    except Exception as trouble:  # noqa: BLE001 - a bug that cannot be described is noted all the same
        return f"(no traceback available: {_name(trouble)})"
    if len(text) <= MAX_TRACE:
        return text
    kept = text[len(text) - MAX_TRACE + len(_CUT) :]
    return _CUT + kept[kept.find("\n") + 1 :]


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception and its causes, in the order in which they were raised."""
    chain = [error]
    while len(chain) < _MAX_CHAIN:
        last = chain[-1]
        before = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if before is None or any(before is each for each in chain):
            break
        chain.append(before)
    return chain[::-1]


def _lines(error: BaseException, secrets: Secrets) -> Iterator[str]:
    """Yield the lines of one exception, with source lines of estsim only."""
    frames = [*_frames(error)]
    yield _HEAD
    if len(frames) > _MAX_FRAMES:
        yield f"  ({len(frames) - _MAX_FRAMES} frames omitted)"
    for frame, line in frames[-_MAX_FRAMES:]:
        filename = frame.f_code.co_filename
        yield line_of(f'  File "{filename}", line {line}, in {frame.f_code.co_name}')
        source = linecache.getline(filename, line).strip() if _is_ours(filename) else ""
        if source:
            yield line_of(f"    {source}")
    message = message_of(error, secrets)
    yield f"{_name(error)}: {message}" if message else _name(error)


def message_of(error: BaseException, secrets: Secrets) -> str:
    """Return an exception's message in a line, cut; omitted if it has a secret, or if the secrets are not known."""
    if secrets is None:
        return _WITHHELD
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - whatever a foreign class does when it is asked for its text
        return _NO_MESSAGE
    text = text[: 8 * MAX_LINE]  # long enough to find every secret that would show
    if "PRIVATE KEY" in text or any(secret in text for secret in secrets):
        return _WITHHELD
    text = _BYTES.sub(lambda found: f"(bytes of {len(found.group())} characters)", text)
    return line_of(_BLOB.sub(lambda found: f"({len(found.group())} characters)", text))


def line_of(text: str) -> str:
    """Return a text in a line of printable ASCII, cut; other characters are escaped as in Python."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: MAX_LINE + 1])
    plain = escaped.encode("ascii", "backslashreplace").decode()
    return plain if len(plain) <= MAX_LINE else plain[: MAX_LINE - len(_MORE)] + _MORE


def secrets_in(passwords: Iterable[str]) -> frozenset[str]:
    """Return the texts that reveal a password: itself, quoted for Python and URLs, and in HTTP Basic."""
    found: set[str] = set()
    for password in filter(None, passwords):
        found |= {password, repr(password)[1:-1], quote(password, safe=""), *_in_base64(f":{password}".encode())}
    return frozenset(found)


def _in_base64(tail: bytes) -> Iterator[str]:
    """Yield the base64 forms of bytes at the end of a text, for any length of the text before them."""
    for before in range(3):
        encoded = b64encode(b"\0" * before + tail).decode()
        start = -(-before * 8 // 6)  # the first character that depends on the tail only
        if len(encoded) - start >= _REVEALING:
            yield encoded[start:].rstrip("=")


def passwords_in(document: object) -> Iterator[str]:
    """Yield every password of a scenario: the texts under keys of that name."""
    waiting = [document]
    while waiting:
        this = waiting.pop()
        if isinstance(this, Mapping):
            for key, member in this.items():
                if key == "password" and isinstance(member, str):
                    yield member
                else:
                    waiting.append(member)
        elif isinstance(this, list | tuple):
            waiting.extend(this)
