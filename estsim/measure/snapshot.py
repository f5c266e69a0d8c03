"""What the dashboard shows at one moment: plain figures, no histograms, no references to live state."""

from dataclasses import dataclass
from enum import StrEnum


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
