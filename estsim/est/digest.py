"""HTTP Digest (RFC 7616): a challenge read, the response that answers it, and what a server checks it by.

The hash is SHA-256, SHA-512/256, or MD5 for old servers. ``-sess`` algorithms and ``auth-int`` are refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import new
from typing import Final
from urllib.parse import quote

from estsim.est.challenge import Challenge

AUTH: Final = "auth"
_HASHES: Final = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}  # hashlib's names
_QUOTED: Final = ("username", "realm", "nonce", "uri", "response", "cnonce", "opaque")  # §3.4; the others are bare
_MOST_COUNT: Final = 0xFFFF_FFFF  # eight hexadecimal digits
ALGORITHMS: Final = tuple(_HASHES)


class DigestError(ValueError):
    """A challenge that cannot be answered; the text says what the server requires, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class DigestChallenge:
    """What a server asks for (§3.3); ``algorithm`` as it was written, None where it was not and MD5 is meant.

    ``has_qop`` is False for servers of RFC 2069, which know neither counts nor nonces of the client's.
    """

    realm: str
    nonce: str
    algorithm: str | None = None
    opaque: str | None = None
    has_qop: bool = True
    stale: bool = False


@dataclass(frozen=True, slots=True)
class DigestCredentials:
    """A user, and the password that never leaves the device."""

    user: str
    password: str


def read_digest(challenge: Challenge) -> DigestChallenge:
    """Read a Digest challenge; raises :class:`DigestError` for one that estsim cannot answer."""
    given = dict(challenge.parameters)
    nonce, algorithm, qop = given.get("nonce"), given.get("algorithm"), given.get("qop")
    if nonce is None:
        raise DigestError("Digest without a nonce (RFC 7616 §3.3)")
    if algorithm is not None and algorithm.upper() not in _HASHES:
        raise DigestError(f"Digest with algorithm {algorithm[:20]}; estsim supports {', '.join(_HASHES)}")
    if qop is not None and AUTH not in [each.strip().lower() for each in qop.split(",")]:
        raise DigestError(f"Digest with qop {qop[:20]}; estsim supports {AUTH}")
    if not all(value is None or value.isprintable() for value in (nonce, given.get("realm"), given.get("opaque"))):
        raise DigestError("Digest with control characters in its parameters")
    return DigestChallenge(
        realm=given.get("realm", ""),
        nonce=nonce,
        algorithm=algorithm,
        opaque=given.get("opaque"),
        has_qop=qop is not None,
        stale=is_stale(challenge),
    )


def is_stale(challenge: Challenge) -> bool:
    """Whether the server only wants another nonce: user and password were right (§3.3)."""
    return challenge.parameter("stale").lower() == "true"


def digest_authorization(
    asked: DigestChallenge, who: DigestCredentials, *, method: str, target: str, count: int, cnonce: str
) -> str:
    """Return the Authorization value for a request (§3.4); ``count`` says how often the nonce was used, this time too.

    A user name that is not ASCII goes as ``username*`` (§3.4, RFC 8187).
    """
    nc = f"{min(count, _MOST_COUNT):08x}"
    user = {"username": who.user} if who.user.isascii() else {"username*": _extended(who.user)}
    parameters: dict[str, str | None] = {
        **user,
        "realm": asked.realm,
        "nonce": asked.nonce,
        "uri": target,
        "algorithm": asked.algorithm,
        "response": digest_response(asked, who, method=method, target=target, nc=nc, cnonce=cnonce),
        "opaque": asked.opaque,
    }
    if asked.has_qop:
        parameters |= {"qop": AUTH, "nc": nc, "cnonce": cnonce}
    written = [f"{name}={_written(name, value)}" for name, value in parameters.items() if value is not None]
    return f"Digest {', '.join(written)}"


def digest_response(
    asked: DigestChallenge, who: DigestCredentials, *, method: str, target: str, nc: str, cnonce: str
) -> str:
    """Return the response (§3.4.1), in hexadecimal digits: the proof of the password for one request."""
    realm = asked.realm.encode("latin-1", "replace")  # as it came, octet by octet
    secret = _hash(asked, b":".join((who.user.encode(), realm, who.password.encode())))
    request = _hash(asked, f"{method}:{target}".encode("latin-1", "replace"))
    between = f"{asked.nonce}:{nc}:{cnonce}:{AUTH}" if asked.has_qop else asked.nonce
    return _hash(asked, f"{secret}:{between}:{request}".encode("latin-1", "replace"))


def next_nonce(asked: DigestChallenge, parameters: Mapping[str, str]) -> DigestChallenge:
    """Return the challenge with the nonce that an Authentication-Info names for the next request (§3.5), if any."""
    nonce = parameters.get("nextnonce", "")
    return replace(asked, nonce=nonce, stale=False) if nonce and nonce.isprintable() else asked


def _hash(asked: DigestChallenge, value: bytes) -> str:
    return new(_HASHES[(asked.algorithm or "MD5").upper()], value, usedforsecurity=False).hexdigest()


def _written(name: str, value: str) -> str:
    if name not in _QUOTED:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _extended(value: str) -> str:
    return f"UTF-8''{quote(value, safe='')}"
