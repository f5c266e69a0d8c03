"""The sandbox's listening sockets: accept, handshake, serve, and let go in good order (trio).

One nursery holds the connections, another the accept loops; stopping ends the second, lets idle connections go, gives
the busy ones a grace, and cancels what is left. Each connection closes its own socket, also when cancelled.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from estsim.errors import TransportFailed, UsageError
from estsim.net.connection import TlsConnection, serve_handshake
from estsim.net.contexts import ContextKey, TlsContexts
from estsim.net.credential import Credential
from estsim.server.admission import Peer
from estsim.server.http import HttpConnection, IdleScopes, Limits
from estsim.server.service import EstService

_ACCEPT_PAUSE_S: Final = 0.1  # out of descriptors or memory: as trio.serve_listeners
_BACKLOG: Final = 4096  # a herd connects at once; the kernel caps it at net.core.somaxconn


@dataclass(slots=True)
class Counts:
    """What the listener saw besides exchanges."""

    connections: int = 0
    failed_handshakes: int = 0
    cut: int = 0  # connections still busy when the grace was over


async def bind(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on ``host``; raises ``UsageError`` where that cannot be."""
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
    except OSError as error:
        cause = error.__cause__ or error
        number = getattr(cause, "errno", None) or error.errno
        if number == errno.EADDRINUSE:
            text = "the port is in use; give another with --port, or 0 for any free one"
        else:
            text = error.strerror or str(error)
        raise UsageError(f"cannot listen on {host} port {port}: {text}") from error


class Listener:
    """Serves one EST service over TLS on open listening sockets."""

    def __init__(
        self,
        service: EstService,
        *,
        contexts: TlsContexts,
        context_key: ContextKey,
        credential: Credential,
        limits: Limits,
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        self._service = service
        self._context = contexts.get(context_key)
        self._credential = credential
        self._limits = limits
        self._on_refused = on_refused
        self._idle = IdleScopes()
        self.counts = Counts()

    async def serve(self, listeners: list[trio.SocketListener], stop: trio.Event, *, grace_s: float) -> None:
        """Serve until ``stop`` is set, then drain for at most ``grace_s``."""
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(self._accept, listener, connections)
                await stop.wait()
                accepting.cancel_scope.cancel()
            self._idle.stop()
            connections.cancel_scope.deadline = trio.current_time() + grace_s

    async def _accept(self, listener: trio.SocketListener, connections: trio.Nursery) -> None:
        """Accept; each turn of the loop takes at most one, so that requests under way are not held up by a herd."""
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError:
                    await trio.sleep(_ACCEPT_PAUSE_S)
                else:
                    connections.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.counts.connections += 1
        connection: TlsConnection | None = None
        try:
            connection = await serve_handshake(
                stream, self._context, self._credential, deadline_s=self._limits.handshake_s
            )
            peer = Peer.of(connection.tls.peer_certificate)
            await HttpConnection(connection, peer, self._service, self._limits, self._idle).serve()
        except TransportFailed as error:
            self.counts.failed_handshakes += 1
            if self._on_refused is not None:
                self._on_refused(error.alert or error.reason)
        except trio.Cancelled:
            self.counts.cut += 1
            raise
        finally:
            if connection is not None:
                connection.drop()
