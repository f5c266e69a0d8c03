"""HTTP/1.1 over a connection that the caller opened, in plain blocking calls: the twin of :mod:`estsim.net.transport`.

What an exchange is, is :mod:`estsim.net.http`.
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Final

import h11
import httpx

from estsim.errors import TransportFailed
from estsim.net.blocking import BlockingConnection
from estsim.net.http import ANSWER_S, CLOCK, CONNECTION, STAMPS, HttpExchange, Question, WireAnswer, answer_of
from estsim.net.lean_client import LeanBlockingClient
from estsim.net.limit import Limit
from estsim.net.stamps import WireStamps

BlockingClient = httpx.Client  # for those who hold the client and may not import httpx

CUT_OFF_S: Final = "estsim.cut_off_s"  # float, time.monotonic


class BlockingTransport(httpx.BaseTransport):
    """Sends a request on the connection in its extensions and reads the whole answer.

    Raises :class:`TransportFailed` in phase send, wait (until the answer's header is whole) or receive, and
    :class:`estsim.net.limit.CutOff`. The connection is never closed here: after a failure, or when
    :func:`estsim.net.http.reusable` says no, the caller closes it.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry out one exchange under its answer deadline."""
        extensions = request.extensions
        connection, stamps = extensions[CONNECTION], extensions[STAMPS]
        going = HttpExchange(connection, stamps)
        answer_s: float = extensions[ANSWER_S]
        what = f"no whole answer within {answer_s:g} s"
        connection.limit = Limit(answer_s, what, cut_off_s=extensions.get(CUT_OFF_S, inf))
        _carry_out(going, connection, going.request(request, request.read()))
        stamps.ended_ns = extensions[CLOCK]()
        return going.response(_WholeBody)


def _carry_out(going: HttpExchange, connection: BlockingConnection, message: bytes) -> None:
    """Send, then read the answer."""
    try:
        connection.send_all(message)
    except TransportFailed as failed:
        going.unsent = failed
    else:
        going.sent()
    try:
        for _ in going.answer():
            going.received(connection.receive(going.phase))
    except TransportFailed as failed:
        if (reason := going.reason(failed)) is failed:
            raise
        raise reason from failed
    except h11.RemoteProtocolError as error:
        raise going.broken(error) from error


class _WholeBody(httpx.SyncByteStream):
    """A body that is there already."""

    __slots__ = ("_whole",)

    def __init__(self, whole: bytes) -> None:
        self._whole = whole

    def __iter__(self) -> Iterator[bytes]:
        yield self._whole


def new_blocking_client() -> httpx.Client:
    """Return the client that all devices of a process share: no redirects, no cookies, no environment, no pool."""
    return LeanBlockingClient(BlockingTransport())


def exchange_blocking(
    client: httpx.Client,
    connection: BlockingConnection,
    question: Question,
    *,
    clock: Callable[[], int],
    stamps: WireStamps,
    cut_off_s: float = inf,
) -> WireAnswer:
    """Send one request on a connection through the shared client and return the whole answer.

    Raises :class:`TransportFailed`, and :class:`estsim.net.limit.CutOff` at ``cut_off_s`` (``time.monotonic``).
    """
    request = question.on(connection, clock=clock, stamps=stamps)
    request.extensions[CUT_OFF_S] = cut_off_s
    return answer_of(client.send(request, stream=True))
