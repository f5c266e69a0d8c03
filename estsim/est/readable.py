"""A server's text for people: one line, safe for a terminal, of HTML, control characters or binary.

Only the first bytes are read, so the cost does not depend on what a server sends.
"""

import html
import re
from typing import Final

from estsim.units import harmless

DETAIL_CHARACTERS: Final = 200
"""How much of an error body is kept for people."""

_TEXT_BYTES: Final = 2048  # enough for 200 characters and white space that is dropped
_PAGE_BYTES: Final = 8192  # the same, and markup
_MARKUP: Final = re.compile(rb"\s{0,64}<(?:!doctype|!--|\?xml|/?[a-z])", re.IGNORECASE)
_UNSEEN: Final = re.compile(r"<!--.*?(?:-->|$)|<(head|script|style)\b.*?(?:</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
# A line of base64: longer than any word, and with capitals, small letters and digits.
_BASE64: Final = re.compile(
    rb"\s{0,64}(?=\S{0,59}[A-Z])(?=\S{0,59}[a-z])(?=\S{0,59}[0-9])[A-Za-z0-9+/]{60}[A-Za-z0-9+/=\s]*\Z"
)
_TITLE: Final = re.compile(r"<title\b[^<>]*>", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"&#[0-9]{8,};?")  # no character has such a number, and Python reads none of 5000 digits
_TAG: Final = re.compile(r"<[^>]*(?:>|$)")


def readable(text: bytes) -> str:
    """Return the first 200 characters of a text as one line without control characters or bidi overrides."""
    return _one_line(text[:_TEXT_BYTES].decode("utf-8", "replace"))


def words_of(body: bytes) -> str:
    """Return the same of a body: of HTML, which proxies send, what a browser shows; of base64, nothing."""
    if _BASE64.match(body[:_TEXT_BYTES]):
        return ""
    if not is_page(body):
        return readable(body)
    text = body[:_PAGE_BYTES].decode("utf-8", "replace")
    seen = _one_line(unescaped(_TAG.sub(" ", _UNSEEN.sub(" ", text))))
    if seen:
        return seen
    at = _TITLE.search(text)
    return _one_line(unescaped(text[at.end() :].partition("</")[0])) if at else ""


def is_page(body: bytes) -> bool:
    """Whether a body is HTML, as proxies answer and EST servers hardly do."""
    return bool(_MARKUP.match(body))


def unescaped(text: str) -> str:
    """Return a text with its HTML character references replaced; an impossible one becomes U+FFFD."""
    return html.unescape(_REFERENCE.sub("\N{REPLACEMENT CHARACTER}", text))


def _one_line(text: str) -> str:
    return harmless(" ".join(text.split())[:DETAIL_CHARACTERS])
