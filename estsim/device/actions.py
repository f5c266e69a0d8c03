"""What a device does once it is decided: begin, send, wait, take a certificate, fail, lose power, boot.

Each action changes the memory and returns one command. When which is taken is :class:`estsim.device.machine.Machine`'s.
"""

from math import inf

from estsim.device.commands import Command, Exchange, Stop, WaitUntil
from estsim.device.events import Lifetime
from estsim.device.memory import Memory
from estsim.device.policy import AfterExpiry
from estsim.device.states import CredentialChoice, KeyChoice, State, Step, StopReason, Why
from estsim.device.timing import aged
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import Deferred

_STATE_OF_STEP = {Step.CACERTS: State.FETCHING_CA, Step.CSRATTRS: State.FETCHING_ATTRS}
_OPERATION_OF_STEP = {Step.CACERTS: Operation.CACERTS, Step.CSRATTRS: Operation.CSRATTRS}
_CAUSE_OF_WAIT = {State.DEFERRED: Cause.POLL, State.BACKING_OFF: Cause.RETRY}


class Actions(Memory):
    """One device's memory, and what it can do."""

    __slots__ = ()

    def begin(self, goal: Goal, planned_s: float, cause: Cause, ends: EnrolmentEnd | None = None) -> Command:
        """Seek a certificate: open an enrolment and send its first exchange."""
        self.open_enrolment(goal, planned_s)
        self.step_of_chain = self.first_step()
        return self.exchange(cause, planned_s, opens_s=planned_s, ends=ends)

    def exchange(
        self,
        cause: Cause,
        intended_s: float,
        *,
        opens_s: float | None = None,
        ends: EnrolmentEnd | None = None,
    ) -> Command:
        """Send the exchange of the step that the chain stands at."""
        goal = self.goal
        step = self.step_of_chain
        self.state = _STATE_OF_STEP.get(step) or (State.RENEWING if goal is Goal.RENEW else State.ENROLLING)
        key = self.key_choice()
        self.key_made = self.key_made or key is KeyChoice.NEW
        self.attempt += 1
        self.turn += 1
        return Exchange(
            turn=self.turn,
            operation=_OPERATION_OF_STEP.get(step) or self.certificate_operation(),
            key=key,
            credential=CredentialChoice.BOOTSTRAP if goal is Goal.ENROLL else CredentialChoice.ISSUED,
            goal=goal,
            intended_s=intended_s,
            cause=cause,
            enrolment=self.enrolment,
            attempt=self.attempt,
            opens_s=opens_s,
            ends=ends,
        )

    def advance(self) -> Command:
        """Go on to the chain's next step after an answer."""
        self.failures = 0
        if self.goal is None:
            return self._go_on_with_certificate()
        if self.step_of_chain is Step.CACERTS and self.wants_attributes:
            self.step_of_chain = Step.CSRATTRS
        else:
            self.step_of_chain = Step.CERTIFICATE
        return self.exchange(Cause.CHAIN, self.now_s)

    def take_certificate(self, lifetime: Lifetime) -> Command:
        """Become what was issued, and plan the renewal."""
        if self.goal is Goal.RENEW:
            self.renewals += 1
        self.renew_asked = False  # whoever asked for a new certificate has one
        self.close_enrolment()
        self.plan_renewal(lifetime, issued_now=True)
        if self.renew_at_s == inf and self.behaviour.leaves_service(self.renewals):
            return self.retire(ends=EnrolmentEnd.ISSUED)
        return self.stay_operational(ends=EnrolmentEnd.ISSUED)

    def begin_operational(self, lifetime: Lifetime) -> Command:
        """Own a certificate, and know the CA certificates, from before the run; the renewal is due as if it had run."""
        self.has_ca = True
        self.plan_renewal(lifetime, issued_now=False)
        return self.stay_operational()

    def plan_renewal(self, lifetime: Lifetime, *, issued_now: bool) -> None:
        """Take a certificate's lifetime, as fast as the policy has it age, and reckon when it is to be renewed."""
        renew = self.behaviour.policy.renew
        self.lifetime = aged(lifetime, self.now_s, renew.lifetime_scale if renew else 1.0)
        received_s = self.now_s if issued_now else self.lifetime.not_before_s
        due_s = self.behaviour.renewal_time(self.lifetime, received_s, self.renewals, self.draw)
        self.renew_at_s = max(self.now_s, due_s)

    def stay_operational(self, ends: EnrolmentEnd | None = None) -> Command:
        """Wait for the renewal, or for nothing when there is none to come."""
        self.state = State.OPERATIONAL
        self.next_s = self.renew_at_s
        if self.renew_at_s == inf:
            return self.wait(inf, Why.NOTHING, ends=ends)
        return self.wait(min(self.next_s, self.not_after_s), Why.RENEWAL, ends=ends)

    def defer(self, deferral: Deferred) -> Command:
        """Wait as told, plus what the device adds of its own (RFC 7030 §4.2.3: at least the told wait)."""
        behaviour = self.behaviour
        self.failures = 0
        self.deferrals += 1
        self.deferred_since_s = min(self.deferred_since_s, self.now_s)
        if behaviour.gives_up_polling(self.deferrals, self.now_s - self.deferred_since_s):
            return self.fail(EnrolmentEnd.IMPATIENT)
        retry_after_s = deferral.retry_after.wait_s
        wait_s = behaviour.deferral_wait(retry_after_s, self.deferrals, self.draw)
        self.next_s = self.now_s + wait_s
        self.state = State.DEFERRED
        told_s = retry_after_s or 0.0
        return self.wait(self.next_or_limit(), Why.DEFERRAL, told_s=told_s, device_s=wait_s - told_s)

    def back_off(self, status: int | None, retry_after_s: float | None) -> Command:
        """Wait before another try, or give up after too many failures."""
        self.failures += 1
        if self.behaviour.gives_up_retrying(self.failures):
            return self.fail(EnrolmentEnd.EXHAUSTED)
        wait_s = self.behaviour.backoff_wait(self.failures, status, retry_after_s, self.draw)
        self.next_s = self.now_s + wait_s
        self.state = State.BACKING_OFF
        return self.wait(self.next_or_limit(), Why.BACKOFF, backoff_s=wait_s)

    def repeat(self) -> Command:
        """Poll or retry, the wait being over."""
        return self.exchange(_CAUSE_OF_WAIT[self.state], self.next_s)

    def fail(self, how: EnrolmentEnd) -> Command:
        """End the enrolment without a certificate; a device whose certificate still holds goes on with it."""
        goal = self.goal
        self.close_enrolment()
        if goal is Goal.ENROLL:
            return self.give_up(ends=how)
        if goal is None:
            return self._go_on_with_certificate()
        if self.now_s >= self.not_after_s:
            return self.expire(self.now_s, Cause.CHAIN, ends=how)
        assert self.lifetime is not None  # noqa: S101 - it was renewing
        self.renew_at_s = self.now_s + self.behaviour.renewal_retry_wait(self.lifetime)
        return self.stay_operational(ends=how)

    def expire(self, planned_s: float, cause: Cause, ends: EnrolmentEnd | None = None) -> Command:
        """Lose the certificate by age; what then is the policy's."""
        self.lifetime = None
        self.renew_at_s = inf
        then = self.behaviour.after_expiry()
        if then is AfterExpiry.ENROLL:
            return self.begin(Goal.ENROLL, planned_s, cause, ends=ends)
        if then is AfterExpiry.GIVE_UP:
            return self.give_up(ends=ends)
        self.state = State.EXPIRED
        return self.wait(inf, Why.HELP, ends=ends)

    def give_up(self, ends: EnrolmentEnd | None = None) -> Command:
        """Do nothing more, unless the policy says that a power-up helps."""
        self.gave_up = True
        self.state = State.GAVE_UP
        return self.wait(inf, Why.HELP, ends=ends)

    def retire(self, ends: EnrolmentEnd | None = None) -> Command:
        """Leave service for good."""
        if ends is None and self.goal is not None:
            ends = EnrolmentEnd.RETIRED
        self.close_enrolment()
        self.state = State.RETIRED
        return self.stop(StopReason.RETIRED, ends)

    def stop(self, reason: StopReason, ends: EnrolmentEnd | None = None) -> Stop:
        """Answer no further event."""
        self.stopped = True
        self.turn += 1
        return Stop(self.turn, reason, ends)

    def stop_at_internal_error(self) -> Stop:
        """Leave service because a bug of ours met this device: no event of its life, so from whatever state it has."""
        ends = EnrolmentEnd.INTERNAL_ERROR if self.goal is not None else None
        self.close_enrolment()
        self.state = State.RETIRED
        return self.stop(StopReason.INTERNAL_ERROR, ends)

    def lose_power(self, *, keeps_key: bool, keeps_pending: bool) -> Command:
        """Go dark; an enrolment under way is cut, its request and key survive as told."""
        if self.state is State.DEFERRED and keeps_key and keeps_pending:
            self.keeps_goal = self.goal
        ends = EnrolmentEnd.CUT if self.goal is not None else None
        key_survives = self.key_made and keeps_key
        self.close_enrolment()
        self.key_made = key_survives
        self.state = State.OFF
        return self.wait(inf, Why.POWER, ends=ends)

    def boot(self, planned_s: float) -> Command:
        """Power up: with a certificate go on, with a pending request wait on, else enroll."""
        kept, self.keeps_goal = self.keeps_goal, None
        self.has_ca = self.has_ca and not self.behaviour.fetches_cacerts_at_boot()
        self.has_attributes = False
        if self.lifetime is not None and self.now_s >= self.lifetime.not_after_s:
            return self.expire(planned_s, Cause.PLAN)
        if kept is not None:
            return self._resume(kept, planned_s)
        if self.lifetime is not None:
            return self._boot_with_certificate(self.lifetime, planned_s)
        if self.gave_up and not self.behaviour.enrolls_at_power_up():
            return self.give_up()
        self.gave_up = False
        return self.begin(Goal.ENROLL, planned_s, Cause.PLAN)

    def wait(
        self,
        at_s: float,
        why: Why,
        *,
        told_s: float = 0.0,
        device_s: float = 0.0,
        backoff_s: float = 0.0,
        opens_s: float | None = None,
        ends: EnrolmentEnd | None = None,
    ) -> Command:
        """Wait until ``at_s``."""
        self.turn += 1
        self.wake_at_s = at_s
        return WaitUntil(self.turn, at_s, why, told_s, device_s, backoff_s, opens_s, ends)

    def _resume(self, goal: Goal, planned_s: float) -> Command:
        """Come back to a pending request, as a new enrolment with the told time kept."""
        self.open_enrolment(goal, planned_s)
        self.step_of_chain = Step.CERTIFICATE
        self.deferrals = 1
        self.deferred_since_s = self.now_s
        self.next_s = max(self.next_s, planned_s)
        self.state = State.DEFERRED
        told_s = self.next_s - planned_s
        return self.wait(self.next_or_limit(), Why.DEFERRAL, told_s=told_s, opens_s=planned_s)

    def _boot_with_certificate(self, lifetime: Lifetime, planned_s: float) -> Command:
        if self.renew_asked or self.behaviour.renews_at_boot(lifetime, self.now_s):
            self.renew_asked = False
            return self.begin(Goal.RENEW, planned_s, Cause.PLAN)
        self.renew_at_s = max(self.renew_at_s, planned_s)
        if self.behaviour.fetches_cacerts_at_boot():
            return self._fetch_ca(planned_s)
        return self.stay_operational()

    def _fetch_ca(self, planned_s: float) -> Command:
        """Ask for the CA certificates and nothing more."""
        self.attempt = 0
        self.step_of_chain = Step.CACERTS
        return self.exchange(Cause.PLAN, planned_s)

    def _go_on_with_certificate(self) -> Command:
        """Go on after the CA certificates were asked for: expired meanwhile, asked to renew meanwhile, or as it was."""
        self.failures = 0
        if self.now_s >= self.not_after_s:
            return self.expire(self.now_s, Cause.CHAIN)
        if self.renew_asked:
            self.renew_asked = False
            return self.begin(Goal.RENEW, self.now_s, Cause.PLAN)
        return self.stay_operational()
