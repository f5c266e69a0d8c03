"""The open connections, and which of them wait for their client.

A stopping server closes idle ones at once, and slow clients cannot keep others out: a connection that waits for its
client (handshake, request) may be cut when room is needed, one that is being served never is. All waits have deadlines
of their own as well, which are much longer.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio

_SLOW_S: Final = 5.0  # clients that take longer may be cut; handshakes of a herd are faster


class WasCut(Exception):  # noqa: N818 - reads as the event it is
    """A client's request became complete at the moment in which it was cut."""


class Connections:
    """All open connections. Another enters while fewer than ``limit`` wait for their clients."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._theirs: OrderedDict[Slot, float] = (
            OrderedDict()
        )  # connections that wait for their clients, since when; oldest first
        self._idle: set[trio.CancelScope] = set()
        self._less = trio.Event()
        self.stopping = False
        self.open = 0
        self._most_open = 0
        self.cut = 0  # to make room

    async def room(self) -> None:
        """Wait until there is room for one more; cuts the slowest client once it is too slow."""
        while len(self._theirs) >= self._limit:
            slowest, since_s = next(iter(self._theirs.items()))
            less = self._less  # shared by all waiters: a server may listen on several addresses
            with trio.move_on_at(since_s + _SLOW_S) as patience:
                await less.wait()
            if patience.cancelled_caught and self._theirs.get(slowest) == since_s:
                self._theirs.pop(slowest)
                self.cut += 1
                slowest.scope.cancel()

    def enter(self) -> "Slot":
        """Take a place, before anything is awaited; the slot's ``stay`` gives it back."""
        slot = Slot(self)
        self.open += 1
        self._most_open = max(self._most_open, self.open)
        self._theirs[slot] = trio.current_time()
        return slot

    def take_most_open(self) -> int:
        """Return the most that were open at a time since the last call."""
        most, self._most_open = self._most_open, self.open
        return most

    def leave(self, slot: "Slot") -> None:
        """Give a place back."""
        self.open -= 1
        self.their_turn(slot, over=True)

    def stop(self) -> None:
        """End every wait for a request, present and future."""
        self.stopping = True
        for scope in tuple(self._idle):
            scope.cancel()

    def their_turn(self, slot: "Slot", *, over: bool) -> None:
        """Note that a connection waits for its client from now on, or no longer."""
        self._theirs.pop(slot, None)
        if over:
            self._less.set()
            self._less = trio.Event()
        else:
            self._theirs[slot] = trio.current_time()

    @contextmanager
    def idling(self, seconds: float) -> Iterator[trio.CancelScope]:
        """Hold a wait for a request to begin, for at most ``seconds`` or until the server stops."""
        with trio.move_on_after(0.0 if self.stopping else seconds) as scope:
            self._idle.add(scope)
            try:
                yield scope
            finally:
                self._idle.discard(scope)


class Slot:
    """One connection."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.scope = trio.CancelScope()

    @property
    def is_leaving(self) -> bool:
        """Whether this is its last request: the server stops."""
        return self._connections.stopping

    @contextmanager
    def stay(self) -> Iterator[None]:
        """Hold the place; the block ends early where the client is cut."""
        try:
            with suppress(WasCut), self.scope:
                yield
        finally:
            self._connections.leave(self)

    @contextmanager
    def idle(self, seconds: float) -> Iterator[trio.CancelScope]:
        """Hold a wait for a request to begin; after it the connection waits for the rest of the request."""
        with self._connections.idling(seconds) as scope:
            yield scope
        self._connections.their_turn(self, over=False)

    @contextmanager
    def being_served(self) -> Iterator[None]:
        """Hold the time in which the server works; raises ``WasCut`` where the client has been cut."""
        if self.scope.cancel_called:
            raise WasCut
        self._connections.their_turn(self, over=True)
        try:
            yield
        finally:
            self._connections.their_turn(self, over=False)
