"""The fleet in memory: devices, what their cohort shares, and the bootstrap credentials they were born with."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Protocol

from estsim.device.behaviour import Behaviour
from estsim.device.commands import WaitUntil
from estsim.device.custom_behaviour import behaviour_of
from estsim.device.events import Commissioned, Lifetime
from estsim.device.faults import DeviceFault
from estsim.device.identity import Identity
from estsim.device.machine import Machine
from estsim.device.password import HttpUser
from estsim.device.profile import Profile
from estsim.errors import shortage
from estsim.est.authorities import CertificateAuthorities
from estsim.est.names import name_text
from estsim.fleet.bootstrap import DeviceOrigin, OwnedCertificate, OwnedIssuer, ahead_s, faults_of
from estsim.fleet.keys import KeyRing
from estsim.fleet.part import WHOLE, Part, cohort_of
from estsim.load.arrivals import boot_times
from estsim.net.openssl import can_read
from estsim.pki.manufacturer import ManufacturerCA
from estsim.record.internal_errors import INTERNAL_ERROR
from estsim.record.sample import Enrolment, Impact, PollPlan
from estsim.record.saturation import LOST
from estsim.scenario.plan import Cohort, Expectation, Scenario
from estsim.scenario.target_url import TargetUrl


@dataclass(frozen=True, slots=True)
class CohortRun:
    """What the devices of a cohort share while a run lasts, or those of them that have one fault.

    ``expects`` is what the scenario announces of their exchanges.
    """

    plan: Cohort
    profile: Profile
    behaviour: Behaviour
    origin: DeviceOrigin
    expects: tuple[Expectation, ...] = ()

    @property
    def keys(self) -> KeyRing:
        """Where the keys of their requests come from."""
        return self.origin.keys

    @property
    def fault(self) -> DeviceFault | None:
        """What is wrong with these devices."""
        return self.profile.fault

    def lived_in(self, fault: DeviceFault | None, *, seed: int) -> "CohortRun":
        """Return what its devices with a fault share, None the sound ones, all with the clocks that the plan gives."""
        skew = self.plan.skew_s
        ahead = None if skew is None else partial(ahead_s, skew=skew, seed=seed)
        profile = replace(self.profile, fault=fault, ahead_s=ahead)
        return replace(self, profile=profile, behaviour=behaviour_of(self.plan.policy, self.plan.behaviour, fault))


class Cancellable(Protocol):
    """Something under way that its driver can cut short."""

    def cancel(self) -> None:
        """Cut it."""


@dataclass(slots=True, eq=False)
class Device:
    """One simulated device: the machine's memory, the identity, and what it is doing now.

    ``scope`` is set while an exchange is on the wire, ``poll`` while a told wait runs, ``enrolment`` while a
    certificate is sought; ``wakes_s`` is the time of its entry in the timer queue while it waits for that.
    ``stopped_as`` is the state in which a bug of ours, or a machine that ran out of something, has left it;
    ``impacts`` are those of events that it has not come through yet.
    """

    machine: Machine
    identity: Identity
    cohort: CohortRun
    enrolment: Enrolment | None = None
    poll: PollPlan | None = None
    scope: Cancellable | None = None
    wakes_s: float | None = None
    stopped_as: str | None = None
    impacts: tuple[Impact, ...] = ()

    @property
    def state(self) -> str:
        """Where the fleet counts it: in its machine's state, unless a bug of ours or a shortage has stopped it."""
        return self.stopped_as or self.machine.state

    def stop_at(self, bug: Exception) -> None:
        """Stop at a bug of ours, wherever the device stands; one that the machine has no room for is lost."""
        self.stopped_as = LOST if shortage(bug) else INTERNAL_ERROR
        self.machine.stop_at_internal_error()

    @property
    def index(self) -> int:
        """The device's place in the fleet."""
        return self.machine.device

    @property
    def requested_subject(self) -> str:
        """The Subject that it enrolls for, as text for people."""
        subject_der, _ = self.cohort.profile.requested.of(self.index, self.identity.bootstrap)
        return name_text(subject_der)


def new_device(cohort: CohortRun, index: int, *, seed: int) -> Device:
    """Make a device as it leaves the factory: with its bootstrap credential, where the cohort has one."""
    identity = Identity(bootstrap=cohort.origin.bootstrap(index, cohort.fault))
    return Device(Machine(cohort.behaviour, seed=seed, device=index), identity, cohort)


def spare_device(cohorts: Iterable[CohortRun], scenario: Scenario, number: int) -> Device:
    """Make a device beyond the plan's, sound, of the cohort that its number stands for."""
    name = cohort_of(scenario, number).name
    cohort = next(each for each in cohorts if each.plan.name == name)
    return new_device(cohort.lived_in(None, seed=scenario.seed), number, seed=scenario.seed)


@dataclass(slots=True)
class Fleet:
    """All devices of this process, when each is meant to boot (seconds), and those that wait already as it begins.

    ``owners`` are in service from before the run; they wait once they have been commissioned. ``stationed`` are cohorts
    that begin one by one, so many at a time. Devices of a cohort that joins later are in none of these.
    """

    devices: list[Device] = field(default_factory=list)
    boots: list[tuple[float, Device]] = field(default_factory=list)
    waiting: list[tuple[WaitUntil, Device]] = field(default_factory=list)
    owners: list[tuple[OwnedCertificate, Device]] = field(default_factory=list)
    stationed: list[tuple[int, list[Device]]] = field(default_factory=list)

    def add(self, scenario: Scenario, cohort: CohortRun, part: Part = WHOLE) -> Iterator[None]:
        """Make a cohort's devices that are in this part, yielding after each; each gets its manufacturer's certificate.

        Raises UsageError where a device's own file cannot be used.
        """
        plan, seed = cohort.plan, scenario.seed
        faults = faults_of(plan, seed=seed)
        of_fault = cache(partial(cohort.lived_in, seed=seed))
        times = boot_times(plan.arrivals, plan.devices, seed=seed, cohort=plan.index)
        if plan.stations is not None and not plan.joins:
            self.stationed.append((part.stations(plan), []))
        for index, at_s in enumerate(times, start=plan.first_device):
            if not part.has(index, plan):
                continue
            device = new_device(of_fault(faults.get(index)), index, seed=seed)
            self.devices.append(device)
            owned = cohort.origin.owned(index, device.identity.bootstrap, seed=seed, wall_now_s=time.time())
            if owned is None:
                self._place(device, at_s)
            else:
                device.identity.issued = owned.credential
                self.owners.append((owned, device))
            yield

    def _place(self, device: Device, boots_s: float) -> None:
        """Let a device boot at its time, or stand in line for a station, or wait for the event that it joins with."""
        plan = device.cohort.plan
        if plan.joins:
            return
        if plan.stations is None:
            self.boots.append((boots_s, device))
            return
        self.stationed[-1][1].append(device)

    def commission(self, wall_epoch_s: float) -> None:
        """Put the owners of a certificate into service as the run begins, at ``wall_epoch_s`` (UNIX seconds)."""
        for owned, device in self.owners:
            ahead = device.cohort.profile.ahead_s
            epoch_s = wall_epoch_s + (ahead(device.index) if ahead else 0.0)  # as the device's own clock shows it
            lifetime = Lifetime(owned.wall_begins_s - epoch_s, owned.wall_ends_s - epoch_s)
            wait = device.machine.step(Commissioned(lifetime), 0.0)
            assert isinstance(wait, WaitUntil)  # noqa: S101 - the only answer that the table has
            self.waiting.append((wait, device))
        self.owners.clear()


def cohort_run(
    scenario: Scenario,
    plan: Cohort,
    url: TargetUrl,
    authorities: CertificateAuthorities | None,
    factory: ManufacturerCA | None,
    *,
    owned_issuer: OwnedIssuer | None = None,
    part: Part = WHOLE,
) -> CohortRun:
    """Put together what a cohort's devices share; raises UsageError for files of theirs that cannot be used."""
    auth = plan.http_auth
    profile = Profile(
        origin=url.origin,
        base=url.base,
        label=url.label,
        deferral_statuses=scenario.deferral_statuses,
        requested=plan.requested,
        authorities=authorities,
        user=HttpUser(auth.user, auth.password, auth.preemptive, auth.schemes) if auth else None,
        names=plan.policy.enroll.names,
        redirects=scenario.redirects,
        form=scenario.body_form,
        can_present=can_read,
        csrattrs=plan.policy.enroll.csrattrs,
        pop=plan.policy.enroll.pop,
        key=plan.key,
    )
    expects = tuple(each for each in scenario.expect if plan.name in each.cohorts)
    decides = behaviour_of(plan.policy, plan.behaviour)
    return CohortRun(plan, profile, decides, DeviceOrigin.build(plan, factory, owned_issuer, part), expects)
