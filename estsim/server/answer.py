"""What passes between the connection, the service and the trust centers: a call, and what becomes of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from estsim.errors import EstsimError
from estsim.est.messages import EstRequest, EstResponse
from estsim.server.fault_config import FaultKind
from estsim.server.faults import Delivery
from estsim.server.peer import Peer
from estsim.server.policy import IssuePolicy, Pending, Request
from estsim.server.store import Exchange, IssuedRow, PendingRow
from estsim.units import harmless

_LONGEST: Final = 500  # characters: what is repeated of a client's may be 16 KiB, and stands in the log as well


class Refused(EstsimError):  # noqa: N818 - reads as the event it is
    """A request that is answered with an error status and a readable line, whatever of the client's is in it."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.status = status
        self.headers = headers
        super().__init__(harmless(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"))

    def response(self) -> EstResponse:
        """Return the answer."""
        return text_response(self.status, str(self), self.headers)


def text_response(status: int, line: str, headers: tuple[tuple[str, str], ...] = ()) -> EstResponse:
    """Return a response with one line of text, harmless on a terminal whatever a client has put into it."""
    return EstResponse(
        status, (("content-type", "text/plain; charset=utf-8"), *headers), f"{harmless(line)}\n".encode()
    )


SHOWN: Final = 200  # characters kept of what a client may make as long as it likes


class ClientLeft(Exception):  # noqa: N818 - reads as the event it is
    """The client closed its connection while it was to be answered."""


@dataclass(frozen=True, slots=True)
class Call:
    """A whole request with whom it is from and its record; ``wait`` sleeps, and raises ``ClientLeft``."""

    request: EstRequest
    peer: Peer
    exchange: Exchange
    wait: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A response and what the store has to take down with it. No response: the client gets none."""

    response: EstResponse | None
    delivery: Delivery = Delivery.WHOLE
    add_s: float = 0.0  # the answer is held back for so long once it is on record
    silent_s: float = 0.0  # with ``Delivery.SILENCE``
    detail: str | None = None
    injected: tuple[FaultKind, ...] = ()
    issued: IssuedRow | None = None
    settled: Request | None = None
    pending: PendingRow | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to deliver, whose exchange is on record as ``row`` (0: it is not)."""

    response: EstResponse | None
    row: int
    delivery: Delivery = Delivery.WHOLE
    silent_s: float = 0.0


class Turn:
    """One call's hold on its identity and key: two requests under way at once must not become two certificates.

    What the policy had of them before comes back, unless the outcome is on record: who was told 503 was told no time to
    come again.
    """

    def __init__(self, in_hand: set[tuple[bytes, bytes]], policy: IssuePolicy) -> None:
        self._in_hand = in_hand
        self._policy = policy
        self._request: Request | None = None
        self._before: Pending | None = None

    def take(self, request: Request) -> bool:
        """Take a request in hand; False where another one of its identity, for its key, is."""
        name = (request.identity, request.key)
        if name in self._in_hand:
            return False
        self._in_hand.add(name)
        self._request, self._before = request, self._policy.kept(request)
        return True

    def done(self, outcome: Outcome) -> None:
        """Let what was decided stand, now that the store knows, and forget what was pending and is issued."""
        if self._request is not None:
            self._before = self._policy.kept(self._request)
        if outcome.settled is not None:
            self._policy.issued(outcome.settled)
            self._before = None

    def end(self) -> None:
        """Let go."""
        if self._request is None:
            return
        self._in_hand.discard((self._request.identity, self._request.key))
        self._policy.restore(self._request, self._before)
