"""One HTTP/1.1 request and its answer on h11 (RFC 9112), without the waits, which are :mod:`estsim.net.transport`'s.

The answer's body is read whole, since every EST message is small. What a server may send is limited, in bytes and in
pieces: h11 takes some ten microseconds for each piece. Exceptions of h11 and httpx become :class:`TransportFailed`.
"""

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import h11
import httpx

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.tls_failure import CLOSED

CONNECTION: Final = "estsim.connection"  # TlsConnection
STAMPS: Final = "estsim.stamps"  # WireStamps
ANSWER_S: Final = "estsim.answer_s"  # float
CLOCK: Final = "estsim.clock"  # Callable[[], int]
ANSWER: Final = "estsim.answer"  # WireAnswer, in the response's extensions

LARGEST_BODY_BYTES: Final = 1024 * 1024  # a CA certificate set of 500 certificates stays below
LARGEST_HEAD_BYTES: Final = 72 * 1024  # a field of 64 KiB, and room for the usual ones beside it
MOST_INTERIM: Final = 100  # answers of 1xx before the final one; Go's client takes five
MOST_LINES_AT_ONCE: Final = 512  # for h11 to read without a pause: 4 µs for a header line, 12 for a chunk's two
_FREE_CHUNKS: Final = 2048  # of any size
_FAIR_CHUNK_BYTES: Final = 64  # the mean beyond those: some servers send each line of base64 as a chunk
_REASON_CHARACTERS: Final = 200  # h11 quotes a header line whole
_OK: Final = 200
_START: Final = b"HTTP/"  # RFC 9112 §2.3, what every answer starts with


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """A whole answer: header names in lower case, the body as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _WholeBody(httpx.AsyncByteStream):
    """A complete body, which httpx neither reads nor decodes before it is asked to."""

    __slots__ = ("_whole",)

    def __init__(self, whole: bytes) -> None:
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._whole


class HttpExchange:
    """The progress of one request and its answer on one connection.

    A driver sends :meth:`request` and calls :meth:`sent`, then receives, in ``phase``, while :meth:`answer` asks for
    more. The answer is read even when sending failed, because the reason (an early 4xx, a TLS alert) may be waiting;
    :meth:`reason` says which failure counts. While ``is_long``, the next step of :meth:`answer` may take more than 5 ms
    of CPU.
    """

    __slots__ = (
        "_arrived_ns", "_connection", "_ended", "_http", "_parts", "_response", "_stamps", "_unread_lines",
        "phase", "unsent",
    )  # fmt: skip

    def __init__(self, connection: TlsConnection, stamps: WireStamps) -> None:
        self._connection = connection
        self._stamps = stamps
        self._http = _http_state(connection)
        self._arrived_ns: int | None = None
        self._ended = False
        self._response: httpx.Response | None = None
        self._parts: list[bytes] = []
        self._unread_lines = 0
        self.phase = Phase.SEND
        self.unsent: TransportFailed | None = None  # why the request was not sent completely

    def request(self, request: httpx.Request, body: bytes) -> bytes:
        """Return the request in one piece: header and body share a packet."""
        http = self._http
        method = request.method.encode("ascii")
        try:
            target = request.extensions.get("target") or request.url.raw_path
            head = http.send(h11.Request(method=method, target=target, headers=request.headers.raw))
            content = http.send(h11.Data(data=body)) if body else None
            http.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise _unsendable(error) from error
        return (head or b"") + (content or b"")

    def sent(self) -> None:
        """Note that the kernel has the whole request."""
        self._stamps.sent_ns = self._connection.last_sent_ns

    @property
    def is_long(self) -> bool:
        """Whether the bytes not read yet have more lines than are read at once."""
        return self._unread_lines > MOST_LINES_AT_ONCE

    def answer(self) -> Iterator[Literal[True]]:
        """Read the answer; each step of the iteration asks for more bytes, and the end means that it is complete.

        Raises TransportFailed.
        """
        self.phase = Phase.WAIT
        yield True  # h11 holds nothing yet, so asking it first would be a wasted step
        try:
            head = yield from self._read_head()
            self.phase = Phase.RECEIVE
            yield from self._read_body(head)
        except h11.RemoteProtocolError as error:
            raise self._broken(error) from error
        self._response = self._made(head)

    def received(self, received: bytes) -> None:
        """Give received bytes to h11; stamps them, and checks the first ones."""
        is_first, self._arrived_ns = self._arrived_ns is None, self._connection.heard_ns
        if not received:
            self._ended = True
        elif is_first and not received.startswith(_START[: len(received)]):  # h11 would wait for an empty line
            raise self._not_taken(f"not an HTTP/1.1 response: {received[:40]!r}")
        elif self._stamps.first_byte_ns is None:
            self._stamps.first_byte_ns = max(self._arrived_ns, self._stamps.sent_ns or 0)  # the wall clock may be set
        self._unread_lines += received.count(b"\n")
        self._http.receive_data(received)

    def reason(self, failed: TransportFailed) -> TransportFailed:
        """Return the failure that counts: that of sending, unless a TLS alert then gave the reason."""
        return failed if self.unsent is None or failed.trouble is Trouble.TLS else self.unsent

    @property
    def response(self) -> httpx.Response:
        """The complete answer."""
        assert self._response is not None  # noqa: S101 - asked for when the answer is whole
        return self._response

    def _made(self, head: h11.Response) -> httpx.Response:
        """Return the answer as httpx's; made here, because thousands of fields take long."""
        whole = b"".join(self._parts)
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

    def _broken(self, error: h11.RemoteProtocolError) -> TransportFailed:
        """Distinguish an answer that was cut off from one that is not HTTP/1.1."""
        if self._ended:
            if self.phase is Phase.WAIT:
                return self._unanswered()
            reason = "the server closed the connection mid-response"
            return TransportFailed(self.phase, Trouble.RESET, reason)
        return self._not_taken(f"not an HTTP/1.1 response: {_words_of(error)}")

    def _unanswered(self) -> TransportFailed:
        reason = "the server closed the connection without responding"
        return TransportFailed(Phase.WAIT, Trouble.RESET, reason, advice=CLOSED)

    def _not_taken(self, reason: str) -> TransportFailed:
        return TransportFailed(self.phase, Trouble.PROTOCOL, reason)

    def _read_head(self) -> Generator[Literal[True], None, h11.Response]:
        """Read up to the final answer's header, past any 1xx (RFC 9110 §15.2)."""
        for _ in range(1 + MOST_INTERIM):
            event = yield from self._next_event()
            if isinstance(event, h11.Response):
                if self._stamps.first_byte_ns is None:
                    self._stamps.first_byte_ns = self._arrived_ns
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise self._unanswered()
            self._stamps.first_byte_ns = None  # the wait goes on
        raise self._not_taken(f"more than {MOST_INTERIM} interim (1xx) responses without a final one")

    def _read_body(self, head: h11.Response) -> Generator[Literal[True], None, None]:
        """Read the body; one that ends with the connection must end with close_notify to be complete.

        Only the body of a 200 matters; others are text for people.
        """
        size = chunks = 0
        while not isinstance(event := (yield from self._next_event()), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                size += len(event.data)
                chunks += event.chunk_start
                if size > LARGEST_BODY_BYTES:
                    raise self._not_taken(f"the response body exceeds {LARGEST_BODY_BYTES} bytes")
                if chunks > _FREE_CHUNKS + size // _FAIR_CHUNK_BYTES:  # as Go's client, since CVE-2023-39326
                    raise self._not_taken(f"the response's {size} bytes came in too many chunks ({chunks})")
                self._parts.append(bytes(event.data))
        if self._ended and self._connection.truncated and head.status_code == _OK:
            reason = "the response ended without close_notify and may be truncated"
            raise TransportFailed(Phase.RECEIVE, Trouble.RESET, reason)

    def _next_event(self) -> Generator[Literal[True], None, object]:
        """Return h11's next event, asking for bytes as it needs."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            yield True
        self._unread_lines = 0
        return event


def _http_state(connection: TlsConnection) -> h11.Connection:
    """Return the connection's HTTP state, ready for a request."""
    http = connection.http
    if http is None:
        http = connection.http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD_BYTES)
    elif http.our_state is h11.DONE and http.their_state is h11.DONE:
        http.start_next_cycle()
    return http


def reusable(connection: TlsConnection) -> bool:
    """Whether the connection can take another request: kept alive by both sides, complete, and silent since."""
    http = connection.http
    kept_alive = http is None or (
        http.our_state is h11.DONE and http.their_state is h11.DONE and not http.trailing_data[0]
    )
    return kept_alive and connection.is_quiet()


@dataclass(frozen=True, slots=True)
class Question:
    """One request; Host and Content-Length are added here.

    ``authority`` is the server's ``host[:port]`` as in its URL.
    """

    authority: str
    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    answer_s: float

    def on(self, connection: TlsConnection, *, clock: Callable[[], int], stamps: WireStamps) -> httpx.Request:
        """Return it as httpx's request for a connection, its path as written; raises :class:`TransportFailed`."""
        sent_headers = [("host", self.authority), *self.headers]
        if self.body or self.method == "POST":
            sent_headers.append(("content-length", str(len(self.body))))
        extensions = {
            CONNECTION: connection,
            STAMPS: stamps,
            ANSWER_S: self.answer_s,
            CLOCK: clock,
            "target": self.path.encode(),
            "timeout": {},
        }
        try:
            return httpx.Request(
                self.method,
                _origin(self.authority),
                headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in sent_headers],
                stream=httpx.ByteStream(self.body),
                extensions=extensions,
            )
        except (httpx.InvalidURL, UnicodeError) as error:
            raise _unsendable(error) from error


@lru_cache(maxsize=64)
def _origin(authority: str) -> httpx.URL:
    """Return a server's parsed URL, cached: a fleet uses a handful."""
    return httpx.URL(f"https://{authority}/")


def _unsendable(error: Exception) -> TransportFailed:
    return TransportFailed(Phase.SEND, Trouble.PROTOCOL, f"the request cannot be sent: {_words_of(error)}")


def _words_of(error: Exception) -> str:
    """Return a library's message, cut to what a row holds."""
    return str(error)[:_REASON_CHARACTERS]
