"""The waits of an exchange under trio."""

import socket
from collections.abc import Callable
from typing import Final, TypeVar

import trio

from estsim.net.address import Address, Endpoint
from estsim.net.loop_watch import Deadline
from estsim.net.resolver import SHARED, Resolver
from estsim.net.sockets import receive_stamped

T = TypeVar("T")


class TrioIo:
    """Suspends the task that waits. It has no state of its own, so any number of tasks share one."""

    __slots__ = ("resolver",)

    def __init__(self, resolver: Resolver = SHARED) -> None:
        self.resolver = resolver

    def deadline(self, within_s: float) -> Deadline:
        """Return a cancel scope that moves with the stalls of the loop."""
        return Deadline(within_s)

    async def resolve(self, endpoint: Endpoint) -> tuple[Address, ...]:
        """Ask the resolver."""
        return await self.resolver.resolve(endpoint)

    async def wait_writable(self, sock: socket.socket) -> None:
        """Wait for the socket."""
        await trio.lowlevel.wait_writable(sock)

    async def receive(self, sock: socket.socket) -> tuple[bytes, int]:
        """Wait once, then receive."""
        while True:
            await trio.lowlevel.wait_readable(sock)
            try:
                return receive_stamped(sock)
            except BlockingIOError:
                continue

    async def sleep(self, seconds: float) -> None:
        """Sleep; 0 is a checkpoint."""
        await trio.sleep(seconds)

    async def run(self, work: Callable[[], T]) -> T:
        """Do it in a thread."""
        return await trio.to_thread.run_sync(work)


TRIO: Final = TrioIo()
