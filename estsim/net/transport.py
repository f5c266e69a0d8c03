"""HTTP/1.1 over a connection that the caller opened: an httpx transport under trio, and one shared client.

httpx pools no connections here: a device's connection carries its identity, so the device's task opens it and hands it
in with each request. What an exchange is, is :mod:`estsim.net.http`.
"""

from collections.abc import AsyncIterator, Callable

import h11
import httpx
import trio

from estsim.errors import TransportFailed
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.http import (
    ANSWER_S,
    CLOCK,
    CONNECTION,
    LARGEST_BODY_BYTES,
    STAMPS,
    HttpExchange,
    Question,
    WireAnswer,
    answer_of,
    reusable,
)
from estsim.net.lean_client import LeanClient
from estsim.net.link import timed_out

__all__ = [
    "ANSWER_S",
    "CLOCK",
    "CONNECTION",
    "LARGEST_BODY_BYTES",
    "STAMPS",
    "Client",
    "ConnectionTransport",
    "WireAnswer",
    "exchange",
    "new_client",
    "reusable",
]

Client = httpx.AsyncClient  # for those who hold the client and may not import httpx


class ConnectionTransport(httpx.AsyncBaseTransport):
    """Sends a request on the connection in its extensions and reads the whole answer.

    Raises :class:`TransportFailed` in phase send, wait (until the answer's header is whole) or receive. The connection
    is never closed here: after a failure, or when :func:`reusable` says no, the caller closes it.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry out one exchange under its answer deadline."""
        extensions = request.extensions
        connection, stamps = extensions[CONNECTION], extensions[STAMPS]
        going = HttpExchange(connection, stamps)
        body = request.read() if isinstance(request.stream, httpx.ByteStream) else await request.aread()
        answer_s: float = extensions[ANSWER_S]
        with trio.CancelScope(deadline=trio.current_time() + answer_s):
            await _carry_out(going, connection, going.request(request, body))
            stamps.ended_ns = extensions[CLOCK]()
            return going.response(_WholeBody)
        raise timed_out(connection.link, going.phase, f"no whole answer within {answer_s:g} s")


async def _carry_out(going: HttpExchange, connection: TlsConnection, message: bytes) -> None:
    """Send, then read the answer."""
    try:
        await connection.send_all(message)
    except TransportFailed as failed:
        going.unsent = failed
    else:
        going.sent()
    try:
        for _ in going.answer():
            going.received(await connection.receive(going.phase))
    except TransportFailed as failed:
        if (reason := going.reason(failed)) is failed:
            raise
        raise reason from failed
    except h11.RemoteProtocolError as error:
        raise going.broken(error) from error


class _WholeBody(httpx.AsyncByteStream):
    """A body that is there already."""

    __slots__ = ("_whole",)

    def __init__(self, whole: bytes) -> None:
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._whole


def new_client() -> httpx.AsyncClient:
    """Return the client that all devices of a process share: no redirects, no cookies, no environment, no pool."""
    return LeanClient(ConnectionTransport())


async def exchange(
    client: httpx.AsyncClient,
    connection: TlsConnection,
    question: Question,
    *,
    clock: Callable[[], int],
    stamps: WireStamps,
) -> WireAnswer:
    """Send one request on a connection through the shared client and return the whole answer.

    Raises :class:`TransportFailed`.
    """
    return answer_of(await client.send(question.on(connection, clock=clock, stamps=stamps), stream=True))
