"""One exchange and one enrolment as they are recorded: the rows of a run (docs/metrics.md, "One exchange").

Times are integer nanoseconds on the run's clock: monotonic, 0 at the run's epoch. The derived times are
properties, so that rows, histograms and thresholds cannot disagree on a definition.
"""

from dataclasses import dataclass, field
from typing import Final

from estsim.errors import Phase, Trouble
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal, ImpactKind
from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass, RetryAfter

RADAR_S: Final = 60  # how far ahead a display sees who is about to wake


@dataclass(slots=True)
class Stamps:
    """The stamps of one exchange, null where a step did not happen (a reused connection has no ``connected``)."""

    intended_ns: int
    ready_ns: int
    started_ns: int
    connected_ns: int | None = None
    handshaken_ns: int | None = None
    sent_ns: int | None = None
    first_byte_ns: int | None = None
    ended_ns: int = 0
    client_work_ns: int = 0  # ours between handshaken and sent: a CSR signed for the channel binding
    loop_delay_ns: int = 0  # ours between started and ended: what had happened, and the event loop had not come to

    @property
    def service_ns(self) -> int:
        """Service time: from the start of the work on the wire to its end, less our own work in between."""
        return self.ended_ns - self.started_ns - self.client_work_ns

    @property
    def response_ns(self) -> int:
        """Response time: what the device feels, from the moment it was meant to act."""
        return self.ended_ns - self.intended_ns

    @property
    def wait_ns(self) -> int | None:
        """The server's thinking: from the last byte sent to the first byte back."""
        if self.sent_ns is None or self.first_byte_ns is None:
            return None
        return self.first_byte_ns - self.sent_ns

    @property
    def schedule_lag_ns(self) -> int:
        """The generator's lateness."""
        return self.started_ns - max(self.intended_ns, self.ready_ns)

    @property
    def own_delay_ns(self) -> int:
        """What of the response time is the generator's own delay."""
        return max(0, self.schedule_lag_ns) + self.loop_delay_ns

    @property
    def key_wait_ns(self) -> int:
        """Time spent waiting for a key or a request to be made."""
        return max(0, self.ready_ns - self.intended_ns)


@dataclass(frozen=True, slots=True)
class PollPlan:
    """What a poll was told and what the device added of its own, to judge its punctuality by."""

    deferred_at_ns: int  # first byte of the deferral that it answers
    told_s: float
    spread_s: float
    form: str  # RetryAfterForm of the told wait


@dataclass(slots=True)
class Sample:
    """One HTTP exchange, whole or not: a row of table ``exchanges``."""

    device: int
    cohort: str
    operation: Operation
    cause: Cause
    enrolment: int  # the device's nth certificate sought, from 1
    attempt: int  # the enrolment's nth exchange, from 1
    request_id: str | None
    kind: OutcomeClass
    stamps: Stamps
    status: int | None = None
    phase: Phase | None = None  # where it failed
    trouble: Trouble | None = None  # what kind of failure; GENERATOR is our own machine's
    detail: str = ""  # one line for people: reason, alert, the server's first words
    tls_version: str | None = None
    tls_group: str | None = None
    resumed: bool = False
    reused: bool = False
    retry_after: RetryAfter | None = None  # of a deferral or an overload
    poll: PollPlan | None = None  # set when this exchange is a poll
    non_conformances: tuple[NonConformance, ...] = ()
    expected: bool = False  # its end is part of the plan: a refusal that is due, so no failure


@dataclass(slots=True)
class Enrolment:
    """One certificate sought, from its first intended start to its end: a row of table ``enrolments``.

    The six parts add up to ``ended_ns - intended_ns`` (time to certificate) to within a millisecond. ``ended_ns`` and
    ``end`` are None while it is open. ``loop_delay_ns`` is what of service and client work the event loop was late.
    """

    device: int
    cohort: str
    number: int
    goal: Goal
    intended_ns: int
    ended_ns: int | None = None
    end: EnrolmentEnd | None = None
    exchanges: int = 0
    deferrals: int = 0
    polls: int = 0
    service_ns: int = 0
    told_ns: int = 0
    device_ns: int = 0
    backoff_ns: int = 0
    client_ns: int = 0
    generator_ns: int = 0
    serial: str | None = None  # hex
    issuer: str | None = None
    subject: str | None = None
    not_after: str | None = None  # ISO 8601, UTC
    key_sha256: str | None = None
    margin_s: float | None = None  # validity left of the certificate being renewed
    expected: bool = False  # a refusal of it is part of the plan
    loop_delay_ns: int = 0
    spoilt: bool = False  # it failed, and that the generator stood still or was late may be why
    to_be_refused: bool = False  # its device is faulty, and the fault shows in it, so the server is to refuse it

    @property
    def own_delay_ns(self) -> int:
        """What of the time to the certificate is the generator's own delay."""
        return max(0, self.generator_ns) + self.loop_delay_ns


@dataclass(slots=True)
class Impact:
    """An event's effect on one device, from when it struck to a usable certificate: a row of table ``impacts``.

    It outlasts enrolments and further power cuts. ``ended_ns`` and ``end`` are None while the device has not come
    through; it may have a usable certificate at once, and seek none.
    """

    device: int
    cohort: str
    kind: ImpactKind
    since_ns: int
    ended_ns: int | None = None
    end: EnrolmentEnd | None = None
    expected: bool = False  # it ended in a refusal that is part of the plan
    own_delay_ns: int = 0  # the generator's, of the enrolment that ended it
    to_be_refused: bool = False  # as an enrolment: the server is to refuse what the device seeks


@dataclass(frozen=True, slots=True)
class GeneratorReading:
    """What the generator says of itself, once a second; CPU is the share of one core since the reading before.

    The stall is the longest of the event loop that ended since then, by the run's clock; None where there was none.
    """

    at_ns: int
    cpu_share: float
    rss_bytes: int
    in_flight: int
    loop_delay_p99_ns: int
    preparing: bool = False  # keys being made: outside the saturation verdict
    ports: int = 0  # local TCP ports in use on this machine, those still closing too
    descriptors: int = 0  # open in this process
    worker: int = 0  # which of the run's processes, from 0
    stalled_from_ns: int | None = None
    stalled_to_ns: int | None = None
    suspended_ns: int = 0  # for how long the machine slept meanwhile; the run's clock does not count that


@dataclass(frozen=True, slots=True)
class MarkRow:
    """Something to be told of a run: what happened to the fleet, a finding, a word of the operator's."""

    at_ns: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class InternalErrorRow:
    """A bug of ours that was met: its kind, and the device that it stopped, if any; a row of ``internal_errors``."""

    at_ns: int
    device: int | None
    cohort: str | None
    error: str
    place: str


@dataclass(frozen=True, slots=True)
class FleetReading:
    """Where the fleet stands: devices by state (their sum is the fleet), and how many wake in each second to come.

    ``cohorts`` has the states of each cohort, ``planned`` how many steps lie ahead: those planned, and under way.
    """

    at_ns: int
    states: dict[str, int] = field(default_factory=dict)
    wakeups: tuple[int, ...] = ()  # RADAR_S entries: due within the 1st, 2nd, … second from now
    waiting_deferred: int = 0
    cohorts: dict[str, dict[str, int]] = field(default_factory=dict)
    planned: int = 0
