"""The blocks of summary.json: deferral and times to certificate, errors, generator, thresholds.

docs/metrics.md defines each figure. None means that there is no value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from estsim.figures.json_form import keyed
from estsim.record.error_kinds import ErrorKinds, others
from estsim.record.internal_errors import InternalErrors
from estsim.record.statistic import Level, Statistic


@dataclass(frozen=True, slots=True)
class TimeToCertificate(Statistic):
    """Times to certificate; ``longer_than_s`` bounds the levels that were not reached, ``parts_s`` is the breakdown."""

    unfinished: int
    longer_than_s: Mapping[str, float]
    parts_s: Mapping[str, float]

    def open_end_s(self, level: Level) -> float | None:
        """Return the lower bound of a level that was not reached."""
        return self.longer_than_s.get(level)


@dataclass(frozen=True, slots=True)
class RetryAfterSummary(Statistic):
    """The Retry-After values by form, and those that are missing or implausible."""

    forms: Mapping[str, int]
    missing: int
    zero: int
    unreadable: int
    past: int
    absurd: int

    @property
    def deferrals(self) -> int:
        """All deferrals, with or without a Retry-After."""
        return sum(self.forms.values())


@dataclass(frozen=True, slots=True)
class NonConformanceSummary:
    """The number of answers that broke a rule, and the section of the rule."""

    count: int
    rfc_section: str


@dataclass(frozen=True, slots=True)
class DeferralSummary:
    """Polls, their synchrony, times to certificate, and the shares with a certificate within a time."""

    exchanges_per_certificate: float | None
    polls: int | None
    wasted_share: float | None
    hit_rate: float | None
    early_polls: int | None
    period_s: float | None
    synchronisation: float | None
    lag_correlation: float | None
    burstiness: float | None
    fano: float | None
    peak_to_mean: float | None
    drain_s: float | None
    drain_p90_s: float | None
    drain_p99_s: float | None
    resync_s: float | None
    fairness: float | None
    expired_while_waiting: int | None
    time_to_certificate_s: TimeToCertificate
    enrolled_within: Mapping[str, float | None]
    renewed_within: Mapping[str, float | None]
    recovered_within: Mapping[str, float | None]
    replaced_within: Mapping[str, float | None]
    unfinished: float | None
    retry_after_s: RetryAfterSummary
    punctuality_s: Statistic
    non_conformance: Mapping[str, NonConformanceSummary]


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """A kind of failed exchange; the last may sum up all others, with ``detail`` and ``count`` only."""

    operation: str | None
    kind: str | None = field(metadata=keyed("class"))
    phase: str | None
    detail: str
    count: int


@dataclass(frozen=True, slots=True)
class InternalErrorSummary:
    """A kind of internal error: how often it occurred, and how many devices it stopped."""

    error: str
    place: str
    count: int
    devices: int


@dataclass(frozen=True, slots=True)
class InternalErrorsSummary:
    """All internal errors of a run."""

    count: int
    devices: int
    kinds: tuple[InternalErrorSummary, ...]


def error_summaries(found: ErrorKinds) -> tuple[ErrorSummary, ...]:
    """Return failed exchanges by kind; the last entry sums up the others, so that all add up."""
    listed = [
        ErrorSummary(kind.operation, kind.kind, kind.phase or None, kind.detail, kind.count) for kind in found.top
    ]
    rest = found.count - sum(kind.count for kind in found.top)
    if rest:
        further = others(found.kinds - len(found.top), at_least=found.at_least)
        listed.append(ErrorSummary(None, None, None, further, rest))
    return tuple(listed)


def internal_errors_summary(errors: InternalErrors) -> InternalErrorsSummary:
    """Return the internal errors of a run."""
    kinds = [(kind.error, kind.place, kind.count, kind.devices) for kind in errors.kinds.values()]
    return internal_errors_of(kinds, count=errors.count, devices=errors.devices)


def internal_errors_of(
    kinds: Iterable[tuple[str, str, int, int]], *, count: int, devices: int
) -> InternalErrorsSummary:
    """Return internal errors from kinds as (error, place, count, devices)."""
    return InternalErrorsSummary(count, devices, tuple(InternalErrorSummary(*kind) for kind in kinds))


@dataclass(frozen=True, slots=True)
class SaturationSummary:
    """The window that the saturation verdict names, and the schedule lag that it quotes, if any."""

    cause: str
    from_s: int | None
    to_s: int | None
    lag_ms: float | None


@dataclass(frozen=True, slots=True)
class GeneratorSummary:
    """CPU, memory, schedule lag and event-loop delay of all processes, and the saturation verdict."""

    cpu_s: float | None
    cpu_per_enrolment_ms: float | None
    enrolments_per_s: float | None
    cpu_per_handshake_ms: float | None
    peak_rss_mib: float | None
    schedule_lag_ms: Statistic
    saturated: bool | None
    why: str | None
    loop_delay_ms: Statistic
    peak_ports: int | None
    peak_descriptors: int | None
    longest_stall_ms: float | None
    saturation: SaturationSummary | None

    @property
    def error_bar(self) -> tuple[Level, float] | None:
        """The event-loop delay, the error bar of every service time: its p99, or in a short run its maximum."""
        if self.loop_delay_ms.p99 is not None:
            return "p99", self.loop_delay_ms.p99
        return None if self.loop_delay_ms.max is None else ("max", self.loop_delay_ms.max)


@dataclass(frozen=True, slots=True)
class SupportSummary:
    """The samples of a threshold, the samples it needs, and whether they suffice."""

    samples: int
    needed: int | None
    supported: bool | None


@dataclass(frozen=True, slots=True)
class ThresholdSummary:
    """The result of a threshold; ``value`` is in the unit ``ms``, ``s``, ``share`` (0 to 1) or ``count``."""

    expression: str
    value: float | None
    unit: str
    passed: bool | None
    why: str
    support: SupportSummary | None

    @property
    def is_thin(self) -> bool:
        """Whether the sample is too small for the result."""
        return self.support is not None and self.support.supported is False
