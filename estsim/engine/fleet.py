"""The fleet in memory: devices, what their cohort shares, and the bootstrap credentials they were born with."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import trio

from estsim.device.exchange import BasicUser, Profile
from estsim.device.identity import Identity
from estsim.device.machine import Machine
from estsim.engine.factory import Factory
from estsim.engine.keys import make_key
from estsim.est.verify import CertificateAuthorities
from estsim.load.arrivals import boot_times
from estsim.measure.sample import Enrolment, PollPlan
from estsim.scenario.plan import Basic, Cohort, Manufacturer, Scenario, Target


@dataclass(slots=True)
class CohortRun:
    """What the devices of a cohort share while a run lasts; ``anchors`` is what their TLS sessions trust, as DER."""

    plan: Cohort
    profile: Profile
    anchors: tuple[bytes, ...]
    factory: Factory | None  # of manufacturer certificates


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


@dataclass(slots=True)
class Fleet:
    """All devices of this process and when each is meant to boot, in seconds."""

    devices: list[Device] = field(default_factory=list)
    boots: list[tuple[float, Device]] = field(default_factory=list)

    def states(self) -> dict[str, int]:
        """Count the devices by state; the counts add up to the fleet."""
        counted = Counter(device.machine.state.value for device in self.devices)
        return dict(sorted(counted.items()))


def build_cohort(
    plan: Cohort,
    target: Target,
    authorities: CertificateAuthorities | None,
    anchors: tuple[bytes, ...],
    factories: dict[str | None, Factory],
) -> CohortRun:
    """Put together what a cohort's devices share."""
    bootstrap = plan.bootstrap
    basic = None
    if isinstance(bootstrap, Basic):
        basic = BasicUser(bootstrap.user, bootstrap.password, bootstrap.preemptive)
    profile = Profile(
        base=target.base_path,
        label=target.label,
        deferral_statuses=target.deferral_statuses,
        subject_of=plan.subject_of,
        san_of=plan.san_of,
        authorities=authorities,
        basic=basic,
    )
    factory = factories[bootstrap.authority] if isinstance(bootstrap, Manufacturer) else None
    return CohortRun(plan, profile, anchors, factory)


def build_devices(scenario: Scenario, cohort: CohortRun) -> Iterator[tuple[float, Device]]:
    """Make a cohort's devices, each with its boot time; a manufacturer's certificate is minted for each."""
    plan = cohort.plan
    times = boot_times(plan.arrivals, plan.devices, seed=scenario.seed, cohort=plan.index)
    for offset, at_s in enumerate(times):
        index = plan.first_device + offset
        identity = Identity()
        if cohort.factory is not None:
            identity.bootstrap = cohort.factory.mint(make_key(plan.key), plan.subject_of(index))
        machine = Machine(plan.policy, seed=scenario.seed, device=index)
        yield at_s, Device(machine, identity, cohort)
