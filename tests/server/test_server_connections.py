"""The crowd of connections on a clock of its own: who waits for room, who is cut for it, and who is let go of."""

# ruff: noqa: ARG001 - the clock does its work by being asked for

from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest
import trio
from trio.testing import MockClock

from estsim.server.connections import Connections, Slot

SLOW_S = 5.0  # how long it may be a client's turn before it may be cut
FOREVER_S = 1e6  # on a clock that jumps, and where something hangs a test fails all the same


async def dawdle(slot: Slot) -> None:
    """Stay, and do nothing."""
    with slot.stay():
        await trio.sleep(FOREVER_S)


async def ask_late(slot: Slot, after_s: float) -> None:
    """Let the server wait for a request, begin one, and never end it."""
    with slot.stay():
        with slot.idle(75.0):
            await trio.sleep(after_s)
        await trio.sleep(FOREVER_S)


async def be_served(slot: Slot, for_s: float) -> None:
    """Ask at once, be served, and do nothing after that."""
    with slot.stay():
        with slot.being_served():
            await trio.sleep(for_s)
        await trio.sleep(FOREVER_S)


async def leave_after(slot: Slot, seconds: float) -> None:
    """Stay for a while."""
    with slot.stay():
        await trio.sleep(seconds)


async def time_for_room(connections: Connections) -> float:
    """Return how long it takes until there is room."""
    began_s = trio.current_time()
    await connections.room()
    return trio.current_time() - began_s


def is_empty(connections: Connections) -> bool:
    """Whether nothing is left of anybody."""
    return connections.open == 0 and not connections._theirs and not connections._idle


# -- room


async def test_below_the_limit_there_is_room_at_once(autojump_clock: MockClock) -> None:
    """Up to the last place."""
    connections = Connections(3)
    for _ in range(2):
        connections.enter()
        assert await time_for_room(connections) == 0.0
    assert connections.open == 2


async def test_at_the_limit_one_waits_until_somebody_leaves(autojump_clock: MockClock) -> None:
    """And not a moment longer; nobody is cut."""
    connections = Connections(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dawdle, connections.enter())
        nursery.start_soon(leave_after, connections.enter(), 3.0)
        assert await time_for_room(connections) == pytest.approx(3.0)
        assert (connections.open, connections.cut) == (1, 0)
        nursery.cancel_scope.cancel()


async def test_all_who_wait_for_room_hear_of_it(autojump_clock: MockClock) -> None:
    """A server that listens on two addresses waits twice: two leave after a second, so both have room then."""
    connections = Connections(2)
    waited: list[float] = []

    async def accept() -> None:
        waited.append(await time_for_room(connections))

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(leave_after, connections.enter(), 1.0)
            nursery.start_soon(accept)
    assert waited == pytest.approx([1.0, 1.0])


async def test_who_is_being_served_takes_no_place(autojump_clock: MockClock) -> None:
    """The limit is of those whose turn it is: while the server works there is room for others."""
    connections = Connections(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(be_served, connections.enter(), 1.0)
        assert await time_for_room(connections) == 0.0
        await trio.sleep(2.0)  # and now it is the client's turn again
        assert await time_for_room(connections) == pytest.approx(SLOW_S - 1.0)
        nursery.cancel_scope.cancel()


# -- cutting


async def test_the_slowest_is_cut_once_it_is_too_slow(autojump_clock: MockClock) -> None:
    """Five seconds after its turn began, whoever came when; the others stay."""
    connections = Connections(2)
    async with trio.open_nursery() as nursery:
        first = connections.enter()
        nursery.start_soon(dawdle, first)
        await trio.sleep(1.0)
        second = connections.enter()
        nursery.start_soon(dawdle, second)
        await trio.sleep(1.0)
        assert await time_for_room(connections) == pytest.approx(SLOW_S - 2.0)
        assert (first.scope.cancel_called, second.scope.cancel_called, connections.cut) == (True, False, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert connections.open == 1
        nursery.cancel_scope.cancel()


async def test_who_is_too_slow_already_is_cut_at_once(autojump_clock: MockClock) -> None:
    """Nobody has to wait for one that has had its time; nobody is cut before room is needed."""
    connections = Connections(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dawdle, connections.enter())
        await trio.sleep(60.0)
        assert (connections.open, connections.cut) == (1, 0)
        assert await time_for_room(connections) == 0.0
        assert connections.cut == 1


async def test_each_step_of_a_client_gives_it_its_time_anew(autojump_clock: MockClock) -> None:
    """A request that begins at 4 s may last until 9 s, though somebody has been waiting for room from the start."""
    connections = Connections(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_late, connections.enter(), 4.0)
        assert await time_for_room(connections) == pytest.approx(4.0 + SLOW_S)
        assert connections.cut == 1


async def test_who_was_the_slowest_and_has_moved_on_is_not_cut_in_place_of_another(
    autojump_clock: MockClock,
) -> None:
    """At 4 s the first begins its request: now the second has been slow for longest, since 1 s."""
    connections = Connections(2)
    async with trio.open_nursery() as nursery:
        first = connections.enter()
        nursery.start_soon(ask_late, first, 4.0)
        await trio.sleep(1.0)
        second = connections.enter()
        nursery.start_soon(dawdle, second)
        assert await time_for_room(connections) == pytest.approx(SLOW_S)
        assert (first.scope.cancel_called, second.scope.cancel_called) == (False, True)
        nursery.cancel_scope.cancel()


async def test_an_idle_connection_is_cut_as_well(autojump_clock: MockClock) -> None:
    """Kept open for its next request, it takes a place like any other."""
    connections = Connections(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_late, connections.enter(), 60.0)
        assert await time_for_room(connections) == pytest.approx(SLOW_S)
    assert is_empty(connections)


async def test_who_is_being_served_is_not_cut_however_long_it_takes(autojump_clock: MockClock) -> None:
    """A minute of signing: all that time others have room, and then it has the time of its own."""
    connections = Connections(1)
    async with trio.open_nursery() as nursery:
        slot = connections.enter()
        nursery.start_soon(be_served, slot, 60.0)
        await trio.sleep(59.0)
        assert await time_for_room(connections) == 0.0
        assert not slot.scope.cancel_called
        await trio.sleep(2.0)
        assert await time_for_room(connections) == pytest.approx(SLOW_S - 1.0)
        assert slot.scope.cancel_called


async def test_a_request_that_is_whole_when_its_client_would_be_cut_is_served_or_not_begun(
    autojump_clock: MockClock,
) -> None:
    """Both in the same turn of the loop, in either order: nobody is cut while it is being served."""
    begun: list[int] = []
    served: list[int] = []

    async def ask(number: int, slot: Slot, came: trio.Event) -> None:
        with slot.stay():
            await came.wait()
            with slot.being_served():
                begun.append(number)
                await trio.sleep(1.0)
                served.append(number)

    async def deliver(came: trio.Event) -> None:
        await trio.sleep(SLOW_S)
        came.set()

    for number in range(40):  # the loop shuffles its tasks
        connections, came = Connections(1), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, number, connections.enter(), came)
            nursery.start_soon(deliver, came)
            nursery.start_soon(connections.room)
        assert is_empty(connections)
    assert begun == served


@pytest.mark.parametrize("seed", range(4))
async def test_whoever_comes_in_finds_fewer_than_the_limit_whose_turn_it_is(
    autojump_clock: MockClock,
    seed: int,
) -> None:
    """Two hundred clients that idle, ask and are served for random times; in the end the crowd is empty."""
    connections, chance = Connections(5), Random(seed)

    async def visit(slot: Slot) -> None:
        with slot.stay():
            for _ in range(chance.randrange(4)):
                with slot.idle(6.0):
                    await trio.sleep(chance.uniform(0.0, 8.0))
                await trio.sleep(chance.uniform(0.0, 4.0))
                with slot.being_served():
                    await trio.sleep(chance.uniform(0.0, 8.0))

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            await connections.room()
            assert len(connections._theirs) < 5
            nursery.start_soon(visit, connections.enter())
            await trio.sleep(chance.expovariate(2.0))
    assert is_empty(connections)
    assert 0 < connections.cut < 200


# -- idling and stopping


async def test_idling_ends_with_its_time_or_with_the_bytes_that_come(autojump_clock: MockClock) -> None:
    """Only the first is a wait in vain."""
    slot = Connections(1).enter()
    began_s = trio.current_time()
    with slot.stay():
        with slot.idle(75.0) as wait:
            await trio.sleep(7.0)
        assert not wait.cancelled_caught
        assert trio.current_time() - began_s == pytest.approx(7.0)
        with slot.idle(75.0) as wait:
            await trio.sleep(FOREVER_S)
        assert wait.cancelled_caught
        assert trio.current_time() - began_s == pytest.approx(82.0)


async def test_stopping_ends_every_idle_wait_at_once(autojump_clock: MockClock) -> None:
    """Ten connections with a minute left: all of them know at the moment of the stop."""
    connections = Connections(10)
    ended: list[float] = []

    async def keep_open(slot: Slot) -> None:
        with slot.stay(), slot.idle(75.0) as wait:
            await trio.sleep(FOREVER_S)
        assert wait.cancelled_caught
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(keep_open, connections.enter())
        await trio.sleep(15.0)
        stopped_s = trio.current_time()
        connections.stop()
    assert ended == pytest.approx([stopped_s] * 10)
    assert is_empty(connections)


async def test_after_the_stop_nobody_idles_any_more(autojump_clock: MockClock) -> None:
    """A connection that was busy is told to leave with its answer, and waits for no other request."""
    connections = Connections(1)
    slot = connections.enter()
    was_leaving = slot.is_leaving
    connections.stop()
    assert (was_leaving, slot.is_leaving) == (False, True)
    began_s = trio.current_time()
    with slot.stay(), slot.idle(75.0) as wait:
        await trio.sleep(FOREVER_S)
    assert wait.cancelled_caught
    assert trio.current_time() == began_s


async def test_stopping_leaves_those_alone_who_are_at_something(autojump_clock: MockClock) -> None:
    """A handshake, a request on its way, an answer: each has its own deadline, or the server's grace."""
    connections = Connections(3)
    done: list[str] = []

    async def read(slot: Slot) -> None:
        with slot.stay():
            with slot.idle(75.0):
                await trio.sleep(0.5)
            await trio.sleep(2.0)
            done.append("read")

    async def serve(slot: Slot) -> None:
        with slot.stay(), slot.being_served():
            await trio.sleep(3.0)
            done.append("served")

    async def shake(slot: Slot) -> None:
        with slot.stay():
            await trio.sleep(2.0)
            done.append("shaken")

    async with trio.open_nursery() as nursery:
        for activity in (shake, read, serve):
            nursery.start_soon(activity, connections.enter())
        await trio.sleep(1.0)
        connections.stop()
    assert done == ["shaken", "read", "served"]


# -- how it ends


async def leave(slot: Slot) -> None:
    """Be served and go."""
    with slot.stay():
        with slot.idle(75.0):
            await trio.sleep(1.0)
        with slot.being_served():
            await trio.sleep(1.0)


async def fail_in_the_handshake(slot: Slot) -> None:
    """Never get anywhere."""
    with suppress(ConnectionError), slot.stay():
        await trio.sleep(1.0)
        raise ConnectionError


async def fail_while_idle(slot: Slot) -> None:
    """Close the connection instead of asking."""
    with suppress(ConnectionError), slot.stay(), slot.idle(75.0):
        await trio.sleep(1.0)
        raise ConnectionError


async def fail_while_served(slot: Slot) -> None:
    """Leave before the answer."""
    with suppress(ConnectionError), slot.stay(), slot.being_served():
        await trio.sleep(1.0)
        raise ConnectionError


async def idle_for_good(slot: Slot) -> None:
    """Keep the connection open."""
    with slot.stay(), slot.idle(FOREVER_S):
        await trio.sleep(FOREVER_S)


async def be_served_for_good(slot: Slot) -> None:
    """Wait for an answer that does not come."""
    with slot.stay(), slot.being_served():
        await trio.sleep(FOREVER_S)


@pytest.mark.parametrize(
    "visit", [leave, fail_in_the_handshake, fail_while_idle, fail_while_served], ids=lambda visit: visit.__name__
)
async def test_a_place_is_given_back_however_a_visit_ends(
    autojump_clock: MockClock,
    visit: Callable[[Slot], Awaitable[None]],
) -> None:
    """All counters are zero again."""
    connections = Connections(1)
    slot = connections.enter()
    assert connections.open == 1
    await visit(slot)
    assert is_empty(connections)
    assert await time_for_room(connections) == 0.0


@pytest.mark.parametrize("visit", [dawdle, idle_for_good, be_served_for_good], ids=lambda visit: visit.__name__)
@pytest.mark.parametrize("before_it_begins", [False, True])
async def test_a_place_is_given_back_by_who_is_cancelled(
    autojump_clock: MockClock,
    visit: Callable[[Slot], Awaitable[None]],
    before_it_begins: bool,  # noqa: FBT001 - a table
) -> None:
    """By a server whose grace is over, in whatever it is at, also before it has come to anything."""
    connections = Connections(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(visit, connections.enter())
        if not before_it_begins:
            await trio.sleep(1.0)
        assert connections.open == 1
        nursery.cancel_scope.cancel()
    assert is_empty(connections)
    assert connections.cut == 0, "nobody needed room"


@pytest.mark.parametrize("visit", [dawdle, idle_for_good], ids=lambda visit: visit.__name__)
async def test_a_place_is_given_back_by_who_is_cut(
    autojump_clock: MockClock,
    visit: Callable[[Slot], Awaitable[None]],
) -> None:
    """Its task ends of itself, and whatever comes after its stay is done."""
    connections = Connections(1)
    ended: list[int] = []

    async def whole() -> None:
        await visit(connections.enter())
        ended.append(connections.open)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(whole)
        await trio.testing.wait_all_tasks_blocked()
        await connections.room()
    assert ended == [0]
    assert (is_empty(connections), connections.cut) == (True, 1)
