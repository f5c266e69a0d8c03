"""Which challenge of a 401 a device answers, or why none (RFC 9110 §11)."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from estsim.est.challenge import Challenge
from estsim.est.digest import DigestError, is_stale, read_digest

BASIC: Final = "basic"
DIGEST: Final = "digest"
SCHEMES: Final = {DIGEST: "Digest", BASIC: "Basic"}
"""The schemes that estsim supports, the most secure first (RFC 9110 §11.6.1), as they are written."""

_SHOWN: Final = 20  # characters of a scheme that nobody knows
_MOST_SHOWN: Final = 4  # schemes


@dataclass(frozen=True, slots=True)
class Login:
    """What a device has to answer challenges with: schemes in lower case.

    ``can_answer`` are those that it has a user and a password for and may use here; ``used`` is the one that the
    request used already; ``takes_another_nonce`` says that a Digest challenge which is only stale is answered again;
    ``why_not`` says why it may use none here, where it otherwise could.
    """

    can_answer: frozenset[str] = frozenset()
    used: str | None = None
    takes_another_nonce: bool = False
    why_not: str | None = None

    def answers(self, challenge: Challenge) -> bool:
        """Whether the device answers a challenge."""
        if challenge.scheme == DIGEST:
            with suppress(DigestError):
                read_digest(challenge)
                return DIGEST in self.can_answer or (self.takes_another_nonce and is_stale(challenge))
            return False
        return challenge.scheme in self.can_answer


NO_LOGIN: Final = Login()


def choose_challenge(challenges: Sequence[Challenge], login: Login) -> Challenge | None:
    """Return the challenge to answer: of the most secure scheme the first that can be, None where none can be."""
    rank = {scheme: place for place, scheme in enumerate(SCHEMES)}
    return min(filter(login.answers, challenges), key=lambda challenge: rank[challenge.scheme], default=None)


def why_not_answered(challenges: Sequence[Challenge], login: Login) -> str:
    """Say why a 401 ends the exchange, and what would help."""
    if login.used == DIGEST and any(each.scheme == DIGEST and is_stale(each) for each in challenges):
        return "the server refuses every nonce of its own as stale (Digest)"
    if login.used is not None:
        rejected = f"the server rejected this user and password ({SCHEMES[login.used]})"
        offers_basic = login.used == DIGEST and any(each.scheme == BASIC for each in challenges)
        return f"{rejected}; it also offers Basic: see http_auth.scheme" if offers_basic else rejected
    if not challenges:
        return "no WWW-Authenticate header: the server may require a different client certificate"
    schemes = dict.fromkeys(each.scheme for each in challenges)
    names = ", ".join([SCHEMES.get(each, each)[:_SHOWN] for each in schemes][:_MOST_SHOWN])
    if not schemes.keys() & SCHEMES.keys():
        return f"the server requires {names}; estsim supports only {' and '.join(SCHEMES.values())}"
    if login.why_not is None and login.can_answer:
        required = _unanswerable(challenges)
        if required and DIGEST in login.can_answer:
            return f"the server requires {required}"
        return f"the server requires {names}, and http_auth allows only {_allowed(login)}"
    return f"the server requires a password ({names}), and {login.why_not or 'the device has none: see http_auth'}"


def _unanswerable(challenges: Sequence[Challenge]) -> str:
    """Return what a Digest challenge requires that estsim does not support."""
    for challenge in challenges:
        if challenge.scheme == DIGEST:
            try:
                read_digest(challenge)
            except DigestError as error:
                return str(error)
    return ""


def _allowed(login: Login) -> str:
    return " and ".join(written for scheme, written in SCHEMES.items() if scheme in login.can_answer)
