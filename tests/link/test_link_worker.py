"""A worker between a master's bare connection and a company that is small: orders, parcels, and every way to end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import trio
from link_kit import DEADLINE_S, Router, router

from estsim.errors import UsageError
from estsim.fleet.briefing import Briefing
from estsim.link.acts import End, Ending
from estsim.link.messages import Hello
from estsim.link.overheard import Heard
from estsim.link.session import Session
from estsim.link.worker import Worker
from estsim.measure.gatherer import Gatherer
from estsim.measure.parcel import Parcel, unpack
from estsim.measure.summary import GeneratorTotals

PLAN: Final = Briefing("r1", "version: 1", "https://est.example", (), explicit=True).packed()


@dataclass(slots=True)
class Players:
    """Three devices that do nothing but as they are told; ``slow`` ones end only when they are cut."""

    slow: bool = False
    devices: int = 3
    moves: list[int] = field(default_factory=list)
    gatherer: Gatherer = field(default_factory=Gatherer)
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

    def take_parcel(self, *, last: bool) -> Parcel:
        """Return what there is."""
        return self.gatherer.take_parcel(GeneratorTotals(0.0, 0) if last else None)

    async def stop(self) -> None:
        """End, unless slow."""
        if not self.slow:
            self.over.set()

    def cut(self) -> None:
        """End."""
        self.over.set()


Cast = Callable[[Briefing, float, Heard], Awaitable[Players]]


def of(players: Players) -> Cast:
    """Return who casts these."""

    async def cast(briefing: Briefing, _offset_s: float, _heard: Heard) -> Players:
        assert briefing.run_id == "r1"
        return players

    return cast


@dataclass(slots=True)
class Stage:
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

    async def take_in(self) -> None:
        """Do what a master does with a worker that calls."""
        assert await self.master.hears("client_ready") == -1
        assert (await self.master.hears("estsim-hello"))["protocol"] == 1
        self.master.order("ack", {"index": 0})

    def spawn(self, users: int, timestamp_s: float) -> None:
        """Order so many users."""
        order = {"timestamp": timestamp_s, "user_classes_count": {"Meter": users}, "host": None, "stop_timeout": None}
        self.master.order("spawn", order)

    async def parcel(self) -> Parcel:
        """Return the next parcel."""
        return unpack((await self.master.hears("estsim-parcel", among=["spawning", "spawning_complete"]))["parcel"])


@asynccontextmanager
async def working(cast: Cast) -> AsyncIterator[Stage]:
    """Let a worker work, taken in by a master, until the block ends."""
    with trio.fail_after(DEADLINE_S):
        async with router() as master, trio.open_nursery() as nursery:
            told: list[str] = []
            session = Session(Hello("0", b"key"), master="m", patience_s=60, now_s=trio.current_time())
            stage = Stage(master, Worker(session, master.address, cast, told.append), told)
            nursery.start_soon(stage.work)
            await stage.take_in()
            yield stage
            nursery.cancel_scope.cancel()


async def test_a_test_is_played_and_handed_on() -> None:
    """Orders move the company; after the last parcel the worker is gone for Locust, and there again."""
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
        first = await stage.parcel()
        stage.master.order("stop")
        last = await stage.master.hears("estsim-parcel")
        while not last["last"]:
            last = await stage.master.hears("estsim-parcel")
        assert unpack(last["parcel"]).number > first.number
        assert await stage.master.hears("client_stopped") is None
        await stage.take_in()
    assert "plan received" in stage.told


async def test_a_stop_while_devices_are_made_ends_their_making() -> None:
    """The next plan is played."""
    casts = 0

    async def slow_at_first(_briefing: Briefing, _offset_s: float, _heard: Heard) -> Players:
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
        await stage.take_in()
        stage.master.order("estsim-plan", PLAN)
        assert (await stage.parcel()).number == 1


async def test_what_cannot_be_played_is_told_to_the_master_and_to_people() -> None:
    """And ends the worker."""

    async def cast(_briefing: Briefing, _offset_s: float, _heard: Heard) -> Players:
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
        numbers = [(await stage.parcel()).number]
        stage.master.socket.close()
        await trio.sleep(1.5)
        async with router(stage.master.port) as again:
            stage.master = again
            numbers += [(await stage.parcel()).number for _ in range(2)]
        assert numbers[1:] == [numbers[0] + 1, numbers[0] + 2]


async def test_the_master_ends_it() -> None:
    """With the last parcel and a goodbye."""
    async with working(of(Players())) as stage:
        stage.master.order("estsim-plan", PLAN)
        await stage.parcel()
        stage.master.order("quit")
        assert (await stage.master.hears("estsim-parcel"))["last"]
        await stage.master.hears("quit")
        assert await stage.how() is Ending.TOLD


async def test_a_second_interrupt_does_not_wait() -> None:
    """For what is under way: it is cut, and handed on as such."""
    players = Players(slow=True)
    async with working(of(players)) as stage:
        stage.master.order("estsim-plan", PLAN)
        await stage.parcel()
        await stage.worker.interrupt()
        await stage.parcel()
        assert not players.over.is_set()
        await stage.worker.interrupt()
        assert (await stage.master.hears("estsim-parcel"))["last"]
        assert await stage.how() is Ending.INTERRUPTED


async def test_a_master_that_asks_for_a_new_connection_gets_one() -> None:
    """Of the same worker, in the middle of its test."""
    async with working(of(Players())) as stage:
        stage.master.order("estsim-plan", PLAN)
        number, name = (await stage.parcel()).number, stage.master.node
        stage.master.order("reconnect")
        assert (await stage.parcel()).number == number + 1
        assert stage.master.node == name
