"""A TLS connection over TCP under trio: opened with stamps and deadlines, closed in the ways a device can go.

The socket is driven without trio's stream classes: a send that fits the kernel's buffer costs no pass of the event
loop, and a receive waits once. A connection belongs to the task that uses it, which also closes it; cancellation at any
await here leaves a connection that :meth:`TlsConnection.drop` still closes, and :func:`open_connection` leaks nothing.
"""

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import h11
import trio

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.contexts import TlsContext
from estsim.net.credential import Credential
from estsim.net.resolver import SHARED, Address, Endpoint, Resolver
from estsim.net.tls import END, Resumable, TlsSession
from estsim.net.tls_failure import TlsFailed
from estsim.net.troubles import is_ours, transport_failure

_RECEIVE_BYTES: Final = 16 * 1024
_VANISHED_AT_MOST: Final = 256  # descriptors given to devices that went without a word
_vanished: Final[deque[int]] = deque()
_LINGER_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each part of an exchange may take; resolving and connecting share one."""

    connect_s: float
    handshake_s: float
    answer_s: float


@dataclass(slots=True)
class WireStamps:
    """When each step of an exchange was over, by the caller's clock; None where a step did not happen."""

    connected_ns: int | None = None
    handshaken_ns: int | None = None
    sent_ns: int | None = None
    first_byte_ns: int | None = None
    ended_ns: int | None = None


class Close(StrEnum):
    """How a device leaves: in order, by a reset, or (power cut) without any packet."""

    # The kernel still acknowledges what a vanished device is sent; nobody reads or answers it.
    FIN = "fin"
    RST = "rst"
    VANISH = "vanish"


class TlsConnection:
    """An open connection: TLS over a socket of ours. Made by :func:`open_connection` or :func:`serve_handshake`.

    ``http`` is where the transport above keeps its HTTP/1.1 state between requests.
    """

    __slots__ = ("_lost", "_socket", "closed", "http", "tls")

    def __init__(self, sock: socket.socket, tls: TlsSession) -> None:
        self._socket = sock
        self._lost: TransportFailed | None = None  # a send failed; the reason may still be there to read
        self.tls = tls
        self.http: h11.Connection | None = None
        self.closed = False

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"TLS {self.tls.version or 'in handshake'}"
        return f"<TlsConnection {self.tls.host or 'server'} {state}>"

    @property
    def truncated(self) -> bool:
        """Whether the peer ended the stream without close_notify."""
        return self.tls.truncated

    @property
    def local_port(self) -> int:
        """The port on our side, by which packet captures and server logs are matched."""
        return int(self._socket.getsockname()[1])

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

    def is_quiet(self) -> bool:
        """Say whether the idle connection still stands and the peer has said nothing; no wait, one system call."""
        if self.closed or self._lost is not None:
            return False
        try:
            received = self._socket.recv(_RECEIVE_BYTES)
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
        """Leave at once; what close() does, for those who cannot await. Closing twice is fine."""
        if self.closed:
            return
        self.closed = True
        if how is Close.FIN:
            self.tls.close()
            farewell = self.tls.outgoing()
            if farewell:
                with suppress(OSError):
                    self._socket.send(farewell)
        else:
            self.tls.abandon()
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            if how is Close.VANISH:
                _vanish(self._socket)
        self._socket.close()

    async def _say_why(self, failed: TlsFailed, phase: Phase) -> TransportFailed:
        """Send the alert that a failure left behind, and return the failure as the caller's."""
        await self._flush(phase)
        if failed.ended and self._lost is not None:
            return self._lost
        return failed.as_transport_failure(phase)

    async def _flush(self, phase: Phase) -> None:
        """Send what TLS has to say. A send error is kept: the peer's reason, an alert, comes by reading on."""
        data = self.tls.outgoing()
        while data and self._lost is None:
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
                received = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._lost or transport_failure(error, phase) from error
            self.tls.incoming(received)
            return


async def open_connection(
    endpoint: Endpoint,
    context: TlsContext,
    credential: Credential | None,
    *,
    deadlines: Deadlines,
    clock: Callable[[], int],
    stamps: WireStamps,
    resume: Resumable | None = None,
    check_host: bool = True,
    resolver: Resolver = SHARED,
) -> TlsConnection:
    """Resolve, connect and shake hands; the caller closes what comes back.

    Raises :class:`TransportFailed` with the phase it failed in; whatever happens, also cancellation, nothing stays
    open. With a wrong host name nothing that names us has been sent.
    """
    phase = Phase.RESOLVE
    with trio.CancelScope(deadline=trio.current_time() + deadlines.connect_s) as scope:
        addresses = resolver.known(endpoint) or await resolver.resolve(endpoint)
        phase = Phase.CONNECT
        sock = await _connect(endpoint, addresses, resolver)
        stamps.connected_ns = clock()
        phase = Phase.HANDSHAKE
        scope.deadline = trio.current_time() + deadlines.handshake_s
        connection = await _shake(sock, context, credential, endpoint.host, resume=resume, check_host=check_host)
        stamps.handshaken_ns = clock()
        return connection
    limit_s = deadlines.handshake_s if phase is Phase.HANDSHAKE else deadlines.connect_s
    raise TransportFailed(phase, Trouble.TIMEOUT, f"{endpoint}: not done within {limit_s:g} s")


async def serve_handshake(
    stream: trio.SocketStream,
    context: TlsContext,
    credential: Credential,
    *,
    deadline_s: float,
) -> TlsConnection:
    """Shake hands as a server on an accepted stream, whose socket is taken over; the caller closes what comes back.

    Raises :class:`TransportFailed` in phase handshake, the alert sent; whatever happens, nothing stays open.
    """
    accepted = stream.socket
    sock = socket.socket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
    sock.setblocking(False)
    with trio.move_on_after(deadline_s):
        return await _shake(sock, context, credential)
    raise TransportFailed(Phase.HANDSHAKE, Trouble.TIMEOUT, f"the client did not finish within {deadline_s:g} s")


def _vanish(sock: socket.socket) -> None:
    """Keep the socket open unseen, so that the kernel says nothing to the peer; the oldest such one is reset."""
    if len(_vanished) == _VANISHED_AT_MOST:
        os.close(_vanished.popleft())
    _vanished.append(sock.detach())


async def _shake(
    sock: socket.socket,
    context: TlsContext,
    credential: Credential | None,
    host: str = "",
    *,
    resume: Resumable | None = None,
    check_host: bool = False,
) -> TlsConnection:
    """Make a connection of a connected socket, or close it."""
    try:
        tls = TlsSession(context, credential, host, resume=resume)
    except BaseException as failed:
        sock.close()
        if isinstance(failed, TlsFailed):
            raise failed.as_transport_failure() from failed
        raise
    connection = TlsConnection(sock, tls)
    try:
        await connection.handshake(check_host=check_host)
    except BaseException:
        connection.drop()
        raise
    return connection


async def _connect(endpoint: Endpoint, addresses: tuple[Address, ...], resolver: Resolver) -> socket.socket:
    """Connect to the first address that answers; raises the last one's failure."""
    failure: OSError | None = None
    for address in addresses:
        try:
            sock = await _connect_to(address)
        except OSError as error:
            failure = error
            if is_ours(error) and error.errno != errno.EADDRNOTAVAIL:
                break
        else:
            if len(addresses) > 1:
                resolver.prefer(endpoint, address)
            return sock
    if failure is None:
        raise TransportFailed(Phase.RESOLVE, Trouble.REFUSED, f"{endpoint.host}: the name has no address")
    raise transport_failure(failure, Phase.CONNECT, str(endpoint)) from failure


async def _connect_to(address: Address) -> socket.socket:
    """Connect a new socket to one address; raises ``OSError`` with nothing left open."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a flight and a request never wait for an ACK
        code = sock.connect_ex(address.sockaddr)
        if code == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        sock.close()
        raise
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock
