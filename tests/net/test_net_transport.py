"""HTTP/1.1 over a connection: whole answers, and a phase and a kind of trouble for every other end."""

import gc
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import trio
from net_kit import TLS12, TLS13, WORLD, answering, ask, dial, read_request, tls_server
from OpenSSL import SSL

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import Close, TlsConnection, WireStamps
from estsim.net.contexts import TlsVersion
from estsim.net.http import ANSWER_S, CLOCK, CONNECTION, LARGEST_BODY_BYTES, STAMPS, WireAnswer, reusable
from estsim.net.transport import ConnectionTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Handler = Callable[[TlsConnection], Awaitable[None]]


async def exchange_with(handler: Handler, **options: object) -> tuple[WireAnswer, WireStamps]:
    """Ask a server once."""
    stamps = WireStamps()
    async with tls_server(handler) as server:
        connection = await dial(server.endpoint, stamps=stamps)
        try:
            return await ask(connection, stamps=stamps, **options), stamps  # type: ignore[arg-type]  # of ask()
        finally:
            connection.drop()


async def failure_of(handler: Handler, **options: object) -> tuple[TransportFailed, WireStamps]:
    """Ask a server once and return how it failed."""
    stamps = WireStamps()
    async with tls_server(handler) as server:
        connection = await dial(server.endpoint, stamps=stamps)
        with pytest.raises(TransportFailed) as caught:
            await ask(connection, stamps=stamps, **options)  # type: ignore[arg-type]  # of ask()
        assert not reusable(connection)
        connection.drop()
    return caught.value, stamps


def saying(*pieces: bytes, then: Close | None = None) -> Handler:
    """Return a handler that reads a request, says these bytes, and leaves in this way or stays till the client goes."""

    async def handle(connection: TlsConnection) -> None:
        await read_request(connection)
        for piece in pieces:
            await connection.send_all(piece)
        if then is None:
            while await connection.receive():
                pass
        else:
            connection.drop(then)

    return handle


def cut(*pieces: bytes) -> Handler:
    """Return a handler that says these bytes and closes its socket without close_notify."""

    async def handle(connection: TlsConnection) -> None:
        await read_request(connection)
        for piece in pieces:
            await connection.send_all(piece)
        connection._socket.shutdown(socket.SHUT_RDWR)

    return handle


async def test_what_goes_on_the_wire() -> None:
    """The request line, Host and Content-Length are ours, the other headers the caller's; nothing is added."""
    requests: list[bytes] = []

    async def keep(connection: TlsConnection) -> None:
        requests.append(await read_request(connection))
        await connection.send_all(OK)

    await exchange_with(keep, method="POST", path="/.well-known/est/simpleenroll", body=b"QUJD")
    [request] = requests
    assert request.split(b"\r\n") == [
        b"POST /.well-known/est/simpleenroll HTTP/1.1",
        b"host: localhost",
        b"content-type: text/plain",
        b"content-length: 4",
        b"",
        b"QUJD",
    ]


async def test_an_empty_post_has_a_length_and_a_get_has_none() -> None:
    """RFC 9110 §8.6: a POST without content says Content-Length: 0."""
    requests: list[bytes] = []

    async def keep(connection: TlsConnection) -> None:
        for _ in range(2):
            requests.append(await read_request(connection))
            await connection.send_all(OK)

    async with tls_server(keep) as server:
        connection = await dial(server.endpoint)
        await ask(connection, method="POST")
        await ask(connection)
        connection.drop()
    assert b"content-length: 0" in requests[0]
    assert b"content-length" not in requests[1]


@pytest.mark.parametrize("versions", [TLS12, TLS13], ids=["1.2", "1.3"])
async def test_two_requests_share_a_kept_connection(versions: tuple[TlsVersion, TlsVersion]) -> None:
    """Keep-alive: the second exchange needs no handshake."""
    async with tls_server(answering(OK, OK)) as server:
        connection = await dial(server.endpoint, WORLD.client_context(versions=versions))
        for _ in range(2):
            assert reusable(connection)
            assert (await ask(connection)).body == b"ok"
        assert len(server.connections) == 1
        connection.drop()
        assert not reusable(connection)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["close", "HTTP/1.0", "more than asked"],
)
async def test_an_answer_that_ends_the_connection_is_not_reused(answer: bytes) -> None:
    """The server said close, speaks 1.0, or speaks out of turn."""
    async with tls_server(saying(answer)) as server:
        connection = await dial(server.endpoint)
        assert (await ask(connection)).body == b"ok"
        assert not reusable(connection)
        connection.drop()


async def test_a_kept_connection_that_the_server_closed_is_not_reused() -> None:
    """The server's close is noticed before the next request, not by it."""
    async with tls_server(saying(OK, then=Close.FIN)) as server:
        connection = await dial(server.endpoint)
        await ask(connection)
        with trio.fail_after(5):
            while reusable(connection):
                await trio.lowlevel.checkpoint()
        connection.drop()


async def test_headers_are_lower_case_and_repeated_ones_kept() -> None:
    """The answer is a plain value."""
    said = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nWWW-Authenticate: Digest\r\nContent-Length: 0\r\n\r\n"
    answer, _ = await exchange_with(saying(said))
    assert answer == WireAnswer(
        401, (("www-authenticate", "Basic"), ("www-authenticate", "Digest"), ("content-length", "0")), b""
    )


async def test_no_cookie_is_ever_kept() -> None:
    """One device's cookie would go out with another's request."""
    requests: list[bytes] = []

    async def keep(connection: TlsConnection) -> None:
        for _ in range(2):
            requests.append(await read_request(connection))
            await connection.send_all(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async with tls_server(keep) as server:
        connection = await dial(server.endpoint)
        await ask(connection)
        await ask(connection)
        connection.drop()
    assert requests[0] == requests[1]


async def test_interim_answers_are_skipped() -> None:
    """100 Continue and 103 Early Hints are no answers (RFC 9110 §15.2); the wait ends with the final one."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    answer, stamps = await exchange_with(saying(b"HTTP/1.1 100 Continue\r\n\r\n" + hint, OK))
    assert (answer.status, answer.body) == (200, b"ok")
    assert stamps.first_byte_ns is not None
    assert (stamps.sent_ns or 0) < stamps.first_byte_ns <= (stamps.ended_ns or 0)


async def test_chunked_answers_are_whole() -> None:
    """Transfer-Encoding: chunked, cut at odd places."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer, _ = await exchange_with(saying(head, b"3\r", b"\nabc\r\n2\r\nde\r\n", b"0\r\n\r\n"))
    assert answer.body == b"abcde"


async def test_an_answer_without_length_is_read_until_close() -> None:
    """RFC 9112 §6.3: neither length nor chunked means until the connection closes."""
    answer, stamps = await exchange_with(saying(b"HTTP/1.1 200 OK\r\n\r\n", b"abc", b"def", then=Close.FIN))
    assert answer.body == b"abcdef"
    assert stamps.ended_ns is not None


async def test_an_answer_until_close_that_was_cut_is_a_failure() -> None:
    """Without close_notify nobody knows whether the certificate is whole."""
    failed, _ = await failure_of(cut(b"HTTP/1.1 200 OK\r\n\r\n", b"abc"))
    assert (failed.phase, failed.trouble) == (Phase.RECEIVE, Trouble.RESET)
    assert "close_notify" in failed.reason


async def test_a_202_with_nothing_but_its_header_may_be_cut() -> None:
    """Seen: neither Content-Length nor body, and closed at once. Its header is whole, and that is what counts."""
    answer, _ = await exchange_with(cut(b"HTTP/1.1 202 Accepted\r\nRetry-After: 3\r\n\r\n"))
    assert answer == WireAnswer(202, (("retry-after", "3"),), b"")


async def test_a_missing_close_notify_after_a_whole_answer_is_no_failure() -> None:
    """Content-Length was met: the answer is whole whatever comes."""
    answer, _ = await exchange_with(cut(OK))
    assert answer.body == b"ok"


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n"),
    ],
    ids=["length", "chunked"],
)
@pytest.mark.parametrize("end", [cut, lambda *pieces: saying(*pieces, then=Close.FIN)], ids=["cut", "closed"])
async def test_a_truncated_body_fails_in_receive(pieces: tuple[bytes, ...], end: Callable[..., Handler]) -> None:
    """The server closed in the middle of its answer."""
    failed, stamps = await failure_of(end(*pieces))
    assert (failed.phase, failed.trouble) == (Phase.RECEIVE, Trouble.RESET)
    assert stamps.first_byte_ns is not None
    assert stamps.ended_ns is None


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\nContent-",)], ids=["nothing", "half a header"])
async def test_a_close_before_the_answer_fails_in_wait(pieces: tuple[bytes, ...]) -> None:
    """No header, no answer."""
    failed, _ = await failure_of(saying(*pieces, then=Close.FIN))
    assert (failed.phase, failed.trouble) == (Phase.WAIT, Trouble.RESET)


async def test_a_reset_fails_where_it_happens() -> None:
    """RST while we wait, and RST inside the body."""
    waiting, _ = await failure_of(saying(then=Close.RST))
    assert (waiting.phase, waiting.trouble) == (Phase.WAIT, Trouble.RESET)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"

    async def reset_when_read(connection: TlsConnection) -> None:
        await read_request(connection)
        await connection.send_all(head)
        with trio.fail_after(5):
            while not read.is_set():
                await trio.lowlevel.checkpoint()
        connection.drop(Close.RST)

    read = trio.Event()
    stamps = WireStamps()
    async with tls_server(reset_when_read) as server, trio.open_nursery() as nursery:
        connection = await dial(server.endpoint)

        async def tell_when_read() -> None:
            while stamps.first_byte_ns is None:
                await trio.lowlevel.checkpoint()
            read.set()

        nursery.start_soon(tell_when_read)
        with pytest.raises(TransportFailed) as caught:
            await ask(connection, stamps=stamps)
        connection.drop()
    assert (caught.value.phase, caught.value.trouble) == (Phase.RECEIVE, Trouble.RESET)


@pytest.mark.parametrize(
    ("pieces", "phase"),
    [
        ((), Phase.WAIT),
        ((b"HTTP/1.1 200 OK\r\nContent-",), Phase.WAIT),
        ((b"HTTP/1.1 100 Continue\r\n\r\n",), Phase.WAIT),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",), Phase.RECEIVE),
    ],
    ids=["nothing", "half a header", "only 100", "half a body"],
)
async def test_a_slow_answer_meets_the_answer_deadline(pieces: tuple[bytes, ...], phase: Phase) -> None:
    """Waiting lasts until the header is whole."""
    failed, stamps = await failure_of(saying(*pieces), answer_s=0.05)
    assert (failed.phase, failed.trouble) == (phase, Trouble.TIMEOUT)
    assert "0.05 s" in failed.reason
    assert stamps.sent_ns is not None
    assert stamps.ended_ns is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x15\x03\x01 nonsense\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
    ids=["bytes", "ssh", "length", "header", "endless header", "chunk", "upgrade"],
)
async def test_bytes_that_are_not_http_are_a_protocol_error(garbage: bytes) -> None:
    """Whatever else a server says, it is named, not raised."""
    failed, _ = await failure_of(saying(garbage))
    assert failed.trouble is Trouble.PROTOCOL
    assert failed.phase in {Phase.WAIT, Phase.RECEIVE}


async def test_an_endless_body_is_cut_at_the_limit() -> None:
    """A megabyte is more than any EST answer."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (LARGEST_BODY_BYTES * 4)
    failed, _ = await failure_of(saying(head, b"x" * (LARGEST_BODY_BYTES + 1)))
    assert (failed.phase, failed.trouble) == (Phase.RECEIVE, Trouble.PROTOCOL)


async def test_an_early_answer_is_read_although_sending_failed() -> None:
    """A 413 sent before the body was taken counts, not the broken pipe."""

    async def refuse(connection: TlsConnection) -> None:
        await connection.receive()
        await connection.send_all(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        connection.drop()

    async with tls_server(refuse) as server:
        connection = await dial(server.endpoint)
        connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        answer = await ask(connection, method="POST", body=b"x" * 4_000_000)
        assert not reusable(connection)
        connection.drop()
    assert answer.status == 413


async def test_a_request_on_a_dead_connection_fails_in_send_or_wait() -> None:
    """A connection that the server reset while it was idle."""

    async def reset(connection: TlsConnection) -> None:
        connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection._socket.close()
        gone.set()

    gone = trio.Event()
    async with tls_server(reset) as server:
        connection = await dial(server.endpoint)
        await gone.wait()
        with pytest.raises(TransportFailed) as caught:
            await ask(connection)
        connection.drop()
    assert caught.value.phase in {Phase.SEND, Phase.WAIT}
    assert caught.value.trouble is Trouble.RESET


async def test_a_request_that_cannot_be_sent_is_a_protocol_error() -> None:
    """A line break in a path never reaches the wire."""
    async with tls_server(saying(OK)) as server:
        connection = await dial(server.endpoint)
        with pytest.raises(TransportFailed) as caught:
            await ask(connection, method="GE T")
        connection.drop()
    assert (caught.value.phase, caught.value.trouble) == (Phase.SEND, Trouble.PROTOCOL)


async def test_the_transport_serves_any_httpx_client() -> None:
    """Someone else's httpx client can use the transport by the documented extensions, streaming bodies too."""
    async with tls_server(answering(OK)) as server:
        connection = await dial(server.endpoint)

        async def pieces() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        extensions = {CONNECTION: connection, STAMPS: WireStamps(), CLOCK: lambda: 1, ANSWER_S: 5.0}
        headers = {"Content-Length": "2"}
        async with httpx.AsyncClient(transport=ConnectionTransport()) as client:
            response = await client.post(
                "https://localhost/x",
                content=pieces(),
                headers=headers,
                extensions=extensions,
            )
        connection.drop()
    assert isinstance(response, httpx.Response)
    assert (response.status_code, response.text, response.reason_phrase) == (200, "ok", "OK")
    assert response.http_version == "HTTP/1.1"


async def test_a_connection_is_freed_without_the_garbage_collector() -> None:
    """A fleet collects rarely, and a TLS connection that waits for it holds 50 KiB."""
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(thing, SSL.Connection) for thing in gc.get_objects())
        for _ in range(3):
            await exchange_with(saying(OK))
        after = sum(isinstance(thing, SSL.Connection) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert after == before
