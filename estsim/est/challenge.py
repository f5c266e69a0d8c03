"""HTTP authentication as a device needs it: a 401's challenges read, Basic answered (RFC 9110 §11, RFC 7617)."""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from estsim.errors import UsageError

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))')
_SCHEME: Final = re.compile(rf"({_WORD})(?:[ \t]+([A-Za-z0-9._~+/-]+=*)(?=[ \t]*(?:,|$)))?")
_SEPARATORS: Final = " \t,"
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


def read_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Read the challenges of all WWW-Authenticate fields; stops at what is not one, and never raises."""
    challenges: list[Challenge] = []
    for value in values:
        at = _skip(value, 0)
        while at < len(value):
            scheme = _SCHEME.match(value, at)
            if scheme is None:
                break
            at = _skip(value, scheme.end())
            parameters: list[tuple[str, str]] = []
            while (parameter := _PARAMETER.match(value, at)) is not None:
                name, quoted, token = parameter.groups()
                parameters.append((name.lower(), token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
                at = _skip(value, parameter.end())
            challenges.append(Challenge(scheme[1].lower(), tuple(parameters)))
    return tuple(challenges)


def choose_challenge(challenges: Iterable[Challenge], can_answer: frozenset[str]) -> Challenge | None:
    """Return the challenge to answer: the strongest whose scheme the device can answer, None where there is none."""
    answerable = [challenge for challenge in challenges if challenge.scheme in can_answer]
    rank = {scheme: place for place, scheme in enumerate(_PREFERENCE)}
    return min(answerable, key=lambda challenge: rank.get(challenge.scheme, len(rank)), default=None)


def basic_authorization(user: str, password: str) -> str:
    """Return the Authorization value of HTTP Basic, in UTF-8; raises :class:`UsageError` on a user with a colon."""
    if ":" in user:
        raise UsageError(f"a user name of HTTP Basic must not contain ':' (got {user!r}; RFC 7617 §2)")
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")


def _skip(value: str, at: int) -> int:
    """Return the offset of the next character that separates nothing."""
    while at < len(value) and value[at] in _SEPARATORS:
        at += 1
    return at
