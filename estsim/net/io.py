"""What a runtime offers to the flow of an exchange: the few calls in which it may wait.

What happens on the wire is written once, as ``async def`` over an :class:`Io`. Under trio
(:mod:`estsim.net.io_trio`) its calls suspend the task. For threads and greenlets (:mod:`estsim.net.io_blocking`) they
block or return at once, so a coroutine of such calls never suspends, and :func:`run_through` takes it from its first
step to its end: there is no event loop and no second copy of the flow.

Deadlines and cancellation belong to the runtime. Whatever ends a wait before its time is no ``Exception``, so what the
flow does about failures never catches it.
"""

import socket
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from estsim.net.address import Address, Endpoint, KnownAddresses

T = TypeVar("T")


class Deadline(Protocol):
    """Ends the block under it after its time; the code after the block says what that means.

    The time in which this process stood still is not counted (:mod:`estsim.net.loop_stalls`).
    """

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """End; true where it was the deadline that ended the block."""

    def restart(self, within_s: float) -> None:
        """End the block so many seconds from now instead."""


class Io(Protocol):
    """The waits of one runtime. Sockets are non-blocking; only a call here waits for one."""

    @property
    def resolver(self) -> KnownAddresses:
        """The addresses that are known already."""

    def deadline(self, within_s: float) -> Deadline:
        """Return a deadline for a block, beginning now. There is one at a time."""

    async def resolve(self, endpoint: Endpoint) -> tuple[Address, ...]:
        """Return the addresses of an endpoint, which are known afterwards; raises TransportFailed in phase resolve."""

    async def wait_writable(self, sock: socket.socket) -> None:
        """Wait until a connection attempt has ended, or there is room for more bytes."""

    async def receive(self, sock: socket.socket) -> tuple[bytes, int]:
        """Wait for bytes, and return them as :func:`estsim.net.sockets.receive_stamped` does; raises ``OSError``."""

    async def sleep(self, seconds: float) -> None:
        """Wait so long, for ever if that is infinity; others have their turn also where it is 0."""

    async def run(self, work: Callable[[], T]) -> T:
        """Do work that takes more than a millisecond of CPU, beside whatever else this process does."""


def run_through(flow: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine over a blocking io comes to; it never suspends."""
    try:
        flow.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    flow.close()
    raise AssertionError("a flow over a blocking io was suspended: something in it waited elsewhere")
