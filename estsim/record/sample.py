"""The records of a run: exchanges, enrolments, impacts, readings (docs/metrics.md, "One exchange").

Times are integer nanoseconds on the run's clock: monotonic, 0 at the run's epoch. Derived times are properties, so that
rows, histograms and thresholds share one definition.
"""

from dataclasses import dataclass, field
from typing import Final

from estsim.errors import Phase, Trouble
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal, ImpactKind
from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass, RetryAfter

RADAR_S: Final = 60  # of planned wake-ups that displays show


@dataclass(slots=True)
class Stamps:
    """The stamps of one exchange, None for a step that did not happen (a reused connection has no ``connected``)."""

    intended_ns: int
    ready_ns: int
    started_ns: int
    connected_ns: int | None = None
    handshaken_ns: int | None = None
    sent_ns: int | None = None
    first_byte_ns: int | None = None
    ended_ns: int = 0
    client_work_ns: int = 0  # between handshaken and sent: a CSR signed for the channel binding
    loop_delay_ns: int = 0  # between started and ended: events waiting for the event loop

    @property
    def service_ns(self) -> int:
        """Service time: from the start of the work on the wire to its end, without the client's work in between."""
        return self.ended_ns - self.started_ns - self.client_work_ns

    @property
    def response_ns(self) -> int:
        """Response time: from the intended start to the end, as the device sees it."""
        return self.ended_ns - self.intended_ns

    @property
    def wait_ns(self) -> int | None:
        """The server's time: from the last byte sent to the first byte received."""
        if self.sent_ns is None or self.first_byte_ns is None:
            return None
        return self.first_byte_ns - self.sent_ns

    @property
    def schedule_lag_ns(self) -> int:
        """How late the generator started the exchange."""
        return self.started_ns - max(self.intended_ns, self.ready_ns)

    @property
    def own_delay_ns(self) -> int:
        """The generator's own delay in the response time."""
        return max(0, self.schedule_lag_ns) + self.loop_delay_ns

    @property
    def key_wait_ns(self) -> int:
        """The wait for a key or a request to be made."""
        return max(0, self.ready_ns - self.intended_ns)


@dataclass(frozen=True, slots=True)
class PollPlan:
    """The Retry-After of a poll and the device's own spread, by which punctuality is judged."""

    deferred_at_ns: int  # first byte of the deferral before it
    told_s: float
    spread_s: float
    form: str  # RetryAfterForm


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
    trouble: Trouble | None = None  # kind of failure; GENERATOR is the generator's machine
    detail: str = ""  # one line for people: reason, alert, the server's first words
    tls_version: str | None = None
    tls_group: str | None = None
    resumed: bool = False
    reused: bool = False
    retry_after: RetryAfter | None = None  # of a deferral or an overload
    poll: PollPlan | None = None  # set when this exchange is a poll
    non_conformances: tuple[NonConformance, ...] = ()
    expected: bool = False  # an expected refusal, so no failure


@dataclass(slots=True)
class Enrolment:
    """One certificate sought, from its first intended start to its end: a row of table ``enrolments``.

    The six parts add up to ``ended_ns - intended_ns`` (time to certificate) to within a millisecond. ``ended_ns`` and
    ``end`` are None while it is open. ``loop_delay_ns`` is the event loop's delay in service and client work.
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
    expected: bool = False  # its refusal is part of the plan
    loop_delay_ns: int = 0
    spoilt: bool = False  # it failed, possibly because of the generator's own delay
    to_be_refused: bool = False  # the fault of its device shows in it, so the server should refuse it

    @property
    def own_delay_ns(self) -> int:
        """The generator's own delay in the time to certificate."""
        return max(0, self.generator_ns) + self.loop_delay_ns


@dataclass(slots=True)
class Impact:
    """The impact of an event on one device, until it has a usable certificate: a row of table ``impacts``.

    It may span several enrolments and power cuts. ``ended_ns`` and ``end`` are None until then. A device may have a
    usable certificate at once, without an enrolment.
    """

    device: int
    cohort: str
    kind: ImpactKind
    since_ns: int
    ended_ns: int | None = None
    end: EnrolmentEnd | None = None
    expected: bool = False  # it ended in a refusal that is part of the plan
    own_delay_ns: int = 0  # the generator's, of the enrolment that ended it
    to_be_refused: bool = False  # as for an enrolment


@dataclass(frozen=True, slots=True)
class GeneratorReading:
    """The generator's measurements of itself, once a second; CPU is the share of one core since the reading before.

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
    suspended_ns: int = 0  # time that the machine slept, which the run's clock does not count


@dataclass(frozen=True, slots=True)
class MarkRow:
    """A mark of a run: an event, a finding, a notice, an operator's note."""

    at_ns: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class InternalErrorRow:
    """An internal error: its kind, and the device that it stopped, if any; a row of ``internal_errors``."""

    at_ns: int
    device: int | None
    cohort: str | None
    error: str
    place: str


@dataclass(frozen=True, slots=True)
class FleetReading:
    """The state of the fleet: devices by state (their sum is the fleet), and the wake-ups of the next seconds.

    ``cohorts`` has the states of each cohort, ``planned`` the number of steps planned or under way.
    """

    at_ns: int
    states: dict[str, int] = field(default_factory=dict)
    wakeups: tuple[int, ...] = ()  # RADAR_S entries: due within the 1st, 2nd, … second from now
    waiting_deferred: int = 0
    cohorts: dict[str, dict[str, int]] = field(default_factory=dict)
    planned: int = 0
