"""Preflight: one recorded exchange before the fleet starts, so that a wrong address or trust costs a second, not a run.

It resolves, connects, shakes hands and, where the fleet will, fetches the CA certificates, as the first device would.
"""

from dataclasses import dataclass, field, replace

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer, Conversation
from estsim.device.policy import Fetch
from estsim.device.states import CredentialChoice, KeyChoice
from estsim.engine.exchange_task import ExchangeTask
from estsim.engine.wire import Wire
from estsim.errors import PreflightError, TransportFailed
from estsim.est.enrolment import Cause, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import Abandoned, CACertificates, Failed, Outcome
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, Device, new_device
from estsim.fleet.errand import Errand
from estsim.fleet.rows import detail_of
from estsim.measure.sample import Enrolment, Sample, Stamps
from estsim.net.source import unusable


@dataclass(slots=True)
class Preflight:
    """What a preflight came to; its samples stay outside all metrics. Raises nothing: see :meth:`check`."""

    samples: list[Sample] = field(default_factory=list)
    outcome: Outcome | None = None  # None: the connection stood, and nothing was to be fetched
    lacking: list[str] = field(default_factory=list)  # what this machine does not have for it

    def exchange(self, enrolment: Enrolment | None, sample: Sample) -> None:  # noqa: ARG002 - Books of an ExchangeTask
        """Keep a row."""
        self.samples.append(sample)

    @property
    def group(self) -> str | None:
        """The key exchange group that was negotiated."""
        return self.samples[-1].tls_group if self.samples else None

    def check(self, target: str) -> None:
        """Raise PreflightError, with phase and reason, where the fleet could not even begin."""
        outcome = self.outcome
        if self.lacking:
            raise PreflightError(f"preflight to {target} failed: {'; '.join(self.lacking)}")
        if isinstance(outcome, Failed):
            raise PreflightError(f"preflight to {target} failed in phase {outcome.phase.value}: {detail_of(outcome)}")
        if outcome is not None and not isinstance(outcome, CACertificates):
            said = f"{outcome.kind.value}: {detail_of(outcome) or type(outcome).__name__}"
            raise PreflightError(f"preflight to {target}: cacerts was answered {said}")


async def fly(cohorts: list[CohortRun], wire: Wire, clock: RunClock, *, seed: int, request_id: str | None) -> Preflight:
    """Do the exchange; whatever goes wrong is in the result."""
    flight = Preflight(lacking=unusable(wire.sources))
    if flight.lacking:
        return flight
    fetching = [cohort for cohort in cohorts if cohort.plan.policy.enroll.cacerts is not Fetch.NEVER]
    cohort = _undisturbed((fetching or cohorts)[0])
    device = new_device(cohort, cohort.plan.first_device, seed=seed)
    command = _command(clock)
    if fetching:
        ids = iter([request_id, request_id]) if request_id else None  # a challenge makes it two
        settled = await ExchangeTask(wire, flight, clock, request_ids=ids).perform(device, command)
        flight.outcome = settled.outcome
    else:
        await _knock(device, command, wire, flight, clock)
    return flight


async def _knock(device: Device, command: Exchange, wire: Wire, flight: Preflight, clock: RunClock) -> None:
    conversation = Conversation(command, device.index, device.identity, device.cohort.profile)
    errand = Errand(device, conversation, wire.line(device.cohort, conversation.credential))
    stamps = Stamps(clock.now_ns(), clock.now_ns(), clock.now_ns())
    answer = Answer(Abandoned("only the connection was tried"))
    try:
        await errand.line.knock(stamps)
    except TransportFailed as failure:
        flight.outcome = Failed(failure.phase, failure.trouble, failure.reason, failure.alert)
        answer = Answer(flight.outcome)
    finally:
        errand.line.drop()
    flight.exchange(None, errand.sample(answer, stamps, Cause.PREFLIGHT, None))


def _undisturbed(cohort: CohortRun) -> CohortRun:
    """Return the cohort as far away as it is, but with no bad luck on its way, and keeping nothing for later."""
    plan = cohort.plan
    network = replace(plan.network, stall=0.0, reset=0.0) if plan.network else None
    tls = replace(plan.tls, keep_alive_s=0.0, resume=False)
    return replace(cohort, plan=replace(plan, network=network, tls=tls))


def _command(clock: RunClock) -> Exchange:
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
