"""The figures of a scope (the whole run, or one cohort): from counts to what METRICS.md defines.

A scope adds to a tally what the tally cannot know: how many devices there are and when the run ended. Summary and
thresholds both read from here, so that one name has one value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from estsim.est.enrolment import EnrolmentEnd
from estsim.measure.book import BlocksByOperation
from estsim.measure.survival import Survival
from estsim.measure.synchrony import Synchrony, resync_s, synchrony_of
from estsim.measure.tally import Tally
from estsim.measure.waits import Polls


@dataclass(frozen=True, slots=True)
class Scope:
    """A tally with what it takes to read it: its devices (by state, where known) and the end of the run."""

    tally: Tally
    devices: int
    ended_ns: int
    states: Mapping[str, int] = field(default_factory=dict)
    blocks: BlocksByOperation = field(default_factory=dict)  # for confidence intervals
    events_s: tuple[float, ...] = ()  # when something stirred the fleet

    @property
    def expected_refusals(self) -> int:
        """Enrolments that ended without a certificate, as the plan had it."""
        return self.tally.lives.expected

    @property
    def synchrony(self) -> Synchrony:
        """Whether the polls march in step, over the whole of it."""
        return synchrony_of(self.tally.polls.bins, self.period_s) or Synchrony()

    @property
    def resync_s(self) -> float | None:
        """How long it took, after the worst event, until the polls no longer marched in step."""
        return resync_s(self.tally.polls.bins, self.period_s, self.events_s)

    @property
    def failures(self) -> float | None:
        """Share of enrolments that failed among those that ended by themselves; those we cut are neither."""
        return _ratio(self.tally.lives.failures, self.tally.lives.concluded)

    @property
    def exchanges_per_certificate(self) -> float | None:
        """All exchanges that asked for a certificate, over the certificates they brought."""
        return _ratio(self.tally.certificate_exchanges, self.tally.certificates)

    @property
    def wasted_share(self) -> float | None:
        """Share of polls that were answered by another deferral."""
        return _ratio(self.tally.polls.wasted, self.tally.polls.count)

    @property
    def hit_rate(self) -> float | None:
        """Of polls that were not early: share that got the certificate."""
        return _ratio(self.tally.polls.hits, self.tally.polls.due)

    @property
    def period_s(self) -> int | None:
        """The period T of the told waits, if they have one."""
        return self.tally.told.period_s()

    @property
    def peak_to_mean(self) -> float | None:
        """The busiest second of polls over the mean, from first to last poll."""
        return _peak_to_mean(self.tally.polls)

    @property
    def expired_while_waiting(self) -> int:
        """Enrolments in which the device's certificate passed its notAfter."""
        return self.tally.lives.ended[EnrolmentEnd.EXPIRED]

    @property
    def fairness(self) -> float | None:
        """Jain's index of the devices' times to a first certificate, open ones at their age."""
        return self.tally.lives.fairness(self.ended_ns)

    @property
    def time_to_certificate(self) -> Survival:
        """Time to certificate, with what was open at the end as censored; in milliseconds."""
        return self.tally.lives.survival(self.ended_ns)

    def drain_s(self, share: float = 1.0) -> float | None:
        """Time from the first boot until ``share`` of the devices had their first certificate; null if not yet.

        Devices that were refused as planned are not waited for.
        """
        lives = self.tally.lives
        return lives.drain_s(self.devices - lives.expected_devices, share)

    def enrolled_within(self, limit_s: float) -> float | None:
        """Share of the enrolments intended at least ``limit_s`` before the end that were enrolled within it."""
        return self.tally.lives.enrolled_within(limit_s, self.ended_ns)


@dataclass(frozen=True, slots=True)
class Scopes:
    """A run in all its scopes: the whole of it, each cohort, and each phase with the cohorts in it."""

    run: Scope
    cohorts: Mapping[str, Scope] = field(default_factory=dict)
    phases: Mapping[str, "Scopes"] = field(default_factory=dict)

    def of(self, *, cohort: str | None, phase: str | None) -> Scope:
        """Return the scope of a cohort and a phase; None is all of them."""
        within = self if phase is None else self.phases[phase]
        return within.run if cohort is None else within.cohorts[cohort]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _peak_to_mean(polls: Polls) -> float | None:
    if not polls.bins:
        return None
    seconds: dict[int, int] = {}
    for key, count in polls.bins.items():
        seconds[key // 10] = seconds.get(key // 10, 0) + count
    span = max(seconds) - min(seconds) + 1
    return max(seconds.values()) * span / polls.count
