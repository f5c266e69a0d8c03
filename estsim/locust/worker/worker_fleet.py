"""The worker's fleet: the devices that one worker of a Locust master plays, as many as Locust has users.

Devices are made beforehand, those of the worker's part of the fleet. They begin when Locust spawns users, in the order
in which the plan has them boot; at its times where Locust spawns them just before, as estsim's own shape has it. From
then on each lives as the scenario says. A device that has left by itself still is a user, who does nothing; users that
Locust stops are the youngest.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Final

import trio

from estsim.device.events import Event, Started, StopAsked
from estsim.engine.play import Play
from estsim.engine.process_fleet import ProcessFleet
from estsim.engine.timetable import Timetable
from estsim.errors import UsageError, noting
from estsim.est.signing import PrivateKey
from estsim.fleet.assignment import Assignment
from estsim.fleet.boots import boots_of, is_timely
from estsim.fleet.clock import RunClock
from estsim.fleet.demands import recorder_of, secrets_of
from estsim.fleet.devices import Device, spare_device
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.offer import groups_offered
from estsim.fleet.records import noting_by
from estsim.locust.worker.tee import ExchangeListener, RecordsTee
from estsim.record.internal_errors import InternalErrors
from estsim.record.worker_report import WorkerReport
from estsim.scenario.happenings import CohortJoin, Happening, Mark
from estsim.scenario.plan import Scenario

_DEVICES_BETWEEN_YIELDS: Final = 16


class WorkerFleet:
    """A worker's devices in one test; made by :meth:`cast`."""

    def __init__(
        self,
        scenario: Scenario,
        process_fleet: ProcessFleet,
        assignment: Assignment,
        clock: RunClock,
        *,
        heard: ExchangeListener,
        offset_s: float,
    ) -> None:
        fleet, part = process_fleet.fleet, assignment.part
        fleet.boots.clear()  # Locust says when
        devices = {device.index: device for device in fleet.devices}
        self.devices = len(devices)
        self._scenario = scenario
        self._process_fleet = process_fleet
        self._clock = clock
        self._waiting = iter([(at_s, devices[number]) for at_s, number in boots_of(scenario, part)])
        self._extras = part.extras(scenario)
        self._on_stage: list[Device] = []  # begun, the youngest last, as many as Locust has users here
        self._recorder = recorder_of(scenario)
        ids = request_ids(f"{assignment.run_id}-w{part.slot}") if scenario.generator.request_ids else None
        self.errors = InternalErrors(secrets_of(scenario))
        records = RecordsTee(self._recorder, heard, clock, offset_s, self.errors)
        self.note = noting_by(clock, records)
        self._shard = process_fleet.begin(clock, records, groups=groups_offered(scenario), request_ids=ids)
        plan = _without_joins(scenario)
        timetable = Timetable(plan, clock, _go_on, note=self.note, fleet=fleet, shard=self._shard)
        self._play = Play(self._shard, clock, timetable, heard=self._recorder.generator, note=self.note)
        self._over = trio.Event()

    @classmethod
    async def cast(
        cls,
        assignment: Assignment,
        *,
        source: Path,
        own: Scenario,
        own_key: PrivateKey,
        offset_s: float = 0.0,
        tell: Callable[[int], None] = lambda _: None,
        heard: ExchangeListener = lambda _sample, _wall_s: None,
    ) -> "WorkerFleet":
        """Make the devices of this worker's part; tells now and then how many there are.

        ``source`` is the worker's own scenario file, ``own`` what is in it, ``own_key`` what the master's certificates
        of manufacturers are for, ``offset_s`` how far the master's wall clock is ahead of ours; ``heard`` is told of
        each exchange and of the time of its end by the master's clock. Raises ScenarioError, AssignmentError, and
        UsageError for what devices need and this machine does not have.
        """
        scenario = assignment.scenario(source=source, own=own)
        _refuse(scenario)
        process_fleet = ProcessFleet.of(assignment.host(scenario, own_key=own_key), assignment.part)
        await process_fleet.prepare(tell)
        return cls(
            scenario,
            process_fleet,
            assignment,
            RunClock.at_wall(assignment.wall_epoch_s - offset_s),
            heard=heard,
            offset_s=offset_s,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Play until :meth:`stop`, and until what was under way then has ended, or its time is over."""
        try:
            with noting(self.note):
                await self._play.run(until_settled=False, ramp_s=0.0, task_status=task_status)
            self._play.take()
        finally:
            self._over.set()

    @property
    def running(self) -> int:
        """How many users there are: devices that have begun and were not stopped by Locust."""
        return len(self._on_stage)

    async def boot(self, users: int, *, over_s: float) -> None:
        """Let so many more devices begin: by the plan where Locust keeps to it, else evenly over seconds."""
        now_s = self._clock.now_s()
        for number in range(users):
            planned_s, device = next(self._waiting, None) or (-inf, self._extra())
            at_s = planned_s if is_timely(planned_s, now_s) else now_s + over_s * number / users
            self._on_stage.append(device)
            self._shard.order(at_s, device, Started)
            if number % _DEVICES_BETWEEN_YIELDS == 0:
                await trio.lowlevel.checkpoint()

    def retire(self, users: int) -> None:
        """Stop the youngest: what they have under way may end."""
        now_s = self._clock.now_s()
        for _ in range(min(users, len(self._on_stage))):
            self._shard.order(now_s, self._on_stage.pop(), _stop)

    def take_report(self, *, last: bool = False) -> WorkerReport:
        """Return what has been counted and recorded since the worker report before; the last one says what it cost."""
        self._recorder.fleet(self._shard.reading())
        return self._recorder.take_report(self._play.totals() if last else None)

    async def stop(self) -> None:
        """Begin nothing more, and wait until what is under way has ended."""
        self._on_stage.clear()
        self._play.stop()
        await self._over.wait()

    def cut(self) -> None:
        """End at once what is under way."""
        self._play.cut()

    def _extra(self) -> Device:
        """Make a device beyond the plan's: Locust has more users here than this part of the fleet has devices."""
        device = spare_device(self._process_fleet.cohorts, self._scenario, next(self._extras))
        self._shard.admit(device)
        return device


def _refuse(scenario: Scenario) -> None:
    """Refuse by name what cannot be had under a Locust master. Raises UsageError."""
    for cohort in scenario.cohorts:
        if cohort.start is not None:
            raise UsageError(f"cohorts.{cohort.name}.start: operational devices are supported by estsim run only")
        if cohort.stations is not None:
            raise UsageError(f"cohorts.{cohort.name}.boot.stations: stations are supported by estsim run only")


def _without_joins(scenario: Scenario) -> Scenario:
    """Return the plan without the events that let cohorts begin, in whose place Locust spawns users.

    The place of every other event stays: it keys its draws.
    """
    events = [
        replace(event, what=Mark(f"{event.what.cohort} joins")) if isinstance(event.what, CohortJoin) else event
        for event in scenario.events
    ]
    return replace(scenario, events=tuple(events))


def _stop(_: float) -> Event:
    return StopAsked()


async def _go_on(number: int, happening: Happening) -> float:  # noqa: ARG001 - a Happen
    """Let an event pass: what it is beside its orders to devices is the master's to do and to tell."""
    return 0.0
