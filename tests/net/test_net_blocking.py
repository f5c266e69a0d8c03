"""In plain calls against the same servers as under trio: the same answers, phases, troubles, alerts and stamps."""

import datetime as dt
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TypeVar

import pytest
import trio
from net_kit import (
    PATIENT,
    TLS12,
    TLS13,
    WORLD,
    Listening,
    answering,
    ask,
    dial,
    make_credential,
    open_descriptors,
    read_request,
    tcp_server,
    tls_server,
)

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.est.url import Origin
from estsim.net.blocking_resolver import BlockingResolver
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.contexts import TlsVersion
from estsim.net.http import LARGEST_BODY_BYTES, Question, WireAnswer, reusable
from estsim.net.io import run_through
from estsim.net.io_blocking import BlockingIo
from estsim.net.limit import CutOff, Limit
from estsim.net.opening import Deadlines, open_connection
from estsim.net.sockets import Close
from estsim.net.tls import Resumable
from estsim.net.transport import exchange
from estsim.pki.credentials import Credential

T = TypeVar("T")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
VERSIONS = pytest.mark.parametrize("versions", [TLS12, TLS13], ids=["1.2", "1.3"])
Versions = tuple[TlsVersion, TlsVersion]
Server = Callable[[], AbstractAsyncContextManager[Listening]]


@dataclass(frozen=True, slots=True)
class Visit:
    """One call on a server: where and as whom, what is asked, and how long each part may take."""

    endpoint: Origin
    versions: Versions = TLS13
    credential: Credential | None = WORLD.device
    deadlines: Deadlines = PATIENT
    body: bytes = b""
    resume: Resumable | None = None
    cut_off_in_s: float = inf

    @property
    def question(self) -> Question:
        """The request."""
        headers = (("content-type", "text/plain"),) if self.body else ()
        return Question("localhost", "POST" if self.body else "GET", "/x", headers, self.body, self.deadlines.answer_s)


def open_for(visit: Visit, stamps: WireStamps) -> TlsConnection:
    """Open a connection in plain calls."""
    return run_through(
        open_connection(
            io_for(visit),
            visit.endpoint,
            WORLD.client_context(versions=visit.versions),
            visit.credential,
            deadlines=visit.deadlines,
            clock=time.monotonic_ns,
            stamps=stamps,
            resume=visit.resume,
        )
    )


def io_for(visit: Visit) -> BlockingIo:
    """Return what waits in plain calls, and is cut off when the visit is to be."""
    io = BlockingIo()
    io.cut_off_s = time.monotonic() + visit.cut_off_in_s
    return io


def ask_on(connection: TlsConnection, visit: Visit, stamps: WireStamps) -> WireAnswer:
    """Send the request in plain calls."""
    connection.io = io_for(visit)
    return run_through(exchange(connection, visit.question, clock=time.monotonic_ns, stamps=stamps))


def call(visit: Visit, stamps: WireStamps) -> WireAnswer:
    """Open, ask once, close; in plain calls."""
    connection = open_for(visit, stamps)
    try:
        return ask_on(connection, visit, stamps)
    finally:
        connection.drop()


async def call_on_trio(visit: Visit, stamps: WireStamps) -> WireAnswer:
    """Open, ask once, close; under trio."""
    context = WORLD.client_context(versions=visit.versions)
    connection = await dial(visit.endpoint, context, visit.credential, deadlines=visit.deadlines, stamps=stamps)
    method = "POST" if visit.body else "GET"
    try:
        return await ask(connection, method=method, body=visit.body, answer_s=visit.deadlines.answer_s, stamps=stamps)
    finally:
        connection.drop()


def saying(*pieces: bytes, then: Close | None = None) -> Callable[[TlsConnection], Awaitable[None]]:
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


async def silent(stream: trio.SocketStream) -> None:
    """Accept and say nothing until the client leaves."""
    async with stream:
        while await stream.receive_some():
            pass


async def hangs_up(stream: trio.SocketStream) -> None:
    """Hear the first flight, and leave."""
    async with stream:
        await stream.receive_some()


@asynccontextmanager
async def nobody() -> AsyncIterator[Listening]:
    """Give an address where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield Listening(Origin("127.0.0.1", bound.getsockname()[1]))


@asynccontextmanager
async def full() -> AsyncIterator[Listening]:
    """Give a listener that accepts nobody any more."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):
            yield Listening(Origin("127.0.0.1", listener.getsockname()[1]))


STRANGER = make_credential(WORLD.server_root, "stranger")
EXPIRED = make_credential(WORLD.device_ca, "late", ends_in=dt.timedelta(hours=-1))
ELSEWHERE = make_credential(WORLD.server_ca, "elsewhere", hosts=("elsewhere.example",))
HURRIED = Deadlines(5, 5, 0.05)


@pytest.mark.parametrize(
    ("server", "changes", "expected"),
    [
        (nobody, {}, (Phase.CONNECT, Trouble.REFUSED)),
        (full, {"deadlines": Deadlines(0.1, 5, 5)}, (Phase.CONNECT, Trouble.TIMEOUT)),
        (partial(tcp_server, silent), {"deadlines": Deadlines(5, 0.05, 5)}, (Phase.HANDSHAKE, Trouble.TIMEOUT)),
        (partial(tcp_server, hangs_up), {}, (Phase.HANDSHAKE, Trouble.RESET)),
        (partial(tls_server, saying(OK), raw=b"HTTP/1.1 400 No\r\n\r\n"), {}, (Phase.HANDSHAKE, Trouble.TLS)),
        (partial(tls_server, saying(OK), credential=ELSEWHERE), {}, (Phase.HANDSHAKE, Trouble.TLS)),
        (partial(tls_server, saying(OK)), {"credential": STRANGER, "versions": TLS12}, (Phase.HANDSHAKE, Trouble.TLS)),
        (partial(tls_server, saying(OK)), {"credential": STRANGER}, (Phase.WAIT, Trouble.TLS)),
        (partial(tls_server, saying(OK)), {"credential": EXPIRED}, (Phase.WAIT, Trouble.TLS)),
        (partial(tls_server, saying()), {"deadlines": HURRIED}, (Phase.WAIT, Trouble.TIMEOUT)),
        (partial(tls_server, saying(OK[:-1])), {"deadlines": HURRIED}, (Phase.RECEIVE, Trouble.TIMEOUT)),
        (partial(tls_server, saying(then=Close.FIN)), {}, (Phase.WAIT, Trouble.RESET)),
        (partial(tls_server, saying(then=Close.RST)), {}, (Phase.WAIT, Trouble.RESET)),
        (partial(tls_server, saying(OK[:-1], then=Close.FIN)), {}, (Phase.RECEIVE, Trouble.RESET)),
        (partial(tls_server, saying(b"SSH-2.0-x\r\n")), {}, (Phase.WAIT, Trouble.PROTOCOL)),
        (partial(tls_server, saying(b"HTTP/1.1 two hundred\r\n\r\n")), {}, (Phase.WAIT, Trouble.PROTOCOL)),
        (
            partial(
                tls_server,
                saying(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 16384] * (LARGEST_BODY_BYTES // 16384 + 1)),
            ),
            {},
            (Phase.RECEIVE, Trouble.PROTOCOL),
        ),
    ],
    ids=[
        "nobody listens",
        "nobody accepts",
        "silent in the handshake",
        "hangs up in the handshake",
        "no TLS",
        "another host",
        "refused 1.2",
        "refused 1.3",
        "expired",
        "no answer",
        "half an answer",
        "closed instead",
        "reset instead",
        "cut off",
        "another protocol",
        "bad status line",
        "too large",
    ],
)
async def test_every_failure_is_the_same_on_both(
    server: Server, changes: dict[str, object], expected: tuple[Phase, Trouble]
) -> None:
    """Phase, kind, alert and verification code are those of the trio driver, word for word, and nothing stays open."""
    async with server() as listening:
        visit = replace(Visit(listening.endpoint), **changes)  # type: ignore[arg-type]  # fields by name
        under_trio, plain = WireStamps(), WireStamps()
        with pytest.raises(TransportFailed) as trio_s:
            await call_on_trio(visit, under_trio)
        with pytest.raises(TransportFailed) as ours:
            await trio.to_thread.run_sync(call, visit, plain)
    theirs, failed = trio_s.value, ours.value
    assert (failed.phase, failed.trouble) == expected
    assert str(failed) == str(theirs)
    assert (failed.alert, failed.verify_code) == (theirs.alert, theirs.verify_code)
    assert _filled(plain) == _filled(under_trio)


def _filled(stamps: WireStamps) -> list[bool]:
    """Say which stamps were set."""
    return [at is not None for at in (stamps.connected_ns, stamps.handshaken_ns, stamps.sent_ns, stamps.first_byte_ns)]


@VERSIONS
async def test_an_exchange_is_whole_and_its_stamps_are_in_order(versions: Versions) -> None:
    """Answer, stamps and the names on both sides, as under trio."""
    stamps = WireStamps()
    async with tls_server(answering(OK)) as server:
        visit = Visit(server.endpoint, versions, body=b"QUJD")
        answer = await trio.to_thread.run_sync(call, visit, stamps)
        [served] = server.connections
    assert answer == WireAnswer(200, (("content-length", "2"),), b"ok")
    assert [each.der for each in served.tls.peer_chain] == [WORLD.device.certificate_der, WORLD.device_ca.der]
    times = [stamps.connected_ns, stamps.handshaken_ns, stamps.sent_ns, stamps.first_byte_ns, stamps.ended_ns]
    assert None not in times
    assert times == sorted(times, key=lambda at: at or 0)


@VERSIONS
async def test_a_kept_connection_carries_the_next_request(versions: Versions) -> None:
    """Keep-alive: the second exchange needs no handshake, and a closed one is not used again."""

    def twice(visit: Visit) -> list[bytes]:
        connection = open_for(visit, WireStamps())
        bodies = []
        for _ in range(2):
            assert reusable(connection)
            bodies.append(ask_on(connection, visit, WireStamps()).body)
        connection.drop()
        assert not reusable(connection)
        return bodies

    async with tls_server(answering(OK, OK)) as server:
        assert await trio.to_thread.run_sync(twice, Visit(server.endpoint, versions)) == [b"ok", b"ok"]
        assert len(server.connections) == 1


@VERSIONS
async def test_a_session_is_resumed(versions: Versions) -> None:
    """What one connection leaves, the next one may offer."""

    def twice(visit: Visit) -> list[bool]:
        first = open_for(visit, WireStamps())
        ask_on(first, visit, WireStamps())
        session = first.tls.session()
        first.drop()
        second = open_for(replace(visit, resume=session), WireStamps())
        ask_on(second, visit, WireStamps())
        second.drop()
        return [first.tls.resumed, second.tls.resumed]

    async with tls_server(answering(OK)) as server:
        assert await trio.to_thread.run_sync(twice, Visit(server.endpoint, versions)) == [False, True]


async def test_the_moment_of_a_cut_ends_any_wait() -> None:
    """A power cut that is due ends handshake and answer alike, before their deadlines, with nothing left open."""
    before = open_descriptors()
    async with tcp_server(silent) as server:
        with pytest.raises(CutOff):
            await trio.to_thread.run_sync(call, Visit(server.endpoint, cut_off_in_s=0.05), WireStamps())
    async with tls_server(saying()) as server:
        stamps = WireStamps()
        with pytest.raises(CutOff):
            await trio.to_thread.run_sync(call, Visit(server.endpoint, cut_off_in_s=0.2), stamps)
        assert stamps.sent_ns is not None
    await trio.testing.wait_all_tasks_blocked()
    assert open_descriptors() <= before + 1  # a thread of trio's cache may have come


async def test_a_large_request_goes_out_in_pieces() -> None:
    """A request beyond the kernel's buffers waits for the peer to take it."""
    got: list[bytes] = []

    async def keep(connection: TlsConnection) -> None:
        got.append(await read_request(connection))
        await connection.send_all(OK)

    async with tls_server(keep) as server:
        await trio.to_thread.run_sync(call, Visit(server.endpoint, body=b"x" * 8_000_000), WireStamps())
    assert got[0].endswith(b"x" * 1000)


def test_a_name_is_looked_up_once_and_an_unknown_one_fails_in_resolve() -> None:
    """RFC 6761 reserves .invalid: it never resolves, and a failure is not kept."""
    resolver, endpoint = BlockingResolver(), Origin("localhost", 443)
    found = resolver.resolve(endpoint, Limit(5))
    assert resolver.known(endpoint) == found
    for _ in range(2):
        with pytest.raises(TransportFailed) as caught:
            resolver.resolve(Origin("nobody.invalid", 443), Limit(5))
        assert (caught.value.phase, caught.value.trouble) == (Phase.RESOLVE, Trouble.REFUSED)


def test_a_resolver_that_says_nothing_meets_the_connect_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver knows no deadline; ours passes all the same."""

    def slow(_: Origin) -> list[object]:
        time.sleep(0.2)
        return []

    monkeypatch.setattr("estsim.net.blocking_resolver.look_up", slow)
    opening = open_connection(
        BlockingIo(resolver=BlockingResolver()),
        Origin("slow.example", 443),
        WORLD.client_context(),
        None,
        deadlines=Deadlines(0.02, 5, 5),
        clock=time.monotonic_ns,
        stamps=WireStamps(),
    )
    with pytest.raises(TransportFailed) as caught:
        run_through(opening)
    assert (caught.value.phase, caught.value.trouble) == (Phase.RESOLVE, Trouble.TIMEOUT)


def test_a_flow_over_a_blocking_io_never_suspends() -> None:
    """One that would is a bug of ours, and said to be one."""
    left: list[str] = []

    async def suspends() -> None:
        try:
            await trio.lowlevel.cancel_shielded_checkpoint()
        finally:
            left.append("closed")

    with pytest.raises(AssertionError, match="suspended"):
        run_through(suspends())
    assert left == ["closed"]


def test_what_is_done_elsewhere_raises_only_here() -> None:
    """Gevent's pool prints the traceback of a work that raises, for an answer that is the server's fault."""
    raised: list[BaseException] = []

    def pool(work: Callable[[], T]) -> T:
        try:
            return work()
        except BaseException as error:
            raised.append(error)
            raise

    def fails() -> None:
        raise TransportFailed(Phase.WAIT, Trouble.PROTOCOL, "too long")

    io = BlockingIo(elsewhere=pool)
    with pytest.raises(TransportFailed, match="too long"):
        run_through(io.run(fails))
    assert not raised
    assert run_through(io.run(lambda: 7)) == 7
