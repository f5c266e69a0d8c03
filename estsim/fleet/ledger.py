"""The books of open enrolments: which part of the time to certificate is whose (docs/metrics.md, "One enrolment").

The parts of consecutive exchanges meet without gaps: an exchange begins at its intended time, is late by the
generator's lag, may wait for its key, is served, and the wait that follows is told, the device's own or a backoff.
"""

from datetime import UTC, datetime
from hashlib import sha256
from math import isfinite

from estsim.device.commands import Exchange, Stop, WaitUntil
from estsim.device.custom_behaviour import is_overridden
from estsim.device.events import Event, Lifetime
from estsim.device.faults import shows
from estsim.device.states import Why
from estsim.device.timing import aged, came_late
from estsim.errors import shortage
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.outcome import Deferred, Issued, OutcomeClass
from estsim.fleet.clock import NS_PER_S, RunClock, to_ns
from estsim.fleet.devices import Device
from estsim.fleet.expected import is_end_expected
from estsim.fleet.impacts import Impacts
from estsim.fleet.own_delay import is_spoilt
from estsim.fleet.records import Records
from estsim.fleet.settled import Settled
from estsim.record.sample import Enrolment, PollPlan, Sample

Order = Exchange | WaitUntil | Stop


class Ledger:
    """Opens, keeps and closes the enrolments of a shard's devices, and hands everything on."""

    def __init__(self, records: Records, clock: RunClock) -> None:
        self._records = records
        self._clock = clock
        self._impacts = Impacts(records)

    def exchange(self, enrolment: Enrolment | None, sample: Sample) -> None:
        """Book one exchange, whole or not."""
        self._records.exchange(sample)
        if enrolment is None:
            return
        stamps = sample.stamps
        enrolment.exchanges += 1
        enrolment.polls += sample.cause is Cause.POLL
        enrolment.deferrals += sample.kind is OutcomeClass.DEFERRED
        enrolment.service_ns += stamps.service_ns
        enrolment.client_ns += stamps.key_wait_ns + stamps.client_work_ns
        enrolment.generator_ns += stamps.schedule_lag_ns
        enrolment.loop_delay_ns += stamps.loop_delay_ns

    def command(
        self, device: Device, command: Exchange | WaitUntil | Stop, settled: Settled | None, now_ns: int
    ) -> None:
        """Book what a command ends, opens and waits for; ``settled`` is the exchange that it answers, if any."""
        if settled is not None and settled.finding is not None:
            self._records.finding(settled.stamps.ended_ns, settled.finding)
        if settled is not None and settled.lifetime is not None:
            self._tell_late(device, settled.lifetime, now_ns)
        if command.ends is not None:
            self._close(device, command.ends, settled, now_ns)
        self._impacts.command(device, command, now_ns)
        if isinstance(command, Stop):
            return
        if command.opens_s is not None:
            self._open(device, command)
        if isinstance(command, WaitUntil) and device.enrolment is not None:
            _book_wait(device.enrolment, command, now_ns)
            device.poll = _poll_plan(command, settled)

    def event(self, device: Device, event: Event) -> None:
        """Book an event that a device was told, before the command that answers it."""
        self._impacts.event(device, event)

    def note(self, error: BaseException, device: Device | None, now_ns: int) -> None:
        """Note a bug of ours, and whom it stops, if anybody."""
        if device is None:
            self._records.internal_error(error, at_ns=now_ns)
        else:
            self._records.internal_error(error, at_ns=now_ns, device=device.index, cohort=device.cohort.plan.name)

    def internal_error(self, device: Device, error: BaseException, now_ns: int) -> None:
        """Book a bug of ours that stops a device: what it sought ends there, and is nobody else's failure.

        A device that the machine had no room for leaves it open, as one that was lost with its process.
        """
        self.note(error, device, now_ns)
        if shortage(error) is not None:
            return
        if device.enrolment is not None:
            self._close(device, EnrolmentEnd.INTERNAL_ERROR, None, max(now_ns, device.enrolment.intended_ns))
        self._impacts.leave(device, EnrolmentEnd.INTERNAL_ERROR, now_ns)

    def _tell_late(self, device: Device, lifetime: Lifetime, now_ns: int) -> None:
        """Tell that certificates come past their renewal time: what a cohort does then is not what its plan says."""
        plan, now_s = device.cohort.plan, now_ns / NS_PER_S
        renew = None if is_overridden(plan.behaviour, "renewal_time") else plan.policy.renew
        if renew is not None and came_late(renew, aged(lifetime, now_s, renew.lifetime_scale), now_s):
            self._records.notice(
                now_ns,
                f"{plan.name}: certificates arrive past their renewal time ({renew.at:.0%} of the validity);"
                " they are renewed at that share of their remaining validity, after one second at the earliest.",
            )

    def open_at_the_end(self, device: Device) -> None:
        """Book a search that the end of the run leaves open."""
        if device.enrolment is not None:
            self._records.enrolment_open(device.enrolment)

    def _open(self, device: Device, command: Exchange | WaitUntil) -> None:
        machine = device.machine
        goal = machine.goal or Goal.ENROLL
        enrolment = Enrolment(
            device=device.index,
            cohort=device.cohort.plan.name,
            number=machine.enrolment,
            goal=goal,
            intended_ns=to_ns(command.opens_s or 0.0),
            to_be_refused=shows(device.cohort.fault, goal),
        )
        self._records.enrolment_began(enrolment)
        device.enrolment = enrolment

    def _close(self, device: Device, end: EnrolmentEnd, settled: Settled | None, now_ns: int) -> None:
        enrolment, device.enrolment = device.enrolment, None
        if enrolment is None:
            return
        enrolment.end = end
        enrolment.ended_ns = now_ns
        enrolment.expected = is_end_expected(
            end,
            enrolment.goal,
            fault=device.cohort.fault,
            last_was_expected=settled is not None and settled.expected,
        )
        if settled is not None and end is EnrolmentEnd.ISSUED:
            answered_ns, enrolment.ended_ns = settled.stamps.ended_ns, settled.verified_ns
            enrolment.client_ns += settled.verified_ns - answered_ns
            enrolment.loop_delay_ns += self._clock.stalled_ns(answered_ns, settled.verified_ns)
            _describe(enrolment, settled)
        elif not enrolment.expected:
            stalled_ns, took_ns = self._clock.stalled_ns(enrolment.intended_ns, now_ns), now_ns - enrolment.intended_ns
            enrolment.spoilt = is_spoilt(enrolment, end, settled, stalled_ns=stalled_ns, took_ns=took_ns)
        self._records.enrolment_ended(enrolment)
        self._impacts.enrolment_ended(device, enrolment)


def _book_wait(enrolment: Enrolment, wait: WaitUntil, now_ns: int) -> None:
    """Book a wait as it will run: one that a limit cuts short counts up to there, the told part first."""
    told_ns, device_ns, backoff_ns = map(to_ns, (wait.told_s, wait.device_s, wait.backoff_s))
    if isfinite(wait.at_s):
        runs_ns = max(0, to_ns(wait.at_s) - now_ns)
        over_ns = max(0, told_ns + device_ns + backoff_ns - runs_ns)
        from_backoff_ns = min(over_ns, backoff_ns)
        from_device_ns = min(over_ns - from_backoff_ns, max(0, device_ns))  # what an impatient one saves is below 0
        backoff_ns -= from_backoff_ns
        device_ns -= from_device_ns
        told_ns -= over_ns - from_backoff_ns - from_device_ns
    enrolment.told_ns += told_ns
    enrolment.device_ns += device_ns
    enrolment.backoff_ns += backoff_ns


def _describe(enrolment: Enrolment, settled: Settled) -> None:
    """Write down what was issued, and how much validity was left of what it replaces."""
    outcome = settled.outcome
    if not isinstance(outcome, Issued) or outcome.certificate is None:
        return
    certificate = outcome.certificate
    enrolment.serial = certificate.serial_hex
    enrolment.issuer = certificate.issuer
    enrolment.subject = certificate.subject
    enrolment.not_after = datetime.fromtimestamp(certificate.not_after_s, UTC).isoformat()
    enrolment.key_sha256 = sha256(certificate.spki).hexdigest()
    if enrolment.goal is Goal.RENEW:
        enrolment.margin_s = settled.margin_s


def _poll_plan(wait: WaitUntil, settled: Settled | None) -> PollPlan | None:
    """Return what the poll after this wait is to be judged by; None where the server told no wait."""
    if settled is None or wait.why is not Why.DEFERRAL or not isinstance(settled.outcome, Deferred):
        return None
    retry_after = settled.outcome.retry_after
    if retry_after.wait_s is None:
        return None
    first_byte_ns = settled.stamps.first_byte_ns or settled.stamps.ended_ns
    return PollPlan(first_byte_ns, retry_after.wait_s, max(0.0, wait.device_s), retry_after.form.value)
