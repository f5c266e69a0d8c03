"""The scopes of a run (the whole run, each cohort, each phase), and the figures of each (docs/metrics.md).

A scope adds to a tally what the tally cannot know: how many devices there are, and when the run ended. Summary and
thresholds both read from it, so that one name has one value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from estsim.est.enrolment import EnrolmentEnd, Goal, ImpactKind
from estsim.figures.incidence import Incidence, Share, incidence_in
from estsim.figures.synchrony import Synchrony, resync_s, synchrony_of
from estsim.record.blocks import Blocks
from estsim.record.book import BlocksByOperation, TallyBook
from estsim.record.phases import judged_s
from estsim.record.tally import Tally
from estsim.record.waits import Polls

States = Mapping[str, int]  # devices by state
FAMILIES: Final[Mapping[str, Goal | ImpactKind]] = {  # what the incidence of each counts
    "enrolled_within": Goal.ENROLL,
    "renewed_within": Goal.RENEW,
    "recovered_within": ImpactKind.RECOVERY,
    "replaced_within": ImpactKind.REPLACEMENT,
}
_MIN_UNFINISHED_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Scope:
    """A tally with what its figures need: the devices (by state, where known) and the end of the run."""

    tally: Tally
    devices: int
    ended_ns: int
    states: Mapping[str, int] = field(default_factory=dict)
    blocks: BlocksByOperation = field(default_factory=dict)  # for confidence intervals
    events_s: tuple[float, ...] = ()  # that disturbed the fleet
    ends: Blocks = field(default_factory=Blocks)  # of enrolments: 1 is a failure

    @property
    def expected_refusals(self) -> int:
        """Enrolments that ended without a certificate, as planned."""
        return self.tally.enrolment_tally.expected

    @property
    def synchrony(self) -> Synchrony:
        """Whether the polls are in step, over the whole run."""
        return synchrony_of(self.tally.polls.bins, self.period_s) or Synchrony()

    @property
    def resync_s(self) -> float | None:
        """The time after the worst event until the polls were no longer in step."""
        return resync_s(self.tally.polls.bins, self.period_s, self.events_s)

    @property
    def failures(self) -> float | None:
        """Share of failures among the enrolments that ended by themselves, without those cut or expected to be refused.

        It is 0 if none was begun, and None if none has ended.
        """
        enrolment_tally = self.tally.enrolment_tally
        return _ratio(enrolment_tally.failures, enrolment_tally.concluded) if enrolment_tally.sought else 0.0

    @property
    def unfinished_after_s(self) -> float:
        """The age from which an open enrolment is unfinished: twice the longest Retry-After, at least 10 s."""
        longest = self.tally.told.histogram
        return max(_MIN_UNFINISHED_S, 2 * (longest.scaled(longest.max, 1.0) or 0.0))

    @property
    def unfinished_count(self) -> int:
        """Enrolments that are open at the end and older than `unfinished_after_s`."""
        return self.tally.enrolment_tally.open_longer_than(self.unfinished_after_s, self.ended_ns)

    @property
    def unfinished(self) -> float:
        """Share of the enrolments begun that are unfinished; 0 if none was begun."""
        return _ratio(self.unfinished_count, self.tally.enrolment_tally.sought) or 0.0

    @property
    def exchanges_per_certificate(self) -> float | None:
        """Exchanges that asked for a certificate, per certificate received."""
        return _ratio(self.tally.certificate_exchanges, self.tally.certificates)

    @property
    def wasted_share(self) -> float | None:
        """Share of polls that were answered by another deferral."""
        return _ratio(self.tally.polls.wasted, self.tally.polls.count)

    @property
    def hit_rate(self) -> float | None:
        """Share of the polls that got the certificate, without early ones."""
        return _ratio(self.tally.polls.hits, self.tally.polls.due)

    @property
    def period_s(self) -> int | None:
        """The period T of the Retry-After values, if they have one."""
        return self.tally.told.period_s()

    @property
    def peak_to_mean(self) -> float | None:
        """The busiest second of polls over the mean, from first to last poll."""
        return _peak_to_mean(self.tally.polls)

    @property
    def expired_while_waiting(self) -> int:
        """Enrolments in which the device's certificate passed its notAfter."""
        return self.tally.enrolment_tally.ended[EnrolmentEnd.EXPIRED]

    @property
    def fairness(self) -> float | None:
        """Jain's index of the devices' times to a first certificate, open ones at their age."""
        return self.tally.enrolment_tally.fairness(self.ended_ns)

    @property
    def time_to_certificate(self) -> Incidence:
        """Time to certificate in milliseconds; enrolments open at the end are censored."""
        return incidence_in(self.tally.enrolment_tally, self.ended_ns)

    def drain_s(self, share: float = 1.0) -> float | None:
        """Time from the first boot until ``share`` of the devices had their first certificate; None if not yet.

        Devices whose refusal was expected do not count.
        """
        enrolment_tally = self.tally.enrolment_tally
        return enrolment_tally.drain_s(self.devices - enrolment_tally.expected_devices, share)

    def within(self, family: str, limit_s: float) -> Share | None:
        """Return the share with a certificate within a time, of a family of ``..._within.D``."""
        return incidence_in(self.tally.enrolment_tally, self.ended_ns, FAMILIES[family]).at(round(limit_s * 1000))


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes of a run: the whole run, each cohort, and each phase with the cohorts in it."""

    run: Scope
    cohorts: Mapping[str, Scope] = field(default_factory=dict)
    phases: Mapping[str, "Scopes"] = field(default_factory=dict)
    lasted_s: float = 0.0  # the time that its figures cover

    def per_s(self, count: int) -> float | None:
        """Return a count as a rate over that time; None without any time."""
        return round(count / self.lasted_s, 3) if self.lasted_s > 0 else None

    def of(self, *, cohort: str | None, phase: str | None) -> Scope:
        """Return the scope of a cohort and a phase; None means all."""
        within = self if phase is None else self.phases[phase]
        return within.run if cohort is None else within.cohorts[cohort]


def scopes_of(
    book: TallyBook,
    devices: Mapping[str, int],
    ended_ns: int,
    *,
    states: States,
    by_cohort: Mapping[str, States],
    events_s: Sequence[float],
) -> Scopes:
    """Return the scopes as they stand at ``ended_ns``; a warm-up is in its own scope only.

    ``devices`` are by cohort; ``events_s`` are the times of events that disturbed the fleet.
    """
    fleet, events = sum(devices.values()), tuple(events_s)
    run = Scope(book.total(), fleet, ended_ns, states, book.blocks(), events, book.ends())
    cohorts = {
        name: Scope(
            book.cohort(name),
            count,
            ended_ns,
            by_cohort.get(name, {}),
            book.blocks([name]),
            events,
            book.ends([name]),
        )
        for name, count in devices.items()
    }
    phases = {
        phase.name: Scopes(
            Scope(book.phase(phase.name), fleet, ended_ns),
            {name: Scope(book.phase(phase.name, [name]), devices[name], ended_ns) for name in book.cohorts},
            lasted_s=phase.lasted_s(ended_ns),
        )
        for phase in book.phases
    }
    return Scopes(run, cohorts, phases, judged_s(book.phases, ended_ns))


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
