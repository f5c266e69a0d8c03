"""A device's password in what a server says: taken out of every text before it becomes a row or a message.

A server may repeat a request in its answer, written in its own way. What it wrote plainly, as HTML, percent-encoded or
as base64 is taken out where it stands; a text that has the password in another way is not kept at all.
"""

import html
import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus, unquote_plus

from estsim.est.login import BASIC
from estsim.est.messages import EstResponse
from estsim.est.readable import unescaped

TAKEN_OUT: Final = "***"  # as in a scenario that is shown
_REPEATED: Final = "*** (omitted: the server's text contains the password)"
_READ_BYTES: Final = 16 * 1024  # of a body that is no answer; less is told of it
_LONG_ENOUGH: Final = 8  # characters of a secret that was cut off, by which it is known


@dataclass(frozen=True, slots=True)
class HttpUser:
    """A user and password for HTTP authentication by one of ``schemes``.

    ``preemptive`` sends credentials with every request: those of Basic, or of Digest once a nonce is known. Otherwise
    a challenge is awaited in each exchange.
    """

    user: str
    password: str = field(repr=False)
    preemptive: bool = True
    schemes: frozenset[str] = frozenset({BASIC})


def without_password(text: str, user: HttpUser | None) -> str:
    """Return a text without the user's password and the credentials of RFC 7617."""
    if user is None or not text:
        return text
    plain, written = _forms(user.user, user.password)
    for form in written:
        text = text.replace(form, TAKEN_OUT)
    octets = text.encode("latin-1", "replace").decode("utf-8", "replace")
    views = (text, unescaped(text), unquote_plus(unescaped(text)), octets)
    return _REPEATED if any(_begins(form, view) for form in plain for view in views) else text


def without_credentials(response: EstResponse, user: HttpUser) -> EstResponse:
    """Return a response without the user's password, which a server that repeats the request would put into rows."""
    text, rest = response.body[:_READ_BYTES].decode("latin-1"), response.body[_READ_BYTES:]
    body = without_password(text, user)
    headers = tuple((name, without_password(value, user)) for name, value in response.headers)
    if body == text and headers == response.headers:
        return response
    return replace(response, body=body.encode("latin-1", "replace") + rest, headers=headers)


def _begins(secret: str, view: str) -> bool:
    """Whether a secret stands in a text, or as much of it as tells it where the text was cut."""
    return secret[:_LONG_ENOUGH] in view if len(secret) > _LONG_ENOUGH else secret in view


@lru_cache(maxsize=64)
def _forms(user: str, password: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is secret as it is, and as it may be written; longer forms before those that they contain."""
    if not password:
        return (), ()
    raw = f"{user}:{password}".encode()
    credentials = [made(raw).decode().rstrip("=") for made in (b64encode, urlsafe_b64encode)]
    plain = (password, *dict.fromkeys(credentials))
    written: dict[str, None] = {}
    for secret in (*(f"{each}==" for each in credentials), *(f"{each}=" for each in credentials), *plain):
        octets = secret.encode()
        for form in (secret, html.escape(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
            written[form] = None
        written[octets.decode("latin-1")] = None
        written[repr(octets)[2:-1]] = None
    return plain, tuple(sorted(written, key=len, reverse=True))
