"""The shaped network: as a calculation, and over real TLS as both ends measure it."""

import time
from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from net_kit import TLS12, TLS13, WORLD, answering, ask, dial, open_descriptors, read_request, tls_server

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.contexts import TlsVersion
from estsim.net.opening import Deadlines
from estsim.net.shaping import FAILURE_PHASES, LinkFailure, LinkFailureKind, LinkTiming, Path

MS = 1_000_000
SIZES = st.integers(min_value=0, max_value=100_000)


@pytest.mark.parametrize(
    ("path", "arrivals", "heard"),
    [
        (Path(), [(5, 100)], [(5, 5)]),
        (Path(rtt_s=0.1), [(5 * MS, 100), (7 * MS, 100)], [(105 * MS, 105 * MS), (107 * MS, 107 * MS)]),
        (Path(rate_bps=8000.0), [(0, 10), (5 * MS, 5)], [(0, 10 * MS), (10 * MS, 15 * MS)]),
        (Path(rtt_s=0.1, rate_bps=8000.0), [(0, 10), (500 * MS, 1)], [(100 * MS, 110 * MS), (600 * MS, 601 * MS)]),
    ],
    ids=["no network", "each a round trip later", "one after the other", "the line is free again"],
)
def test_when_bytes_are_heard(path: Path, arrivals: list[tuple[int, int]], heard: list[tuple[int, int]]) -> None:
    """A delay for each, not one on top of the other; the bits queue."""
    timing = LinkTiming(path)
    assert [timing.heard_ns(at_ns, size) for at_ns, size in arrivals] == heard


def test_how_long_bytes_take_to_leave() -> None:
    """A kilobyte over 8 kbit/s takes a second, over no limit nothing."""
    assert LinkTiming(Path(rate_bps=8000.0)).leaving_ns(1000) == 1000 * MS
    assert LinkTiming(Path()).leaving_ns(1000) == 0


@given(st.lists(st.tuples(st.integers(min_value=0, max_value=10**10), SIZES), max_size=20))
def test_bytes_are_heard_in_their_order_and_at_no_more_than_the_rate(arrivals: list[tuple[int, int]]) -> None:
    """Never before their round trip, never faster than the line."""
    timing = LinkTiming(Path(rtt_s=0.05, rate_bps=64_000.0))
    free_ns = 0
    for at_ns, size in sorted(arrivals):
        first_ns, last_ns = timing.heard_ns(at_ns, size)
        assert first_ns >= max(free_ns, at_ns + 50 * MS)
        assert last_ns - first_ns == round(size * 125_000)
        free_ns = last_ns


@given(SIZES, st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_mishap_holds_back_a_part_of_its_own_flight(size: int, share: float) -> None:
    """At least one byte, so that the flight is not whole; other flights pass, and so does an end of stream."""
    timing = LinkTiming(Path(failure=LinkFailure(LinkFailureKind.STALL, Phase.SEND, share)))
    passing = timing.passing(Phase.SEND, size)
    assert (passing is None) == (size == 0)
    assert passing is None or 0 <= passing < size
    assert timing.passing(Phase.WAIT, size) is None
    assert LinkTiming(Path()).passing(Phase.SEND, size) is None


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
RTT_S = 0.1
RTT_NS = 100 * MS
SLACK_NS = 80 * MS  # what a loaded machine may add to a whole exchange: less than one more round trip
Trips = tuple[int, int, int]
BRIEF = Deadlines(connect_s=5, handshake_s=0.1, answer_s=5)


def trips(stamps: WireStamps, started_ns: int) -> Trips:
    """Return the whole round trips in connect, handshake, and request with answer."""
    assert stamps.connected_ns
    assert stamps.handshaken_ns
    assert stamps.sent_ns
    assert stamps.first_byte_ns
    spans = (
        stamps.connected_ns - started_ns,
        stamps.handshaken_ns - stamps.connected_ns,
        stamps.first_byte_ns - stamps.sent_ns,
    )
    return tuple(span // RTT_NS for span in spans)  # type: ignore[return-value]  # three of them


@pytest.mark.parametrize(("versions", "expected"), [(TLS13, (1, 1, 1)), (TLS12, (1, 2, 1))], ids=["TLS 1.3", "TLS 1.2"])
async def test_each_flight_takes_its_round_trip(versions: tuple[TlsVersion, TlsVersion], expected: Trips) -> None:
    """Three for a fresh TLS 1.3 exchange, one more for TLS 1.2; the bytes of one flight share theirs."""
    stamps = WireStamps()
    async with tls_server(answering(OK)) as server:
        started_ns = time.monotonic_ns()
        connection = await dial(
            server.endpoint, WORLD.client_context(versions=versions), stamps=stamps, path=Path(rtt_s=RTT_S)
        )
        await ask(connection, stamps=stamps)
        connection.drop()
    assert trips(stamps, started_ns) == expected
    assert stamps.ended_ns
    assert stamps.ended_ns - started_ns < sum(expected) * RTT_NS + SLACK_NS


@pytest.mark.alone
@pytest.mark.parametrize("versions", [TLS13, TLS12], ids=["TLS 1.3", "TLS 1.2"])
async def test_a_resumed_handshake_takes_one_round_trip(versions: tuple[TlsVersion, TlsVersion]) -> None:
    """RFC 5246 §7.3, figure 2, and RFC 8446 §2.2."""
    context = WORLD.client_context(versions=versions)
    async with tls_server(answering(OK)) as server:
        first = await dial(server.endpoint, context)
        await ask(first)
        session = first.tls.session()
        first.drop()
        stamps = WireStamps()
        started_ns = time.monotonic_ns()
        second = await dial(server.endpoint, context, resume=session, stamps=stamps, path=Path(rtt_s=RTT_S))
        await ask(second, stamps=stamps)
        assert second.tls.resumed
        second.drop()
    assert trips(stamps, started_ns) == (1, 1, 1)


async def test_the_server_waits_for_its_round_trips_too() -> None:
    """From its accept to our request lie two: the handshake's and that of our last flight. It times us as we are."""
    heard_ns: list[int] = []

    async def keep(connection: TlsConnection) -> None:
        await read_request(connection)
        heard_ns.append(time.monotonic_ns())
        await connection.send_all(OK)
        await connection.receive()

    async with tls_server(keep) as server:
        started_ns = time.monotonic_ns()
        connection = await dial(server.endpoint, path=Path(rtt_s=RTT_S))
        await ask(connection)
        connection.drop()
    assert heard_ns[0] - started_ns >= 2 * RTT_NS


@pytest.mark.alone
async def test_a_bit_rate_holds_both_ways() -> None:
    """Half a kilobyte up and a kilobyte down at 40 kbit/s: 100 ms in sending, 200 ms from first byte to end, once.

    By TLS 1.2: the session tickets of TLS 1.3 come after the handshake and take their time, too.
    """
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    stamps = WireStamps()
    async with tls_server(answering(answer)) as server:
        connection = await dial(
            server.endpoint, WORLD.client_context(versions=TLS12), stamps=stamps, path=Path(rate_bps=40_000.0)
        )
        await ask(connection, method="POST", body=b"y" * 500, stamps=stamps)
        connection.drop()
    assert stamps.handshaken_ns
    assert stamps.sent_ns
    assert stamps.first_byte_ns
    assert stamps.ended_ns
    assert stamps.sent_ns - stamps.handshaken_ns >= 100 * MS
    assert stamps.ended_ns - stamps.first_byte_ns >= 200 * MS
    assert stamps.ended_ns - stamps.sent_ns < 200 * MS + SLACK_NS


def watching(seen: list[object]) -> Callable[[TlsConnection], Awaitable[None]]:
    """Return a handler that answers and notes how the connection goes on."""

    async def handle(connection: TlsConnection) -> None:
        try:
            seen.append(len(await read_request(connection)))
            await connection.send_all(OK)
            seen.append(await connection.receive())
        except TransportFailed as failed:
            seen.append(failed.trouble)

    return handle


@pytest.mark.parametrize("phase", FAILURE_PHASES)
@pytest.mark.parametrize("versions", [TLS13, TLS12], ids=["TLS 1.3", "TLS 1.2"])
async def test_a_reset_strikes_in_its_phase(phase: Phase, versions: tuple[TlsVersion, TlsVersion]) -> None:
    """We say that it was the simulated network; the server sees a real reset, and nothing stays open."""
    before = open_descriptors()
    seen: list[object] = []
    async with tls_server(watching(seen)) as server:
        with pytest.raises(TransportFailed) as caught:
            await fails(server.endpoint, LinkFailure(LinkFailureKind.RESET, phase, 0.5), versions)
        with trio.fail_after(5):
            while not (seen or server.failures):
                await trio.lowlevel.checkpoint()
            while phase is Phase.WAIT and len(seen) < 2:
                await trio.lowlevel.checkpoint()
        failures = [failed.trouble for failed in server.failures if isinstance(failed, TransportFailed)]
    assert (caught.value.phase, caught.value.trouble) == (phase, Trouble.NETWORK_RESET)
    assert "simulated network" in caught.value.reason
    assert Trouble.RESET in (seen if phase is not Phase.HANDSHAKE else failures)
    assert open_descriptors() == before


@pytest.mark.parametrize("phase", FAILURE_PHASES)
async def test_a_stall_lasts_until_the_deadline(phase: Phase) -> None:
    """In its phase, as the simulated network and no slow server; until then the server hears nothing more."""
    seen: list[object] = []
    async with tls_server(watching(seen)) as server:
        with pytest.raises(TransportFailed) as caught:
            await fails(server.endpoint, LinkFailure(LinkFailureKind.STALL, phase, 0.5), TLS13)
        assert len(seen) <= (phase is Phase.WAIT)
    assert (caught.value.phase, caught.value.trouble) == (phase, Trouble.NETWORK_STALL)
    assert "0.1 s" in caught.value.reason


async def fails(endpoint: object, failure: LinkFailure, versions: tuple[TlsVersion, TlsVersion]) -> None:
    """Do an exchange over a network with this failure."""
    connection = await dial(
        endpoint,  # type: ignore[arg-type]  # of the server
        WORLD.client_context(versions=versions),
        deadlines=BRIEF,
        path=Path(failure=failure),
    )
    try:
        await ask(connection, answer_s=0.1)
    finally:
        connection.drop()


async def test_a_true_timeout_stays_the_servers() -> None:
    """A slow server behind a shaped network is a slow server."""

    async def hold(connection: TlsConnection) -> None:
        await connection.receive()
        await connection.receive()

    async with tls_server(hold) as server:
        connection = await dial(server.endpoint, path=Path(rtt_s=0.001))
        with pytest.raises(TransportFailed) as caught:
            await ask(connection, answer_s=0.05)
        connection.drop()
    assert (caught.value.phase, caught.value.trouble) == (Phase.WAIT, Trouble.TIMEOUT)


async def test_a_round_trip_beyond_the_deadline_is_a_timeout_to_connect() -> None:
    """And leaves no descriptor behind."""
    before = open_descriptors()
    async with tls_server(answering(OK)) as server:
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint, deadlines=Deadlines(0.05, 5, 5), path=Path(rtt_s=1.0))
    assert (caught.value.phase, caught.value.trouble) == (Phase.CONNECT, Trouble.TIMEOUT)
    assert open_descriptors() == before
