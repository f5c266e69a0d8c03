"""How a device answers HTTP challenges in one exchange, and what it remembers for the next (RFC 7617, RFC 7616)."""

from dataclasses import replace
from secrets import token_hex

from estsim.device.identity import DigestSession, Identity
from estsim.device.password import HttpUser
from estsim.est.challenge import basic_authorization, read_parameters
from estsim.est.digest import DigestChallenge, DigestCredentials, digest_authorization, next_nonce, read_digest
from estsim.est.login import BASIC, DIGEST, Login
from estsim.est.messages import EstRequest, EstResponse
from estsim.est.outcome import Challenged, Outcome

_MOST_NONCES = 2  # of one exchange, beyond the first: a server that always wants another one never lets anybody in


class HttpLogin:
    """The user of one exchange."""

    __slots__ = ("_digest", "_identity", "_is_unasked", "_nonces", "_scheme", "_user")

    def __init__(self, user: HttpUser, identity: Identity) -> None:
        self._user = user
        self._identity = identity
        self._digest = identity.digest if user.preemptive else None
        self._scheme = self._first_scheme()
        self._is_unasked = True  # nothing was sent in answer to a challenge
        self._nonces = 0

    def _first_scheme(self) -> str | None:
        """Return the scheme of the credentials that are sent unasked, if any are."""
        if self._digest is not None:
            return DIGEST
        return BASIC if self._user.preemptive and BASIC in self._user.schemes else None

    def authorized(self, request: EstRequest) -> EstRequest:
        """Return a request with credentials, where a challenge has asked for them or they go unasked."""
        user = self._user
        if self._scheme == BASIC:
            value = basic_authorization(user.user, user.password)
        elif self._scheme == DIGEST and self._digest is not None:
            self._digest.count += 1
            value = digest_authorization(
                self._digest.challenge,
                DigestCredentials(user.user, user.password),
                method=request.method,
                target=request.path,
                count=self._digest.count,
                cnonce=token_hex(8),
            )
        else:
            return request
        return replace(request, headers=(*request.headers, ("Authorization", value)))

    def may(self, *, away: bool) -> Login:
        """Return what a challenge to the last request can be answered with; ``away`` is at a different origin."""
        if away:
            return Login(why_not="passwords are not sent to a different origin")
        used = self._scheme
        return Login(
            can_answer=self._user.schemes - {used} if self._is_unasked else frozenset(),
            used=used,
            takes_another_nonce=used == DIGEST and self._nonces < _MOST_NONCES,
        )

    def answered(self, response: EstResponse, outcome: Outcome) -> None:
        """Take note of the nonce that a response names, and of the challenge that is to be answered next."""
        if self._digest is not None and (named := response.header("authentication-info")) is not None:
            self._remember(next_nonce(self._digest.challenge, read_parameters(named)))
        if isinstance(outcome, Challenged) and outcome.challenge is not None:
            self._nonces += self._scheme == DIGEST
            self._scheme, self._is_unasked = outcome.scheme, False
            if outcome.scheme == DIGEST:
                self._remember(read_digest(outcome.challenge))

    def _remember(self, challenge: DigestChallenge) -> None:
        if self._digest is None or self._digest.challenge.nonce != challenge.nonce:
            self._digest = DigestSession(challenge)
            if self._user.preemptive:
                self._identity.digest = self._digest
