"""The master as a worker meets it: which of its messages are taken for its own. Pure, but for the nonces.

Messages of estsim's count once the master has proved the secret, and only sealed (:mod:`estsim.fleet.link_auth`).
Before that a challenge does, and a refusal, which can do no more than end a worker that plays nothing yet. Locust's own
messages are handed on as they come.
"""

from typing import Final

from estsim.fleet import master_messages as words
from estsim.fleet.link_auth import LinkRefused, WorkerLink
from estsim.fleet.link_secret import Secret
from estsim.locust.worker.messages import FromMaster, FromWorker, Hello, Join, Proved, Unproved
from estsim.locust.worker.protocol import LinkError, content_of, decode, encode, read

_SEALED_HERE: Final = frozenset({words.JOIN, words.CLOCK, words.WORKER_REPORT})
_SEALED_THERE: Final = frozenset({words.PLAN, words.CLOCK, words.REFUSED})


class Peer:
    """A worker's master; ``node`` is the name under which it knows the worker, ``public_key`` what it certifies."""

    def __init__(self, secret: Secret, node: str, *, version: str, public_key: bytes) -> None:
        self._link = WorkerLink(secret, node, version)
        self._public_key = public_key

    @property
    def node(self) -> str:
        """The worker's name."""
        return self._link.node

    def forget(self, node: str) -> None:
        """Be another worker, whom no master has seen."""
        self._link = WorkerLink(self._link.secret, node, self._link.version)

    def encode(self, message: FromWorker) -> bytes:
        """Return a message as bytes; what is to be sealed needs a master that has proved the secret."""
        match message:
            case Hello():
                content: object = self._link.hello()
            case Join():
                content = {"public_key": self._public_key}
            case _:
                content = content_of(message)
        if message.kind in _SEALED_HERE:
            assert self._link.channel is not None  # noqa: S101 - the session says it only to a master that has
            content = self._link.channel.seal(message.kind, content)
        return encode(message.kind, content, self.node)

    def decode(self, raw: bytes) -> FromMaster:
        """Return a message of the master's; raises LinkError for anything else that came."""
        kind, content = decode(raw)
        if kind == words.CHALLENGE:
            return self._challenged(content)
        if kind in _SEALED_THERE and not (kind == words.REFUSED and self._link.channel is None):
            content = self._opened(kind, content)
        return read(kind, content)

    def _challenged(self, content: object) -> FromMaster:
        try:
            if self._link.prove(content):
                return Proved()
        except LinkRefused as refused:
            if self._link.channel is None:
                return Unproved(f"its response to our hello {refused}")
        raise LinkError(f"{words.CHALLENGE}: does not match any hello we sent")

    def _opened(self, kind: str, content: object) -> object:
        try:
            return self._link.unseal(kind, content)
        except LinkRefused as refused:
            raise LinkError(f"{kind}: {refused}") from refused
