"""One HTTP/1.1 connection of the sandbox: h11 between TLS records and complete EST requests.

Reads bodies by Content-Length and chunked, answers ``Expect: 100-continue``, keeps the header block of its answers
under 1 KiB (for a client with a parser of its own). Slow and abusive clients are limited in time and in bytes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, Protocol

import h11
import trio

from estsim.errors import TransportFailed
from estsim.est.messages import EstRequest, EstResponse
from estsim.server.admission import header_of
from estsim.server.answer import Answer, Call, ClientLeft, Refused
from estsim.server.connections import Slot
from estsim.server.faults import Delivery
from estsim.server.http_head import check_head, has_two_lengths, no_http
from estsim.server.peer import Peer
from estsim.server.service import EstService
from estsim.server.store import Exchange

CONNECTIONS: Final = 8192

# The case of names (RFC 9110 §5.1) and the phrase (RFC 9112 §4) mean nothing, but libest compares them exactly.
_SPELT: Final = {"www-authenticate": "WWW-Authenticate"}
_NO_CONTENT: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)  # RFC 9110 §15.3.5, §15.4.5
_PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_MOST_PIECES: Final = 4096  # of a body, chunks or TLS records: each costs as much as a packet
_PIECES_A_TURN: Final = 64  # read before other tasks run: 2 ms


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one client in seconds and bytes, and of connections that wait for their clients."""

    connections: int = CONNECTIONS

    handshake_s: float = 10.0
    idle_s: float = 75.0  # nginx's keepalive_timeout
    request_s: float = 30.0  # from a request's first byte to its last
    send_s: float = 10.0
    linger_s: float = 1.0  # reading on after a refusal, so that a reset does not discard it
    head_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024  # a CSR with RSA-4096 and a hundred names is under 8 KiB
    linger_bytes: int = 1024 * 1024


class Wire(Protocol):
    """The part of a TLS connection that HTTP needs."""

    @property
    def heard_ns(self) -> int:
        """When the last bytes received reached this machine, by the monotonic clock."""

    @property
    def last_sent_ns(self) -> int:
        """When the last bytes sent were given to the kernel, by the monotonic clock."""

    async def send_all(self, payload: bytes, /) -> None:
        """Send everything."""

    async def receive(self) -> bytes:
        """Return received bytes; ``b""`` is the end."""

    def reset(self) -> None:
        """End the connection with a TCP reset."""


class _Gone(Exception):  # noqa: N818 - reads as the event it is
    """The client left, or was too slow to be answered."""


class HttpConnection:
    """Serves the requests of one connection; the caller closes the wire."""

    def __init__(self, wire: Wire, peer: Peer, service: EstService, limits: Limits, slot: Slot) -> None:
        self._wire = wire
        self._peer = peer
        self._service = service
        self._limits = limits
        self._slot = slot
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        self._received_ns = 0  # when the last bytes came
        self._answered_ns = 0  # when the last answer had gone
        self._head_only = False  # the request under way is a HEAD
        self._pieces = 0  # read on this connection
        self._must_close = False  # after the answer to the request under way
        self._body_bytes = 0  # of its body, so far

    async def serve(self) -> None:
        """Answer requests one after the other; returns when the connection should be closed."""
        with suppress(_Gone, ClientLeft, TransportFailed):
            while await self._first_bytes():
                await self._serve_one()
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    break
                self._begin_anew()

    def _has_begun(self) -> bool:
        """Whether bytes of the next request have arrived."""
        return bool(self._http.trailing_data[0])

    def _begin_anew(self) -> None:
        """Prepare for the next request; RFC 9112 §2.2: empty lines before it are ignored."""
        ahead = bytes(self._http.trailing_data[0])
        if ahead[:1] in (b"\r", b"\n"):
            self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)
            if rest := ahead.lstrip(b"\r\n"):
                self._http.receive_data(rest)
        else:
            self._http.start_next_cycle()

    async def _first_bytes(self) -> bool:
        """Wait for a request to begin; False if none came, or the sandbox is stopping."""
        if self._has_begun():
            await trio.lowlevel.checkpoint()  # a pipelining client must not hold up others
            return not self._slot.is_leaving
        with self._slot.idle(self._limits.idle_s) as wait:
            while not self._has_begun():
                await self._feed(empty_lines=True)
        return not wait.cancelled_caught

    async def _serve_one(self) -> None:
        exchange: Exchange | None = None
        self._head_only = False  # unknown until the head is complete
        try:
            with trio.fail_after(self._limits.request_s) as deadline:
                request = await self._read_head()
                if request is None:
                    raise _Gone
                exchange = self._service.open_exchange(request, self._peer)
                check_head(request, str(self._http.their_http_version or b"1.1", "ascii"))
                with self._on_record(exchange, deadline):
                    whole = await self._read_body(request)
        except trio.TooSlowError:
            await self._refuse(exchange, Refused(408, f"expected the request within {self._limits.request_s:g} s"))
            return
        except h11.RemoteProtocolError as error:
            await self._refuse(exchange or self._unread(), no_http(error))
            return
        except Refused as refusal:
            await self._refuse(exchange, refusal)
            return
        received_ns = max(self._received_ns, self._answered_ns)  # for a pipelined request
        with self._slot.being_served():
            answer = await self._service.answer(Call(whole, self._peer, exchange, self._wait))
            try:
                await self._deliver(answer)
            finally:
                self._answered_ns = time.monotonic_ns()
                # After the send the client runs, often on the same core; that time is not ours.
                last_sent_ns = self._wire.last_sent_ns
                handled_ns = last_sent_ns if last_sent_ns > received_ns else self._answered_ns  # a reset sends nothing
                self._service.handled(answer, handled_ns - received_ns)
        if self._must_close:
            await self._linger()

    @contextmanager
    def _on_record(self, exchange: Exchange, deadline: trio.CancelScope) -> Iterator[None]:
        """Record a request whose body never becomes complete, for whatever reason."""
        try:
            yield
        except (_Gone, TransportFailed):
            self._service.give_up(exchange, f"the client closed after {self._body_bytes} bytes of the body")
            raise
        except trio.Cancelled:
            if not deadline.cancel_called:  # a slow client's refusal is on record
                self._service.give_up(exchange, "the sandbox stopped before the body arrived")
            raise

    async def _deliver(self, answer: Answer) -> None:
        """Send an answer, or act on its fault; a connection with such a fault is not used again."""
        if answer.response is None or answer.delivery in (Delivery.RESET, Delivery.SILENCE):
            if answer.delivery is Delivery.RESET:
                self._wire.reset()
            else:
                await self._wait(answer.silent_s)
            raise _Gone
        head, body = self._frame(answer.response)
        if answer.delivery is Delivery.TRUNCATED:
            await self._send(head + body[: len(body) // 2])
            raise _Gone
        await self._send(head + body)

    async def _wait(self, seconds: float) -> None:
        """Sleep; raises ``ClientLeft`` as soon as the client closes. Bytes received meanwhile are kept."""
        with trio.move_on_after(max(0.0, seconds)):
            left = self._limits.head_bytes + self._limits.body_bytes - len(self._http.trailing_data[0])
            while left > 0:
                try:
                    received = await self._receive()
                except TransportFailed as failed:
                    raise ClientLeft from failed
                if not received:
                    raise ClientLeft
                left -= len(received)
                self._received_ns = self._wire.heard_ns
                self._http.receive_data(received)
            await trio.sleep_forever()  # it has sent too much; the rest stays in the kernel

    async def _read_head(self) -> EstRequest | None:
        event = await self._next_event()
        if type(event) is not h11.Request:
            return None
        self._head_only = event.method == b"HEAD"
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
        request = EstRequest(event.method.decode("latin-1"), event.target.decode("latin-1"), headers, b"")
        self._must_close = has_two_lengths(request)
        return request

    async def _read_body(self, request: EstRequest) -> EstRequest:
        limit = self._limits.body_bytes
        too_large = Refused(413, f"expected a body of at most {limit} bytes")
        if int(header_of(request, "content-length") or 0) > limit:
            raise too_large
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            await self._send(self._http.send(go_on) or b"")
        parts: list[bytes] = []
        self._body_bytes = 0
        while type(event := await self._next_event()) is h11.Data:
            self._body_bytes += len(event.data)
            if self._body_bytes > limit:
                raise too_large
            parts.append(bytes(event.data))
            if len(parts) > _MOST_PIECES:
                raise Refused(413, f"expected a body in at most {_MOST_PIECES} chunks")
            await self._share_the_loop()
        return EstRequest(request.method, request.path, request.headers, b"".join(parts))

    async def _next_event(self) -> h11.Event:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                await self._feed()
            elif event is h11.PAUSED or type(event) is h11.ConnectionClosed or isinstance(event, type):
                raise _Gone
            else:
                return event

    async def _feed(self, *, empty_lines: bool = False) -> None:
        """Wait for bytes; ``empty_lines`` may precede a request (RFC 9112 §2.2)."""
        received = await self._receive()
        if not received:
            raise _Gone
        self._received_ns = self._wire.heard_ns
        received = received.lstrip(b"\r\n") if empty_lines else received
        if received:
            self._http.receive_data(received)

    async def _receive(self) -> bytes:
        await self._share_the_loop()
        return await self._wire.receive()

    async def _share_the_loop(self) -> None:
        """Let other tasks run now and then, as many small pieces are read without a wait."""
        self._pieces += 1
        if self._pieces % _PIECES_A_TURN == 0:
            await trio.lowlevel.checkpoint()

    async def _refuse(self, exchange: Exchange | None, refusal: Refused) -> None:
        """Answer a request that cannot be read completely, and close; without a head there is no record."""
        if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        if exchange is not None:
            self._service.refuse(exchange, refusal)
        head, body = self._frame(refusal.response(), closing=True)
        await self._send(head + body)
        await self._linger()

    def _unread(self) -> Exchange:
        return self._service.open_exchange(EstRequest("", "", (), b""), self._peer)

    def _frame(self, response: EstResponse, *, closing: bool = False) -> tuple[bytes, bytes]:
        """Return head and body as they go on the wire."""
        headers = [(_SPELT.get(name) or name.title(), value) for name, value in response.headers]
        headers.append(("Date", formatdate(usegmt=True)))
        content = b"" if response.status in _NO_CONTENT else response.body
        if response.status not in _NO_CONTENT:  # RFC 9110 §8.6: never with 204, and with 304 only that of the 200
            headers.append(("Content-Length", str(len(content))))
        if closing or self._must_close or self._slot.is_leaving:
            headers.append(("Connection", "close"))
        phrase = _PHRASES.get(response.status, b"")
        event = h11.Response(status_code=response.status, headers=headers, reason=phrase)
        head = self._http.send(event) or b""
        body = b""
        if content and not self._head_only:
            body = self._http.send(h11.Data(content)) or b""
        return head, body + (self._http.send(h11.EndOfMessage()) or b"")

    async def _send(self, payload: bytes) -> None:
        with trio.move_on_after(self._limits.send_s):
            await self._wire.send_all(payload)
            return
        raise _Gone

    async def _linger(self) -> None:
        """Read on for a moment: closing with unread bytes resets the connection, and the answer is lost."""
        left = self._limits.linger_bytes
        with trio.move_on_after(self._limits.linger_s), suppress(TransportFailed):
            while left > 0 and (received := await self._receive()):
                left -= len(received)
