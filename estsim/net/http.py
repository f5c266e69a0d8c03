"""One HTTP/1.1 request and its answer, less the waiting: bytes to send, bytes received, and what they come to.

The rules of both transports, on h11 (RFC 9112): :mod:`estsim.net.transport` waits with trio,
:mod:`estsim.net.blocking_transport` in plain calls. The answer's body is read whole, since every EST message is small.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import h11
import httpx

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.stamps import WireStamps
from estsim.net.tls_wire import TlsWire

CONNECTION: Final = "estsim.connection"  # TlsConnection, or BlockingConnection
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


class HttpExchange:
    """One request and its answer on one connection, and how far it has come.

    A driver sends :meth:`request` and says so with :meth:`sent`, then receives, each time in ``phase``, as long as
    :meth:`answer` asks for more. The answer is read even when sending failed, because the reason (an early 4xx, a TLS
    alert) may be waiting: :meth:`reason` says which of the two failures counts. :meth:`broken` reads h11's own errors.
    """

    __slots__ = ("_arrived_ns", "_connection", "_ended", "_head", "_http", "_parts", "_stamps", "phase", "unsent")

    def __init__(self, connection: TlsWire, stamps: WireStamps) -> None:
        self._connection = connection
        self._stamps = stamps
        self._http = _http_state(connection)
        self._arrived_ns: int | None = None
        self._ended = False
        self._head: h11.Response | None = None
        self._parts: list[bytes] = []
        self.phase = Phase.SEND
        self.unsent: TransportFailed | None = None  # what became of the request, if it did not go out whole

    def request(self, request: httpx.Request, body: bytes) -> bytes:
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

    def sent(self) -> None:
        """Take note that the whole request is with the kernel."""
        self._stamps.sent_ns = self._connection.spoke_ns

    def answer(self) -> Iterator[None]:
        """Read the answer, and ask for more bytes by each step of the iteration; none follows when it is whole.

        Raises TransportFailed, and h11's RemoteProtocolError for what is no HTTP/1.1 or was cut off.
        """
        self.phase = Phase.WAIT
        yield  # h11 holds nothing yet, so asking it first would be a wasted step
        head = yield from self._read_head()
        self.phase = Phase.RECEIVE
        yield from self._read_body(head)
        self._head = head

    def received(self, received: bytes) -> None:
        """Hand what the connection has received to h11, with the stamps and a look at the very first bytes."""
        is_first, self._arrived_ns = self._arrived_ns is None, self._connection.heard_ns
        if not received:
            self._ended = True
        elif is_first and not received.startswith(_START[: len(received)]):  # h11 would wait for an empty line
            raise TransportFailed(self.phase, Trouble.PROTOCOL, f"not an HTTP/1.1 answer: {received[:40]!r}")
        elif self._stamps.first_byte_ns is None:
            self._stamps.first_byte_ns = max(self._arrived_ns, self._stamps.sent_ns or 0)  # the wall clock may be set
        self._http.receive_data(received)

    def reason(self, failed: TransportFailed) -> TransportFailed:
        """Return the failure that counts: why the request did not go out, unless TLS tells why in what came after."""
        return failed if self.unsent is None or failed.trouble is Trouble.TLS else self.unsent

    def broken(self, error: h11.RemoteProtocolError) -> TransportFailed:
        """Tell an answer that was cut off from one that is no HTTP/1.1."""
        if self._ended:
            what = "without an answer" if self.phase is Phase.WAIT else "in the middle of its answer"
            return TransportFailed(self.phase, Trouble.RESET, f"the server closed the connection {what}")
        return TransportFailed(self.phase, Trouble.PROTOCOL, f"not an HTTP/1.1 answer: {error}")

    def response(self, stream_of: Callable[[bytes], httpx.SyncByteStream | httpx.AsyncByteStream]) -> httpx.Response:
        """Return the whole answer, its body as a stream of the driver's kind."""
        head, whole = self._head, b"".join(self._parts)
        assert head is not None  # noqa: S101 - asked for when the answer is whole
        headers = tuple([(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers])
        return httpx.Response(
            head.status_code,
            headers=head.headers.raw_items(),
            stream=stream_of(whole),
            extensions={
                ANSWER: WireAnswer(head.status_code, headers, whole),
                "reason_phrase": head.reason,
                "http_version": b"HTTP/" + head.http_version,
            },
        )

    def _read_head(self) -> Generator[None, None, h11.Response]:
        """Read up to the final answer's header, past any 1xx (RFC 9110 §15.2)."""
        while True:
            event = yield from self._next_event()
            if isinstance(event, h11.Response):
                if self._stamps.first_byte_ns is None:
                    self._stamps.first_byte_ns = self._arrived_ns
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise TransportFailed(Phase.WAIT, Trouble.RESET, "the server closed the connection without an answer")
            self._stamps.first_byte_ns = None  # the wait goes on

    def _read_body(self, head: h11.Response) -> Generator[None, None, None]:
        """Read to the end of the body; one that ends with the connection must end with close_notify to be whole.

        Only a 200 has a body that counts; what a truncation takes from others is text for people.
        """
        size = 0
        while not isinstance(event := (yield from self._next_event()), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                size += len(event.data)
                if size > LARGEST_BODY_BYTES:
                    reason = f"the answer is larger than {LARGEST_BODY_BYTES} bytes"
                    raise TransportFailed(Phase.RECEIVE, Trouble.PROTOCOL, reason)
                self._parts.append(bytes(event.data))
        if self._ended and self._connection.truncated and head.status_code == _OK:
            reason = "the answer ended without close_notify, so it may be truncated"
            raise TransportFailed(Phase.RECEIVE, Trouble.RESET, reason)

    def _next_event(self) -> Generator[None, None, object]:
        """Return h11's next event, asking for bytes as it needs."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            yield
        return event


def _http_state(connection: TlsWire) -> h11.Connection:
    """Return the connection's HTTP state, ready for a request."""
    http = connection.http
    if http is None:
        http = connection.http = h11.Connection(h11.CLIENT)
    elif http.our_state is h11.DONE and http.their_state is h11.DONE:
        http.start_next_cycle()
    return http


def reusable(connection: TlsWire) -> bool:
    """Say whether another request may go on the connection: kept alive by both, whole, and nothing said since."""
    http = connection.http
    kept_alive = http is None or (
        http.our_state is h11.DONE and http.their_state is h11.DONE and not http.trailing_data[0]
    )
    return kept_alive and connection.is_quiet()


@dataclass(frozen=True, slots=True)
class Question:
    """One request as its caller gives it.

    ``authority`` is the server's ``host[:port]`` as in its URL. Host and Content-Length are added here.
    """

    authority: str
    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    answer_s: float

    def on(self, connection: TlsWire, *, clock: Callable[[], int], stamps: WireStamps) -> httpx.Request:
        """Return it as httpx takes it, to go on a connection."""
        sent_headers = [("host", self.authority), *self.headers]
        if self.body or self.method == "POST":
            sent_headers.append(("content-length", str(len(self.body))))
        return httpx.Request(
            self.method,
            _url(self.authority, self.path),
            headers=sent_headers,
            stream=httpx.ByteStream(self.body),
            extensions={CONNECTION: connection, STAMPS: stamps, ANSWER_S: self.answer_s, CLOCK: clock, "timeout": {}},
        )


@lru_cache(maxsize=64)
def _url(host: str, path: str) -> httpx.URL:
    """Return the parsed URL; a fleet uses a handful of them."""
    return httpx.URL(f"https://{host}{path}")


_NO_STREAM: Final = httpx.ByteStream(b"")


def answer_of(response: httpx.Response) -> WireAnswer:
    """Return the answer in a response of ours, and untie the two.

    httpx ties answer and stream in a ring, which would hold the connection for the garbage collector.
    """
    answer: WireAnswer = response.extensions[ANSWER]
    response.stream = _NO_STREAM
    return answer
