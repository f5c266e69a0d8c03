"""The connection: nothing that has come stays unseen, nothing that cannot go blocks, and the end never hangs."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Final

import pytest
import trio
import trio.lowlevel
import zmq
from worker_kit import DEADLINE_S, NODE, Router, router

from estsim.locust.worker.messages import Heartbeat, Spawning
from estsim.locust.worker.protocol import content_of, encode
from estsim.locust.worker.socket import Connection, MasterAddress, connection_to, node_name

BEAT: Final = encode("heartbeat", content_of(Heartbeat("ready", 0.0, 0)), NODE)
SPAWNING: Final = encode("spawning", content_of(Spawning()), NODE)


@asynccontextmanager
async def connected(master: Router) -> AsyncIterator[Connection]:
    """Connect to it, and wait until both know of each other."""
    with trio.fail_after(DEADLINE_S):
        async with connection_to(master.address, NODE) as connection:
            assert await connection.change()
            assert connection.send(BEAT)
            await master.heard()
            yield connection


async def test_messages_go_both_ways() -> None:
    """As Locust has them."""
    async with router() as master, connected(master) as connection:
        assert connection.send(SPAWNING)
        assert await master.heard() == ["spawning", None, NODE]
        master.say(7)
        assert await connection.receive() == b"7"


async def test_a_burst_is_received_to_its_end() -> None:
    """The descriptor tells once that something has come, not how much."""
    async with router() as master, connected(master) as connection:
        for number in range(900):
            master.say(number)
        assert [await connection.receive() for _ in range(900)] == [str(number).encode() for number in range(900)]


async def test_what_comes_while_we_send_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending takes note of what has come, and then no descriptor tells of it: nor does anybody look by the clock."""
    monkeypatch.setattr("estsim.locust.worker.socket._LOOK_AGAIN_S", inf)
    async with router() as master, connected(master) as connection, trio.open_nursery() as nursery:
        received: list[bytes] = []

        async def listen() -> None:
            while len(received) < 300:
                received.append(await connection.receive())

        nursery.start_soon(listen)
        for number in range(300):
            await trio.lowlevel.checkpoint()
            master.say(number)
            time.sleep(0.001)  # noqa: ASYNC251 - ZeroMQ's thread has it, and trio has not looked yet
            assert connection.send(BEAT)
            await master.heard()
            while len(received) <= number:
                await trio.lowlevel.checkpoint()


async def test_a_master_that_goes_and_comes_is_seen() -> None:
    """The connection comes back by itself."""
    async with router() as master:
        address = master.address
        async with connection_to(address, NODE) as connection:
            with trio.fail_after(DEADLINE_S):
                assert await connection.change()
                master.socket.close()
                assert not await connection.change()
                assert not connection.send(BEAT)
                async with router(address.port) as second:
                    assert await connection.change()
                    assert connection.send(BEAT)
                    assert (await second.heard())[0] == "heartbeat"


async def test_without_a_master_nothing_is_queued_and_nothing_hangs() -> None:
    """A message for nobody is refused; the end of the connection is at once."""
    async with router() as master:
        address = master.address
    began_s = trio.current_time()
    async with connection_to(address, NODE) as connection:
        assert not connection.send(BEAT)
        with trio.move_on_after(0.3) as waited:
            await connection.receive()
        assert waited.cancelled_caught
    assert trio.current_time() - began_s < 2


async def test_a_master_that_does_not_read_fills_a_bounded_queue() -> None:
    """What does not fit is refused, and the end waits for two seconds at most."""
    with trio.fail_after(DEADLINE_S):
        async with router() as master:
            master.socket.set(zmq.RCVHWM, 1)
            async with connected(master) as connection:
                worker_report = encode("estsim-parcel", bytes(2**20), NODE)
                sent = 0
                while connection.send(worker_report):
                    sent += 1
                    await trio.lowlevel.checkpoint()
                assert sent < 2000
                began_s = trio.current_time()
            assert trio.current_time() - began_s < 4


async def test_last_words_are_heard() -> None:
    """What was sent just before the end goes out."""
    async with router() as master:
        async with connected(master) as connection:
            for _ in range(50):
                assert connection.send(SPAWNING)
        with trio.fail_after(DEADLINE_S):
            assert [(await master.heard())[0] for _ in range(50)] == ["spawning"] * 50


@pytest.mark.parametrize(
    ("host", "shown"), [("10.0.0.5", "10.0.0.5:5557"), ("::1", "[::1]:5557"), ("load.example", "load.example:5557")]
)
def test_how_a_master_s_address_is_shown(host: str, shown: str) -> None:
    """As ZeroMQ and people read it."""
    assert str(MasterAddress(host, 5557)) == shown


def test_names_are_of_the_form_that_locust_has() -> None:
    """Its master groups workers by what comes before the underscore."""
    host, _, unique = node_name().rpartition("_")
    assert host
    assert len(unique) == 32
    assert node_name() != node_name()
