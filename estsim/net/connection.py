"""A TLS connection over TCP: it shakes hands, sends, receives, and is closed in the ways a device can go.

The socket is driven without a runtime's stream classes: a send that fits the kernel's buffer never waits, and a receive
waits once. A connection belongs to the task, thread or greenlet that uses it, which also closes it; cancellation at any
await here leaves a connection that :meth:`TlsConnection.drop` still closes. :mod:`estsim.net.opening` makes them.
"""

import socket
from contextlib import suppress

import h11

from estsim.errors import Phase, TransportFailed
from estsim.net.io import Io
from estsim.net.link import Link
from estsim.net.sockets import RECEIVE_BYTES, Close, prepare_reset, receive_stamped, stamp_arrivals
from estsim.net.stamps import Clock, WireStamps
from estsim.net.tls import END, TlsSession
from estsim.net.tls_failure import TlsFailed
from estsim.net.troubles import transport_failure
from estsim.net.vanished import VANISHED

__all__ = ["Clock", "Close", "TlsConnection", "WireStamps"]


class TlsConnection:
    """An open connection, which waits as its ``io`` does. Made by :mod:`estsim.net.opening`.

    ``http`` is where the transport above keeps its HTTP/1.1 state between requests. By the caller's clock ``spoke_ns``
    is when the last bytes sent were given to the kernel, ``heard_ns`` when the last bytes received came to this
    machine; a busy loop may have read them much later, and ``lain_ns`` is how much, over all reads. Over a ``link``
    they are the shaped network's: when the last of the bytes sent had left, when the first of those received were
    heard. The socket is non-blocking.
    """

    __slots__ = (
        "_clock", "_lost", "_socket", "closed", "heard_ns", "http", "io", "lain_ns", "link", "spoke_ns", "tls",
    )  # fmt: skip

    def __init__(self, io: Io, sock: socket.socket, tls: TlsSession, clock: Clock, link: Link | None = None) -> None:
        self.io = io
        self._socket = sock
        self._clock = clock
        self._lost: TransportFailed | None = None  # a send failed; the reason may still be there to read
        self.tls = tls
        self.link = link
        self.http: h11.Connection | None = None
        self.closed = False
        self.spoke_ns = 0
        self.heard_ns = 0
        self.lain_ns = 0
        stamp_arrivals(sock)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"TLS {self.tls.version or 'in handshake'}"
        return f"<{type(self).__name__} {self.tls.host or 'server'} {state}>"

    def take_lain_ns(self) -> int:
        """Return how long bytes lay unread since this was asked before."""
        lain_ns, self.lain_ns = self.lain_ns, 0
        return lain_ns

    @property
    def truncated(self) -> bool:
        """Whether the peer ended the stream without close_notify."""
        return self.tls.truncated

    @property
    def stalled(self) -> bool:
        """Whether the shaped network lets nothing pass any more."""
        return self.link is not None and self.link.stalled

    async def handshake(self, *, check_host: bool, has_spoken: bool = False) -> None:
        """Complete the handshake, the peer's name checked before anything that names us is sent.

        ``has_spoken`` says that bytes of the peer are there to be read.
        """
        tls = self.tls
        if has_spoken:
            await self._fill(Phase.HANDSHAKE, waits=False)
        unchecked = check_host
        while True:
            try:
                done = tls.handshake()
                if unchecked and tls.check_peer():
                    unchecked = False
            except TlsFailed as failed:
                raise await self._say_why(failed, Phase.HANDSHAKE) from failed
            await self._flush(Phase.HANDSHAKE)
            if done:
                return
            await self._fill(Phase.HANDSHAKE)

    async def send_all(self, plain: bytes) -> None:
        """Encrypt and send; raises :class:`TransportFailed` in phase send. An answer may still be there to receive."""
        try:
            self.tls.write(plain)
        except TlsFailed as failed:
            raise await self._say_why(failed, Phase.SEND) from failed
        await self._flush(Phase.SEND)
        if self._lost is not None:
            raise self._lost.again()

    async def receive(self, phase: Phase = Phase.RECEIVE) -> bytes:
        """Return the next bytes, ``b""`` at the end; raises :class:`TransportFailed` in the caller's phase."""
        if self.closed and self._lost is not None:  # the shaped network has torn it down
            raise self._lost.again()
        tls = self.tls
        while True:
            try:
                plain = tls.read()
            except TlsFailed as failed:
                raise await self._say_why(failed, phase) from failed
            if plain is END:
                if tls.truncated and self._lost is not None:
                    raise self._lost.again()
                return b""
            if plain is not None:
                return plain
            await self._flush(phase)  # a key update or a renegotiation answers while it reads
            await self._fill(phase)

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

    async def close(self, how: Close = Close.FIN) -> None:
        """Leave. Never waits for the peer and is no checkpoint, so it is safe in a cancelled scope."""
        self.drop(how)

    async def _say_why(self, failed: TlsFailed, phase: Phase) -> TransportFailed:
        """Send the alert that a failure left behind, and return the failure as the caller's."""
        await self._flush(phase)
        if failed.ended and self._lost is not None:
            return self._lost.again()
        return failed.as_transport_failure(phase)

    async def _flush(self, phase: Phase) -> None:
        """Send what TLS has to say. A send error is kept: the peer's reason, an alert, comes by reading on."""
        data = self.tls.outgoing()
        if self.link is not None and data and self._lost is None:
            leaving, struck = await self.link.leave(data, phase)
            await self._send(leaving, phase)
            if struck:
                await self._strike(self.link, phase)
        elif data:
            await self._send(data, phase)

    async def _send(self, data: bytes, phase: Phase) -> None:
        """Give bytes to the kernel."""
        while data and self._lost is None:
            self.spoke_ns = self._clock()  # before, not after: the peer may have read it when send returns
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                await self.io.wait_writable(self._socket)
            except OSError as error:
                self._lost = transport_failure(error, phase)
            else:
                if sent == len(data):
                    return
                data = data[sent:]

    async def _fill(self, phase: Phase, *, waits: bool = True) -> None:
        """Wait for bytes of the peer, unless they are known to be there, and feed them to TLS."""
        try:
            received, lain_ns = await self.io.receive(self._socket) if waits else receive_stamped(self._socket)
        except BlockingIOError:
            return  # nothing after all: the next step of TLS asks for it again
        except OSError as error:
            raise (self._lost.again() if self._lost else transport_failure(error, phase)) from error
        self._heard(lain_ns)
        if self.link is not None:
            received = await self._arrive(self.link, received, phase)
        self.tls.incoming(received)

    def _heard(self, lain_ns: int) -> None:
        """Take note of bytes that were read, having lain here so long by the wall's clock.

        That may be set at any time: an answer lay here at most since the question went out.
        """
        now_ns = self._clock()
        self.heard_ns = now_ns - lain_ns
        self.lain_ns += min(lain_ns, max(0, now_ns - self.spoke_ns))

    async def _arrive(self, link: Link, received: bytes, phase: Phase) -> bytes:
        """Return what came once the shaped network has brought it."""
        heard, struck, self.heard_ns = await link.arrive(received, phase, self.heard_ns)
        if struck:
            await self._strike(link, phase)
        return heard

    async def _strike(self, link: Link, phase: Phase) -> None:
        """Let the shaped network's mishap happen: never returns, or raises with the connection reset."""
        self._lost = await link.strike(phase)
        self.drop(Close.RST)
        raise self._lost.again()
