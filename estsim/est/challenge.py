"""HTTP authentication for devices: reading a 401's challenges and answering Basic (RFC 9110 §11, RFC 7617)."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from estsim.errors import UsageError

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))')
_SCHEME: Final = re.compile(rf"({_WORD})(?:[ \t]+([A-Za-z0-9._~+/-]+=*)(?=[ \t]*(?:,|$)))?")
_SEPARATORS: Final = re.compile(r"[ \t,]*")
_MOST_CHARACTERS: Final = 8192  # of a field, which may have 64 KiB
_MOST_PARTS: Final = 256  # challenges and parameters, of all fields together
_SHOWN: Final = 20  # characters of an unknown scheme
_MOST_SHOWN: Final = 4  # schemes
_PREFERENCE: Final = ("digest", "basic")  # RFC 9110 §11.6.1: "the most secure scheme" that both understand


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a WWW-Authenticate: the scheme and the names of its parameters in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = field(default=())

    @property
    def realm(self) -> str:
        """The protection space, empty where the server names none."""
        return dict(self.parameters).get("realm", "")


@dataclass(frozen=True, slots=True)
class Login:
    """How a device can answer challenges; schemes are in lower case.

    ``can_answer`` are those for which it has a user and password and may use them here; ``used`` is the one that the
    request has used already; ``why_not`` says why it must not use its password here.
    """

    can_answer: frozenset[str] = frozenset()
    used: str | None = None
    why_not: str | None = None


NO_LOGIN: Final = Login()
SCHEMES: Final = {"basic": "Basic"}
"""The schemes that estsim supports, as they are written."""


def read_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Read the challenges of all WWW-Authenticate fields, up to the first that is malformed; never raises."""
    challenges: list[Challenge] = []
    left = _MOST_PARTS
    for field_value in values:
        value = field_value[:_MOST_CHARACTERS]
        at = _skip(value, 0)
        while left > 0 and (scheme := _SCHEME.match(value, at)) is not None:
            at = _skip(value, scheme.end())
            left -= 1
            parameters: list[tuple[str, str]] = []
            while left > 0 and (parameter := _PARAMETER.match(value, at)) is not None:
                name, quoted, token = parameter.groups()
                parameters.append((name.lower(), token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
                at = _skip(value, parameter.end())
                left -= 1
            challenges.append(Challenge(scheme[1].lower(), tuple(parameters)))
    return tuple(challenges)


def choose_challenge(challenges: Iterable[Challenge], can_answer: frozenset[str]) -> Challenge | None:
    """Return the strongest challenge that the device can answer, or None."""
    answerable = [challenge for challenge in challenges if challenge.scheme in can_answer]
    rank = {scheme: place for place, scheme in enumerate(_PREFERENCE)}
    return min(answerable, key=lambda challenge: rank.get(challenge.scheme, len(rank)), default=None)


def why_not_answered(challenges: Sequence[Challenge], login: Login) -> str:
    """Say why a 401 is final, and what would help."""
    if login.used is not None:
        return f"the server rejected this user and password ({SCHEMES[login.used]})"
    if not challenges:
        return "no WWW-Authenticate header: the server may require a different client certificate"
    schemes = dict.fromkeys(each.scheme for each in challenges)
    names = ", ".join([SCHEMES.get(each, each)[:_SHOWN] for each in schemes][:_MOST_SHOWN])
    if not schemes.keys() & SCHEMES.keys():
        return f"the server requires {names}; estsim supports only {' and '.join(SCHEMES.values())}"
    return f"the server requires a password ({names}), and {login.why_not or 'the device has none: see http_auth'}"


def basic_authorization(user: str, password: str) -> str:
    """Return the Authorization value of HTTP Basic, in UTF-8; raises :class:`UsageError` on a user with a colon."""
    if ":" in user:
        raise UsageError(f"a user name of HTTP Basic must not contain ':' (got {user!r}; RFC 7617 §2)")
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")


def _skip(value: str, at: int) -> int:
    """Return the offset of the next character that is not a separator."""
    found = _SEPARATORS.match(value, at)
    return at if found is None else found.end()
