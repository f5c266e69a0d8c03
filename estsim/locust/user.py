"""A device as a Locust user: ``class Meter(EstDevice): scenario = "power-cut"; cohort = "meters"`` in any locustfile.

Each user is one device of the scenario, from its boot to its stop, whatever other users do beside it. Each exchange is
a request of type ``EST`` in Locust's statistics, under the name of its operation. A deferral is no failure.
"""

import logging
from typing import Any, ClassVar, Final
from weakref import WeakSet

import gevent
from gevent.event import Event
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_STOPPING

from estsim.errors import EstsimError, noting
from estsim.fleet.clock import NS_PER_S
from estsim.fleet.device_connection import DeviceConnection
from estsim.fleet.device_loop import DeviceLoop, stop_at_bug
from estsim.fleet.devices import Device
from estsim.fleet.exchanges import Exchanges
from estsim.fleet.rows import failure_of
from estsim.fleet.run_context import RunContext
from estsim.locust import hooks  # noqa: F401 - a locustfile with a user of ours needs nothing else
from estsim.locust.users.playable import check_playable, read_scenario
from estsim.locust.users.start_limiter import StartLimiter
from estsim.locust.users.tuning import collect_rarely
from estsim.net.io_blocking import BlockingIo
from estsim.record.sample import Sample

REQUEST_TYPE: Final = "EST"
DRAIN_S: Final = 10.0  # what an exchange under way may still take where Locust would stop a user at once

_LOG: Final = logging.getLogger(__name__)
_NS_PER_MS: Final = 1_000_000
_START_LIMITER: Final = StartLimiter()
_TUNED_FOR: Final[WeakSet[RunContext]] = WeakSet()


class ExchangeFailed(EstsimError):  # noqa: N818 - says what it is
    """What a failed exchange is in Locust's statistics."""


class EstDevice(User):
    """One device of a scenario.

    ``scenario`` is a file, or the name of one that comes with estsim; None is the one of ``--scenario``. ``cohort`` is
    the name of one of its cohorts, None any. When there are no devices left the user stops. One whose device is done
    stays, and does nothing; asked to stop by Locust, it still takes the answer to an exchange under way.
    """

    abstract = True
    scenario: ClassVar[str | None] = None
    cohort: ClassVar[str | None] = None

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._stage: RunContext | None = None
        self._alarm = Event()

    @task
    def live(self) -> None:
        """Live a device's whole life; the only task of such a user."""
        if self._stage is not None:
            raise StopUser
        try:
            stage = self._stage = _run_context_for(self.environment, self.scenario)
        except EstsimError as error:
            _LOG.error("%s", error)
            raise StopUser from error  # else Locust would ask again at once, for ever
        device: Device | None = None
        with noting(lambda bug: stage.ledger.note(bug, None, stage.clock.now_ns())):
            device = stage.take(self.cohort)
        if device is None:
            raise StopUser
        exchanges = Exchanges(stage.clock, self._book, request_ids=stage.request_ids)
        io = BlockingIo(elsewhere=gevent.get_hub().threadpool.apply)
        try:
            with noting(lambda bug: stop_at_bug(device, bug, stage.ledger, stage.clock)):
                DeviceLoop(device, stage, exchanges, self._alarm, io=io, start_limiter=_START_LIMITER).run()
        finally:
            stage.give_back(device)
        self._alarm.wait()  # a device that has left still is a user: Locust would spawn another one in its place
        raise StopUser

    def stop(self, force: bool = False) -> bool:  # noqa: FBT001, FBT002 - as Locust has it
        """Let the exchange under way end, then stop; forced, it may take so long as any run's drain."""
        if self._stage is None:
            return bool(super().stop(force=True))
        self._state = LOCUST_STATE_STOPPING
        self._alarm.set()
        if force:
            self.greenlet.join(DRAIN_S)
            self.group.killone(self.greenlet)
        return force

    def _book(self, device: Device, sample: Sample, line: DeviceConnection) -> None:
        """Book an exchange in ours and in Locust's books."""
        stage = self._stage
        assert stage is not None  # noqa: S101 - it gave us the device
        stage.ledger.exchange(device.enrolment, sample)
        failed = failure_of(sample)
        self.environment.events.request.fire(
            request_type=REQUEST_TYPE,
            name=sample.operation.value,
            response_time=sample.stamps.service_ns / _NS_PER_MS,
            response_length=line.answer_bytes,
            response=None,
            exception=None if failed is None else ExchangeFailed(failed),
            context=self.context() | _context(sample),
            start_time=stage.clock.wall_s(sample.stamps.started_ns / NS_PER_S),
            url=f"https://{stage.access.endpoint}",
        )


def _context(sample: Sample) -> dict[str, Any]:
    """Return what a listener is told of an exchange besides its time."""
    return {
        "device": sample.device,
        "cohort": sample.cohort,
        "outcome": sample.kind.value,
        "retry_after_s": sample.retry_after.wait_s if sample.retry_after else None,
    }


def _run_context_for(environment: Environment, scenario: str | None) -> RunContext:
    """Return this process's stage for a scenario, made by the first user that asks."""
    from estsim.locust.users.process_fleet import fleet_for  # noqa: PLC0415 - the run around a user is made when there is one

    stage: RunContext = fleet_for(environment, scenario)
    if stage not in _TUNED_FOR:
        _TUNED_FOR.add(stage)
        collect_rarely()
    return stage


def _check_users(environment: Environment, **_: object) -> None:
    """Refuse what the users of a locustfile cannot play, before any is spawned; ends Locust with exit code 2."""
    try:
        for each in environment.user_classes:
            if issubclass(each, EstDevice) and each.scenario is not None:
                check_playable(read_scenario(each.scenario), each.cohort)
    except EstsimError as error:
        _LOG.error("%s", error)
        raise SystemExit(2) from error


events.init.add_listener(_check_users)  # type: ignore[no-untyped-call]  # Locust says no types here
