"""A worker of a Locust master on trio: the session's acts carried out, with a connection and a fleet.

Theory of operation. What comes in (messages, changes of the connection, the time, news of the fleet) goes to the
session, and what it wants done is done at once and in order; only a worker report is packed in a thread, and what is
sent after it waits for it. The fleet lives in a task of its own and outlives a connection.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import trio

from estsim.errors import EstsimError, noting
from estsim.fleet.assignment import Assignment
from estsim.fleet.offsets import Offsets
from estsim.fleet.telling import ToldOnce, unquoted
from estsim.fleet.usage import OwnProcess
from estsim.locust.worker.acts import (
    Act,
    AskTime,
    Boot,
    End,
    HandOn,
    Prepare,
    Reopen,
    Report,
    Say,
    SayAlive,
    SetClock,
    StopDevices,
    StopFleet,
    Tell,
)
from estsim.locust.worker.messages import ClockAsked, FromWorker, Heartbeat, ReportSent, Stats
from estsim.locust.worker.peer import Peer
from estsim.locust.worker.protocol import LinkError
from estsim.locust.worker.session import Session
from estsim.locust.worker.socket import Connection, MasterAddress, connection_to, node_name
from estsim.locust.worker.stats import StatsBook
from estsim.locust.worker.tee import ExchangeListener
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.internal_errors import InternalErrors
from estsim.record.recorder import Recorder
from estsim.record.worker_report import WorkerReport, pack

_BUG: Final = "internal error of estsim while creating the devices"
_TICK_S: Final = 0.1
_LAST_WORDS_S: Final = 5.0  # for a last worker report to get into a slow connection
# A master that has not noticed the end of a connection yet ignores the next one of the same name (ZMQ_ROUTER_HANDOVER).
_BETWEEN_CONNECTIONS_S: Final = 0.5
_BOOT_OVER_S: Final = 1.0  # a master tells once a second how many there are to be


class Fleet(Protocol):
    """The devices of one test that a worker plays, such as :class:`~estsim.locust.worker.worker_fleet.WorkerFleet`."""

    devices: int

    def note(self, bug: BaseException) -> None:
        """Take note of a bug of ours, for the master as well."""

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Play until stopped, and until what was under way then has ended."""

    async def boot(self, users: int, *, over_s: float) -> None:
        """Let so many more begin."""

    def retire(self, users: int) -> None:
        """Stop the youngest."""

    def take_report(self, *, last: bool) -> WorkerReport:
        """Return what was counted since the one before."""

    async def stop(self) -> None:
        """Begin nothing more, and wait for the end."""

    def cut(self) -> None:
        """End at once what is under way."""


Cast = Callable[
    [Assignment, float, ExchangeListener], Awaitable[Fleet]
]  # with how far the master's clock is ahead of ours


class Worker:
    """One worker of ``peer``, who is at ``master``.

    ``cast`` makes the devices of an assignment, ``tell`` tells people how it goes.
    """

    def __init__(
        self, session: Session, peer: Peer, master: MasterAddress, cast: Cast, tell: Callable[[str], None]
    ) -> None:
        self._session = session
        self._peer = peer
        self._master = master
        self._cast = cast
        self._tell = tell
        self._offsets = Offsets()
        self._stats = StatsBook(time.time())
        self._process = OwnProcess()
        self._connection: Connection | None = None
        self._complain = ToldOnce(tell)  # of what a stranger may have sent, and without end
        self._to_reopen = trio.CancelScope()
        self._doing = trio.Lock()  # acts are done in the order in which they were wanted
        self._fleet: Fleet | None = None
        self._run_id = ""
        self._unsent: deque[tuple[bytes, bool]] = deque()  # worker reports, and whether each is the last of its test
        self._preparing = trio.CancelScope()
        self._stage: trio.Nursery | None = None
        self._life = trio.CancelScope()
        self._end: End | None = None
        self.errors = InternalErrors()  # bugs of ours that belong to no test

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
        async with connection_to(self._master, self._peer.node) as connection:
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
                message = self._peer.decode(raw)
            except LinkError as error:
                self._complain(f"refused a message from {self._master}: {error}")
                continue
            with noting(self._note, on_purpose=True):
                await self._do(self._session.received(message, trio.current_time()))

    async def _watch(self, connection: Connection) -> None:
        while True:
            now = self._session.linked if await connection.change() else self._session.unlinked
            with noting(self._note, on_purpose=True):
                await self._do(now(trio.current_time()))

    async def _keep_time(self) -> None:
        while True:
            await trio.sleep(_TICK_S)
            with noting(self._note, on_purpose=True):
                await self._do(self._session.tick(trio.current_time()))

    # -- what is done

    async def _do(self, acts: list[Act]) -> None:
        if not acts:
            return
        async with self._doing:
            for act in acts:
                with noting(self._note, on_purpose=True):
                    await self._act(act)

    def _note(self, bug: Exception) -> None:
        """Take note of a bug of ours: the master hears of it, and this worker's end tells of it."""
        if self._fleet is not None:
            self._fleet.note(bug)
        else:
            self.errors.note(bug, at_ns=0)

    async def _act(self, act: Act) -> None:
        match act:
            case Say() | SayAlive() | Report() | AskTime():
                self._say(act)
            case HandOn(last):
                await self._hand_on(last=last)
            case SetClock(sent_s, master_s):
                self._offsets.answer(sent_s=sent_s, told_s=master_s, now_s=time.time())
            case Prepare() | Boot() | StopDevices() | StopFleet():
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
        self._peer.forget(node_name())
        self._offsets = Offsets()
        self._stats.begin(time.time())
        self._unsent.clear()

    def _say(self, act: Say | SayAlive | Report | AskTime) -> None:
        """Send what may be lost: a heartbeat is followed by another, and what was not reported stays in the book."""
        match act:
            case Say(message):
                self._send(message)
            case SayAlive(state):
                rss_bytes = self._process.rss_bytes()
                self._send(Heartbeat(state, self._process.cpu_percent(), rss_bytes))
            case Report(users):
                self._report(users)
            case AskTime():
                self._send(ClockAsked(time.time()))

    def _send(self, message: FromWorker) -> bool:
        """Send a message, or say that it cannot be sent now."""
        return self._connection is not None and self._connection.send(self._peer.encode(message))

    def _report(self, users: Mapping[str, int]) -> None:
        if self._send(Stats(self._stats.report(), users)):
            self._stats.begin(self._master_s())

    async def _hand_on(self, *, last: bool) -> None:
        """Send a worker report; one that cannot be sent now goes before the next, and none is made meanwhile."""
        if self._fleet is not None and (last or not self._unsent):
            packed = await trio.to_thread.run_sync(pack, self._fleet.take_report(last=last))
            self._unsent.append((packed, last))
        if last:
            self._fleet = None
        await self._send_reports(within_s=_LAST_WORDS_S if last else 0.0)

    async def _send_reports(self, *, within_s: float) -> None:
        with trio.move_on_after(within_s):
            while self._unsent and not self._send_report(*self._unsent[0]):  # noqa: ASYNC110 - nobody tells of room
                await trio.sleep(_TICK_S)

    def _send_report(self, packed: bytes, last: bool) -> bool:  # noqa: FBT001 - a pair of the queue
        offsets = self._offsets
        if not self._send(ReportSent(self._run_id, packed, offsets.offset_s, offsets.round_trip_s, last=last)):
            return False
        self._unsent.popleft()
        return True

    def _master_s(self) -> float:
        return time.time() + (self._offsets.offset_s or 0.0)

    # -- the fleet

    async def _move(self, act: Prepare | Boot | StopDevices | StopFleet) -> None:
        fleet = self._fleet
        match act:
            case Prepare(packed) if self._stage is not None:
                self._stage.start_soon(self._perform, packed)
            case Boot(devices) if fleet is not None:
                await fleet.boot(devices, over_s=_BOOT_OVER_S)
            case StopDevices(devices) if fleet is not None:
                fleet.retire(devices)
            case StopFleet(at_once):
                self._preparing.cancel()
                if fleet is not None and self._stage is not None:
                    self._stage.start_soon(fleet.stop)
                    if at_once:
                        fleet.cut()

    async def _fail(self, bug: Exception) -> None:
        """Tell the master of a bug of ours that left nothing to play, in a last worker report, and leave."""
        self._note(bug)
        recorder = Recorder()
        recorder.internal_error(bug, at_ns=0)
        self._unsent.append((pack(recorder.take_report(GeneratorTotals(0.0, 0))), True))
        await self._send_reports(within_s=_LAST_WORDS_S)
        await self._do(self._session.failed(_BUG, unquoted=_BUG))

    async def _perform(self, packed: object) -> None:
        """Make the devices of a plan, and play them until they are stopped."""
        self._stats.begin(self._master_s())
        self._fleet = None
        self._unsent.clear()
        fleet: Fleet | None = None
        met: list[Exception] = []
        try:
            with noting(met.append, on_purpose=True), trio.CancelScope() as self._preparing:
                assignment = Assignment.unpacked(packed)
                self._run_id = assignment.run_id
                fleet = await self._cast(assignment, self._offsets.offset_s or 0.0, self._stats.exchange)
        except EstsimError as error:
            await self._do(self._session.failed(str(error), unquoted(error)))
            return
        if met:
            await self._fail(met[0])
            return
        if fleet is not None:
            self._fleet = fleet  # from now on it is stopped in order
            with noting(self._note, on_purpose=True):
                async with trio.open_nursery() as stage:
                    await stage.start(fleet.run)
                    await self._do(self._session.prepared(fleet.devices))
        await self._do(self._session.stopped(trio.current_time()))
