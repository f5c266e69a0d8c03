"""HTTP Digest as the sandbox checks it (RFC 7616): its challenges, its nonces, and the credentials that clients send.

A nonce is the time it was made at with a MAC, so nothing is kept of those that nobody uses. Of the latest that were
used, the highest count is kept: a repeated request is answered with a new nonce (``stale``).
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from secrets import token_bytes
from struct import Struct
from typing import Final
from urllib.parse import unquote

from estsim.est.digest import AUTH, DigestChallenge, DigestCredentials, digest_response
from estsim.server.config import HttpScheme, UserConfig

NONCE_LIFE_S: Final = 300.0
_REMEMBERED: Final = 1 << 16  # nonces whose highest count is kept
_TIME: Final = Struct(">d")
_MAC_BYTES: Final = 16
_ALGORITHMS: Final = {
    HttpScheme.DIGEST: "SHA-256",
    HttpScheme.DIGEST_MD5: "MD5",
    HttpScheme.DIGEST_SHA_512_256: "SHA-512-256",
}


class DigestRefused(Exception):  # noqa: N818 - no fault of the sandbox
    """Credentials that are not accepted; the text says what was expected.

    ``stale``: user and password are right, another nonce is wanted.
    """

    def __init__(self, text: str, *, stale: bool = False) -> None:
        super().__init__(text)
        self.stale = stale


class DigestCheck:
    """Checks Digest credentials of the users of one trust center, in one realm."""

    def __init__(self, realm: str, users: Mapping[str, UserConfig], schemes: Iterable[HttpScheme]) -> None:
        self._realm = realm
        self._users = users
        self._algorithms = {_ALGORITHMS[scheme]: scheme for scheme in schemes if scheme in _ALGORITHMS}
        self._key = token_bytes(32)
        self._counts: OrderedDict[str, int] = OrderedDict()  # the highest of each nonce

    def challenges(self, now_s: float, *, stale: bool = False) -> list[str]:
        """Return the values of WWW-Authenticate, one for each scheme in its order."""
        if not self._algorithms:
            return []
        nonce, ending = self._nonce(now_s), ", stale=true" if stale else ""
        return [
            f'Digest realm="{self._realm}", qop="{AUTH}", algorithm={algorithm}, nonce="{nonce}", charset=UTF-8{ending}'
            for algorithm in self._algorithms
        ]

    def user_of(self, given: Mapping[str, str], *, method: str, target: str, now_s: float) -> str:
        """Return the user whose credentials these are; raises :class:`DigestRefused`.

        ``given`` are the parameters of the request's Authorization, ``now_s`` is the time by which nonces age.
        """
        name, algorithm = _user_in(given), given.get("algorithm", "MD5").upper()
        scheme = self._algorithms.get(algorithm)
        if scheme is None:
            raise DigestRefused(f"expected Digest with {' or '.join(self._algorithms)} (got {algorithm[:20]})")
        if given.get("qop") != AUTH:
            raise DigestRefused(f"expected Digest with qop={AUTH} (got {given.get('qop', 'none')[:20]})")
        if given.get("uri") != target:
            raise DigestRefused("expected Digest credentials for the path of the request (RFC 7616 §3.4)")
        user = self._users.get(name)
        asked = DigestChallenge(given.get("realm", ""), given.get("nonce", ""), algorithm)
        nc = given.get("nc", "")
        right = digest_response(
            asked,
            DigestCredentials(name, user.password if user else ""),
            method=method,
            target=target,
            nc=nc,
            cnonce=given.get("cnonce", ""),
        )
        is_right = hmac.compare_digest(right.encode(), given.get("response", "").lower().encode())
        if not is_right or user is None or scheme not in user.schemes or asked.realm != self._realm:
            raise DigestRefused("unknown user or wrong password")
        self._use(asked.nonce, nc, now_s)
        return name

    def _nonce(self, now_s: float) -> str:
        made = _TIME.pack(now_s)
        return urlsafe_b64encode(made + self._mac(made)).decode("ascii")

    def _mac(self, made: bytes) -> bytes:
        return hmac.digest(self._key, made, "sha256")[:_MAC_BYTES]

    def _use(self, nonce: str, nc: str, now_s: float) -> None:
        """Count a request; raises DigestRefused for a nonce that is not this server's, too old, or used before."""
        try:
            raw, count = urlsafe_b64decode(nonce), int(nc, 16)
        except ValueError:
            raw, count = b"", 0
        made, mac = raw[: _TIME.size], raw[_TIME.size :]
        if len(made) < _TIME.size or not hmac.compare_digest(mac, self._mac(made)):
            raise DigestRefused("expected a nonce that this server has issued since its start", stale=True)
        if now_s - _TIME.unpack(made)[0] > NONCE_LIFE_S:
            raise DigestRefused(f"expected a nonce that is at most {NONCE_LIFE_S:.0f}s old", stale=True)
        if count <= self._counts.get(nonce, 0):
            raise DigestRefused("expected a higher nc than before with this nonce", stale=True)
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)


def _user_in(given: Mapping[str, str]) -> str:
    """Return the user name; one that is not ASCII is extended (RFC 7616 §3.4, RFC 8187)."""
    extended = given.get("username*")
    if extended is None:
        return given.get("username", "")
    charset, _, encoded = extended.partition("''")
    return unquote(encoded) if charset.upper() == "UTF-8" else ""
