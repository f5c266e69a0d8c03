"""A TLS connection over a socket, less the waiting: what it knows of itself, and how it is left.

:mod:`estsim.net.connection` waits with trio, :mod:`estsim.net.blocking` in plain calls.
"""

import socket
from contextlib import suppress

import h11

from estsim.errors import TransportFailed
from estsim.net.sockets import RECEIVE_BYTES, Close, prepare_reset, stamp_arrivals
from estsim.net.stamps import Clock
from estsim.net.tls import TlsSession
from estsim.net.tls_failure import TlsFailed
from estsim.net.vanished import VANISHED


class TlsWire:
    """An open connection: TLS over a socket of ours.

    ``http`` is where the transport above keeps its HTTP/1.1 state between requests. By the caller's clock ``spoke_ns``
    is when the last bytes sent were given to the kernel, ``heard_ns`` when the last bytes received came to this
    machine; a busy loop may have read them much later. The socket must not wait in :meth:`is_quiet` and :meth:`drop`.
    """

    __slots__ = ("_clock", "_lost", "_socket", "closed", "heard_ns", "http", "spoke_ns", "tls")

    def __init__(self, sock: socket.socket, tls: TlsSession, clock: Clock) -> None:
        self._socket = sock
        self._clock = clock
        self._lost: TransportFailed | None = None  # a send failed; the reason may still be there to read
        self.tls = tls
        self.http: h11.Connection | None = None
        self.closed = False
        self.spoke_ns = 0
        self.heard_ns = 0
        stamp_arrivals(sock)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"TLS {self.tls.version or 'in handshake'}"
        return f"<{type(self).__name__} {self.tls.host or 'server'} {state}>"

    @property
    def truncated(self) -> bool:
        """Whether the peer ended the stream without close_notify."""
        return self.tls.truncated

    @property
    def stalled(self) -> bool:
        """Whether what was said last is stuck under way."""
        return False

    @property
    def local_port(self) -> int:
        """The port on our side, by which packet captures and server logs are matched."""
        return int(self._socket.getsockname()[1])

    def is_quiet(self) -> bool:
        """Say whether the idle connection still stands and the peer has said nothing; no wait, one system call."""
        if self.closed or self._lost is not None:
            return False
        try:
            received = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        try:
            self.tls.incoming(received)
            return self.tls.read() is None  # a late session ticket says nothing
        except TlsFailed:
            return False

    def drop(self, how: Close = Close.FIN) -> None:
        """Leave at once, without waiting for the peer. Closing twice is fine.

        On a connection that stalled under way there is no close_notify: it would follow half a record.
        """
        if self.closed:
            return
        self.closed = True
        if how is Close.FIN and self.stalled:
            self.tls.abandon()
        elif how is Close.FIN:
            self.tls.close()
            farewell = self.tls.outgoing()
            if farewell:
                with suppress(OSError):
                    self._socket.send(farewell)
        else:
            self.tls.abandon()
            prepare_reset(self._socket)
            if how is Close.VANISH:
                VANISHED.hold(self._socket)
        self._socket.close()
