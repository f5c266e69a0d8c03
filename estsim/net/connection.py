"""A TLS connection over TCP under trio: it shakes hands, sends, receives, and is closed in the ways a device can go.

The socket is driven without trio's stream classes: a send that fits the kernel's buffer costs no pass of the event
loop, and a receive waits once. A connection belongs to the task that uses it, which also closes it; cancellation at any
await here leaves a connection that :meth:`TlsConnection.drop` still closes. :mod:`estsim.net.opening` makes them.
"""

import socket

import trio

from estsim.errors import Phase, TransportFailed
from estsim.net.link import Link
from estsim.net.sockets import Close, receive_stamped
from estsim.net.stamps import Clock, WireStamps
from estsim.net.tls import END, TlsSession
from estsim.net.tls_failure import TlsFailed
from estsim.net.tls_wire import TlsWire
from estsim.net.troubles import transport_failure

__all__ = ["Clock", "Close", "TlsConnection", "WireStamps"]


class TlsConnection(TlsWire):
    """An open connection that waits with trio. Made by :mod:`estsim.net.opening`.

    Over a ``link`` its stamps are the shaped network's: when the last of the bytes sent had left, when the first of
    those received were heard.
    """

    __slots__ = ("link",)

    def __init__(self, sock: socket.socket, tls: TlsSession, clock: Clock, link: Link | None = None) -> None:
        super().__init__(sock, tls, clock)
        self.link = link

    @property
    def stalled(self) -> bool:
        """Whether the shaped network lets nothing pass any more."""
        return self.link is not None and self.link.stalled

    async def handshake(self, *, check_host: bool) -> None:
        """Complete the handshake, the peer's name checked before anything that names us is sent."""
        tls = self.tls
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
            raise self._lost

    async def receive(self, phase: Phase = Phase.RECEIVE) -> bytes:
        """Return the next bytes, ``b""`` at the end; raises :class:`TransportFailed` in the caller's phase."""
        if self.closed and self._lost is not None:  # the shaped network has torn it down
            raise self._lost
        tls = self.tls
        while True:
            try:
                plain = tls.read()
            except TlsFailed as failed:
                raise await self._say_why(failed, phase) from failed
            if plain is END:
                if tls.truncated and self._lost is not None:
                    raise self._lost
                return b""
            if plain is not None:
                return plain
            await self._flush(phase)  # a key update or a renegotiation answers while it reads
            await self._fill(phase)

    async def close(self, how: Close = Close.FIN) -> None:
        """Leave. Never waits for the peer and is no checkpoint, so it is safe in a cancelled scope."""
        self.drop(how)

    async def _say_why(self, failed: TlsFailed, phase: Phase) -> TransportFailed:
        """Send the alert that a failure left behind, and return the failure as the caller's."""
        await self._flush(phase)
        if failed.ended and self._lost is not None:
            return self._lost
        return failed.as_transport_failure(phase)

    async def _flush(self, phase: Phase) -> None:
        """Send what TLS has to say. A send error is kept: the peer's reason, an alert, comes by reading on."""
        data = self.tls.outgoing()
        if self.link is not None and data and self._lost is None:
            leaving, struck = await self.link.leave(data, phase)
            await self._send(leaving, phase)
            if struck:
                await self._strike(self.link, phase)
        else:
            await self._send(data, phase)

    async def _send(self, data: bytes, phase: Phase) -> None:
        """Give bytes to the kernel."""
        while data and self._lost is None:
            self.spoke_ns = self._clock()  # before, not after: the peer may have read it when send returns
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            except OSError as error:
                self._lost = transport_failure(error, phase)
            else:
                if sent == len(data):
                    return
                data = data[sent:]

    async def _fill(self, phase: Phase) -> None:
        """Wait for bytes of the peer and feed them to TLS."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                received, lain_ns = receive_stamped(self._socket)
                self.heard_ns = self._clock() - lain_ns
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._lost or transport_failure(error, phase) from error
            if self.link is not None:
                received = await self._arrive(self.link, received, phase)
            self.tls.incoming(received)
            return

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
        raise self._lost
