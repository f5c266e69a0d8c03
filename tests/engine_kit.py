"""A fleet and its books for the tests of the engine, with a sandbox beside it, over real TLS on loopback."""

import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final

import trio
from cryptography import x509
from cryptography.x509.oid import NameOID
from record_builders import OneProcess

from estsim.device.policy import DeferralPolicy, EnrollPolicy, Fetch, Policy, RenewPolicy, RetryPolicy
from estsim.engine.exchange_task import ExchangeTask
from estsim.engine.shard import Shard
from estsim.est.url import Origin
from estsim.fleet.bootstrap import OwnedIssuer
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, Fleet, cohort_run
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.ledger import Ledger
from estsim.fleet.server_access import ServerAccess
from estsim.fleet.trust import Trust, trust_file
from estsim.load.arrivals import Arrivals, Burst
from estsim.net.opening import Deadlines
from estsim.pki.manufacturer import ManufacturerCA
from estsim.record.sample import Enrolment, Impact, Sample
from estsim.scenario.plan import (
    Bootstrap,
    Cohort,
    Expectation,
    Generator,
    HttpAuth,
    KeyKind,
    Manufacturer,
    Scenario,
    Timeouts,
    Tls,
)
from estsim.scenario.target_url import TargetUrl, parse_url
from estsim.server.announcement import Announcement
from estsim.server.config import SandboxConfig
from estsim.server.run import serve

DEADLINE_S: Final = 10.0
NOWHERE: Final = Trust((), explicit=True, authorities=None)
ONCE: Final = Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER), renew=None, retry=RetryPolicy(attempts=1))
PATIENT: Final = DeferralPolicy(max_polls=10**6, max_wait_s=inf)


def subject(device: int) -> x509.Name:
    """Return the name of a device."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"meter-{device}")])


def cohort(
    devices: int = 1,
    policy: Policy = ONCE,
    *,
    name: str = "meters",
    index: int = 0,
    first_device: int = 0,
    key: KeyKind = KeyKind.EC_P256,
    bootstrap: Bootstrap = Manufacturer(None),  # noqa: B008 - frozen
    http_auth: HttpAuth | None = None,
    arrivals: Arrivals = Burst(),  # noqa: B008 - frozen
) -> Cohort:
    """Return the plan of a cohort that boots at once."""
    return Cohort(
        name=name,
        index=index,
        devices=devices,
        first_device=first_device,
        subject=subject,
        sans=lambda _: None,
        key=key,
        bootstrap=bootstrap,
        http_auth=http_auth,
        tls=Tls(),
        arrivals=arrivals,
        policy=policy,
    )


def scenario(*cohorts: Cohort) -> Scenario:
    """Return the plan of a run with these cohorts."""
    return Scenario(
        name="test",
        description="",
        seed=1,
        duration_s=60.0,
        until_settled=True,
        authorities={},
        target=None,
        sandbox=SandboxConfig(),
        timeouts=Timeouts(),
        deferral_statuses=frozenset({202}),
        generator=Generator(),
        cohorts=cohorts,
        thresholds=(),
        source=Path("test.yaml"),
        resolved="",
    )


class Witness(OneProcess):
    """A recorder that remembers what it was handed, and looks at the fleet's states whenever a row comes."""

    def __init__(self, cohorts: dict[str, int]) -> None:
        super().__init__(cohorts=cohorts)
        self.samples: list[Sample] = []
        self.began: list[Enrolment] = []
        self.ended: list[Enrolment] = []
        self.left_open: list[Enrolment] = []
        self.impacts: list[Impact] = []
        self.device_counts: set[int] = set()
        self.shard: Shard | None = None

    def exchange(self, sample: Sample) -> None:
        """Remember a row."""
        super().exchange(sample)
        self.samples.append(sample)
        self.look()

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Remember a search."""
        super().enrolment_began(enrolment)
        self.began.append(enrolment)
        self.look()

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Remember its end."""
        super().enrolment_ended(enrolment)
        self.ended.append(enrolment)
        self.look()

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Remember that it has none."""
        super().enrolment_open(enrolment)
        self.left_open.append(enrolment)

    def impact_began(self, impact: Impact) -> None:
        """Remember whom an event struck."""
        super().impact_began(impact)
        self.impacts.append(impact)

    def look(self) -> None:
        """Count the devices in all states."""
        if self.shard is not None:
            self.device_counts.add(sum(self.shard.reading().states.values()))

    def kinds(self) -> list[str]:
        """Return how each exchange ended."""
        return [sample.kind.value for sample in self.samples]


@dataclass
class Rig:
    """A fleet with its shard and books, pointed at a server."""

    shard: Shard
    recorder: Witness
    fleet: Fleet
    clock: RunClock
    wire: ServerAccess
    scenario: Scenario
    runs: list[CohortRun] = field(default_factory=list)


def wire_to(url: TargetUrl, trust: Trust, clock: RunClock) -> ServerAccess:
    """Return the way to a server."""
    return ServerAccess(
        endpoint=Origin(url.host, url.port),
        deadlines=Deadlines(DEADLINE_S, DEADLINE_S, DEADLINE_S),
        anchors=trust.anchors,
        explicit=trust.explicit,
        groups=("x25519", "p-256"),
        clock=clock,
    )


def rig(
    url: TargetUrl,
    trust: Trust,
    factory: ManufacturerCA | None,
    *plans: Cohort,
    owned_issuer: OwnedIssuer | None = None,
    expect: tuple[Expectation, ...] = (),
) -> Rig:
    """Put a fleet together. Its clock starts now."""
    plan = replace(scenario(*plans), expect=expect)
    runs = [
        cohort_run(
            plan,
            each,
            url,
            trust.authorities,
            factory if isinstance(each.bootstrap, Manufacturer) else None,
            owned_issuer=owned_issuer if each.start else None,
        )
        for each in plans
    ]
    fleet = Fleet()
    for run in runs:
        for _ in fleet.add(plan, run):
            pass
    clock = RunClock.start()
    fleet.commission(clock.wall_epoch_s)
    wire = wire_to(url, trust, clock)
    recorder = Witness({each.name: each.devices for each in plans})
    ledger = Ledger(recorder, clock)
    shard = Shard(fleet, ExchangeTask(wire, ledger, clock, request_ids=request_ids("t")), ledger, clock)
    recorder.shard = shard
    return Rig(shard, recorder, fleet, clock, wire, plan, runs)


@dataclass(frozen=True)
class Server:
    """A sandbox that runs in this process."""

    here: Announcement
    config: SandboxConfig

    @property
    def url(self) -> TargetUrl:
        """Where it is."""
        return parse_url(self.here.url)

    @property
    def trust(self) -> Trust:
        """What its clients trust."""
        return trust_file(self.here.trust)

    @property
    def factory(self) -> ManufacturerCA:
        """The manufacturer that it trusts."""
        return ManufacturerCA.read(self.here.place.manufacturer)

    def logged(self, columns: str) -> list[tuple[Any, ...]]:
        """Return columns of the exchanges that it has logged, in their order."""
        with closing(sqlite3.connect(self.here.database)) as log:
            return log.execute(f"SELECT {columns} FROM exchanges ORDER BY rowid").fetchall()  # noqa: S608 - ours

    def rig(self, *plans: Cohort, factory: ManufacturerCA | None = None, expect: tuple[Expectation, ...] = ()) -> Rig:
        """Point a fleet at it; ``factory`` is another manufacturer than its own."""
        owned_issuer = OwnedIssuer.of(
            self.here.place.manufacturer.parent, replace(scenario(*plans), sandbox=self.config)
        )
        return rig(self.url, self.trust, factory or self.factory, *plans, owned_issuer=owned_issuer, expect=expect)


@asynccontextmanager
async def sandbox(folder: Path, **config: object) -> AsyncIterator[Server]:
    """Run a sandbox until the block ends; nothing here may take longer than the deadline."""
    stop = trio.Event()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            begin, settings = partial(serve, stop=stop), SandboxConfig.model_validate(config)
            here: Announcement = await nursery.start(begin, settings, folder)
            try:
                yield Server(here, settings)
            finally:
                stop.set()


@dataclass
class Silent:
    """A server that takes connections and never says a word."""

    url: TargetUrl
    callers: int = 0
    came: trio.Condition = field(default_factory=trio.Condition)

    async def has(self, callers: int) -> None:
        """Wait until so many have called and said their first word."""
        async with self.came:
            while self.callers < callers:
                await self.came.wait()


@asynccontextmanager
async def silence() -> AsyncIterator[Silent]:
    """Run a silent server until the block ends."""
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            server = Silent(TargetUrl("127.0.0.1", listener.socket.getsockname()[1]))

            async def listen(stream: trio.SocketStream) -> None:
                await stream.receive_some()
                async with server.came:
                    server.callers += 1
                    server.came.notify_all()
                await trio.sleep_forever()

            nursery.start_soon(trio.serve_listeners, listen, [listener])
            yield server
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a state that nothing announces."""
    with trio.fail_after(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - see above
            await trio.sleep(0.001)


def closed_port() -> TargetUrl:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return TargetUrl("127.0.0.1", taken.getsockname()[1])


def parts_ns(enrolment: Enrolment) -> int:
    """Return the sum of the parts of a search's time."""
    return (
        enrolment.service_ns
        + enrolment.told_ns
        + enrolment.device_ns
        + enrolment.backoff_ns
        + enrolment.client_ns
        + enrolment.generator_ns
    )


def renewing(**keys: object) -> Policy:
    """Return a policy that fetches the CA certificates, enrolls, and renews as told."""
    return Policy(deferral=PATIENT, renew=RenewPolicy(**keys))  # type: ignore[arg-type]  # a shorthand of the tests
