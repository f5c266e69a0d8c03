"""A TLS connection over TCP in plain blocking calls: the twin of :mod:`estsim.net.connection` and its opening.

It waits in the standard library's sockets, each time with what is left of the phase's deadline. Where gevent has
patched those, a wait is a switch to another greenlet; nothing here knows of it. A connection belongs to the thread or
greenlet that uses it, which also closes it; an exception raised in a wait leaves one that ``drop`` still closes.
"""

import errno
import os
import select
import socket
from math import inf
from typing import Final

from estsim.errors import Phase, TransportFailed
from estsim.net.address import Address, Endpoint
from estsim.net.blocking_resolver import SHARED, BlockingResolver
from estsim.net.contexts import TlsContext
from estsim.net.credential import Credential
from estsim.net.deadlines import Deadlines
from estsim.net.dialling import Attempts
from estsim.net.limit import Limit
from estsim.net.sockets import Close, begin_to_connect, connected, new_socket, receive_stamped
from estsim.net.source import Source
from estsim.net.stamps import Clock, WireStamps
from estsim.net.tls import END, Resumable, TlsSession
from estsim.net.tls_failure import TlsFailed
from estsim.net.tls_wire import TlsWire
from estsim.net.troubles import transport_failure

_MS_PER_S: Final = 1000


class BlockingConnection(TlsWire):
    """An open connection that waits in plain calls, as long as its ``limit`` says."""

    __slots__ = ("limit",)

    def __init__(self, sock: socket.socket, tls: TlsSession, clock: Clock, limit: Limit) -> None:
        super().__init__(sock, tls, clock)
        self.limit = limit

    def handshake(self, *, check_host: bool) -> None:
        """Complete the handshake, the peer's name checked before anything that names us is sent."""
        tls = self.tls
        unchecked = check_host
        while True:
            try:
                done = tls.handshake()
                if unchecked and tls.check_peer():
                    unchecked = False
            except TlsFailed as failed:
                raise self._say_why(failed, Phase.HANDSHAKE) from failed
            self._flush(Phase.HANDSHAKE)
            if done:
                return
            self._fill(Phase.HANDSHAKE)

    def send_all(self, plain: bytes) -> None:
        """Encrypt and send; raises :class:`TransportFailed` in phase send. An answer may still be there to receive."""
        try:
            self.tls.write(plain)
        except TlsFailed as failed:
            raise self._say_why(failed, Phase.SEND) from failed
        self._flush(Phase.SEND)
        if self._lost is not None:
            raise self._lost

    def receive(self, phase: Phase = Phase.RECEIVE) -> bytes:
        """Return the next bytes, ``b""`` at the end; raises :class:`TransportFailed` in the caller's phase."""
        tls = self.tls
        while True:
            try:
                plain = tls.read()
            except TlsFailed as failed:
                raise self._say_why(failed, phase) from failed
            if plain is END:
                if tls.truncated and self._lost is not None:
                    raise self._lost
                return b""
            if plain is not None:
                return plain
            self._flush(phase)  # a key update or a renegotiation answers while it reads
            self._fill(phase)

    def is_quiet(self) -> bool:
        """Say whether the idle connection still stands and the peer has said nothing."""
        if not self.closed:
            self._socket.settimeout(0)
        return super().is_quiet()

    def drop(self, how: Close = Close.FIN) -> None:
        """Leave at once, without waiting for the peer. Closing twice is fine."""
        if not self.closed:
            self._socket.settimeout(0)
        super().drop(how)

    def _say_why(self, failed: TlsFailed, phase: Phase) -> TransportFailed:
        """Send the alert that a failure left behind, and return the failure as the caller's."""
        self._flush(phase)
        if failed.ended and self._lost is not None:
            return self._lost
        return failed.as_transport_failure(phase)

    def _flush(self, phase: Phase) -> None:
        """Send what TLS has to say. A send error is kept: the peer's reason, an alert, comes by reading on."""
        data = self.tls.outgoing()
        while data and self._lost is None:
            self._socket.settimeout(self.limit.left_s(phase))
            self.spoke_ns = self._clock()  # before, not after: the peer may have read it when send returns
            try:
                sent = self._socket.send(data)
            except OSError as error:
                if _has_waited(error):
                    raise self.limit.passed(phase) from error
                self._lost = transport_failure(error, phase)
            else:
                data = data[sent:]

    def _fill(self, phase: Phase) -> None:
        """Wait for bytes of the peer and feed them to TLS."""
        self._socket.settimeout(self.limit.left_s(phase))
        try:
            received, lain_ns = receive_stamped(self._socket)
        except OSError as error:
            if _has_waited(error):
                raise self.limit.passed(phase) from error
            raise self._lost or transport_failure(error, phase) from error
        self.heard_ns = self._clock() - lain_ns
        self.tls.incoming(received)


def open_blocking(
    endpoint: Endpoint,
    context: TlsContext,
    credential: Credential | None,
    *,
    deadlines: Deadlines,
    clock: Clock,
    stamps: WireStamps,
    resume: Resumable | None = None,
    check_host: bool = True,
    resolver: BlockingResolver = SHARED,
    source: Source | None = None,
    device_wall_s: float | None = None,
    leaves: Close = Close.FIN,
    cut_off_s: float = inf,
) -> BlockingConnection:
    """Resolve, connect and shake hands; the caller closes what comes back.

    As :func:`estsim.net.opening.open_connection`, but that nobody else can cancel it: ``cut_off_s``
    (``time.monotonic``) is when it is to end in any case, by :class:`estsim.net.limit.CutOff`.
    """
    limit = Limit(deadlines.connect_s, f"{endpoint}: not done within {deadlines.connect_s:g} s", cut_off_s=cut_off_s)
    addresses = resolver.known(endpoint) or resolver.resolve(endpoint, limit)
    sock = _connect(endpoint, addresses, resolver, source, limit)
    stamps.connected_ns = clock()
    limit = Limit(
        deadlines.handshake_s, f"{endpoint}: not done within {deadlines.handshake_s:g} s", cut_off_s=cut_off_s
    )
    try:
        tls = TlsSession(context, credential, endpoint.host, resume=resume, device_wall_s=device_wall_s)
    except BaseException as failed:
        sock.close()
        if isinstance(failed, TlsFailed):
            raise failed.as_transport_failure() from failed
        raise
    connection = BlockingConnection(sock, tls, clock, limit)
    try:
        connection.handshake(check_host=check_host)
    except TransportFailed:
        connection.drop()
        raise
    except BaseException:
        connection.drop(leaves)  # it was cut
        raise
    stamps.handshaken_ns = clock()
    return connection


def _connect(
    endpoint: Endpoint,
    addresses: tuple[Address, ...],
    resolver: BlockingResolver,
    source: Source | None,
    limit: Limit,
) -> socket.socket:
    """Connect to the first address that answers, from ``source`` where given; raises the last one's failure."""
    attempts = Attempts(endpoint, addresses, source)
    for address in attempts:
        try:
            sock = _connect_to(address, source, limit)
        except OSError as error:
            attempts.failed(error)
        else:
            attempts.worked(address, resolver)
            return sock
    raise attempts.failure() from attempts.error


def _connect_to(address: Address, source: Source | None, limit: Limit) -> socket.socket:
    """Connect a new socket to one address; raises ``OSError`` with nothing left open."""
    sock = new_socket(address, source)
    try:
        code = begin_to_connect(sock, address)
        if code == errno.EALREADY:
            _wait_writable(sock, limit)
            code = connected(sock)
    except BaseException:
        sock.close()
        raise
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def _wait_writable(sock: socket.socket, limit: Limit) -> None:
    """Wait for the server to answer our SYN."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(limit.left_s(Phase.CONNECT) * _MS_PER_S):
        raise limit.passed(Phase.CONNECT)


def _has_waited(error: OSError) -> bool:
    """Say whether an error is our own deadline's; that of a kernel which gave up has a number."""
    return isinstance(error, TimeoutError) and error.errno is None
