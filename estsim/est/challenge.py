"""HTTP authentication for devices: reading a 401's challenges and answering Basic (RFC 9110 §11, RFC 7617).

:mod:`estsim.est.digest` answers Digest.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from estsim.errors import UsageError

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))')
_SCHEME: Final = re.compile(rf"({_WORD})(?:[ \t]+([A-Za-z0-9._~+/-]+=*)(?=[ \t]*(?:,|$)))?")
_SEPARATORS: Final = re.compile(r"[ \t,]*")
_MOST_CHARACTERS: Final = 8192  # of a field, which may have 64 KiB
_MOST_PARTS: Final = 256  # challenges and parameters, of all fields together


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a WWW-Authenticate: the scheme and the names of its parameters in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = field(default=())

    @property
    def realm(self) -> str:
        """The protection space, empty where the server names none."""
        return self.parameter("realm")

    def parameter(self, name: str) -> str:
        """Return a parameter's value, empty where there is none of this name."""
        return dict(self.parameters).get(name, "")


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
            parameters, at = _parameters(value, at, left)
            left -= len(parameters)
            challenges.append(Challenge(scheme[1].lower(), tuple(parameters)))
    return tuple(challenges)


def read_parameters(field_value: str) -> dict[str, str]:
    """Read a list of parameters without a scheme, such as Authentication-Info; stops at what is not one."""
    value = field_value[:_MOST_CHARACTERS]
    return dict(_parameters(value, _skip(value, 0), _MOST_PARTS)[0])


def _parameters(value: str, at: int, most: int) -> tuple[list[tuple[str, str]], int]:
    """Return the parameters from an offset on, with names in lower case, and where they end."""
    parameters: list[tuple[str, str]] = []
    while len(parameters) < most and (parameter := _PARAMETER.match(value, at)) is not None:
        name, quoted, token = parameter.groups()
        parameters.append((name.lower(), token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
        at = _skip(value, parameter.end())
    return parameters, at


def basic_authorization(user: str, password: str) -> str:
    """Return the Authorization value of HTTP Basic, in UTF-8; raises :class:`UsageError` on a user with a colon."""
    if ":" in user:
        raise UsageError(f"a user name of HTTP Basic must not contain ':' (got {user!r}; RFC 7617 §2)")
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")


def _skip(value: str, at: int) -> int:
    """Return the offset of the next character that is not a separator."""
    found = _SEPARATORS.match(value, at)
    return at if found is None else found.end()
