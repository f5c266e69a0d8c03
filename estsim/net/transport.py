"""HTTP/1.1 over a connection that the caller opened: an httpx transport that waits as the connection does.

httpx pools no connections here: a device's connection carries its identity, so the device's flow opens it and passes it
in with each request. :mod:`estsim.net.http` has the rules of an exchange.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import httpx

from estsim.errors import TransportFailed
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.http import ANSWER, ANSWER_S, CLOCK, CONNECTION, STAMPS, HttpExchange, Question, WireAnswer
from estsim.net.shaping import timed_out

_READS_A_TURN: Final = 64  # records that were there already, some 10 µs each, before other tasks run


class ConnectionTransport(httpx.AsyncBaseTransport):
    """Sends a request on the connection in its extensions and reads the whole answer.

    Raises :class:`TransportFailed` in phase send, wait (until the answer's header is whole) or receive. The connection
    is never closed here: after a failure, or when :func:`estsim.net.http.reusable` says no, the caller closes it.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry out one exchange under its answer deadline."""
        extensions = request.extensions
        connection, stamps = extensions[CONNECTION], extensions[STAMPS]
        going = HttpExchange(connection, stamps)
        body = request.read() if isinstance(request.stream, httpx.ByteStream) else await request.aread()
        answer_s: float = extensions[ANSWER_S]
        with connection.io.deadline(answer_s):
            await _carry_out(going, connection, going.request(request, body))
            stamps.ended_ns = extensions[CLOCK]()
            return going.response
        raise timed_out(connection.link, going.phase, f"no complete response within {answer_s:g} s")


async def _carry_out(going: HttpExchange, connection: TlsConnection, message: bytes) -> None:
    """Send, then read the answer."""
    try:
        await connection.send_all(message)
    except TransportFailed as failed:
        going.unsent = failed
    else:
        going.sent()
    try:
        await _read_answer(going, connection)
    except TransportFailed as failed:
        if (reason := going.reason(failed)) is failed:
            raise
        raise reason from failed


async def _read_answer(going: HttpExchange, connection: TlsConnection) -> None:
    """Receive until the answer is complete; long work of h11 runs without holding up other tasks."""
    io, reading, reads = connection.io, going.answer(), 0
    while await io.run(partial(next, reading, False)) if going.is_long else next(reading, False):
        going.received(await connection.receive(going.phase))
        reads += 1
        if reads % _READS_A_TURN == 0:
            await io.sleep(0)


_TRANSPORT: Final = ConnectionTransport()


async def exchange(
    connection: TlsConnection,
    question: Question,
    *,
    clock: Callable[[], int],
    stamps: WireStamps,
) -> WireAnswer:
    """Send one request on a connection and return the complete answer; raises :class:`TransportFailed`.

    The transport is called directly: a device has no use for what an httpx client adds (redirects, which it parses even
    where it follows none, cookies, decoders).
    """
    response = await _TRANSPORT.handle_async_request(question.on(connection, clock=clock, stamps=stamps))
    answer: WireAnswer = response.extensions[ANSWER]
    return answer
