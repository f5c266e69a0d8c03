"""A server's words for people: one harmless line of what may be HTML, control characters, or no text at all.

Only the first bytes are looked at, so whatever a server sends costs the same.
"""

import html
import re
from typing import Final

from estsim.units import harmless

DETAIL_CHARACTERS: Final = 200
"""How much of an error body is kept; it is for people."""

_TEXT_BYTES: Final = 2048  # enough for 200 characters and white space that is dropped
_PAGE_BYTES: Final = 8192  # the same, and markup
_MARKUP: Final = re.compile(rb"\s{0,64}<(?:!doctype|!--|\?xml|/?[a-z])", re.IGNORECASE)
_UNSEEN: Final = re.compile(r"<!--.*?(?:-->|$)|<(head|script|style)\b.*?(?:</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
# Base64: no word is as long as a line of it, and none mixes capitals, small letters and digits so.
_BASE64: Final = re.compile(
    rb"\s{0,64}(?=\S{0,59}[A-Z])(?=\S{0,59}[a-z])(?=\S{0,59}[0-9])[A-Za-z0-9+/]{60}[A-Za-z0-9+/=\s]*\Z"
)
_TITLE: Final = re.compile(r"<title\b[^<>]*>", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"&#[0-9]{8,};?")  # no character has such a number, and Python reads none of 5000 digits
_TAG: Final = re.compile(r"<[^>]*(?:>|$)")


def readable(text: bytes) -> str:
    """Return the first 200 characters of a text as one line, harmless to a terminal: no control, no bidi override."""
    return _one_line(text[:_TEXT_BYTES].decode("utf-8", "replace"))


def words_of(body: bytes) -> str:
    """Return the same of a body, of HTML what its reader would see: proxies answer in it. Base64 has no words."""
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
    """Say whether a body is HTML, as proxies answer it and EST servers hardly do."""
    return bool(_MARKUP.match(body))


def unescaped(text: str) -> str:
    """Return a text with the characters that HTML's references stand for; one of an impossible number is none."""
    return html.unescape(_REFERENCE.sub("\N{REPLACEMENT CHARACTER}", text))


def _one_line(text: str) -> str:
    return harmless(" ".join(text.split())[:DETAIL_CHARACTERS])
