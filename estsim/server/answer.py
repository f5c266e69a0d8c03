"""What passes between the connection, the service and the trust centers: a call, and what becomes of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from estsim.est.messages import EstRequest, EstResponse
from estsim.server.fault_config import FaultKind
from estsim.server.faults import Delivery
from estsim.server.peer import Peer
from estsim.server.policy import Request
from estsim.server.store import Exchange, IssuedRow, PendingRow

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
