"""Enrolments counted: begun, open and ended, with the time each took (docs/metrics.md, "One enrolment").

All state is counts in bins and histograms, so that shards merge by addition and a long run stays small.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from estsim.est.enrolment import EnrolmentEnd, Goal, ImpactKind
from estsim.record.ages import MS_NS, Ages
from estsim.record.histograms import LONG, Histogram, merged
from estsim.record.sample import Enrolment, Impact

FAILURES: Final = frozenset(
    {
        EnrolmentEnd.REFUSED,
        EnrolmentEnd.EXHAUSTED,
        EnrolmentEnd.IMPATIENT,
        EnrolmentEnd.DEADLINE,
        EnrolmentEnd.EXPIRED,
    }
)
CUT_BY_US: Final = frozenset(EnrolmentEnd) - FAILURES - {EnrolmentEnd.ISSUED}
AGES: Final[tuple[Goal | ImpactKind, ...]] = (*Goal, *ImpactKind)
PARTS: Final = ("service", "told", "device", "backoff", "client", "generator")
DEFAULT_WITHIN_S: Final = (1.0, 10.0, 60.0, 300.0)


class FirstCertificates:
    """The first certificates of devices: for the drain of the fleet, and for fairness."""

    __slots__ = ("booted_ns", "ended_ms", "squares", "total")

    def __init__(self) -> None:
        self.booted_ns: int | None = None  # the earliest intended start of a first enrolment
        self.ended_ms = Histogram(LONG)  # on the run clock
        self.total = 0  # of times to the first certificate, in ms, and of their squares: for Jain's index
        self.squares = 0

    def record(self, enrolment: Enrolment, ended_ns: int) -> None:
        """Count a device's first certificate."""
        took_ms = (ended_ns - enrolment.intended_ns) // MS_NS
        self.ended_ms.record(ended_ns // MS_NS)
        self.total += took_ms
        self.squares += took_ms * took_ms

    def booted(self, at_ns: int) -> None:
        """Note the intended start of a first enrolment."""
        if self.booted_ns is None or at_ns < self.booted_ns:
            self.booted_ns = at_ns

    def merge(self, other: "FirstCertificates") -> None:
        """Add another shard's counts; its devices are others."""
        if other.booted_ns is not None:
            self.booted(other.booted_ns)
        self.ended_ms.merge(other.ended_ms)
        self.total += other.total
        self.squares += other.squares


class FirstCertificateOnce:
    """The devices of one process that have a first certificate, or an expected refusal, so that it counts once."""

    def __init__(self) -> None:
        self._settled: set[tuple[str, int]] = set()

    def is_first(self, ended: Enrolment) -> bool:
        """Return whether this ended enrolment is its device's first certificate or expected refusal; true once."""
        device = (ended.cohort, ended.device)
        settled = ended.end is EnrolmentEnd.ISSUED or (ended.expected and ended.end in FAILURES)
        first = settled and ended.goal is Goal.ENROLL and device not in self._settled
        if first:
            self._settled.add(device)
        return first


class EnrolmentTally:
    """The enrolments of a cohort."""

    __slots__ = ("ages", "begun", "ended", "expected", "expected_devices", "first", "parts_ns", "unrefused")

    def __init__(self, within_s: Iterable[float] = DEFAULT_WITHIN_S) -> None:
        limits_ms = [round(limit_s * 1000) for limit_s in within_s]
        self.begun = 0
        self.ended: Counter[EnrolmentEnd] = Counter()
        self.expected = 0  # ended without a certificate, as planned
        self.unrefused = 0  # to be refused by the server, and not refused yet: open, or cut by the generator
        self.expected_devices = 0  # devices whose first enrolment that was
        self.ages: dict[Goal | ImpactKind, Ages] = {key: Ages(limits_ms) for key in AGES}  # without expected refusals
        self.parts_ns: Counter[str] = Counter()  # of enrolments that got a certificate
        self.first = FirstCertificates()

    def begin(self, enrolment: Enrolment) -> None:
        """Count an enrolment that begins."""
        self.begun += 1
        if enrolment.to_be_refused:
            self.unrefused += 1
        else:
            self.ages[enrolment.goal].begin(enrolment.intended_ns)
        if enrolment.goal is Goal.ENROLL:
            self.first.booted(enrolment.intended_ns)

    def end(self, enrolment: Enrolment, *, first: bool) -> None:
        """Count an enrolment that ended; ``first`` marks the device's first certificate, or first expected refusal.

        If it began in another tally, the open ones go below zero here; the merge balances them.
        """
        if enrolment.ended_ns is None or enrolment.end is None:
            message = f"enrolment {enrolment.number} of device {enrolment.device} has not ended"
            raise ValueError(message)
        self.ended[enrolment.end] += 1
        if not enrolment.to_be_refused:
            self.ages[enrolment.goal].close(enrolment.intended_ns)
        elif enrolment.end in CUT_BY_US:
            return
        else:
            self.unrefused -= 1
        if enrolment.expected and enrolment.end in FAILURES:
            self.expected += 1
            self.expected_devices += first
            return
        end_in(self.ages[enrolment.goal], enrolment.end, enrolment.ended_ns - enrolment.intended_ns)
        if enrolment.end is EnrolmentEnd.ISSUED:
            self._add_parts(enrolment)
            if first:
                self.first.record(enrolment, enrolment.ended_ns)

    def impact_began(self, impact: Impact) -> None:
        """Count a device under the impact of an event."""
        if not impact.to_be_refused:
            self.ages[impact.kind].begin(impact.since_ns)

    def impact_ended(self, impact: Impact) -> None:
        """Count the end of an impact."""
        ages = self.ages[impact.kind]
        if not impact.to_be_refused:
            ages.close(impact.since_ns)
        elif impact.end in CUT_BY_US:
            return
        if impact.end is not None and impact.ended_ns is not None and not impact.expected:
            end_in(ages, impact.end, impact.ended_ns - impact.since_ns)

    def _add_parts(self, enrolment: Enrolment) -> None:
        parts = self.parts_ns
        parts["service"] += enrolment.service_ns
        parts["told"] += enrolment.told_ns
        parts["device"] += enrolment.device_ns
        parts["backoff"] += enrolment.backoff_ns
        parts["client"] += enrolment.client_ns
        parts["generator"] += enrolment.generator_ns

    def merge(self, other: "EnrolmentTally") -> None:
        """Add another shard's counts; both must have the same limits D."""
        for goal, ages in self.ages.items():
            ages.merge(other.ages[goal])
        self.begun += other.begun
        self.ended.update(other.ended)
        self.expected += other.expected
        self.expected_devices += other.expected_devices
        self.unrefused += other.unrefused
        self.parts_ns.update(other.parts_ns)
        self.first.merge(other.first)

    @property
    def limits_ms(self) -> tuple[int, ...]:
        """Every D that is counted."""
        return tuple(sorted(self.ages[Goal.ENROLL].within))

    @property
    def time_to_certificate(self) -> Histogram:
        """Times to certificate of the enrolments that got one."""
        return merged((self.ages[goal].issued for goal in Goal), LONG)

    @property
    def open(self) -> int:
        """Enrolments begun and not ended."""
        return self.begun - self.ended.total()

    @property
    def failures(self) -> int:
        """Enrolments that ended without a certificate, neither cut by the generator nor as expected."""
        return sum(self.ended[end] for end in FAILURES) - self.expected

    @property
    def concluded(self) -> int:
        """Enrolments that ended by themselves, without expected refusals."""
        return self.ended[EnrolmentEnd.ISSUED] + self.failures

    @property
    def sought(self) -> int:
        """Enrolments begun, without those refused as expected or still to be refused."""
        return self.begun - self.expected - self.unrefused

    def open_longer_than(self, age_s: float, ended_ns: int) -> int:
        """Count the open enrolments older than ``age_s``."""
        ages = (self.ages[goal].open_ages_ms(ended_ns) for goal in Goal)
        return sum(count for each in ages for age_ms, count in each.items() if age_ms > age_s * 1000)

    def drain_s(self, devices: int, share: float) -> float | None:
        """Return the time from the first boot until ``share`` of the devices had a certificate; None if not yet."""
        count = self.first.ended_ms.count
        if self.first.booted_ns is None or not count or count < share * devices:
            return None
        ended_ms = self.first.ended_ms.quantile(min(1.0, share * devices / count))
        return None if ended_ms is None else max(0.0, round(ended_ms / 1000 - self.first.booted_ns / 1e9, 3))

    def fairness(self, ended_ns: int) -> float | None:
        """Return Jain's index of the times to a first certificate, with open enrolments at their age."""
        count, total, squares = self.first.ended_ms.count, self.first.total, self.first.squares
        for age_ms, devices in self.ages[Goal.ENROLL].open_ages_ms(ended_ns).items():
            count += devices
            total += age_ms * devices
            squares += age_ms * age_ms * devices
        return total * total / (count * squares) if squares else None


def end_in(ages: Ages, end: EnrolmentEnd, age_ns: int) -> None:
    """Count in ages the end of an enrolment that was not expected to be refused."""
    if end is EnrolmentEnd.ISSUED:
        ages.end_issued(age_ns)
    elif end in CUT_BY_US:
        ages.end_cut(age_ns)
    else:
        ages.end_failed(age_ns)
