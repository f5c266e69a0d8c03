"""The master's end of a connection, as Locust has it, without Locust: for tests that need no more of a master."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgpack
import trio
import zmq

from estsim.link.socket import MasterAddress

NODE: Final = "host_1"
DEADLINE_S: Final = 20.0


class Router:
    """The master's end: what Locust has, without Locust. Made by :func:`router`."""

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self.socket = socket
        self.port = int(socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        self.node = NODE.encode()  # who was heard last

    @property
    def address(self) -> MasterAddress:
        """Where it listens."""
        return MasterAddress("127.0.0.1", self.port)

    async def heard(self) -> list[Any]:
        """Return the next message."""
        while True:
            try:
                self.node, raw = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                await trio.sleep(0.005)
            else:
                return list(msgpack.unpackb(raw))

    async def hears(self, kind: str, *, among: Sequence[str] = ()) -> Any:  # noqa: ANN401 - what msgpack brings
        """Return the content of the next message of a kind; others must be heartbeats, reports or ``among`` these."""
        while True:
            said, content, _ = await self.heard()
            if said == kind:
                return content
            if said == "heartbeat":
                self.order("heartbeat")
            assert said in {"heartbeat", "stats", "estsim-clock", *among}

    def order(self, kind: str, content: object = None) -> None:
        """Send a message to who was heard last."""
        self.socket.send_multipart([self.node, msgpack.packb((kind, content, self.node.decode()))])

    def say(self, number: int) -> None:
        """Send a message that is a number."""
        self.socket.send_multipart([self.node, str(number).encode()])


@asynccontextmanager
async def router(port: int = 0) -> AsyncIterator[Router]:
    """Listen until the block ends."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.ROUTER_MANDATORY, 1)
        socket.bind(f"tcp://127.0.0.1:{port or '*'}")
        yield Router(socket)
