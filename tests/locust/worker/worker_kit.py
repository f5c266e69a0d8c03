"""The master's end of a connection, as Locust and estsim have it, without Locust: for tests that need no more of it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgpack
import trio
import zmq

from estsim.fleet.link_auth import MasterLink
from estsim.fleet.link_secret import NO_SECRET, Secret
from estsim.fleet.master_messages import CHALLENGE, CLOCK, HELLO, JOIN, PLAN, REFUSED, WORKER_REPORT
from estsim.locust.worker.socket import MasterAddress

NODE: Final = "host_1"
DEADLINE_S: Final = 20.0


class Router:
    """The master's end: what Locust has, without Locust. Made by :func:`router`."""

    def __init__(self, socket: "zmq.Socket[bytes]", secret: Secret = NO_SECRET) -> None:
        self.socket = socket
        self.link = MasterLink(secret)
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

    async def take_in(self) -> None:
        """Do what a master does with a worker that calls."""
        hello = await self.hears(HELLO)
        self.order(CHALLENGE, self.link.challenge(self.node.decode(), hello))
        self.link.join(self.node.decode(), JOIN, await self.hears(JOIN))
        await self.have_ready()

    async def have_ready(self) -> None:
        """Take in a worker that has joined, as Locust does."""
        assert await self.hears("client_ready") == -1
        self.order("ack", {"index": 0})

    async def hears(self, kind: str, *, among: Sequence[str] = ()) -> Any:  # noqa: ANN401 - what msgpack brings
        """Return the content of the next message of a kind; others must be heartbeats, reports or ``among`` these."""
        while True:
            said, content, node = await self.heard()
            if said in (CLOCK, WORKER_REPORT):
                content = self.link.unseal(node, said, content)
            if said == kind:
                return content
            if said == "heartbeat":
                self.order("heartbeat")
            if said == CLOCK:
                self.order(CLOCK, {"sent_s": content["sent_s"], "master_s": content["sent_s"]})
            assert said in {"heartbeat", "stats", CLOCK, *among}

    def order(self, kind: str, content: object = None) -> None:
        """Send a message to who was heard last, sealed where it has to be."""
        channel = self.link.joined.get(self.node.decode())
        if kind in (PLAN, CLOCK, REFUSED) and channel is not None:
            content = channel.seal(kind, content)
        self.send(kind, content)

    def send(self, kind: str, content: object = None) -> None:
        """Send a message as it is."""
        self.socket.send_multipart([self.node, msgpack.packb((kind, content, self.node.decode()))])

    def say(self, number: int) -> None:
        """Send a message that is a number."""
        self.socket.send_multipart([self.node, str(number).encode()])


@asynccontextmanager
async def router(port: int = 0, *, secret: Secret = NO_SECRET) -> AsyncIterator[Router]:
    """Listen until the block ends."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.ROUTER_MANDATORY, 1)
        socket.bind(f"tcp://127.0.0.1:{port or '*'}")
        yield Router(socket, secret)
