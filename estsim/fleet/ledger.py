"""The books of open enrolments: which part of the time to certificate is whose (METRICS.md, "One enrolment").

The parts of consecutive exchanges meet without gaps: an exchange begins at its intended time, is late by the
generator's lag, may wait for its key, is served, and the wait that follows is told, the device's own or a backoff.
"""

from hashlib import sha256
from math import isfinite

from estsim.device.commands import Exchange, Stop, WaitUntil
from estsim.device.states import Why
from estsim.est.csr import public_key_der_of
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.outcome import Deferred, Issued, OutcomeClass
from estsim.fleet.clock import to_ns
from estsim.fleet.devices import Device
from estsim.fleet.expected import is_end_expected
from estsim.fleet.records import Records
from estsim.fleet.settled import Settled
from estsim.measure.sample import Enrolment, PollPlan, Sample

Order = Exchange | WaitUntil | Stop


class Ledger:
    """Opens, keeps and closes the enrolments of a shard's devices, and hands everything on."""

    def __init__(self, records: Records) -> None:
        self._records = records

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

    def command(
        self, device: Device, command: Exchange | WaitUntil | Stop, settled: Settled | None, now_ns: int
    ) -> None:
        """Book what a command ends, opens and waits for; ``settled`` is the exchange that it answers, if any."""
        if settled is not None and settled.finding is not None:
            self._records.finding(settled.stamps.ended_ns, settled.finding)
        if command.ends is not None:
            self._close(device, command.ends, settled, now_ns)
        if isinstance(command, Stop):
            return
        if command.opens_s is not None:
            self._open(device, command)
        if isinstance(command, WaitUntil) and device.enrolment is not None:
            _book_wait(device.enrolment, command, now_ns)
            device.poll = _poll_plan(command, settled)

    def open_at_the_end(self, device: Device) -> None:
        """Book a search that the end of the run leaves open."""
        if device.enrolment is not None:
            self._records.enrolment_open(device.enrolment)

    def _open(self, device: Device, command: Exchange | WaitUntil) -> None:
        machine = device.machine
        device.enrolment = Enrolment(
            device=device.index,
            cohort=device.cohort.plan.name,
            number=machine.enrolment,
            goal=machine.goal or Goal.ENROLL,
            intended_ns=to_ns(command.opens_s or 0.0),
        )
        self._records.enrolment_began(device.enrolment)

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
            enrolment.ended_ns = settled.verified_ns
            enrolment.client_ns += settled.verified_ns - settled.stamps.ended_ns
            _describe(enrolment, settled)
        self._records.enrolment_ended(enrolment)


def _book_wait(enrolment: Enrolment, wait: WaitUntil, now_ns: int) -> None:
    """Book a wait as it will run: one that a limit cuts short counts up to there, the told part first."""
    parts_s = (wait.told_s, wait.device_s, wait.backoff_s)
    told_ns, device_ns, backoff_ns = map(to_ns, parts_s)
    if isfinite(wait.at_s) and to_ns(wait.at_s) < now_ns + told_ns + device_ns + backoff_ns:
        runs_ns = max(0, to_ns(wait.at_s) - now_ns)
        told_ns = min(told_ns, runs_ns)
        device_ns = min(device_ns, runs_ns - told_ns)
        backoff_ns = min(backoff_ns, runs_ns - told_ns)
    enrolment.told_ns += told_ns
    enrolment.device_ns += device_ns
    enrolment.backoff_ns += backoff_ns


def _describe(enrolment: Enrolment, settled: Settled) -> None:
    """Write down what was issued, and how much validity was left of what it replaces."""
    outcome = settled.outcome
    if not isinstance(outcome, Issued) or outcome.certificate is None:
        return
    certificate = outcome.certificate
    enrolment.serial = f"{certificate.serial_number:x}"
    enrolment.issuer = certificate.issuer.rfc4514_string()
    enrolment.subject = certificate.subject.rfc4514_string()
    enrolment.not_after = certificate.not_valid_after_utc.isoformat()
    enrolment.key_sha256 = sha256(public_key_der_of(certificate)).hexdigest()
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
