"""The counts of a run in slices of ten seconds, where every exchange and every enrolment is counted once.

A process counts into its :class:`CountedSlices`, whether it plays the whole fleet or a part of it. They are taken once
a second: merged into the book of tallies for whoever looks at the run, and into the store beside the rows of the same
second (:mod:`estsim.record.store`), where reports read them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from estsim.errors import Trouble
from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.record.ages import MS_NS
from estsim.record.blocks import BLOCK_S
from estsim.record.enrolment_tally import DEFAULT_WITHIN_S, PARTS
from estsim.record.histograms import LATENCY, LONG, Histogram, bucket_index
from estsim.record.phases import Stretch, phase_at
from estsim.record.sample import Enrolment, Sample
from estsim.record.tally import Tally
from estsim.record.waits import BIN_NS

SLICE_S: Final = BLOCK_S
SLICE_NS: Final = round(SLICE_S * 1e9)

SliceKey = tuple[int, str, str | None]  # the slice's number, cohort, phase
_NS: Final = 1_000_000_000
_COARSE_US: Final = 100  # the resolution of lags within the limit
_LAG_PACK: Final = 1 << 60  # larger than any lag
_LONGEST_BINS: Final = 1_000_000_000  # of a Retry-After, which may be of any size
_PARTS_NS: Final = tuple(f"{part}_ns" for part in PARTS)

Handshake = tuple[str | None, str | None, bool]  # version, group, whether it resumed a session


@dataclass(frozen=True, slots=True)
class SpentTime:
    """The breakdown of the time of enrolments of similar duration: sums in nanoseconds, in the order of PARTS."""

    bucket: int
    count: int
    took_ns: int
    parts_ns: tuple[int, ...]

    def plus(self, other: "SpentTime") -> "SpentTime":
        """Return the sum of both; their bucket is the same."""
        parts_ns = tuple(ours + theirs for ours, theirs in zip(self.parts_ns, other.parts_ns, strict=True))
        return SpentTime(self.bucket, self.count + other.count, self.took_ns + other.took_ns, parts_ns)


class ReportCounts:
    """The counts that only a report shows, of one slice or several: lags, handshakes, waits, breakdowns.

    They merge by addition. A store has them, but not the totals of a run under way, because parts of them grow with its
    length.
    """

    __slots__ = (
        "_lags",
        "_late",
        "_limit_us",
        "ended_ns",
        "expected",
        "handshakes",
        "kept",
        "ran_out",
        "spent",
        "told",
    )

    def __init__(self, max_lag_s: float = 0.0) -> None:
        self._limit_us = round(max_lag_s * 1e6)
        self.ended_ns = 0  # the latest end of an exchange
        self._lags: dict[int, Histogram] = {}
        self._late: dict[int, int] = {}  # lags not yet in there: counts by second and value, packed into one number
        self.expected: Counter[tuple[str, int]] = Counter()  # expected failures: class, second
        self.handshakes: Counter[Handshake] = Counter()
        self.told: Counter[int] = Counter()  # Retry-After before polls in tenths of a second, and the actual waits
        self.kept: Counter[int] = Counter()
        self.spent: dict[tuple[Goal, int], SpentTime] = {}  # by goal and bucket of the time to certificate
        self.ran_out: tuple[int, str] | None = None  # when the generator's machine first ran out of a resource, and why

    @property
    def lags(self) -> dict[int, Histogram]:
        """Schedule lags by the second in which exchanges started; coarse up to the limit."""
        fresh, self._late = self._late, {}
        for packed, count in fresh.items():
            second, lag_us = divmod(packed, _LAG_PACK)
            self._lags.setdefault(second, Histogram(LATENCY)).record(lag_us, count)
        return self._lags

    @lags.setter
    def lags(self, lags: dict[int, Histogram]) -> None:
        self._lags, self._late = lags, {}

    def exchange(self, sample: Sample) -> None:
        """Count an exchange."""
        stamps = sample.stamps
        started_ns, ended_ns = stamps.started_ns, stamps.ended_ns
        self.ended_ns = max(self.ended_ns, ended_ns)
        lag_us = max(0, stamps.schedule_lag_ns) // 1000
        if lag_us <= self._limit_us:
            lag_us -= lag_us % _COARSE_US
        late, place = self._late, started_ns // _NS * _LAG_PACK + lag_us
        late[place] = late.get(place, 0) + 1
        if not sample.reused and stamps.handshaken_ns is not None:
            handshake = (sample.tls_version, sample.tls_group, sample.resumed)
            try:
                self.handshakes[handshake] = self.handshakes.get(handshake, 0) + 1
            except TypeError:  # a wrong value, by a bug, costs its own row only
                self.handshakes[None, None, False] += 1
        if (poll := sample.poll) is not None:
            told, kept = min(int(poll.told_s * 10), _LONGEST_BINS), (started_ns - poll.deferred_at_ns) // BIN_NS
            self.told[told] = self.told.get(told, 0) + 1
            self.kept[kept] = self.kept.get(kept, 0) + 1
        if sample.expected and sample.kind.is_failure:
            self.expected[sample.kind.value, ended_ns // _NS] += 1
        if sample.trouble is Trouble.GENERATOR:
            self._note((ended_ns, sample.detail))

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Count the breakdown of a time to certificate."""
        if enrolment.end is not EnrolmentEnd.ISSUED or enrolment.ended_ns is None:
            return
        took_ns = enrolment.ended_ns - enrolment.intended_ns
        parts_ns = tuple(getattr(enrolment, part) for part in _PARTS_NS)
        bucket = bucket_index(min(max(0, took_ns // MS_NS), LONG.highest))
        self._spend(enrolment.goal, SpentTime(bucket, 1, took_ns, parts_ns))

    def merge(self, other: "ReportCounts", *, judged: bool = True) -> None:
        """Add another slice's counts; of a warm-up (not ``judged``) without waits and breakdowns."""
        self.ended_ns = max(self.ended_ns, other.ended_ns)
        for second, lags in other.lags.items():
            self.lags.setdefault(second, Histogram(LATENCY)).merge(lags)
        self.expected.update(other.expected)
        self.handshakes.update(other.handshakes)
        if other.ran_out is not None:
            self._note(other.ran_out)
        if judged:
            self.told.update(other.told)
            self.kept.update(other.kept)
            for (goal, _), spent in other.spent.items():
                self._spend(goal, spent)

    def _note(self, ran_out: tuple[int, str]) -> None:
        if self.ran_out is None or ran_out[0] < self.ran_out[0]:
            self.ran_out = ran_out

    def _spend(self, goal: Goal, spent: SpentTime) -> None:
        key = (goal, spent.bucket)
        self.spent[key] = self.spent[key].plus(spent) if key in self.spent else spent


@dataclass(slots=True)
class SliceCounts:
    """The tally of a slice, and the counts that only reports show."""

    tally: Tally
    report: ReportCounts

    @classmethod
    def empty(cls, within_s: Iterable[float], *, max_lag_s: float = 0.0) -> Self:
        """Return counts of nothing yet."""
        return cls(Tally(within_s), ReportCounts(max_lag_s))

    def exchange(self, sample: Sample) -> None:
        """Count one exchange."""
        self.tally.exchange(sample)
        self.report.exchange(sample)

    def enrolment_ended(self, enrolment: Enrolment, *, first: bool) -> None:
        """Count an enrolment that ended; ``first`` marks the device's first certificate."""
        self.tally.enrolment_ended(enrolment, first=first)
        self.report.enrolment_ended(enrolment)

    def merge(self, other: "SliceCounts") -> None:
        """Add other counts of the same slice."""
        self.tally.merge(other.tally)
        self.report.merge(other.report)


class CountedSlices:
    """The counts of one process since the last `take`, each in the slice of its own time."""

    def __init__(
        self,
        within_s: Iterable[float] = DEFAULT_WITHIN_S,
        phases: Sequence[Stretch] = (),
        *,
        max_lag_s: float = 0.02,
    ) -> None:
        self._within_s = tuple(within_s)
        self._phases = tuple(phases)
        self._max_lag_s = max_lag_s
        self.counts: dict[SliceKey, SliceCounts] = {}

    def at(self, cohort: str, *, intended_ns: int, now_ns: int) -> SliceCounts:
        """Return where to count what was meant to begin at ``intended_ns`` and came about at ``now_ns``."""
        key = (now_ns // SLICE_NS, cohort, phase_at(self._phases, intended_ns) if self._phases else None)
        found = self.counts.get(key)
        if found is None:
            found = self.counts[key] = SliceCounts.empty(self._within_s, max_lag_s=self._max_lag_s)
        return found

    def take(self) -> dict[SliceKey, SliceCounts]:
        """Return the counts since the last call; they are not changed any more."""
        taken, self.counts = self.counts, {}
        return taken
