"""HTTP/1.1 over a connection that the caller opened: an httpx transport on h11, and one shared client (RFC 9112).

httpx pools no connections here: a device's connection carries its identity, so the device's task opens it and hands it
in with each request. The answer's body is read whole, since every EST message is small.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import h11
import httpx
import trio

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.lean_client import LeanClient
from estsim.net.link import timed_out

Client = httpx.AsyncClient  # for those who hold the client and may not import httpx

CONNECTION: Final = "estsim.connection"  # TlsConnection
STAMPS: Final = "estsim.stamps"  # WireStamps
ANSWER_S: Final = "estsim.answer_s"  # float
CLOCK: Final = "estsim.clock"  # Callable[[], int]
ANSWER: Final = "estsim.answer"  # WireAnswer, in the response's extensions

LARGEST_BODY_BYTES: Final = 1024 * 1024  # a CA certificate set of 500 certificates stays below
_OK: Final = 200
_START: Final = b"HTTP/"  # RFC 9112 §2.3, what every answer starts with


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """A whole answer: header names in lower case, the body as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ConnectionTransport(httpx.AsyncBaseTransport):
    """Sends a request on the connection in its extensions and reads the whole answer.

    Raises :class:`TransportFailed` in phase send, wait (until the answer's header is whole) or receive. The answer is
    read even when sending failed, because the reason (an early 4xx, a TLS alert) may be waiting. The connection is
    never closed here: after a failure, or when :func:`reusable` says no, the caller closes it.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry out one exchange under its answer deadline."""
        extensions = request.extensions
        exchange = _Exchange(extensions[CONNECTION], extensions[STAMPS], extensions[CLOCK])
        body = request.read() if isinstance(request.stream, httpx.ByteStream) else await request.aread()
        answer_s: float = extensions[ANSWER_S]
        with trio.CancelScope(deadline=trio.current_time() + answer_s):
            head = await exchange.run(request, body)
            whole = b"".join(exchange.parts)
            headers = tuple([(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers])
            return httpx.Response(
                head.status_code,
                headers=head.headers.raw_items(),
                stream=_WholeBody(whole),
                extensions={
                    ANSWER: WireAnswer(head.status_code, headers, whole),
                    "reason_phrase": head.reason,
                    "http_version": b"HTTP/" + head.http_version,
                },
            )
        link = extensions[CONNECTION].link
        raise timed_out(link, exchange.phase, f"no whole answer within {answer_s:g} s")


class _WholeBody(httpx.AsyncByteStream):
    """A body that is there already."""

    __slots__ = ("_whole",)

    def __init__(self, whole: bytes) -> None:
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._whole


class _Exchange:
    """One request and its answer on one connection, and how far it has come."""

    __slots__ = ("_arrived_ns", "_clock", "_connection", "_ended", "_http", "_stamps", "parts", "phase")

    def __init__(self, connection: TlsConnection, stamps: WireStamps, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._stamps = stamps
        self._clock = clock
        self._http = _http_state(connection)
        self._arrived_ns: int | None = None
        self._ended = False
        self.phase = Phase.SEND
        self.parts: list[bytes] = []

    async def run(self, request: httpx.Request, body: bytes) -> h11.Response:
        """Send, then read the answer; returns its head, the body is in ``parts``."""
        message = self._bytes_of(request, body)
        unsent: TransportFailed | None = None
        try:
            await self._connection.send_all(message)
        except TransportFailed as failed:
            unsent = failed
        else:
            self._stamps.sent_ns = self._connection.spoke_ns
        self.phase = Phase.WAIT
        try:
            head = await self._read_head()
            self.phase = Phase.RECEIVE
            await self._read_body(head)
        except TransportFailed as failed:
            if unsent is None or failed.trouble is Trouble.TLS:
                raise
            raise unsent from failed
        except h11.RemoteProtocolError as error:
            raise self._broken(error) from error
        self._stamps.ended_ns = self._clock()
        return head

    def _bytes_of(self, request: httpx.Request, body: bytes) -> bytes:
        """Return the request as it goes on the wire, in one piece: header and body share a packet."""
        http = self._http
        method = request.method.encode("ascii")
        try:
            head = http.send(h11.Request(method=method, target=request.url.raw_path, headers=request.headers.raw))
            content = http.send(h11.Data(data=body)) if body else None
            http.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise TransportFailed(Phase.SEND, Trouble.PROTOCOL, f"not a request that can be sent: {error}") from error
        return (head or b"") + (content or b"")

    async def _read_head(self) -> h11.Response:
        """Read up to the final answer's header, past any 1xx (RFC 9110 §15.2)."""
        await self._receive()  # h11 holds nothing yet, so asking it first would be a wasted step
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                if self._stamps.first_byte_ns is None:
                    self._stamps.first_byte_ns = self._arrived_ns
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise TransportFailed(Phase.WAIT, Trouble.RESET, "the server closed the connection without an answer")
            self._stamps.first_byte_ns = None  # the wait goes on

    async def _read_body(self, head: h11.Response) -> None:
        """Read to the end of the body; one that ends with the connection must end with close_notify to be whole.

        Only a 200 has a body that counts; what a truncation takes from others is text for people.
        """
        size = 0
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                size += len(event.data)
                if size > LARGEST_BODY_BYTES:
                    reason = f"the answer is larger than {LARGEST_BODY_BYTES} bytes"
                    raise TransportFailed(Phase.RECEIVE, Trouble.PROTOCOL, reason)
                self.parts.append(bytes(event.data))
        if self._ended and self._connection.truncated and head.status_code == _OK:
            reason = "the answer ended without close_notify, so it may be truncated"
            raise TransportFailed(Phase.RECEIVE, Trouble.RESET, reason)

    async def _next_event(self) -> object:
        """Return h11's next event, receiving as it needs."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            await self._receive()
        return event

    async def _receive(self) -> None:
        """Receive once and hand it to h11, with the stamps and a look at the very first bytes."""
        received = await self._connection.receive(self.phase)
        is_first, self._arrived_ns = self._arrived_ns is None, self._connection.heard_ns
        if not received:
            self._ended = True
        elif is_first and not received.startswith(_START[: len(received)]):  # h11 would wait for an empty line
            raise TransportFailed(self.phase, Trouble.PROTOCOL, f"not an HTTP/1.1 answer: {received[:40]!r}")
        elif self._stamps.first_byte_ns is None:
            self._stamps.first_byte_ns = max(self._arrived_ns, self._stamps.sent_ns or 0)  # the wall clock may be set
        self._http.receive_data(received)

    def _broken(self, error: h11.RemoteProtocolError) -> TransportFailed:
        """Tell an answer that was cut off from one that is no HTTP/1.1."""
        if self._ended:
            what = "without an answer" if self.phase is Phase.WAIT else "in the middle of its answer"
            return TransportFailed(self.phase, Trouble.RESET, f"the server closed the connection {what}")
        return TransportFailed(self.phase, Trouble.PROTOCOL, f"not an HTTP/1.1 answer: {error}")


def _http_state(connection: TlsConnection) -> h11.Connection:
    """Return the connection's HTTP state, ready for a request."""
    http = connection.http
    if http is None:
        http = connection.http = h11.Connection(h11.CLIENT)
    elif http.our_state is h11.DONE and http.their_state is h11.DONE:
        http.start_next_cycle()
    return http


def reusable(connection: TlsConnection) -> bool:
    """Say whether another request may go on the connection: kept alive by both, whole, and nothing said since."""
    http = connection.http
    kept_alive = http is None or (
        http.our_state is h11.DONE and http.their_state is h11.DONE and not http.trailing_data[0]
    )
    return kept_alive and connection.is_quiet()


def new_client() -> httpx.AsyncClient:
    """Return the client that all devices of a process share: no redirects, no cookies, no environment, no pool."""
    return LeanClient(ConnectionTransport())


@lru_cache(maxsize=64)
def _url(host: str, path: str) -> httpx.URL:
    """Return the parsed URL; a fleet uses a handful of them."""
    return httpx.URL(f"https://{host}{path}")


_NO_STREAM: Final = httpx.ByteStream(b"")


async def exchange(
    client: httpx.AsyncClient,
    connection: TlsConnection,
    *,
    authority: str,
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    answer_s: float,
    clock: Callable[[], int],
    stamps: WireStamps,
) -> WireAnswer:
    """Send one request on a connection through the shared client and return the whole answer.

    ``authority`` is the server's ``host[:port]`` as in its URL. Host and Content-Length are added here. Raises
    :class:`TransportFailed`.
    """
    sent_headers = [("host", authority), *headers]
    if body or method == "POST":
        sent_headers.append(("content-length", str(len(body))))
    request = httpx.Request(
        method,
        _url(authority, path),
        headers=sent_headers,
        stream=httpx.ByteStream(body),
        extensions={CONNECTION: connection, STAMPS: stamps, ANSWER_S: answer_s, CLOCK: clock, "timeout": {}},
    )
    response = await client.send(request, stream=True)
    answer: WireAnswer = response.extensions[ANSWER]
    response.stream = _NO_STREAM  # httpx ties answer and stream in a ring, which would hold the connection for the GC
    return answer
