"""Who speaks on the link between a Locust master and its workers, and when: proof and freshness of estsim's messages.

Theory of operation. Both ends know a secret, which never travels. A worker asks to join with a nonce; the master
answers with one of its own; both derive the session's two keys, one for each direction, from the secret and the two
nonces (HKDF, RFC 5869). The master's answer is sealed with its key: as the worker's nonce is in the key, that proves
the secret, and that it was proved now. The worker's next message is sealed with its own and proves the same.
Every later message is sealed as well: a counter, the body, and an HMAC-SHA256 (RFC 2104) over the direction, the
worker's node id, the session, the message's name, the counter and the body, each with its length before it. So a
message that was changed or cut, of another session or another worker, or sent back to whom it came from, does not
verify; one that was heard before, or comes after a later one, has an old counter. Counters may skip: a connection that
breaks loses messages, and worker reports have numbers of their own.

Without a secret the same is said with a key that everybody knows, which proves nothing: see
:mod:`estsim.fleet.link_secret` for where that is allowed. Bodies are in the clear in any case.
"""

import hmac
import os
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import msgpack
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from estsim.errors import EstsimError
from estsim.fleet.link_secret import Secret
from estsim.fleet.master_messages import CHALLENGE, HELLO, PLAN, PROTOCOL, WORKER_REPORT
from estsim.units import shown

# A plan is some kilobytes; a worker report some hundred, and more where a worker's connection was gone for a while.
LARGEST_BYTES: Final = {PLAN: 8 * 2**20, WORKER_REPORT: 64 * 2**20}
_SMALL_BYTES: Final = 4096  # all others
_NONCE_BYTES: Final = 32
_MAC_BYTES: Final = 32
_LONGEST_NODE: Final = 255  # ZMQ_IDENTITY
_LONGEST_VERSION: Final = 64
_MOST_PENDING: Final = 1024  # hellos that were answered and not followed by a join: the oldest are forgotten
_LAST_COUNTER: Final = 2**63 - 1
_FROM_WORKER, _FROM_MASTER = "worker", "master"


class LinkRefused(EstsimError):  # noqa: N818 - reads as the event it is
    """A message of estsim's that is not taken; the text says why, and quotes nothing that is not escaped."""


def _canonical(*parts: bytes | str | int) -> bytes:
    """Return parts as bytes that no other parts give: each with its length before it."""
    raws = (p if isinstance(p, bytes) else p.encode() if isinstance(p, str) else p.to_bytes(8, "big") for p in parts)
    return b"".join(len(raw).to_bytes(8, "big") + raw for raw in raws)


def _mac(key: bytes, *parts: bytes | str | int) -> bytes:
    return hmac.digest(key, _canonical("estsim link", PROTOCOL, *parts), sha256)


@dataclass(slots=True)
class Channel:
    """One end of a session between a master and the worker ``node``: what is sent is sealed, what comes is opened."""

    node: str
    _session: bytes
    _sends: str
    _hears: str
    _send_key: bytes = field(repr=False)
    _hear_key: bytes = field(repr=False)
    _sent: int = -1
    _heard: int = -1

    @classmethod
    def of_worker(cls, secret: Secret, node: str, nonces: bytes) -> "Channel":
        """Return the worker's end."""
        own, theirs = _keys(secret, node, nonces)
        return cls(node, nonces, _FROM_WORKER, _FROM_MASTER, own, theirs)

    @classmethod
    def of_master(cls, secret: Secret, node: str, nonces: bytes) -> "Channel":
        """Return the master's end."""
        theirs, own = _keys(secret, node, nonces)
        return cls(node, nonces, _FROM_MASTER, _FROM_WORKER, own, theirs)

    def seal(self, name: str, content: object) -> list[object]:
        """Return what is sent as the data of a message of this name."""
        self._sent += 1
        body: bytes = msgpack.packb(content)
        return [self._sent, body, _mac(self._send_key, self._sends, self.node, self._session, name, self._sent, body)]

    def unseal(self, name: str, sealed: object) -> Any:  # noqa: ANN401 - what msgpack brings
        """Return the content of a message that came; raises LinkRefused, and then nothing has changed."""
        counter, body, mac = _parts(sealed, LARGEST_BYTES.get(name, _SMALL_BYTES))
        expected = _mac(self._hear_key, self._hears, self.node, self._session, name, counter, body)
        if not hmac.compare_digest(expected, mac):
            raise LinkRefused(
                "failed authentication: modified, truncated, from another session, or from a sender without the secret"
            )
        if counter <= self._heard:
            raise LinkRefused("was replayed or arrived out of order")
        content = _unpacked(body)
        self._heard = counter
        return content


def _keys(secret: Secret, node: str, nonces: bytes) -> tuple[bytes, bytes]:
    """Return the session's keys: the worker's, and the master's."""
    info = _canonical("estsim link", PROTOCOL, "keys", node)
    derived = HKDF(SHA256(), length=2 * _MAC_BYTES, salt=nonces, info=info).derive(secret.key)
    return derived[:_MAC_BYTES], derived[_MAC_BYTES:]


def _parts(sealed: object, largest_bytes: int) -> tuple[int, bytes, bytes]:
    match sealed:
        case [int(counter), bytes(body), bytes(mac)] if not isinstance(counter, bool):
            if not 0 <= counter <= _LAST_COUNTER or len(mac) != _MAC_BYTES or len(body) > largest_bytes:
                raise LinkRefused("is not a valid session message: its counter, size or MAC is wrong")
            return counter, body, mac
        case _:
            raise LinkRefused("is not a session message: expected [counter, body, MAC]")


def _unpacked(body: bytes) -> object:
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=False)
    except Exception as error:  # msgpack has a family of them, and hostile bytes find the others
        raise LinkRefused(f"cannot be unpacked: {type(error).__name__}") from error


# -- the worker's side of joining


@dataclass(slots=True)
class WorkerLink:
    """What the worker ``node`` says and hears: nothing is sealed before the master has proved the secret."""

    secret: Secret
    node: str
    version: str
    channel: Channel | None = None
    _nonce: bytes = b""

    def hello(self) -> dict[str, object]:
        """Return the content of a hello; from now on the answer to this one counts alone."""
        self.channel = None
        self._nonce = os.urandom(_NONCE_BYTES)
        mac = _mac(self.secret.key, HELLO, self.node, self.version, self._nonce)
        said = {"protocol": PROTOCOL, "version": self.version, "secret": self.secret.is_shared}
        return said | {"nonce": self._nonce, "mac": mac}

    def prove(self, content: object) -> bool:
        """Take a challenge: True where the master has proved the secret, False for one that answers another hello.

        Raises LinkRefused where it answers ours and proves nothing.
        """
        match content:
            case {"hello": bytes(hello), "nonce": bytes(nonce), "sealed": sealed} if len(nonce) == _NONCE_BYTES:
                if not self._nonce or not hmac.compare_digest(hello, self._nonce):
                    return False
            case _:
                raise LinkRefused("is not a challenge of this estsim version")
        channel = Channel.of_worker(self.secret, self.node, self._nonce + nonce)
        channel.unseal(CHALLENGE, sealed)
        self.channel, self._nonce = channel, b""
        return True

    def unseal(self, name: str, sealed: object) -> Any:  # noqa: ANN401 - what msgpack brings
        """Return the content of a message of the master's; raises LinkRefused."""
        if self.channel is None:
            raise LinkRefused("arrived before the master proved that it has the link secret")
        return self.channel.unseal(name, sealed)


# -- the master's


@dataclass(frozen=True, slots=True)
class _Pending:
    """A hello that was answered, and not yet followed by a join."""

    channel: Channel
    challenge: dict[str, object]


@dataclass(slots=True)
class MasterLink:
    """The sessions of a master with its workers, by their node ids; who has joined has proved the secret."""

    secret: Secret
    joined: dict[str, Channel] = field(default_factory=dict)
    # by node and its nonce
    _pending: "OrderedDict[tuple[str, bytes], _Pending]" = field(default_factory=OrderedDict)

    def challenge(self, node: str, hello: object) -> dict[str, object]:
        """Answer a hello. A session that the worker has goes on until it joins anew. Raises LinkRefused."""
        protocol, version = _introduced(hello)
        if protocol != PROTOCOL:
            raise LinkRefused(
                f"protocol mismatch: this master uses {PROTOCOL}, worker {shown(node)} uses {shown(protocol)} "
                f"(estsim {shown(version)})"
            )
        nonce = self._proved(node, hello)
        pending = self._pending.pop((node, nonce), None) or self._answer(node, nonce)
        self._pending[node, nonce] = pending  # the same hello once more has the same answer
        while len(self._pending) > _MOST_PENDING:
            self._pending.popitem(last=False)
        return pending.challenge

    def _answer(self, node: str, nonce: bytes) -> "_Pending":
        own = os.urandom(_NONCE_BYTES)
        channel = Channel.of_master(self.secret, node, nonce + own)
        sealed = channel.seal(CHALLENGE, None)
        return _Pending(channel, {"protocol": PROTOCOL, "hello": nonce, "nonce": own, "sealed": sealed})

    def _proved(self, node: str, hello: object) -> bytes:
        """Return the nonce of a hello by somebody who knows the secret, now or at some other time."""
        match hello:
            case {"version": str(version), "nonce": bytes(nonce), "secret": bool(secret), "mac": bytes(mac)} if (
                len(nonce) == _NONCE_BYTES and len(version) <= _LONGEST_VERSION
            ):
                pass
            case _:
                raise LinkRefused(f"worker {shown(node)} sent an unreadable hello")
        if secret and not self.secret.is_shared:
            raise LinkRefused(f"worker {shown(node)} has a link secret, but this master has none")
        if not secret and self.secret.is_shared:
            raise LinkRefused(f"this master has a link secret, but worker {shown(node)} has none")
        if not hmac.compare_digest(_mac(self.secret.key, HELLO, node, version, nonce), mac):
            raise LinkRefused(f"this master and worker {shown(node)} have different link secrets")
        return nonce

    def unseal(self, node: str, name: str, sealed: object) -> Any:  # noqa: ANN401 - what msgpack brings
        """Return the content of a message of a worker that has joined; raises LinkRefused."""
        channel = self.joined.get(node)
        if channel is None:
            raise LinkRefused("comes from a worker that has not joined")
        return channel.unseal(name, sealed)

    def join(self, node: str, name: str, sealed: object) -> Any:  # noqa: ANN401 - what msgpack brings
        """Return what a worker that joins brings: its answer to our challenge, or a word of its session.

        Raises LinkRefused.
        """
        answered = [key for key in self._pending if key[0] == node]  # somebody may have said an old hello of its again
        for key in answered:
            channel = self._pending[key].channel
            with suppress(LinkRefused):
                content = channel.unseal(name, sealed)
                self._pending = OrderedDict((k, each) for k, each in self._pending.items() if k[0] != node)
                self.joined[node] = channel
                return content
        return self.unseal(node, name, sealed)


def is_node(name: object) -> bool:
    """Say whether this can be a worker's node id: a name that its connection can have."""
    if not isinstance(name, str):
        return False
    try:
        return 0 < len(name.encode()) <= _LONGEST_NODE
    except UnicodeEncodeError:
        return False


def _introduced(hello: object) -> tuple[object, object]:
    """Return the protocol and the version of a hello of any version."""
    return (hello.get("protocol"), hello.get("version")) if isinstance(hello, dict) else (None, None)
