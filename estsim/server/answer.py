"""A call to the sandbox and its result: refusal, outcome, answer, and the hold on its identity meanwhile."""

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

_LONGEST: Final = 500  # characters; the client's text in it may be 16 KiB, and it goes into the log as well
SHOWN: Final = 200  # characters kept of a client's text


class Refused(EstsimError):  # noqa: N818 - reads as the event it is
    """A request that is answered with an error status and a line for people, safe for a terminal."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.status = status
        self.headers = headers
        super().__init__(harmless(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"))

    def response(self) -> EstResponse:
        """Return the answer."""
        return text_response(self.status, str(self), self.headers)


def text_response(status: int, line: str, headers: tuple[tuple[str, str], ...] = ()) -> EstResponse:
    """Return a response with one line of text, safe for a terminal."""
    return EstResponse(
        status, (("content-type", "text/plain; charset=utf-8"), *headers), f"{harmless(line)}\n".encode()
    )


class ClientLeft(Exception):  # noqa: N818 - reads as the event it is
    """The client closed its connection before it was answered."""


@dataclass(frozen=True, slots=True)
class Call:
    """A complete request with its peer and its record; ``wait`` sleeps, and raises ``ClientLeft``."""

    request: EstRequest
    peer: Peer
    exchange: Exchange
    wait: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A response, and what the store has to record with it; without a response the client gets none."""

    response: EstResponse | None
    delivery: Delivery = Delivery.WHOLE
    add_s: float = 0.0  # delay of the answer after it is on record
    silent_s: float = 0.0  # with ``Delivery.SILENCE``
    detail: str | None = None
    injected: tuple[FaultKind, ...] = ()
    issued: IssuedRow | None = None
    settled: Request | None = None
    pending: PendingRow | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to deliver; ``row`` is the exchange's record (0: none)."""

    response: EstResponse | None
    row: int
    delivery: Delivery = Delivery.WHOLE
    silent_s: float = 0.0


class Hold:
    """One call's hold on its identity and key, so that two simultaneous requests never give two certificates.

    Unless the outcome is recorded, the policy's earlier state of the request is restored: a client that got a 503 was
    not deferred.
    """

    def __init__(self, in_hand: set[tuple[bytes, bytes]], policy: IssuePolicy) -> None:
        self._in_hand = in_hand
        self._policy = policy
        self._request: Request | None = None
        self._before: Pending | None = None

    def take(self, request: Request) -> bool:
        """Hold a request; False where another request of its identity and key is held."""
        name = (request.identity, request.key)
        if name in self._in_hand:
            return False
        self._in_hand.add(name)
        self._request, self._before = request, self._policy.kept(request)
        return True

    def done(self, outcome: Outcome) -> None:
        """Keep the decision, now that it is in the store, and forget a pending request that was issued."""
        if self._request is not None:
            self._before = self._policy.kept(self._request)
        if outcome.settled is not None:
            self._policy.issued(outcome.settled)
            self._before = None

    def end(self) -> None:
        """Release the hold."""
        if self._request is None:
            return
        self._in_hand.discard((self._request.identity, self._request.key))
        self._policy.restore(self._request, self._before)
