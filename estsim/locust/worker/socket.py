"""A worker's connection to its master: one ZeroMQ socket (DEALER) under trio.

Theory of operation. ZeroMQ has a thread of its own for the wire; what it shows of it is a descriptor that becomes
readable when *something* has changed, once, whatever that was. So nobody waits before nothing is left to be had, and
after each sending, which may have taken note of a change, whoever waits looks again (``zmq_getsockopt(3)``, ZMQ_FD).
Sending never waits: what does not fit into the queue of a connection, or finds none, is refused, and the caller keeps
it. A second socket, the monitor, tells when there is a connection and when not; ZeroMQ makes it anew by itself.
"""

import socket as plain
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import trio
import zmq
from zmq.utils.monitor import parse_monitor_message

from estsim.fleet.link_auth import LARGEST_BYTES
from estsim.fleet.master_messages import PLAN
from estsim.locust.worker.protocol import LinkError

_LARGEST_BYTES: Final = LARGEST_BYTES[PLAN] + 4096  # of what a master sends; a larger one ends the connection
_QUEUED: Final = 256  # messages that wait for a slow connection; worker reports among them come once a second
_KEEPALIVE_IDLE_S: Final = 30  # as in locust/rpc/zmqrpc.py
_LINGER_MS: Final = 2000  # for the last words
_RECONNECT_MS: Final = 200
_RECONNECT_AT_MOST_MS: Final = 1000
_LOOK_AGAIN_S: Final = 1.0  # should ever a change go unseen


@dataclass(frozen=True, slots=True)
class MasterAddress:
    """Where a Locust master listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def node_name() -> str:
    """Return a new name of a worker, of the form that Locust's have: its master groups workers by host."""
    return f"{plain.gethostname()}_{uuid4().hex}"


class _Inlet:
    """The receiving end of a ZeroMQ socket."""

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self._socket = socket
        self._descriptor = int(socket.getsockopt(zmq.FD))
        self._sleep: trio.CancelScope | None = None

    async def receive(self) -> list[bytes]:
        """Return the parts of the next message."""
        while True:
            try:
                return self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                with trio.move_on_after(_LOOK_AGAIN_S) as self._sleep:
                    await trio.lowlevel.wait_readable(self._descriptor)
                self._sleep = None

    def look_again(self) -> None:
        """Let whoever waits see what there is."""
        if self._sleep is not None:
            self._sleep.cancel()


class Connection:
    """A worker's side of the wire; made by :func:`connection_to`."""

    def __init__(self, socket: "zmq.Socket[bytes]", monitor: "zmq.Socket[bytes]") -> None:
        self._socket = socket
        self._messages = _Inlet(socket)
        self._changes = _Inlet(monitor)

    def send(self, raw: bytes) -> bool:
        """Send a message, or say that it cannot be sent now."""
        try:
            self._socket.send(raw, zmq.NOBLOCK)
        except zmq.Again:
            return False
        finally:
            self._messages.look_again()
        return True

    async def receive(self) -> bytes:
        """Return the next message of the master."""
        return (await self._messages.receive())[-1]

    async def change(self) -> bool:
        """Return, when it has changed, whether there is a connection."""
        while True:
            event = parse_monitor_message(await self._changes.receive())["event"]
            if event in (zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED):
                return bool(event == zmq.EVENT_HANDSHAKE_SUCCEEDED)


@asynccontextmanager
async def connection_to(master: MasterAddress, name: str) -> AsyncIterator[Connection]:
    """Connect to a master for as long as the block lasts; there need not be one yet.

    What was sent before the end of the block may still go out for two seconds. Raises LinkError for what is no address.
    """
    with_v6 = await _needs_v6(master)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        socket = context.socket(zmq.DEALER)
        socket.set(zmq.IDENTITY, name.encode())
        socket.set(zmq.IMMEDIATE, 1)  # nothing is queued for a connection that there is not
        socket.set(zmq.SNDHWM, _QUEUED)
        socket.set(zmq.LINGER, _LINGER_MS)
        socket.set(zmq.MAXMSGSIZE, _LARGEST_BYTES)
        socket.set(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.set(zmq.RECONNECT_IVL_MAX, _RECONNECT_AT_MOST_MS)
        socket.set(zmq.TCP_KEEPALIVE, 1)
        socket.set(zmq.TCP_KEEPALIVE_IDLE, _KEEPALIVE_IDLE_S)
        socket.set(zmq.IPV6, int(with_v6))
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        monitor.set(zmq.LINGER, 0)
        _connect(socket, master)
        try:
            yield Connection(socket, monitor)
        finally:
            socket.disable_monitor()
            monitor.close()
            socket.close()
    finally:
        with trio.CancelScope(shield=True):  # bounded by the linger
            await trio.to_thread.run_sync(context.destroy)


def _connect(socket: "zmq.Socket[bytes]", master: MasterAddress) -> None:
    try:
        socket.connect(f"tcp://{master}")
    except zmq.ZMQError as error:
        raise LinkError(f"{master} is not a valid master address: {error}") from error


async def _needs_v6(master: MasterAddress) -> bool:
    """Say whether a host has addresses of IPv6 only: a master may well listen on IPv4 alone."""
    try:
        found = await trio.socket.getaddrinfo(master.host, master.port, type=trio.socket.SOCK_STREAM)
    except OSError:
        return False
    return all(family == trio.socket.AF_INET6 for family, *_ in found)
