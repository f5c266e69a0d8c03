"""The interface of a runtime to the flow of an exchange: the few calls in which it may wait.

What happens on the wire is written once, as ``async def`` over an :class:`Io`. Under trio
(:mod:`estsim.net.io_trio`) its calls suspend the task. For threads and greenlets (:mod:`estsim.net.io_blocking`) they
block or return at once, so a coroutine of such calls never suspends, and :func:`run_through` runs it in one step, with
no event loop and no second copy of the flow.

Deadlines and cancellation belong to the runtime. What ends a wait early is not an ``Exception``, so the flow's handling
of failures never catches it.
"""

import socket
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from estsim.est.url import Origin
from estsim.net.address import Address, KnownAddresses

T = TypeVar("T")


class Deadline(Protocol):
    """Ends its block after a time; the code after the block handles that.

    Time for which this process stalled is not counted (:mod:`estsim.net.loop_stalls`).
    """

    def __enter__(self) -> Self:
        """Begin the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """End the block; true where the deadline ended it."""

    def restart(self, within_s: float) -> None:
        """Move the deadline to ``within_s`` from now."""


class Io(Protocol):
    """The waits of one runtime. Sockets are non-blocking; only a call here waits for one."""

    @property
    def resolver(self) -> KnownAddresses:
        """The cache of addresses."""

    def deadline(self, within_s: float) -> Deadline:
        """Return a deadline for a block, beginning now. There is one at a time."""

    async def resolve(self, endpoint: Origin) -> tuple[Address, ...]:
        """Look up and cache a server's addresses; raises TransportFailed in phase resolve."""

    async def wait_writable(self, sock: socket.socket) -> None:
        """Wait until a connection attempt has ended, or the socket can send."""

    async def receive(self, sock: socket.socket) -> tuple[bytes, int]:
        """Wait for bytes, and return them as :func:`estsim.net.sockets.receive_stamped` does; raises ``OSError``."""

    async def sleep(self, seconds: float) -> None:
        """Wait, for ever if ``seconds`` is infinite; 0 lets other tasks run."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run work of more than a millisecond of CPU without holding up the rest of this process."""


def run_through(flow: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine over a blocking io, which never suspends."""
    try:
        flow.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    flow.close()
    raise AssertionError("a flow over a blocking io was suspended: something in it waited elsewhere")
