"""A TLS connection over TCP: handshake, sending, receiving, and the ways in which a device can leave.

The socket is used without a runtime's stream classes: a send that fits the kernel's buffer never waits, and a receive
waits once. A connection belongs to the task, thread or greenlet that uses it, which also closes it; after cancellation
at any await, :meth:`TlsConnection.drop` still closes it. :mod:`estsim.net.opening` makes connections.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import h11

from estsim.errors import Phase, TransportFailed
from estsim.net.io import Io
from estsim.net.shaping import Link
from estsim.net.sockets import (
    RECEIVE_BYTES,
    VANISHED,
    Close,
    prepare_reset,
    receive_stamped,
    stamp_arrivals,
    transport_failure,
)
from estsim.net.tls import END, TlsSession
from estsim.net.tls_failure import TlsFailed

Clock = Callable[[], int]  # nanoseconds, never going back
__all__ = ["Clock", "Close", "TlsConnection", "WireStamps"]


@dataclass(slots=True)
class WireStamps:
    """When each step of an exchange ended, by the caller's clock; None where a step did not happen."""

    connected_ns: int | None = None
    handshaken_ns: int | None = None
    sent_ns: int | None = None
    first_byte_ns: int | None = None
    ended_ns: int | None = None


class TlsConnection:
    """An open connection, which waits as its ``io`` does.

    ``http`` holds the HTTP/1.1 state between requests. By the caller's clock, ``last_sent_ns`` is when the last bytes
    sent were given to the kernel and ``heard_ns`` when the last bytes received reached this machine. A busy loop may
    read them much later; ``unread_ns`` is the sum of that delay over all reads. Over a ``link`` both are the shaped
    network's: when the last byte sent had left, when the first byte received was heard. The socket is non-blocking.
    """

    __slots__ = (
        "_clock",
        "_lost",
        "_socket",
        "closed",
        "heard_ns",
        "http",
        "io",
        "last_sent_ns",
        "link",
        "tls",
        "unread_ns",
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
        self.last_sent_ns = 0
        self.heard_ns = 0
        self.unread_ns = 0
        stamp_arrivals(sock)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"TLS {self.tls.version or 'in handshake'}"
        return f"<{type(self).__name__} {self.tls.host or 'server'} {state}>"

    def take_unread_ns(self) -> int:
        """Return how long bytes lay unread since the last call."""
        unread_ns, self.unread_ns = self.unread_ns, 0
        return unread_ns

    @property
    def truncated(self) -> bool:
        """Whether the peer ended the stream without close_notify."""
        return self.tls.truncated

    @property
    def stalled(self) -> bool:
        """Whether the shaped network has stalled."""
        return self.link is not None and self.link.stalled

    async def handshake(self, *, check_host: bool, has_received: bool = False) -> None:
        """Complete the handshake; the peer's name is checked before our certificate is sent.

        ``has_received`` says that bytes of the peer are ready to be read.
        """
        tls = self.tls
        if has_received:
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
        """Encrypt and send; raises :class:`TransportFailed` in phase send. An answer may still come."""
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
        """Whether the idle connection is still open and the peer has sent nothing; one system call, no wait."""
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
        """Close at once, without waiting for the peer. Closing twice is fine.

        A stalled connection sends no close_notify: it would follow half a record.
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
        """Close. Never waits for the peer and is no checkpoint, so it is safe in a cancelled scope."""
        self.drop(how)

    async def _say_why(self, failed: TlsFailed, phase: Phase) -> TransportFailed:
        """Send the alert that a failure left behind, and return the failure as the caller's."""
        await self._flush(phase)
        if failed.ended and self._lost is not None:
            return self._lost.again()
        return failed.as_transport_failure(phase)

    async def _flush(self, phase: Phase) -> None:
        """Send what TLS has queued. A send error is kept, as the peer's alert with the reason is still to be read."""
        data = self.tls.outgoing()
        if self.link is not None and data and self._lost is None:
            leaving, fails = await self.link.leave(data, phase)
            await self._send(leaving, phase)
            if fails:
                await self._fail_link(self.link, phase)
        elif data:
            await self._send(data, phase)

    async def _send(self, data: bytes, phase: Phase) -> None:
        """Give bytes to the kernel."""
        while data and self._lost is None:
            self.last_sent_ns = self._clock()  # before, not after: the peer may have read it when send returns
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
            received, unread_ns = await self.io.receive(self._socket) if waits else receive_stamped(self._socket)
        except BlockingIOError:
            return  # nothing after all: the next step of TLS asks for it again
        except OSError as error:
            raise (self._lost.again() if self._lost else transport_failure(error, phase)) from error
        self._heard(unread_ns)
        if self.link is not None:
            received = await self._arrive(self.link, received, phase)
        self.tls.incoming(received)

    def _heard(self, unread_ns: int) -> None:
        """Note bytes that were read after lying here for ``unread_ns``, by the wall clock.

        That clock may be set at any time; an answer cannot have been here before its request was sent.
        """
        now_ns = self._clock()
        self.heard_ns = now_ns - unread_ns
        self.unread_ns += min(unread_ns, max(0, now_ns - self.last_sent_ns))

    async def _arrive(self, link: Link, received: bytes, phase: Phase) -> bytes:
        """Return received bytes once the shaped network has delivered them."""
        heard, fails, self.heard_ns = await link.arrive(received, phase, self.heard_ns)
        if fails:
            await self._fail_link(link, phase)
        return heard

    async def _fail_link(self, link: Link, phase: Phase) -> None:
        """Let the shaped network's failure happen: stall for ever, or reset the connection and raise."""
        self._lost = await link.fail(phase)
        self.drop(Close.RST)
        raise self._lost.again()
