"""What the dashboard shows at one moment: plain figures, no histograms, no references to live state."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from estsim.est.outcome import OutcomeClass, RetryAfterForm

CLASSES: Final = tuple(kind.value for kind in OutcomeClass)  # the ten classes of exchanges
FAILURES: Final = frozenset(kind.value for kind in OutcomeClass if kind.is_failure)
FORMS: Final = tuple(form.value for form in RetryAfterForm)  # the forms of a Retry-After


class RunStage(StrEnum):
    """Where a run stands."""

    PREPARING = "preparing"
    RUNNING = "running"
    DRAINING = "draining"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Quantiles:
    """p50, p90, p99 and the maximum of ``count`` values; None where there are none."""

    count: int = 0
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class OperationFigures:
    """One operation so far: requests by class, and the latency of those that ended ok, in milliseconds."""

    operation: str
    requests: int
    by_class: dict[str, int]  # OutcomeClass value → count
    service_ms: Quantiles
    response_ms: Quantiles


@dataclass(frozen=True, slots=True)
class DeferralSnapshot:
    """What servers told devices to wait, what the devices made of it, and whether they march in step.

    ``told`` and ``kept`` are counts in bins of ``bin_s`` seconds from 0 on: of the told waits, and of the gaps that
    devices left between a deferral and the poll after it. ``rhythm`` is the polls of the last whole window folded on
    the period: where in it they knock. The figures of synchrony are of that window, ``run_synchronisation`` of the run.
    """

    told: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    bin_s: float = 1.0
    forms: dict[str, int] = field(default_factory=dict)  # RetryAfterForm value → deferrals
    polls: int = 0
    early_polls: int = 0
    wasted_share: float | None = None
    hit_rate: float | None = None
    punctuality_s: Quantiles = Quantiles()
    period_s: int | None = None
    rhythm: tuple[int, ...] = ()
    synchronisation: float | None = None
    lag_correlation: float | None = None
    burstiness: float | None = None
    fano: float | None = None
    run_synchronisation: float | None = None


@dataclass(frozen=True, slots=True)
class CohortSnapshot:
    """One cohort: where its devices stand, its totals, and what its exchanges took over the last window."""

    name: str
    devices: int
    states: dict[str, int]
    requests: int
    certificates: int
    failures: float | None  # share of the enrolments that ended by themselves
    errors: int
    waiting_deferred: int
    exchanges_per_certificate: float | None
    time_to_certificate_s: Quantiles
    response_ms: Quantiles  # of the exchanges that brought a certificate, over the last window


@dataclass(frozen=True, slots=True)
class WindowSnapshot:
    """The last ``seconds`` seconds of the run, in the same figures as the whole of it."""

    seconds: float = 0.0
    requests: int = 0
    certificates: int = 0
    failures: float | None = None
    exchanges_per_certificate: float | None = None
    wasted_share: float | None = None
    hit_rate: float | None = None
    time_to_certificate_s: Quantiles = Quantiles()  # of the enrolments that got one within the window
    operations: tuple[OperationFigures, ...] = ()


@dataclass(frozen=True, slots=True)
class GeneratorSnapshot:
    """What the generator took over the last 10 s: the highest of each, and what this machine has of it."""

    loop_delay_p99_ms: float | None = None
    cpu_share: float = 0.0  # the mean, of one core
    rss_mib: float = 0.0
    ports: int = 0  # local TCP ports in use on this machine, those still closing too
    ports_limit: int = 0
    descriptors: int = 0
    descriptors_limit: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of a run, cumulative unless said otherwise."""

    name: str
    target: str
    stage: RunStage
    elapsed_s: float
    duration_s: float | None
    devices: int
    states: dict[str, int]
    requests: int
    certificates: int
    requests_per_s: tuple[int, ...]  # the last 60 whole seconds, oldest first
    certificates_per_s: tuple[int, ...]
    operations: tuple[OperationFigures, ...]
    waiting_deferred: int
    exchanges_per_certificate: float | None
    time_to_certificate_s: Quantiles
    wakeups: tuple[int, ...]  # due in each of the next 60 seconds
    errors: tuple[tuple[str, int], ...]  # kind and reason, most frequent first
    schedule_lag_ms: Quantiles  # of the last 10 s
    loop_delay_p99_ms: float | None
    cpu_share: float  # of one core, 1.0 = all of it
    max_cpu: float
    max_lag_ms: float
    rss_mib: float
    in_flight: int
    saturated: str | None  # the sentence that says why, once it is so
    window: WindowSnapshot = WindowSnapshot()
    deferral: DeferralSnapshot = DeferralSnapshot()
    cohorts: tuple[CohortSnapshot, ...] = ()
    generator: GeneratorSnapshot = GeneratorSnapshot()
    marks: tuple[tuple[float, str], ...] = ()  # what happened to the fleet: seconds of the run, and what
    awaiting: str | None = None  # what the run waits for before it goes on, such as an operator's Enter
