"""Preflight, less its exchange: whom it is tried with, what is asked, and what its outcome means.

Waits for nothing: the drivers do the exchange, on trio and in plain blocking calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer
from estsim.device.policy import Fetch
from estsim.device.states import CredentialChoice, KeyChoice
from estsim.errors import PreflightError, TransportFailed
from estsim.est.enrolment import Cause, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import Abandoned, CACertificates, Failed, Outcome
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, Device, new_device
from estsim.fleet.errand import Errand, L
from estsim.fleet.rows import detail_of
from estsim.measure.sample import Enrolment, Sample, Stamps


@dataclass(slots=True)
class Preflight:
    """What a preflight came to; its samples stay outside all metrics. Raises nothing: see :meth:`check`."""

    samples: list[Sample] = field(default_factory=list)
    outcome: Outcome | None = None  # None: the connection stood, and nothing was to be fetched
    lacking: list[str] = field(default_factory=list)  # what this machine does not have for it

    def exchange(self, enrolment: Enrolment | None, sample: Sample) -> None:  # noqa: ARG002 - Books
        """Keep a row."""
        self.samples.append(sample)

    def knocked(self, errand: Errand[L], stamps: Stamps, failure: TransportFailed | None) -> None:
        """Take note of a connection that was only opened, or failed to be."""
        answer = Answer(Abandoned("only the connection was tried"))
        if failure is not None:
            answer = errand.failed(failure)
            self.outcome = answer.outcome
        self.exchange(None, errand.sample(answer, stamps, Cause.PREFLIGHT, None))

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


def tried_with(cohorts: Sequence[CohortRun], *, seed: int) -> tuple[Device, bool]:
    """Return the device to try it with, and whether it is to fetch the CA certificates, as some of the fleet will."""
    fetching = [cohort for cohort in cohorts if cohort.plan.policy.enroll.cacerts is not Fetch.NEVER]
    cohort = _undisturbed((fetching or cohorts)[0])
    return new_device(cohort, cohort.plan.first_device, seed=seed), bool(fetching)


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
