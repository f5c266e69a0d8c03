"""The deferrals of a run, a cohort or a phase as summary.json has them, and its times to certificate.

docs/metrics.md defines each figure. None: there is nothing to say of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from estsim.record.statistic import Level, Statistic


@dataclass(frozen=True, slots=True)
class TimeToCertificate(Statistic):
    """Times to certificate; ``longer_than_s`` has what was not reached, ``parts_s`` where the time went."""

    unfinished: int
    longer_than_s: Mapping[str, float]
    parts_s: Mapping[str, float]

    def open_end_s(self, level: Level) -> float | None:
        """Return what a percentile is known to be longer than, where it was not reached."""
        return self.longer_than_s.get(level)


@dataclass(frozen=True, slots=True)
class RetryAfterSummary(Statistic):
    """The Retry-After values that were told, by form, and those that are missing or implausible."""

    forms: Mapping[str, int]
    missing: int
    zero: int
    unreadable: int
    past: int
    absurd: int

    @property
    def deferrals(self) -> int:
        """All deferrals, whatever they told."""
        return sum(self.forms.values())


@dataclass(frozen=True, slots=True)
class NonConformanceSummary:
    """How many answers broke a rule, and where the rule stands."""

    count: int
    rfc_section: str


@dataclass(frozen=True, slots=True)
class DeferralSummary:
    """Polls, how far they are in step, times to certificate, and the shares that had one within a time."""

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
