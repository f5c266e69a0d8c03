"""A run for devices on plain threads and on gevent, and what is compared between drivers. Imports no trio."""

import json
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from estsim.device.states import State
from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.fleet.devices import Device, Fleet
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.host import Host
from estsim.fleet.ledger import Ledger
from estsim.fleet.offer import groups_offered
from estsim.fleet.orders import Order, orders_of
from estsim.fleet.server_access import ServerAccess
from estsim.fleet.trust import trust_file
from estsim.pki.manufacturer import ManufacturerCA
from estsim.record.recorder import Recorder
from estsim.record.sample import Enrolment, Sample
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.scenario.target_url import parse_url

Row = tuple[str, str, str, int, int]  # operation, cause, outcome, enrolment, attempt
Wired = tuple[float, bool, bool]  # intended_s, reused, resumed
Story = dict[int, list[Row]]  # by device
Words = dict[int, list[str]]  # by device: what each of its rows says

DEADLINE_S = 30.0
_AT_REST = (State.OPERATIONAL, State.GAVE_UP, State.EXPIRED)


@dataclass(frozen=True, slots=True)
class Place:
    """A scenario and the server it is played against, for another process: paths and a URL.

    ``manufacturer`` is the sandbox's; somebody else's server has none.
    """

    scenario: str
    url: str
    trust: str
    manufacturer: str = ""

    def packed(self) -> str:
        """Return it as an argument of a command."""
        return json.dumps(asdict(self))

    @classmethod
    def unpacked(cls, packed: str) -> "Place":
        """Read it again."""
        return cls(**json.loads(packed))

    def plan(self) -> Scenario:
        """Read the scenario."""
        return load_scenario(Path(self.scenario))

    def host(self, scenario: Scenario) -> Host:
        """Return the server as the fleet knows it."""
        url, trust = parse_url(self.url), trust_file(Path(self.trust))
        if not self.manufacturer:
            return Host(scenario, url, trust)
        pki = Path(self.manufacturer)
        return Host(scenario, url, trust, {None: ManufacturerCA.read(pki)}, pki.parent)


class Rows(Recorder):
    """A recorder that remembers the rows it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[Sample] = []
        self.left_open: list[Enrolment] = []

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Remember a search that has no end."""
        super().enrolment_open(enrolment)
        self.left_open.append(enrolment)

    def exchange(self, sample: Sample) -> None:
        """Remember a row."""
        super().exchange(sample)
        self.samples.append(sample)

    def story(self) -> Story:
        """Return what each device did, in its order."""
        told: Story = {}
        for each in self.samples:
            row = (each.operation.value, each.cause.value, each.kind.value, each.enrolment, each.attempt)
            told.setdefault(each.device, []).append(row)
        return told

    def words(self) -> Words:
        """Return what each device's rows say, in its order."""
        told: Words = {}
        for each in self.samples:
            told.setdefault(each.device, []).append(each.detail)
        return told

    def wires(self) -> dict[int, list[Wired]]:
        """Return when each device's exchanges were intended, and what connections they went on."""
        told: dict[int, list[Wired]] = {}
        for each in self.samples:
            told.setdefault(each.device, []).append((each.stamps.intended_ns / NS_PER_S, each.reused, each.resumed))
        return told


@asynccontextmanager
async def serving(text: str, folder: Path) -> AsyncIterator[Place]:
    """Run a scenario's sandbox until the block ends; nothing here may take longer than the deadline."""
    # of this process alone: a process with Locust in it has no trio
    import trio  # noqa: PLC0415

    from estsim.server.run import serve  # noqa: PLC0415

    path = folder / "script.yaml"
    path.write_text(text, encoding="utf-8")
    config = load_scenario(path).sandbox
    assert config is not None
    stop = trio.Event()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            here = await nursery.start(partial(serve, stop=stop), config, folder / "sandbox")
            try:
                yield Place(str(path), here.url, str(here.trust), str(here.place.manufacturer))
            finally:
                stop.set()


@dataclass(eq=False)
class Boards:
    """A run (:class:`estsim.fleet.run_context.RunContext`) of one process that plays the whole fleet."""

    host: Host
    rows: Rows = field(init=False)
    ledger: Ledger = field(init=False)
    clock: RunClock = field(init=False)
    access: ServerAccess = field(init=False)
    request_ids: Iterator[str] | None = field(init=False)
    fleet: Fleet = field(init=False)
    given_back: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        scenario = self.host.scenario
        self.rows = Rows()
        self.request_ids = request_ids("b")
        self.fleet = fleet_of(self.host)
        self.clock = RunClock.start()
        self.ledger = Ledger(self.rows, self.clock)
        self.fleet.commission(self.clock.wall_epoch_s)
        self.access = ServerAccess.to(self.host, groups_offered(scenario), self.clock)
        self._boots = {device.index: at_s for at_s, device in self.fleet.boots}
        self._free = deque(self.fleet.devices)
        self._orders: dict[int, list[Order]] = {}
        for number, event in enumerate(scenario.events):
            for order in orders_of(scenario, number, event.at_s):
                self._orders.setdefault(order.device, []).append(order)
        for orders in self._orders.values():
            orders.sort(key=lambda order: order.at_s)

    def take(self, cohort: str | None) -> Device | None:
        """Give the next free device."""
        found = next((each for each in self._free if cohort in (None, each.cohort.plan.name)), None)
        if found is not None:
            self._free.remove(found)
        return found

    def give_back(self, device: Device) -> None:
        """Take note."""
        self.given_back.append(device.index)

    def boots_s(self, device: Device) -> float:
        """Return when it is meant to boot."""
        return self._boots.get(device.index, float("inf"))

    def orders_of(self, device: Device) -> Sequence[Order]:
        """Return what is ordered of it."""
        return self._orders.get(device.index, ())

    @property
    def is_settled(self) -> bool:
        """Whether nothing is planned any more."""
        last_s = max((orders[-1].at_s for orders in self._orders.values()), default=0.0)
        return self.clock.now_s() > last_s and all(map(_at_rest, self.fleet.devices))


def _at_rest(device: Device) -> bool:
    machine = device.machine
    return machine.stopped or (machine.state in _AT_REST and machine.wake_at_s == float("inf"))


def fleet_of(host: Host) -> Fleet:
    """Make all devices of a scenario."""
    fleet = Fleet()
    for plan in host.scenario.cohorts:
        for _ in fleet.add(host.scenario, host.cohort(plan)):
            pass
    return fleet
