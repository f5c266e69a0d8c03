"""Enrolments counted: begun, open and ended, with the time each took (METRICS.md, "One enrolment").

All state is counts in bins and histograms, so that shards merge by addition and a long run stays small. Intended times
are kept in bins of 100 ms: enough to know the age of what is open, and who had been there for D at the end.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.measure.histograms import LONG, Histogram
from estsim.measure.sample import Enrolment
from estsim.measure.survival import Survival
from estsim.measure.waits import BIN_NS

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
PARTS: Final = ("service", "told", "device", "backoff", "client", "generator")
DEFAULT_WITHIN_S: Final = (1.0, 10.0, 60.0, 300.0)

_MS_NS: Final = 1_000_000


class Within:
    """Who had a certificate within D, by the time they were intended."""

    __slots__ = ("had", "spared")

    def __init__(self) -> None:
        self.had: Counter[int] = Counter()
        self.spared: Counter[int] = Counter()  # cut by us before they were D old: nobody's fault

    def merge(self, other: "Within") -> None:
        """Add another shard's counts."""
        self.had.update(other.had)
        self.spared.update(other.spared)


class FirstCertificates:
    """Each device's first certificate: when the fleet was through, and how fairly the time was shared."""

    __slots__ = ("booted_ns", "ended_ms", "squares", "total")

    def __init__(self) -> None:
        self.booted_ns: int | None = None  # the earliest intended start of a first enrolment
        self.ended_ms = Histogram(LONG)  # on the run clock
        self.total = 0  # of times to the first certificate, in ms, and of their squares: for Jain's index
        self.squares = 0

    def record(self, enrolment: Enrolment, ended_ns: int) -> None:
        """Count a device's first certificate."""
        took_ms = (ended_ns - enrolment.intended_ns) // _MS_NS
        self.ended_ms.record(ended_ns // _MS_NS)
        self.total += took_ms
        self.squares += took_ms * took_ms

    def booted(self, at_ns: int) -> None:
        """Note that a device seeking a first certificate was meant to start then."""
        if self.booted_ns is None or at_ns < self.booted_ns:
            self.booted_ns = at_ns

    def merge(self, other: "FirstCertificates") -> None:
        """Add another shard's counts; its devices are others."""
        if other.booted_ns is not None:
            self.booted(other.booted_ns)
        self.ended_ms.merge(other.ended_ms)
        self.total += other.total
        self.squares += other.squares


class Lives:
    """The enrolments of a cohort."""

    __slots__ = (
        "begun",
        "begun_bins",
        "cut_ages",
        "ended",
        "expected",
        "expected_devices",
        "first",
        "open_bins",
        "open_first_bins",
        "parts_ns",
        "time_to_certificate",
        "within",
    )

    def __init__(self, within_s: Iterable[float] = DEFAULT_WITHIN_S) -> None:
        self.begun = 0
        self.ended: Counter[EnrolmentEnd] = Counter()
        self.expected = 0  # ended without a certificate, as the plan had it
        self.expected_devices = 0  # devices of which that was a first enrolment, each once
        self.begun_bins: Counter[int] = Counter()
        self.open_bins: Counter[int] = Counter()
        self.open_first_bins: Counter[int] = Counter()  # those open that seek a first certificate
        self.time_to_certificate = Histogram(LONG)
        self.cut_ages = Histogram(LONG)
        self.parts_ns: Counter[str] = Counter()  # of enrolments that got a certificate
        self.first = FirstCertificates()
        self.within = {round(limit_s * 1000): Within() for limit_s in within_s}  # by D in ms

    def begin(self, enrolment: Enrolment) -> None:
        """Count an enrolment that is now sought."""
        intended_bin = enrolment.intended_ns // BIN_NS
        self.begun += 1
        self.begun_bins[intended_bin] += 1
        self.open_bins[intended_bin] += 1
        if enrolment.goal is Goal.ENROLL:
            self.open_first_bins[intended_bin] += 1
            self.first.booted(enrolment.intended_ns)

    def end(self, enrolment: Enrolment, *, first: bool) -> None:
        """Count an enrolment that ended; ``first`` marks the device's first certificate, or first expected refusal.

        It may have begun in another tally: open ones are then counted below zero here, and come out even in the merge.
        """
        if enrolment.ended_ns is None or enrolment.end is None:
            message = f"enrolment {enrolment.number} of device {enrolment.device} has not ended"
            raise ValueError(message)
        intended_bin = enrolment.intended_ns // BIN_NS
        age_ns = enrolment.ended_ns - enrolment.intended_ns
        self.ended[enrolment.end] += 1
        if enrolment.expected and enrolment.end in FAILURES:
            self.expected += 1
            self.expected_devices += first
        _take(self.open_bins, intended_bin)
        if enrolment.goal is Goal.ENROLL:
            _take(self.open_first_bins, intended_bin)
        issued = enrolment.end is EnrolmentEnd.ISSUED
        if issued:
            self.time_to_certificate.record_ns(age_ns)
            self._add_parts(enrolment)
            if first:
                self.first.record(enrolment, enrolment.ended_ns)
        elif enrolment.end in CUT_BY_US:
            self.cut_ages.record_ns(age_ns)
        for limit_ms, within in self.within.items():
            if age_ns <= limit_ms * _MS_NS and issued:
                within.had[intended_bin] += 1
            elif age_ns < limit_ms * _MS_NS and enrolment.end in CUT_BY_US:
                within.spared[intended_bin] += 1

    def _add_parts(self, enrolment: Enrolment) -> None:
        parts = self.parts_ns
        parts["service"] += enrolment.service_ns
        parts["told"] += enrolment.told_ns
        parts["device"] += enrolment.device_ns
        parts["backoff"] += enrolment.backoff_ns
        parts["client"] += enrolment.client_ns
        parts["generator"] += enrolment.generator_ns

    def merge(self, other: "Lives", *, ages: bool = True) -> None:
        """Add another shard's counts; both must know the same limits D.

        ``ages=False`` leaves out the bins of `enrolled_within`, which grow with the run's length: a display needs none.
        """
        if self.within.keys() != other.within.keys():
            message = f"enrolled_within of different limits do not merge: {[*self.within]} and {[*other.within]} ms"
            raise ValueError(message)
        self.begun += other.begun
        self.ended.update(other.ended)
        self.expected += other.expected
        self.expected_devices += other.expected_devices
        _add(self.open_bins, other.open_bins)
        _add(self.open_first_bins, other.open_first_bins)
        self.time_to_certificate.merge(other.time_to_certificate)
        self.cut_ages.merge(other.cut_ages)
        self.parts_ns.update(other.parts_ns)
        self.first.merge(other.first)
        if not ages:
            return
        self.begun_bins.update(other.begun_bins)
        for limit_ms, within in self.within.items():
            within.merge(other.within[limit_ms])

    @property
    def open(self) -> int:
        """Enrolments begun and not ended."""
        return self.open_bins.total()

    @property
    def failures(self) -> int:
        """Enrolments that ended without a certificate, not because we cut them and not as expected."""
        return sum(self.ended[end] for end in FAILURES) - self.expected

    @property
    def concluded(self) -> int:
        """Enrolments that ended by themselves: with a certificate, or without. Those we cut are neither."""
        return self.ended[EnrolmentEnd.ISSUED] + self.failures + self.expected

    def enrolled_within(self, limit_s: float, ended_ns: int) -> float | None:
        """Return the share of enrolments intended ``limit_s`` or more before the end that were enrolled within it."""
        limit_ms = round(limit_s * 1000)
        within = self.within[limit_ms]
        first_young = (ended_ns - limit_ms * _MS_NS) // BIN_NS  # only bins that are old enough as a whole
        old_enough = _before(self.begun_bins, first_young) - _before(within.spared, first_young)
        return _before(within.had, first_young) / old_enough if old_enough else None

    def survival(self, ended_ns: int, *, grain_ms: int = 1) -> Survival:
        """Return time to certificate with those still open, or cut by us, as censored and failures as never.

        Ages of open ones are rounded up to ``grain_ms``: a coarse one makes a display cheap.
        """
        censored = Counter(dict(self.cut_ages.values()))
        censored.update(_ages_ms(self.open_bins, ended_ns, grain_ms))
        return Survival(self.time_to_certificate, censored, self.failures)

    def drain_s(self, devices: int, share: float) -> float | None:
        """Return when ``share`` of the devices had their first certificate, from the first boot; null if not yet."""
        count = self.first.ended_ms.count
        if self.first.booted_ns is None or not count or count < share * devices:
            return None
        ended_ms = self.first.ended_ms.quantile(min(1.0, share * devices / count))
        return None if ended_ms is None else max(0.0, round(ended_ms / 1000 - self.first.booted_ns / 1e9, 3))

    def fairness(self, ended_ns: int) -> float | None:
        """Return Jain's index of the times to a first certificate, those still open at their age."""
        count, total, squares = self.first.ended_ms.count, self.first.total, self.first.squares
        for age_ms, devices in _ages_ms(self.open_first_bins, ended_ns).items():
            count += devices
            total += age_ms * devices
            squares += age_ms * age_ms * devices
        return total * total / (count * squares) if squares else None


def _take(bins: Counter[int], key: int) -> None:
    if bins[key] == 1:
        del bins[key]
    else:
        bins[key] -= 1


def _add(bins: Counter[int], others: Counter[int]) -> None:
    """Add counts, and drop the keys that come out even: they would stay for the length of the run."""
    for key, count in others.items():
        bins[key] += count
        if not bins[key]:
            del bins[key]


def _before(bins: Counter[int], end: int) -> int:
    return sum(count for key, count in bins.items() if key < end)


def _ages_ms(bins: Counter[int], ended_ns: int, grain_ms: int = 1) -> Counter[int]:
    """Return how old what is in the bins is; the oldest that a bin can hold, so that no wait is understated."""
    ages: Counter[int] = Counter()
    for key, count in bins.items():
        age_ms = max(0, (ended_ns - key * BIN_NS) // _MS_NS)
        ages[-(-age_ms // grain_ms) * grain_ms] += count
    return ages
