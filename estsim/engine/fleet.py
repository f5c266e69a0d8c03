"""The fleet in memory: devices, what their cohort shares, and the bootstrap credentials they were born with."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import trio

from estsim.device.commands import WaitUntil
from estsim.device.exchange import BasicUser, Profile
from estsim.device.identity import Identity
from estsim.device.machine import Machine
from estsim.engine.factory import Factory
from estsim.est.verify import CertificateAuthorities
from estsim.load.arrivals import boot_times
from estsim.measure.sample import Enrolment, PollPlan
from estsim.scenario.plan import Basic, Cohort, Scenario
from estsim.scenario.target_url import TargetUrl
from estsim.server.ca import make_key


@dataclass(frozen=True, slots=True)
class CohortRun:
    """What the devices of a cohort share while a run lasts; ``factory`` made their bootstrap certificates."""

    plan: Cohort
    profile: Profile
    factory: Factory | None


@dataclass(slots=True, eq=False)
class Device:
    """One simulated device: the machine's memory, the identity, and what it is doing now.

    ``scope`` is set while an exchange is on the wire, ``poll`` while a told wait runs, ``enrolment`` while a
    certificate is sought.
    """

    machine: Machine
    identity: Identity
    cohort: CohortRun
    enrolment: Enrolment | None = None
    poll: PollPlan | None = None
    scope: trio.CancelScope | None = None

    @property
    def index(self) -> int:
        """The device's place in the fleet."""
        return self.machine.device


def new_device(cohort: CohortRun, index: int, *, seed: int) -> Device:
    """Make a device as it leaves the factory: with a certificate of its manufacturer, where the cohort has one."""
    plan = cohort.plan
    identity = Identity()
    if cohort.factory is not None:
        identity.bootstrap = cohort.factory.mint(make_key(plan.key), plan.subject(index))
    return Device(Machine(plan.policy, seed=seed, device=index), identity, cohort)


@dataclass(slots=True)
class Fleet:
    """All devices of this process, when each is meant to boot (seconds), and those that wait already as it begins."""

    devices: list[Device] = field(default_factory=list)
    boots: list[tuple[float, Device]] = field(default_factory=list)
    waiting: list[tuple[WaitUntil, Device]] = field(default_factory=list)

    def add(self, scenario: Scenario, cohort: CohortRun) -> Iterator[None]:
        """Make a cohort's devices, yielding after each; a manufacturer's certificate is minted for each."""
        plan = cohort.plan
        times = boot_times(plan.arrivals, plan.devices, seed=scenario.seed, cohort=plan.index)
        for index, at_s in enumerate(times, start=plan.first_device):
            device = new_device(cohort, index, seed=scenario.seed)
            self.devices.append(device)
            self.boots.append((at_s, device))
            yield


def cohort_run(
    scenario: Scenario,
    plan: Cohort,
    url: TargetUrl,
    authorities: CertificateAuthorities | None,
    factory: Factory | None,
) -> CohortRun:
    """Put together what a cohort's devices share."""
    bootstrap = plan.bootstrap
    basic = None
    if isinstance(bootstrap, Basic):
        basic = BasicUser(bootstrap.user, bootstrap.password, bootstrap.preemptive)
    profile = Profile(
        base=url.base,
        label=url.label,
        deferral_statuses=scenario.deferral_statuses,
        subject_of=plan.subject,
        san_of=plan.sans,
        authorities=authorities,
        basic=basic,
    )
    return CohortRun(plan, profile, factory)
