"""What one device remembers between events, and the questions that are answered from it.

The decisions are :class:`estsim.device.machine.Machine`'s. One small object: a fleet has a million of them.
"""

from math import inf

from estsim.device.behaviour import Behaviour
from estsim.device.events import Lifetime
from estsim.device.states import KeyChoice, State, Step
from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.load.streams import Purpose, uniform


class Memory:
    """One device's memory. ``device`` is its fleet-wide index; with ``seed`` it keys every draw."""

    __slots__ = (
        "attempt",
        "behaviour",
        "cuts",
        "deferrals",
        "deferred_since_s",
        "device",
        "draws",
        "enrolment",
        "failures",
        "gave_up",
        "goal",
        "has_attributes",
        "has_ca",
        "keeps_goal",
        "key_made",
        "lifetime",
        "next_s",
        "now_s",
        "opened_s",
        "renew_asked",
        "renew_at_s",
        "renewals",
        "retire_asked",
        "seed",
        "started",
        "state",
        "step_of_chain",
        "stop_asked",
        "stopped",
        "turn",
        "wake_at_s",
    )

    def __init__(self, behaviour: Behaviour, *, seed: int, device: int) -> None:
        self.behaviour = behaviour
        self.seed = seed
        self.device = device
        self.state = State.OFF
        self.now_s = -inf
        self.turn = 0
        self.started = False
        self.stopped = False
        self.stop_asked = False
        self.retire_asked = False
        self.renew_asked = False
        self.gave_up = False
        self.cuts = 0
        self.goal: Goal | None = None
        self.keeps_goal: Goal | None = None  # of a pending request that survived a power cut
        self.step_of_chain = Step.CERTIFICATE
        self.enrolment = 0
        self.opened_s = 0.0
        self.attempt = 0
        self.failures = 0  # in a row
        self.deferrals = 0
        self.deferred_since_s = inf
        self.next_s = inf  # when the waiting device is to act
        self.wake_at_s = inf  # when it is to wake: the next step or a limit before it
        self.key_made = False
        self.has_ca = False
        self.has_attributes = False  # since it has had power
        self.lifetime: Lifetime | None = None
        self.renew_at_s = inf
        self.renewals = 0
        self.draws = 0

    def __repr__(self) -> str:
        goal = self.goal.value if self.goal else "nothing"
        return f"<Machine {self.device} {self.state.value}, seeks {goal}, turn {self.turn}>"

    @property
    def not_after_s(self) -> float:
        """When the certificate in hand expires; minus infinity without one."""
        return self.lifetime.not_after_s if self.lifetime else -inf

    def limit_reached(self) -> EnrolmentEnd | None:
        """Return which limit of the goal has passed: deadline and patience, or expiry and patience."""
        if self.goal is Goal.ENROLL and self.now_s >= self.opened_s + self.behaviour.enroll_deadline():
            return EnrolmentEnd.DEADLINE
        if self.goal is not Goal.ENROLL and self.now_s >= self.not_after_s:
            return EnrolmentEnd.EXPIRED
        if self.now_s >= self.deferred_since_s + self.behaviour.longest_deferral():
            return EnrolmentEnd.IMPATIENT
        return None

    def open_enrolment(self, goal: Goal, planned_s: float) -> None:
        """Begin to seek a certificate."""
        self.goal = goal
        self.enrolment += 1
        self.opened_s = planned_s
        self.attempt = 0
        self.failures = 0
        self.deferrals = 0
        self.deferred_since_s = inf

    def close_enrolment(self) -> None:
        """Seek nothing: it was found, or given up."""
        self.goal = None
        self.key_made = False
        self.failures = 0
        self.deferred_since_s = inf

    def first_step(self) -> Step:
        """Return where the chain of a new enrolment begins."""
        if self.behaviour.fetches_cacerts(has_ca=self.has_ca):
            return Step.CACERTS
        return Step.CSRATTRS if self.wants_attributes else Step.CERTIFICATE

    @property
    def wants_attributes(self) -> bool:
        """Whether the device fetches the CSR attributes before it asks for a certificate."""
        return self.behaviour.fetches_csrattrs(has_attributes=self.has_attributes)

    def key_choice(self) -> KeyChoice:
        """Return which key the request of this step is about."""
        if self.step_of_chain is not Step.CERTIFICATE:
            return KeyChoice.NONE
        if self.goal is Goal.RENEW and not self.behaviour.rekeys(self.renewals):
            return KeyChoice.HELD
        return KeyChoice.PENDING if self.key_made else KeyChoice.NEW

    def certificate_operation(self) -> Operation:
        """Return the operation that asks for the certificate sought."""
        return Operation.SIMPLEREENROLL if self.goal is Goal.RENEW else self.behaviour.policy.enroll.operation

    def next_or_limit(self) -> float:
        """Return when a waiting device is to wake: for its next step, or at a limit of its goal before it."""
        patience_s = self.deferred_since_s + self.behaviour.longest_deferral()
        if self.goal is Goal.ENROLL:
            return min(self.next_s, self.opened_s + self.behaviour.enroll_deadline(), patience_s)
        return min(self.next_s, self.not_after_s, patience_s)

    def draw(self, purpose: Purpose = Purpose.BEHAVIOUR, /) -> float:
        """Draw from the device's own stream, uniform on [0, 1)."""
        self.draws += 1
        return uniform(self.seed, self.device, purpose, self.draws)
