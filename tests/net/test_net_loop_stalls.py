"""Stalls of the loop: seen, told apart from sleep, and not counted to any deadline."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from queue import Queue

import pytest
import trio
from net_kit import TLS12, TLS13, WORLD, Handler, Listening, ask, dial, read_request, tls_server

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.contexts import TlsVersion
from estsim.net.io_trio import Deadline, watch_loop
from estsim.net.limit import Limit
from estsim.net.loop_stalls import LOOP_STALLS, LoopStalls
from estsim.net.opening import Deadlines

MS = 1_000_000
VERSIONS = pytest.mark.parametrize("versions", [TLS12, TLS13], ids=["1.2", "1.3"])
STALL_S = 0.4
SHORT_S = 0.2  # a deadline that passes within the stall


def stand_still() -> None:
    """Let the whole loop stand still, as a stopped process does; other threads go on."""
    time.sleep(STALL_S)


def test_what_is_short_is_an_ordinary_pass() -> None:
    """Fifty milliseconds make a stall."""
    stalls = LoopStalls()
    assert not stalls.between(0, 49 * MS)
    assert stalls.between(100 * MS, 150 * MS)
    assert stalls.total_ns(0) == 50 * MS
    assert not stalls.between(200 * MS, 190 * MS), "something came before the loop had slept its time"


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "within_ms"),
    [(0, 100, 0), (0, 1000, 400), (150, 250, 50), (250, 350, 50), (250, 850, 350), (900, 2000, 0), (220, 280, 60)],
)
def test_a_time_knows_how_much_of_it_lay_in_stalls(from_ms: int, to_ms: int, within_ms: int) -> None:
    """Of a stall from 200 to 300 ms, and one from 500 to 800 ms."""
    stalls = LoopStalls()
    stalls.between(200 * MS, 300 * MS)
    stalls.between(500 * MS, 800 * MS)
    assert stalls.within_ns(from_ms * MS, to_ms * MS) == within_ms * MS


def test_the_longest_of_those_that_ended_in_a_time_is_given_whole() -> None:
    """Also where it began before."""
    stalls = LoopStalls()
    stalls.between(200 * MS, 300 * MS)
    stalls.between(500 * MS, 800 * MS)
    assert stalls.longest(0, 1000 * MS) == (500 * MS, 800 * MS)
    assert stalls.longest(700 * MS, 1000 * MS) == (500 * MS, 800 * MS)
    assert stalls.longest(0, 400 * MS) == (200 * MS, 300 * MS)
    assert stalls.longest(800 * MS, 1000 * MS) is None


def test_a_loop_that_beats_has_stalled_before_its_beat_says_so() -> None:
    """Another task may run first after a stall; the beat then counts it once."""
    stalls = LoopStalls()
    stalls.begin_to_beat(0, beats_ns=20 * MS)
    stalls.beat(21 * MS)
    assert stalls.total_ns(60 * MS) == 0
    assert stalls.total_ns(1041 * MS) == 1000 * MS
    assert stalls.within_ns(541 * MS, 2000 * MS) == 1459 * MS
    stalls.beat(1041 * MS)
    assert stalls.total_ns(1050 * MS) == 1000 * MS
    stalls.begin_to_beat(0, beats_ns=None)
    assert stalls.total_ns(9000 * MS) == 1000 * MS
    assert stalls.longest(0, 9000 * MS) == (41 * MS, 1041 * MS)


async def test_a_loop_that_sleeps_does_not_stall_and_one_that_computes_does() -> None:
    """The instrument tells them apart."""
    watch_loop()
    from_ns = time.perf_counter_ns()
    await trio.sleep(3 * SHORT_S)
    slept_ns = time.perf_counter_ns()
    stand_still()
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()
    stalled_ns = LOOP_STALLS.within_ns(slept_ns, time.perf_counter_ns())
    assert LOOP_STALLS.within_ns(from_ns, slept_ns) < SHORT_S * 1e9
    assert stalled_ns >= 0.95 * STALL_S * 1e9


async def test_a_deadline_runs_only_while_the_loop_does() -> None:
    """It ends what it guards later by the stall, and no sooner; outside it nothing is moved."""
    watch_loop()
    from_s = trio.current_time()
    with Deadline(SHORT_S), trio.CancelScope(deadline=from_s + SHORT_S) as bare:
        await trio.lowlevel.checkpoint()
        stand_still()
        await trio.sleep_forever()
    assert bare.cancelled_caught
    with Deadline(SHORT_S):
        stand_still()
        from_s = trio.current_time()
        await trio.sleep_forever()
    assert trio.current_time() - from_s >= 0.9 * SHORT_S


@asynccontextmanager
async def elsewhere(handler: Handler) -> AsyncIterator[Listening]:
    """Give a TLS server in a thread of its own, which goes on while our loop stands still."""
    with _served(handler) as found:
        yield await trio.to_thread.run_sync(found.get)


@contextmanager
def _served(handler: Handler) -> Iterator[Queue[Listening]]:
    found: Queue[Listening] = Queue()
    over = threading.Event()

    async def serve() -> None:
        async with tls_server(handler) as listening:
            found.put(listening)
            await trio.to_thread.run_sync(over.wait)

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join(5)


async def slowly(connection: TlsConnection) -> None:
    """Answer in pieces, the last of them after the client's stall, and after the deadline that this has moved."""
    await read_request(connection)
    for piece in (b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\n", b"o", b"k"):
        await trio.sleep(0.3 * STALL_S)
        await connection.send_all(piece)
    await connection.receive()


@VERSIONS
async def test_an_answer_that_came_while_we_stood_still_is_taken(versions: tuple[TlsVersion, TlsVersion]) -> None:
    """Its deadline had passed when the loop looked again, and it takes several reads."""
    watch_loop()
    async with elsewhere(slowly) as server, trio.open_nursery() as nursery:
        connection = await dial(server.endpoint, WORLD.client_context(versions=versions))
        nursery.start_soon(_stall)
        answer = await ask(connection, answer_s=0.8 * STALL_S)
        assert (answer.status, answer.body) == (200, b"ok")
        connection.drop()


@VERSIONS
async def test_a_handshake_goes_on_where_we_stood_still(versions: tuple[TlsVersion, TlsVersion]) -> None:
    """After the stall it still has a round trip before it, or two."""
    watch_loop()
    async with elsewhere(slowly) as server, trio.open_nursery() as nursery:
        nursery.start_soon(_stall)
        context = WORLD.client_context(versions=versions)
        connection = await dial(server.endpoint, context, deadlines=Deadlines(SHORT_S, SHORT_S, 5))
        connection.drop()


async def _stall() -> None:
    await trio.lowlevel.checkpoint()
    stand_still()


async def test_a_server_that_stays_silent_is_cut_off_when_it_has_had_its_time() -> None:
    """Of a loop that ran: a stall is no excuse for ever."""
    watch_loop()
    stamps = WireStamps()

    async def silent(connection: TlsConnection) -> None:
        await read_request(connection)
        await connection.receive()

    async with elsewhere(silent) as server, trio.open_nursery() as nursery:
        connection = await dial(server.endpoint, stamps=stamps)
        nursery.start_soon(_stall)
        from_s = trio.current_time()
        with pytest.raises(TransportFailed) as caught:
            await ask(connection, answer_s=SHORT_S, stamps=stamps)
        took_s = trio.current_time() - from_s
        connection.drop()
    assert (caught.value.phase, caught.value.trouble) == (Phase.WAIT, Trouble.TIMEOUT)
    assert STALL_S + 0.9 * SHORT_S <= took_s < STALL_S + SHORT_S + 2.0


def test_a_blocking_limit_does_not_count_what_the_process_stood_still() -> None:
    """Where a loop beats beside it, as gevent's does."""
    now_ns = time.perf_counter_ns()
    LOOP_STALLS.begin_to_beat(now_ns, beats_ns=20 * MS)
    try:
        limit = Limit(SHORT_S)
        stand_still()
        assert 0.5 * SHORT_S < limit.left_s() <= SHORT_S
        LOOP_STALLS.beat(time.perf_counter_ns())
        assert limit.rest_s() > 0
        time.sleep(0.01)
        cut_off = Limit(SHORT_S, cut_off_s=time.monotonic())
        assert cut_off.rest_s() == 0
    finally:
        LOOP_STALLS.begin_to_beat(0, beats_ns=None)
