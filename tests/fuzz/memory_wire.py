"""A TLS server that needs no kernel: a socket in memory, whose other end shakes hands and answers as it is sent bytes.

All that is replaced is the kernel's part. The handshake, the records and what goes through them are real: OpenSSL on
either side of two memory buffers. Waiting is trio's own: what has arrived is readable at once, what never arrives is
waited for until a deadline, which comes at once by a clock that jumps (``trio.testing.MockClock``).
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from fuzz_http import Answer, End
from fuzz_report import CpuWatch
from OpenSSL import SSL

_RECORD_BYTES: Final = 16 * 1024
_BUFFER_BYTES: Final = 64 * 1024


@cache
def _descriptors() -> tuple[int, int]:
    """Return a descriptor that is always readable, and one that never is."""
    said, saying = socket.socketpair()
    saying.send(b"!")
    silent, holding = socket.socketpair()
    _KEPT.extend((said, saying, silent, holding))
    return said.fileno(), silent.fileno()


_KEPT: Final[list[socket.socket]] = []


class MemorySocket:
    """The client's end: the part of ``socket.socket`` that a TLS connection uses."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard = heard
        self._arrived: deque[bytes] = deque()
        self._error: OSError | None = None
        self._ended = False
        self.closed = False

    def fileno(self) -> int:
        """Return a descriptor that is as readable as this is."""
        readable, silent = _descriptors()
        return readable if self._arrived or self._ended or self._error else silent

    def send(self, payload: bytes) -> int:
        """Hand bytes to the server, which answers before this returns."""
        if self._error is not None:
            raise self._error
        self._heard(bytes(payload))
        return len(payload)

    def recv(self, size: int) -> bytes:
        """Return what has arrived."""
        if self._arrived:
            first = self._arrived.popleft()
            if len(first) > size:
                self._arrived.appendleft(first[size:])
            return first[:size]
        if self._error is not None:
            raise self._error
        if self._ended:
            return b""
        raise BlockingIOError

    def recvmsg(self, size: int, _ancillary_bytes: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
        """Return what has arrived, with nothing said about when."""
        return self.recv(size), [], 0, None

    def setsockopt(self, *_: object) -> None:
        """Take any option: nothing here depends on one."""

    def getsockname(self) -> tuple[str, int]:
        """Return a port that nobody has."""
        return "127.0.0.1", 0

    def close(self) -> None:
        """Be closed."""
        self.closed = True

    # -- the server's doing

    def arrive(self, payload: bytes) -> None:
        """Let bytes arrive."""
        if payload and not self._ended:
            self._arrived.append(payload)

    def end(self) -> None:
        """Let the stream end."""
        self._ended = True

    def reset(self) -> None:
        """Let the connection be reset, what has arrived included, as TCP does."""
        self._arrived.clear()
        self._error = ConnectionResetError(104, "Connection reset by peer")


class HostileServer:
    """The server's end of one connection.

    ``respond`` is given each request whole, and returns what to answer. ``raw`` is what is said in place of TLS to each
    of the client's flights,
    None where TLS is to go on; then the server leaves. After ``leaves_after`` flights it leaves
    in the middle of the handshake. ``damage`` changes what it sends.
    """

    def __init__(
        self,
        context: SSL.Context,
        respond: Callable[[bytes], Answer | None],
        watch: CpuWatch,
        *,
        raw: Sequence[bytes | None] = (),
        leaves_after: int | None = None,
        damage: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._respond = respond
        self._watch = watch
        self._raw = deque(raw)
        self._leaves_after = leaves_after
        self._damage = damage
        self._shaken = False
        self._left = False
        self._flights = 0
        self._plain = b""
        self._tls = SSL.Connection(context, None)
        self._tls.set_accept_state()
        self.socket = MemorySocket(self._hear)

    def _hear(self, received: bytes) -> None:
        """Take what the client has sent, and do whatever follows from it; none of it is the client's work."""
        with self._watch.away():
            self._take(received)

    def _take(self, received: bytes) -> None:
        if self._left:
            return
        self._flights += 1
        if self._leaves_after is not None and self._flights > self._leaves_after and not self._shaken:
            self._leave(End.ABRUPT)
            return
        if self._raw and (said := self._raw.popleft()) is not None:
            self.socket.arrive(said)
            if not self._raw:
                self._leave(End.ABRUPT)
            return
        try:
            self._tls.bio_write(received)
            self._go_on()
        except SSL.Error:  # the client refused us, or said what is no TLS any more
            self._flush()
            self._leave(End.ABRUPT)

    def _go_on(self) -> None:
        if not self._shaken:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                self._flush()
                return
            self._shaken = True
            self._flush()
        try:
            while True:
                self._plain += self._tls.recv(_BUFFER_BYTES)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self._leave(End.NOTIFY)
            return
        while not self._left and (request := self._request()) is not None:
            said = self._respond(request)
            if said is not None:
                self._say(said)

    def _request(self) -> bytes | None:
        """Take one whole request out of what has been read."""
        head, separator, rest = self._plain.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) < length:
            return None
        self._plain = rest[length:]
        return head + separator + rest[:length]

    def _say(self, said: Answer) -> None:
        for piece in said.pieces:
            for start in range(0, len(piece), _RECORD_BYTES):
                self._tls.send(piece[start : start + _RECORD_BYTES])
        self._flush()
        if said.end is not End.KEPT:
            self._leave(said.end)

    def _leave(self, how: End) -> None:
        self._left = True
        match how:
            case End.NOTIFY:
                if self._shaken:
                    self._tls.shutdown()
                    self._flush()
                self.socket.end()
            case End.ABRUPT:
                self.socket.end()
            case End.RESET:
                self.socket.reset()
            case _:
                pass

    def _flush(self) -> None:
        """Let arrive what TLS has to say."""
        try:
            while True:
                said = self._tls.bio_read(_BUFFER_BYTES)
                self.socket.arrive(self._damage(said) if self._damage else said)
        except SSL.Error:
            return
