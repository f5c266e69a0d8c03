"""A worker process of a run: it plays its part of the fleet and hands on what it counts, twice a second.

``python -m estsim.engine.worker`` is started by :mod:`estsim.engine.worker_pool`, with orders on standard input and
worker reports on standard output. The end of its input is the end of whoever leads, and its own. Ctrl-C is the
leader's.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from estsim.engine.pipe import Pipe
from estsim.engine.play import Play
from estsim.engine.process_fleet import ProcessFleet
from estsim.engine.shard import Shard
from estsim.engine.timetable import Timetable
from estsim.errors import EstsimError, IllegalTransition, noting
from estsim.fleet.assignment import Assignment
from estsim.fleet.clock import RunClock
from estsim.fleet.demands import recorder_of, secrets_of
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.limits import raise_descriptor_limit
from estsim.fleet.offer import groups_offered
from estsim.fleet.records import noting_by
from estsim.fleet.stop_signals import leave_to_parent
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.internal_errors import InternalErrors
from estsim.record.recorder import Recorder
from estsim.record.worker_report import pack
from estsim.scenario.behaviours import ANY_CODE
from estsim.scenario.happenings import Happening, Mark

_REPORT_S: Final = 0.5


class Worker:
    """One worker: what it is told comes through the pipe, what it has to say goes there."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._epoch: tuple[int, float] | None = None
        self._begins = trio.Event()
        self._over = trio.Event()
        self._held: dict[int, float] = {}  # by the event's place, how long an operator held back what follows
        self._something_held = trio.Event()
        self._shard: Shard | None = None
        self._play_of_fleet: Play | None = None
        self._is_cut = False
        self._made = 0
        self._recorder: Recorder | None = None
        self._errors = InternalErrors()  # that belong to no device, and end this worker
        self._note: Callable[[BaseException], object] = partial(self._errors.note, at_ns=0)

    async def run(self) -> None:
        """Live from the assignment to the last worker report, or to the leader's end.

        A bug of ours that belongs to no device is told to the leader, and is this worker's end.
        """
        note = partial(self._errors.note, at_ns=0)
        with noting(note):
            await self._work()
        if not self._errors:
            return
        if self._shard is not None and self._recorder is not None:
            with noting(note):
                await self._hand_on(self._recorder, self._shard)
        await self._pipe.send("internal_errors", self._errors.packed())

    async def _work(self) -> None:
        async with trio.open_nursery() as nursery:
            message = await self._pipe.receive()
            if message is None:
                return
            packed, source = message[1]
            nursery.start_soon(self._listen, nursery.cancel_scope)
            try:
                await self._play(Assignment.unpacked(packed), Path(source))
            except IllegalTransition:
                raise  # nothing that a user can mend
            except EstsimError as error:
                await self._pipe.send("refused", str(error))
            nursery.cancel_scope.cancel()

    async def _listen(self, life: trio.CancelScope) -> None:
        """Take orders; the end of the stream ends everything."""
        while (message := await self._pipe.receive()) is not None:
            self._obey(*message)
        life.cancel()

    def _obey(self, word: str, value: Any) -> None:  # noqa: ANN401 - what msgpack brings
        match word:
            case "begin":
                mono_ns, wall_s = value
                self._epoch = (int(mono_ns), float(wall_s))
                self._begins.set()
            case "held":
                number, held_s = value
                self._held[number] = held_s
                self._something_held.set()
                self._something_held = trio.Event()
            case "stop" if self._play_of_fleet is not None:
                self._play_of_fleet.stop()
            case "cut":
                self._is_cut = True
                if self._play_of_fleet is not None:
                    self._play_of_fleet.cut()

    async def _play(self, assignment: Assignment, source: Path) -> None:
        scenario = assignment.scenario(source=source, code=ANY_CODE)  # the leader's user has allowed it
        self._errors.secrets = secrets_of(scenario)
        process_fleet = ProcessFleet.of(assignment.host(scenario), assignment.part)
        async with trio.open_nursery() as telling:
            telling.start_soon(self._tell_made)
            await process_fleet.prepare(self._count)
            telling.cancel_scope.cancel()
        await self._pipe.send("ready", [len(process_fleet.fleet.devices), process_fleet.lead_s])
        await self._begins.wait()
        assert self._epoch is not None  # noqa: S101 - set with the event
        clock, recorder = RunClock(*self._epoch), recorder_of(scenario)
        ids = request_ids(f"{assignment.run_id}-w{assignment.part.slot}") if scenario.generator.request_ids else None
        shard = process_fleet.begin(clock, recorder, groups=groups_offered(scenario), request_ids=ids)
        self._shard, self._recorder = shard, recorder
        self._note = note = noting_by(clock, recorder)
        held = self._wait_where_held
        timetable = Timetable(scenario, clock, held, note=note, fleet=process_fleet.fleet, shard=shard)
        play = self._play_of_fleet = Play(shard, clock, timetable, heard=recorder.generator, note=note)
        if self._is_cut:
            play.cut()
        async with trio.open_nursery() as reporting:
            reporting.start_soon(self._report, recorder, shard)
            await play.run(until_settled=scenario.until_settled, duration_s=scenario.duration_s)
            self._over.set()
        play.take()
        await self._hand_on(recorder, shard, play.totals())
        await self._pipe.send("done")

    async def _wait_where_held(self, number: int, happening: Happening) -> float:
        """Wait where an operator is waited for, until the leader says that it goes on."""
        if isinstance(happening.what, Mark) and happening.what.wait_for_enter:
            while number not in self._held:
                await self._something_held.wait()
        return self._held.get(number, 0.0)

    # -- what the leader hears

    def _count(self, made: int) -> None:
        self._made = made

    async def _tell_made(self) -> None:
        while True:
            await self._pipe.send("made", self._made)
            await trio.sleep(_REPORT_S)

    async def _report(self, recorder: Recorder, shard: Shard) -> None:
        while not self._over.is_set():
            await self._hand_on(recorder, shard)
            with trio.move_on_after(_REPORT_S):
                await self._over.wait()

    async def _hand_on(self, recorder: Recorder, shard: Shard, totals: GeneratorTotals | None = None) -> None:
        """Send a worker report; nothing may come between its taking and its sending."""
        recorder.fleet(shard.reading())
        worker_report = recorder.take_report(totals)
        with trio.CancelScope(shield=True):
            await self._pipe.send("parcel", await trio.to_thread.run_sync(pack, worker_report))


def main() -> None:
    """Be a worker on this process's own standard input and output; what is printed by mistake goes to the log."""
    leave_to_parent()
    raise_descriptor_limit()
    outgoing = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    trio.run(_main, sys.stdin.fileno(), outgoing)


async def _main(incoming: int, outgoing: int) -> None:
    async with trio.lowlevel.FdStream(os.dup(incoming)) as orders, trio.lowlevel.FdStream(outgoing) as worker_reports:
        await Worker(Pipe(orders, worker_reports)).run()


if __name__ == "__main__":
    main()
