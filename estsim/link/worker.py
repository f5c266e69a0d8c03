"""A worker of a Locust master on trio: the session's acts carried out, with a connection and a fleet.

Theory of operation. What comes in (messages, changes of the connection, the time, news of the fleet) goes to the
session, and what it wants done is done at once and in order; only a parcel is packed in a thread, and what is sent
after it waits for it. The fleet lives in a task of its own and outlives a connection.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import psutil
import trio

from estsim.errors import EstsimError
from estsim.fleet.briefing import Briefing
from estsim.fleet.offsets import Offsets
from estsim.link.acts import (
    Act,
    AskTime,
    Boot,
    Dismiss,
    End,
    HandOn,
    Prepare,
    Reopen,
    Report,
    Say,
    SayAlive,
    SetClock,
    StopFleet,
    Tell,
)
from estsim.link.messages import ClockAsked, Heartbeat, ParcelSent, Stats
from estsim.link.overheard import Heard
from estsim.link.protocol import LinkError, decode
from estsim.link.session import Session
from estsim.link.socket import Connection, MasterAddress, connection_to, node_name
from estsim.link.stats import StatsBook
from estsim.measure.parcel import Parcel, pack

_TICK_S: Final = 0.1
_LAST_WORDS_S: Final = 5.0  # for a last parcel to get into a slow connection
# A master that has not noticed the end of a connection yet ignores the next one of the same name (ZMQ_ROUTER_HANDOVER).
_BETWEEN_CONNECTIONS_S: Final = 0.5
_BOOT_OVER_S: Final = 1.0  # a master tells once a second how many there are to be


class Company(Protocol):
    """The devices of one test, in the hands of a worker: a :class:`~estsim.link.troupe.Troupe`, or a smaller one."""

    devices: int

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Play until stopped, and until what was under way then has ended."""

    async def boot(self, users: int, *, over_s: float) -> None:
        """Let so many more begin."""

    def retire(self, users: int) -> None:
        """Stop the youngest."""

    def take_parcel(self, *, last: bool) -> Parcel:
        """Return what was counted since the one before."""

    async def stop(self) -> None:
        """Begin nothing more, and wait for the end."""

    def cut(self) -> None:
        """End at once what is under way."""


Cast = Callable[[Briefing, float, Heard], Awaitable[Company]]  # with how far the master's clock is ahead of ours


class Worker:
    """One worker. ``cast`` makes the devices of a briefing, ``tell`` tells people how it goes."""

    def __init__(self, session: Session, master: MasterAddress, cast: Cast, tell: Callable[[str], None]) -> None:
        self._session = session
        self._master = master
        self._cast = cast
        self._tell = tell
        self._offsets = Offsets()
        self._stats = StatsBook(time.time())
        self._process = psutil.Process()
        self._connection: Connection | None = None
        self._name = node_name()
        self._to_reopen = trio.CancelScope()
        self._doing = trio.Lock()  # acts are done in the order in which they were wanted
        self._company: Company | None = None
        self._unsent: deque[tuple[bytes, bool]] = deque()  # parcels, and whether each is the last of its test
        self._preparing = trio.CancelScope()
        self._stage: trio.Nursery | None = None
        self._life = trio.CancelScope()
        self._end: End | None = None

    async def run(self) -> End:
        """Work until the end; returns how it came to that."""
        with self._life:
            async with trio.open_nursery() as self._stage:
                self._stage.start_soon(self._keep_time)
                while True:
                    await self._converse()
                    await trio.sleep(_BETWEEN_CONNECTIONS_S)
        assert self._end is not None  # noqa: S101 - nothing else ends it
        return self._end

    async def interrupt(self) -> None:
        """Leave in order; a second time, at once."""
        await self._do(self._session.interrupted())

    # -- what comes in

    async def _converse(self) -> None:
        """Hold a connection until another is wanted, or until the end."""
        self._to_reopen = trio.CancelScope()
        async with connection_to(self._master, self._name) as connection:
            self._connection = connection
            with self._to_reopen:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._listen, connection)
                    nursery.start_soon(self._watch, connection)
            self._connection = None

    async def _listen(self, connection: Connection) -> None:
        while True:
            raw = await connection.receive()
            try:
                message = decode(raw)
            except LinkError as error:
                self._tell(f"{self._master} said what is no message of Locust's: {error}")
                continue
            await self._do(self._session.received(message, trio.current_time()))

    async def _watch(self, connection: Connection) -> None:
        while True:
            now = self._session.linked if await connection.change() else self._session.unlinked
            await self._do(now(trio.current_time()))

    async def _keep_time(self) -> None:
        while True:
            await trio.sleep(_TICK_S)
            await self._do(self._session.tick(trio.current_time()))

    # -- what is done

    async def _do(self, acts: list[Act]) -> None:
        if not acts:
            return
        async with self._doing:
            for act in acts:
                await self._act(act)

    async def _act(self, act: Act) -> None:
        match act:
            case Say() | SayAlive() | Report() | AskTime():
                self._say(act)
            case HandOn(last):
                await self._hand_on(last=last)
            case SetClock(sent_s, master_s):
                self._offsets.answer(sent_s=sent_s, told_s=master_s, now_s=time.time())
            case Prepare() | Boot() | Dismiss() | StopFleet():
                await self._move(act)
            case Reopen(as_another):
                if as_another:
                    self._become_another()
                self._to_reopen.cancel()
            case Tell(words):
                self._tell(words)
            case End():
                self._end = act
                self._life.cancel()

    def _become_another(self) -> None:
        """Take nothing to the next master that was of the one before."""
        self._name = node_name()
        self._offsets = Offsets()
        self._stats.begin(time.time())
        self._unsent.clear()

    def _say(self, act: Say | SayAlive | Report | AskTime) -> None:
        """Send what may be lost: a heartbeat is followed by another, and what was not reported stays in the book."""
        if self._connection is None:
            return
        match act:
            case Say(message):
                self._connection.send(message)
            case SayAlive(state):
                rss_bytes = self._process.memory_info().rss
                self._connection.send(Heartbeat(state, self._process.cpu_percent(), rss_bytes))
            case Report(users):
                self._report(self._connection, users)
            case AskTime():
                self._connection.send(ClockAsked(time.time()))

    def _report(self, connection: Connection, users: Mapping[str, int]) -> None:
        if connection.send(Stats(self._stats.report(), users)):
            self._stats.begin(self._master_s())

    async def _hand_on(self, *, last: bool) -> None:
        """Send a parcel; one that cannot be sent now goes before the next, and none is made meanwhile."""
        if self._company is not None and (last or not self._unsent):
            packed = await trio.to_thread.run_sync(pack, self._company.take_parcel(last=last))
            self._unsent.append((packed, last))
        if last:
            self._company = None
        with trio.move_on_after(_LAST_WORDS_S if last else 0.0):
            while self._unsent and not self._send_parcel(*self._unsent[0]):  # noqa: ASYNC110 - nobody tells of room
                await trio.sleep(_TICK_S)

    def _send_parcel(self, packed: bytes, last: bool) -> bool:  # noqa: FBT001 - a pair of the queue
        offsets = self._offsets
        message = ParcelSent(packed, offsets.offset_s, offsets.round_trip_s, last=last)
        if self._connection is None or not self._connection.send(message):
            return False
        self._unsent.popleft()
        return True

    def _master_s(self) -> float:
        return time.time() + (self._offsets.offset_s or 0.0)

    # -- the fleet

    async def _move(self, act: Prepare | Boot | Dismiss | StopFleet) -> None:
        company = self._company
        match act:
            case Prepare(packed) if self._stage is not None:
                self._stage.start_soon(self._perform, packed)
            case Boot(devices) if company is not None:
                await company.boot(devices, over_s=_BOOT_OVER_S)
            case Dismiss(devices) if company is not None:
                company.retire(devices)
            case StopFleet(at_once):
                self._preparing.cancel()
                if company is not None and self._stage is not None:
                    self._stage.start_soon(company.stop)
                    if at_once:
                        company.cut()

    async def _perform(self, packed: object) -> None:
        """Make the devices of a plan, and play them until they are stopped."""
        self._stats.begin(self._master_s())
        self._company = None
        self._unsent.clear()
        company: Company | None = None
        try:
            with trio.CancelScope() as self._preparing:
                briefing = Briefing.unpacked(packed)
                company = await self._cast(briefing, self._offsets.offset_s or 0.0, self._stats.exchange)
        except EstsimError as error:
            await self._do(self._session.failed(str(error)))
            return
        if company is not None:
            self._company = company  # from now on it is stopped in order
            async with trio.open_nursery() as stage:
                await stage.start(company.run)
                await self._do(self._session.prepared(company.devices))
        await self._do(self._session.stopped(trio.current_time()))
