"""A worker between a master's bare connection and a small fleet: orders, worker reports, and every way to end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import trio
from forged_messages import TO_WORKER, forged
from worker_kit import DEADLINE_S, Router, router

from estsim.errors import UsageError
from estsim.fleet.assignment import Assignment
from estsim.fleet.link_secret import NO_SECRET, Secret
from estsim.locust.worker.acts import End, Ending
from estsim.locust.worker.peer import Peer
from estsim.locust.worker.session import Session
from estsim.locust.worker.socket import node_name
from estsim.locust.worker.tee import ExchangeListener
from estsim.locust.worker.worker import Worker
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.recorder import Recorder
from estsim.record.worker_report import WorkerReport, unpack

PLAN: Final = Assignment("r1", "version: 1", "https://est.example", (), explicit=True).packed()


@dataclass(slots=True)
class Players:
    """Three devices that do nothing but as they are told; ``slow`` ones end only when they are cut."""

    slow: bool = False
    devices: int = 3
    moves: list[int] = field(default_factory=list)
    gatherer: Recorder = field(default_factory=Recorder)
    over: trio.Event = field(default_factory=trio.Event)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Play."""
        task_status.started()
        await self.over.wait()

    async def boot(self, users: int, *, over_s: float) -> None:
        """Take note."""
        assert over_s == 1.0
        self.moves.append(users)

    def retire(self, users: int) -> None:
        """Take note."""
        self.moves.append(-users)

    def note(self, bug: BaseException) -> None:
        """Take note of a bug of ours."""
        self.gatherer.internal_error(bug, at_ns=0)

    def take_report(self, *, last: bool) -> WorkerReport:
        """Return what there is."""
        return self.gatherer.take_report(GeneratorTotals(0.0, 0) if last else None)

    async def stop(self) -> None:
        """End, unless slow."""
        if not self.slow:
            self.over.set()

    def cut(self) -> None:
        """End."""
        self.over.set()


Cast = Callable[[Assignment, float, ExchangeListener], Awaitable[Players]]


def of(players: Players) -> Cast:
    """Return who casts these."""

    async def cast(assignment: Assignment, _offset_s: float, _heard: ExchangeListener) -> Players:
        assert assignment.run_id == "r1"
        return players

    return cast


@dataclass(slots=True)
class RunContext:
    """A worker at work; ``end`` is set once it has ended."""

    master: Router
    worker: Worker
    told: list[str]
    end: End | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    async def work(self) -> None:
        """Work to the end."""
        self.end = await self.worker.run()
        self.ended.set()

    async def how(self) -> Ending:
        """Wait for the end, and say how it came."""
        await self.ended.wait()
        assert self.end is not None
        return self.end.how

    def spawn(self, users: int, timestamp_s: float) -> None:
        """Order so many users."""
        order = {"timestamp": timestamp_s, "user_classes_count": {"Meter": users}, "host": None, "stop_timeout": None}
        self.master.order("spawn", order)

    async def worker_report(self) -> WorkerReport:
        """Return the next worker report."""
        return unpack((await self.master.hears("estsim-parcel", among=["spawning", "spawning_complete"]))["parcel"])


@asynccontextmanager
async def working(cast: Cast, *, secret: Secret = NO_SECRET) -> AsyncIterator[RunContext]:
    """Let a worker work, taken in by a master, until the block ends."""
    with trio.fail_after(DEADLINE_S):
        async with router(secret=secret) as master, trio.open_nursery() as nursery:
            told: list[str] = []
            session = Session(master="m", patience_s=60, now_s=trio.current_time())
            peer = Peer(secret, node_name(), version="0", public_key=b"key")
            stage = RunContext(master, Worker(session, peer, master.address, cast, told.append), told)
            nursery.start_soon(stage.work)
            await master.take_in()
            yield stage
            nursery.cancel_scope.cancel()


async def test_a_test_is_played_and_handed_on() -> None:
    """Orders move the company; after the last worker report the worker is gone for Locust, and there again."""
    players = Players()
    async with working(of(players)) as stage:
        stage.master.order("estsim-plan", PLAN)
        stage.spawn(2, 1.0)
        assert await stage.master.hears("spawning") is None
        users = {"user_classes_count": {"Meter": 2}, "user_count": 2}
        assert await stage.master.hears("spawning_complete", among=["estsim-parcel"]) == users
        stage.spawn(1, 2.0)
        await stage.master.hears("spawning_complete", among=["estsim-parcel", "spawning"])
        assert players.moves == [2, -1]
        first = await stage.worker_report()
        stage.master.order("stop")
        last = await stage.master.hears("estsim-parcel")
        while not last["last"]:
            last = await stage.master.hears("estsim-parcel")
        assert unpack(last["parcel"]).number > first.number
        assert await stage.master.hears("client_stopped") is None
        await stage.master.hears("estsim-join")
        await stage.master.have_ready()
    assert "plan received" in stage.told


async def test_a_stop_while_devices_are_made_ends_their_making() -> None:
    """The next plan is played."""
    casts = 0

    async def slow_at_first(_assignment: Assignment, _offset_s: float, _heard: ExchangeListener) -> Players:
        nonlocal casts
        casts += 1
        if casts == 1:
            await trio.sleep_forever()
        return Players()

    async with working(slow_at_first) as stage:
        stage.master.order("estsim-plan", PLAN)
        stage.spawn(2, 1.0)
        await stage.master.hears("spawning")
        stage.master.order("stop")
        await stage.master.hears("client_stopped")
        await stage.master.hears("estsim-join")
        await stage.master.have_ready()
        stage.master.order("estsim-plan", PLAN)
        assert (await stage.worker_report()).number == 1


async def test_what_cannot_be_played_is_told_to_the_master_and_to_people() -> None:
    """And ends the worker."""

    async def cast(_assignment: Assignment, _offset_s: float, _heard: ExchangeListener) -> Players:
        raise UsageError("born.pem: cannot be read")

    async with working(cast) as stage:
        stage.master.order("estsim-plan", PLAN)
        assert (await stage.master.hears("exception"))["msg"] == "born.pem: cannot be read"
        await stage.master.hears("quit")
        assert await stage.how() is Ending.REFUSED
    assert stage.end == End(Ending.REFUSED, "born.pem: cannot be read")


@pytest.mark.parametrize("plan", [None, 5, {}, {**PLAN, "version": 99}, {**PLAN, "sha256": "0"}, {**PLAN, "part": "x"}])
async def test_a_plan_that_is_none(plan: Any) -> None:  # noqa: ANN401 - whatever a master sends
    """Whatever it is: a reason, and the end."""
    async with working(of(Players())) as stage:
        stage.master.order("estsim-plan", plan)
        await stage.master.hears("exception")
        assert await stage.how() is Ending.REFUSED


async def test_parcels_wait_for_a_connection_that_was_lost() -> None:
    """The master that comes back gets all of them, none twice."""
    async with working(of(Players())) as stage:
        stage.master.order("estsim-plan", PLAN)
        numbers = [(await stage.worker_report()).number]
        stage.master.socket.close()
        await trio.sleep(1.5)
        link = stage.master.link
        async with router(stage.master.port) as again:
            stage.master, again.link = again, link
            numbers += [(await stage.worker_report()).number for _ in range(2)]
        assert numbers[1:] == [numbers[0] + 1, numbers[0] + 2]


async def test_the_master_ends_it() -> None:
    """With the last worker report and a goodbye."""
    async with working(of(Players())) as stage:
        stage.master.order("estsim-plan", PLAN)
        await stage.worker_report()
        stage.master.order("quit")
        assert (await stage.master.hears("estsim-parcel"))["last"]
        await stage.master.hears("quit")
        assert await stage.how() is Ending.TOLD


async def test_a_second_interrupt_does_not_wait() -> None:
    """For what is under way: it is cut, and handed on as such."""
    players = Players(slow=True)
    async with working(of(players)) as stage:
        stage.master.order("estsim-plan", PLAN)
        await stage.worker_report()
        await stage.worker.interrupt()
        await stage.worker_report()
        assert not players.over.is_set()
        await stage.worker.interrupt()
        assert (await stage.master.hears("estsim-parcel"))["last"]
        assert await stage.how() is Ending.INTERRUPTED


async def test_a_master_that_asks_for_a_new_connection_gets_one() -> None:
    """Of the same worker, in the middle of its test."""
    async with working(of(Players())) as stage:
        stage.master.order("estsim-plan", PLAN)
        number, name = (await stage.worker_report()).number, stage.master.node
        stage.master.order("reconnect")
        assert (await stage.worker_report()).number == number + 1
        assert stage.master.node == name


@pytest.mark.parametrize("secret", [NO_SECRET, Secret(b"s" * 32)])
async def test_forged_messages_move_no_worker(secret: Secret) -> None:
    """Estsim's names with anything in them, deep, large and cut: the worker is there for the plan that comes after."""
    async with working(of(Players()), secret=secret) as stage:
        node = stage.master.node.decode()
        for number, raw in enumerate(forged(node, ())):
            stage.master.socket.send_multipart([stage.master.node, raw])
            if number % 100 == 0:
                await trio.sleep(0.05)  # the queue of a connection holds a thousand
        stage.master.order("estsim-plan", PLAN)
        assert (await stage.worker_report()).number == 1
        assert stage.end is None
        told = [line for line in stage.told if "refused a message from" in line]
        assert 10 < len(told) <= 101
        assert len(set(told)) == len(told)
        assert all(line.isprintable() for line in stage.told)


async def test_forged_orders_move_no_worker_that_has_found_no_master() -> None:
    """Locust's own too: it calls on, and is taken in by one that proves the secret."""
    with trio.fail_after(DEADLINE_S):
        async with router(secret=Secret(b"s" * 32)) as master, trio.open_nursery() as nursery:
            told: list[str] = []
            session = Session(master="m", patience_s=60, now_s=trio.current_time())
            peer = Peer(Secret(b"s" * 32), node_name(), version="0", public_key=b"key")
            stage = RunContext(master, Worker(session, peer, master.address, of(Players()), told.append), told)
            nursery.start_soon(stage.work)
            assert (await master.heard())[0] == "estsim-hello"
            kinds = (b"estsim-challenge", b"estsim-refused")  # either may end a worker that has found no master yet
            for number, raw in enumerate(forged(master.node.decode(), TO_WORKER)):
                if not any(kind in raw for kind in kinds):
                    master.socket.send_multipart([master.node, raw])
                if number % 100 == 0:
                    await trio.sleep(0.05)
            await master.take_in()
            stage.master.order("estsim-plan", PLAN)
            assert (await stage.worker_report()).number == 1
            assert sum("it has not proved that it has the link secret" in line for line in told) == 1
            assert all(line.isprintable() for line in told)
            nursery.cancel_scope.cancel()
