"""Redirects of one exchange: which of them are followed, and where to (RFC 7030 §3.2.1, RFC 9110 §15.4).

RFC 7030: "the client MUST follow" within the origin; "redirections to other web origins" need the user's consent and
"the full set of checks" again.
"""

from enum import StrEnum
from typing import Final

from estsim.est.outcome import Redirected, Rejected
from estsim.est.readable import readable
from estsim.est.url import Place, read_location

MOST_REDIRECTS: Final = 5  # in a row; curl takes 50, and no EST service needs two

_ANY_METHOD: Final = frozenset({307, 308})
_OF_A_GET: Final = frozenset({301, 302})  # RFC 9110 §15.4.2: "a user agent MAY change the request method"
_OTHERS: Final = frozenset({300, 303, 305})  # these have a Location too


class Redirects(StrEnum):
    """Which redirects a device follows."""

    SAME_ORIGIN = "same_origin"
    ANY = "any"
    NONE = "none"


class RedirectChain:
    """Where the requests of one exchange go: to ``home`` first, then where the redirects lead."""

    __slots__ = ("_home", "_is_get", "_policy", "_visited", "place")

    def __init__(self, home: Place, policy: Redirects, *, method: str) -> None:
        self._home = home
        self._policy = policy
        self._is_get = method == "GET"
        self._visited = {home}
        self.place = home

    @property
    def is_home(self) -> bool:
        """Whether the next request goes to the scenario's own origin."""
        return self.place.origin == self._home.origin

    def read(self, status: int, location: str | None) -> Redirected | Rejected:
        """Follow a redirect, or say why it is not followed."""
        to = None if location is None else read_location(location, self.place)
        why_not = self._why_not(status, to)
        if to is None or why_not is not None:
            return refused(status, location, why_not)
        self.place = to
        self._visited.add(to)
        return Redirected(status, readable(str(to).encode()))

    def _why_not(self, status: int, to: Place | None) -> str | None:
        if to is None:
            return "which is not an https URL"
        if status in _OF_A_GET and not self._is_get:
            return "which is followed for GET only"
        if status not in _ANY_METHOD | _OF_A_GET:
            return "which is not followed"
        if self._policy is Redirects.NONE:
            return "which is not followed: target.redirects is none"
        if to.origin != self.place.origin and self._policy is not Redirects.ANY:
            return "a different origin, which requires target.redirects: any"
        if to in self._visited:
            return "which this exchange has already visited: a loop"
        if len(self._visited) > MOST_REDIRECTS:
            return f"which would exceed {MOST_REDIRECTS} redirects in a row"
        return None


def refused(status: int, location: str | None, why: str | None = None) -> Rejected:
    """Return the outcome of a redirect that is not followed; a 304 and its like is only a status."""
    if location is None and status not in _ANY_METHOD | _OF_A_GET | _OTHERS:
        return Rejected(status, "")
    shown = "nowhere: no Location header" if location is None else readable(location.encode("latin-1", "replace"))
    return Rejected(status, f"redirect to {shown}, {why}" if location is not None and why else f"redirect to {shown}")
