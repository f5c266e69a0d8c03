"""Preflight: one recorded exchange before the fleet starts, so that a wrong address or trust costs a second, not a run.

It resolves, connects, shakes hands and, where the fleet will, fetches the CA certificates, as the first device would.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count
from typing import Final

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer
from estsim.device.password import without_password
from estsim.device.policy import Fetch
from estsim.device.states import CredentialChoice, KeyChoice
from estsim.errors import PreflightError, TransportFailed, noting
from estsim.est.enrolment import Cause, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import Abandoned, CACertificates, Failed, Outcome, OutcomeClass
from estsim.fleet.clock import RunClock
from estsim.fleet.device_connection import DeviceConnection
from estsim.fleet.devices import CohortRun, Device, new_device
from estsim.fleet.exchange_context import ExchangeContext
from estsim.fleet.exchanges import Exchanges
from estsim.fleet.expected import is_refusal
from estsim.fleet.kept_connection import KeptConnection
from estsim.fleet.preflight_advice import remedy, why_unknown
from estsim.fleet.rows import detail_of
from estsim.fleet.server_access import ServerAccess
from estsim.net.io import Io
from estsim.net.sockets import unusable
from estsim.record.sample import Sample, Stamps
from estsim.scenario.plan import Target

_REFUSALS: Final = frozenset({OutcomeClass.REJECTED, OutcomeClass.UNAUTHORIZED, OutcomeClass.FAILED})


@dataclass(slots=True)
class Preflight:
    """What a preflight came to; its samples stay outside all metrics. Raises nothing: see :meth:`check`."""

    samples: list[Sample] = field(default_factory=list)
    outcome: Outcome | None = None  # None: the connection stood, and nothing was to be fetched
    lacking: list[str] = field(default_factory=list)  # what this machine does not have for it
    bug: Exception | None = None  # of ours, met on the way
    cohort: CohortRun | None = None  # whose device it was tried with

    def met(self, bug: Exception) -> None:
        """Take note of a bug of ours, which is no fault of the server's."""
        self.bug = bug

    def record(self, sample: Sample) -> None:
        """Keep a row; a challenge or redirect on the way is the preflight's too, and outside all metrics with it."""
        self.samples.append(replace(sample, cause=Cause.PREFLIGHT))

    def knocked(self, context: ExchangeContext, stamps: Stamps, failure: TransportFailed | None) -> None:
        """Take note of a connection that was only opened, or failed to be."""
        answer = Answer(Abandoned("only the connection was tested"))
        if failure is not None:
            answer = context.failed(failure)
            self.outcome = answer.outcome
        self.record(context.sample(answer, stamps, Cause.PREFLIGHT, None))

    @property
    def group(self) -> str | None:
        """The key exchange group that was negotiated."""
        return self.samples[-1].tls_group if self.samples else None

    def check(self, target: str, server: Target | None = None) -> None:
        """Raise PreflightError, with phase and reason, where the fleet could not even begin; and a bug as it is.

        ``server`` is somebody else's as the scenario has it, None for a sandbox of ours.
        """
        if self.bug is not None:
            raise self.bug
        outcome = self.outcome
        if self.lacking:
            raise PreflightError(f"preflight to {target} failed: {'; '.join(self.lacking)}")
        if outcome is None or isinstance(outcome, CACertificates) or self._was_to_be(outcome):
            return
        if isinstance(outcome, Failed):
            what = f"preflight to {target} failed in phase {outcome.phase.value}: {self._detail(outcome)}"
        else:
            said = f"{outcome.kind.value}: {self._detail(outcome) or type(outcome).__name__}"
            what = f"preflight to {target}: cacerts failed: {said}"
        raise PreflightError("\n  ".join([what, *self._help(outcome, server)]))

    def _detail(self, outcome: Outcome) -> str:
        """Return what came, without the device's own secret."""
        user = self.cohort.profile.user if self.cohort is not None else None
        return without_password(detail_of(outcome), user)

    def _was_to_be(self, outcome: Outcome) -> bool:
        """Whether the server was reached and refused, as the scenario expects from the beginning, of every cohort."""
        expects = self.cohort.expects if self.cohort is not None else ()
        return is_refusal(outcome) and any(each.from_s <= 0 and outcome.kind in each.outcomes for each in expects)

    def _help(self, outcome: Outcome, server: Target | None) -> Iterator[str]:
        """Yield with whom it was tried, and what would help."""
        help_ = remedy(outcome, server)
        if self.cohort is None:
            if help_:
                yield help_
            return
        yield f"tried with {_with_file(self.cohort)}{f'; {help_}' if help_ else ''}"
        if unknown := why_unknown(outcome, self.cohort.plan.bootstrap, server):
            yield unknown


def _with_file(cohort: CohortRun) -> str:
    """Name the device that it is tried with, by its file where it has one of its own."""
    first, name = cohort.plan.first_device, cohort.plan.name
    file = cohort.origin.file_of(first)
    return f"a device of cohort {name}" if file is None else f"device {first} of cohort {name}, {file}"


async def fly(
    cohorts: Sequence[CohortRun], access: ServerAccess, io: Io, *, seed: int, request_id: str | None
) -> Preflight:
    """Do the exchange; whatever goes wrong is in the result."""
    flight = Preflight(lacking=unusable(access.sources))
    if flight.lacking:
        return flight
    device, fetches = tried_with(cohorts, seed=seed)
    flight.cohort = device.cohort
    if not fetches:
        await _knock(device, access, io, flight)
        return flight

    def book(_device: Device, sample: Sample, _line: DeviceConnection) -> None:
        flight.record(sample)

    exchanges = Exchanges(access.clock, book, request_ids=request_ids_of(request_id))
    with noting(flight.met):
        settled = await exchanges.perform(device, command_at(access.clock), KeptConnection(access, io, device))
        flight.outcome = settled.outcome
    return flight


async def _knock(device: Device, access: ServerAccess, io: Io, flight: Preflight) -> None:
    """Only open a connection."""
    clock = access.clock
    context = ExchangeContext.of(device, command_at(clock), partial(DeviceConnection, access, io, device.cohort))
    stamps = Stamps(clock.now_ns(), clock.now_ns(), clock.now_ns())
    failed: TransportFailed | None = None
    try:
        await context.line.knock(stamps)
    except TransportFailed as failure:
        failed = failure
    finally:
        context.line.drop()
    flight.knocked(context, stamps, failed)


def request_ids_of(request_id: str | None) -> Iterator[str] | None:
    """Return the ids of a preflight's requests, ``request_id`` first; None where requests have none."""
    return None if request_id is None else chain([request_id], (f"{request_id}.{step}" for step in count(1)))


def tried_with(cohorts: Sequence[CohortRun], *, seed: int) -> tuple[Device, bool]:
    """Return the device to try it with, and whether it is to fetch the CA certificates, as its cohort will.

    It is of the first cohort that the server is expected to take, one that fetches if there is any: others would not
    notice a wrong path.
    """
    first = min(cohorts, key=lambda cohort: (is_to_be_refused(cohort), not _fetches(cohort)))
    cohort = _undisturbed(first)
    return new_device(cohort, cohort.plan.first_device, seed=seed), _fetches(first)


def passed_over(cohorts: Sequence[CohortRun], flight: Preflight) -> str | None:
    """Return with whom it was tried, where the server is expected to refuse others; None where it is not."""
    refused = [cohort.plan.name for cohort in cohorts if is_to_be_refused(cohort)]
    if flight.cohort is None or not refused or flight.cohort.plan.name in refused:
        return None
    return f"preflight: tried with cohort {flight.cohort.plan.name} (expected to be refused: {', '.join(refused)})"


def is_to_be_refused(cohort: CohortRun) -> bool:
    """Whether the scenario expects refusals of a cohort at some time, or gives each of its devices a fault for one."""
    announced = any(each.outcomes & _REFUSALS for each in cohort.expects)
    faulty = sum(share for fault, share in cohort.plan.faults.items() if fault.is_inborn)
    return announced or faulty >= 1


def _fetches(cohort: CohortRun) -> bool:
    return cohort.plan.policy.enroll.cacerts is not Fetch.NEVER


def _undisturbed(cohort: CohortRun) -> CohortRun:
    """Return the cohort as far away as it is, but with no bad luck on its way, and keeping nothing for later."""
    plan = cohort.plan
    network = replace(plan.network, stall=0.0, reset=0.0) if plan.network else None
    tls = replace(plan.tls, keep_alive_s=0.0, resume=False)
    return replace(cohort, plan=replace(plan, network=network, tls=tls))


def command_at(clock: RunClock) -> Exchange:
    """Return what it is to do."""
    return Exchange(
        turn=0,
        operation=Operation.CACERTS,
        key=KeyChoice.NONE,
        credential=CredentialChoice.BOOTSTRAP,
        goal=Goal.ENROLL,
        intended_s=clock.now_s(),
        cause=Cause.PREFLIGHT,
        enrolment=0,
        attempt=1,
    )
