"""The sandbox's listening sockets: accept, handshake, serve, and shut down gracefully (trio).

One nursery holds the connections, another the accept loops. Stopping ends the accept loops, closes idle connections,
gives busy ones a grace period, and cancels the rest. Each connection closes its own socket, also when cancelled.
"""

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import trio

from estsim.errors import TransportFailed, UsageError
from estsim.est.certificate import Certificate
from estsim.net.connection import Close, TlsConnection
from estsim.net.contexts import server_context
from estsim.net.openssl import verify_reason
from estsim.net.serving import serve_handshake
from estsim.net.tls_failure import TlsFailed
from estsim.server.clock import SandboxClock
from estsim.server.connections import Connections, Slot
from estsim.server.endpoint import Endpoint
from estsim.server.fault_config import FaultKind
from estsim.server.faults import WrongServerName
from estsim.server.http import HttpConnection, Limits
from estsim.server.peer import Handshakes, Peer, read_peer
from estsim.server.service import EstService

_LOG: Final = logging.getLogger(__name__)
_ACCEPT_PAUSE_S: Final = 0.1  # out of descriptors or memory: as trio.serve_listeners
_BACKLOG: Final = 4096  # a herd connects at once; the kernel caps it at net.core.somaxconn


@dataclass(slots=True)
class Counts:
    """The listener's own counts, besides exchanges."""

    connections: int = 0
    failed_handshakes: int = 0
    cut: int = 0  # connections busy at the end of the grace period, and slow ones cut to make room
    faults: int = 0  # connections ended by an internal error


async def bind(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on ``host``; raises ``UsageError``."""
    try:
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
        if port == 0 and len(listeners) > 1:  # the kernel has given each address a port of its own
            port = listeners[0].socket.getsockname()[1]
            for listener in listeners:
                await listener.aclose()
            listeners = await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
    except OSError as error:
        cause = error.__cause__ or error
        number = getattr(cause, "errno", None) or error.errno
        if number == errno.EADDRINUSE:
            text = "the port is in use; choose another with --port (0 for any free port)"
        else:
            text = error.strerror or str(error)
        raise UsageError(f"cannot listen on {host} port {port}: {text}") from error
    return listeners


class Listener:
    """Serves one EST service over TLS on open listening sockets."""

    def __init__(
        self,
        service: EstService,
        endpoint: Endpoint,
        *,
        clock: SandboxClock,
        wrong_name: WrongServerName,
        limits: Limits,
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        self._service = service
        self._context = server_context(endpoint.key, endpoint.credential)
        self._verifies = endpoint.verifies
        self._wrong = server_context(endpoint.key, endpoint.wrong)
        self._clock = clock
        self._wrong_name = wrong_name
        self._limits = limits
        self._on_refused = on_refused
        self.connections = Connections(limits.connections)
        self._handshakes = Handshakes()
        self.counts = Counts()

    def change(self, wrong_name: WrongServerName) -> None:
        """Apply another fault of the server's name to new connections."""
        self._wrong_name = wrong_name

    async def serve(self, listeners: list[trio.SocketListener], stop: trio.Event, *, grace_s: float) -> None:
        """Serve until ``stop`` is set, then drain for at most ``grace_s``."""
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(self._accept, listener, connections)
                await stop.wait()
                accepting.cancel_scope.cancel()
            self.connections.stop()
            connections.cancel_scope.deadline = trio.current_time() + grace_s

    async def _accept(self, listener: trio.SocketListener, connections: trio.Nursery) -> None:
        """Accept one connection per pass of the loop, so that a herd does not hold up requests under way."""
        async with listener:
            while True:
                await self.connections.room()
                try:
                    stream = await listener.accept()
                except OSError:
                    await trio.sleep(_ACCEPT_PAUSE_S)
                else:
                    connections.start_soon(self._serve, stream, self.connections.enter())

    async def _serve(self, stream: trio.SocketStream, slot: Slot) -> None:
        self.counts.connections += 1
        connection: TlsConnection | None = None
        is_wrong_name = self._wrong_name.applies(self.counts.connections, self._clock.age_s())
        address = _address_of(stream)
        try:
            with slot.stay(), self._counting_refusals():
                connection = await serve_handshake(
                    stream, self._wrong if is_wrong_name else self._context, deadline_s=self._limits.handshake_s
                )
                peer = self._read_peer(connection, address, is_wrong_name=is_wrong_name)
                await HttpConnection(_Wire(connection), peer, self._service, self._limits, slot).serve()
            self.counts.cut += slot.scope.cancelled_caught  # to make room
        except trio.Cancelled:
            self.counts.cut += 1
            raise
        except Exception:  # noqa: BLE001 - as the comment says
            # A bug of ours: logged, and it must not end other connections.
            self.counts.faults += 1
            _LOG.exception("internal error of the sandbox ended a connection")
        finally:
            stream.socket.close()  # no effect after the handshake took the socket over
            if connection is not None:
                connection.drop()

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except TransportFailed as error:
            self.counts.failed_handshakes += 1
            if self._on_refused is not None:
                self._on_refused(error.alert or error.reason)

    def _read_peer(self, connection: TlsConnection, address: str, *, is_wrong_name: bool) -> Peer:
        """Read the client; raises ``TransportFailed`` where its certificate cannot be read."""
        try:
            binding = connection.tls.channel_binding
            return replace(
                self._peer(connection, is_wrong_name=is_wrong_name), address=address, channel_binding=binding
            )
        except TlsFailed as failed:
            raise failed.as_transport_failure() from failed

    def _peer(self, connection: TlsConnection, *, is_wrong_name: bool) -> Peer:
        tls = connection.tls
        certificate, fault = tls.peer_certificate, FaultKind.WRONG_SERVER_NAME if is_wrong_name else None
        now_s = self._clock.now_s()
        chain: tuple[Certificate, ...] = ()
        problem: str | None = None
        if certificate is None or self._verifies:
            pass  # there is no certificate, or the handshake has verified it
        elif tls.resumed:
            chain, problem = self._handshakes.recall(certificate)
        else:
            reason = verify_reason(tls.client_problems[0][1]) if tls.client_problems else None
            chain, problem = self._handshakes.meet(certificate, tls.peer_chain, reason)
        return read_peer(certificate, chain=chain, problem=problem, resumed=tls.resumed, fault=fault, wall_now_s=now_s)


def _address_of(stream: trio.SocketStream) -> str:
    """Return the IP address of a client, empty if it has left already."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return ""


class _Wire:
    """A TLS connection as HTTP sees it."""

    __slots__ = ("_connection", "receive", "send_all")

    def __init__(self, connection: TlsConnection) -> None:
        self._connection = connection
        self.receive = connection.receive
        self.send_all = connection.send_all

    @property
    def heard_ns(self) -> int:
        """When the last bytes received came to this machine."""
        return self._connection.heard_ns

    @property
    def last_sent_ns(self) -> int:
        """When the last bytes sent were given to the kernel."""
        return self._connection.last_sent_ns

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self._connection.drop(Close.RST)
