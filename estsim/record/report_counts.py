"""What only a report shows of a slice, counted beside its tally: lags by second, handshakes, waits before polls.

It merges by addition, and is kept where a run is stored, not in the totals of a run under way: parts of it grow with
the run's length.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from estsim.errors import Trouble
from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.record.ages import MS_NS
from estsim.record.enrolment_tally import PARTS
from estsim.record.histograms import LATENCY, LONG, Histogram, bucket_index
from estsim.record.sample import Enrolment, Sample
from estsim.record.waits import BIN_NS

_NS: Final = 1_000_000_000
_COARSE_US: Final = 100  # of a lag within the limit, of which nobody asks more
_LAG_PACK: Final = 1 << 60  # more than a lag
_LONGEST_BINS: Final = 1_000_000_000  # of a told wait: a server may tell any
_PARTS_NS: Final = tuple(f"{part}_ns" for part in PARTS)

Handshake = tuple[str | None, str | None, bool]  # version, group, whether it resumed a session


@dataclass(frozen=True, slots=True)
class SpentTime:
    """Where the time of some enrolments went that took about as long: sums in nanoseconds, in the order of PARTS."""

    bucket: int
    count: int
    took_ns: int
    parts_ns: tuple[int, ...]

    def plus(self, other: "SpentTime") -> "SpentTime":
        """Return both together; their bucket is the same."""
        parts_ns = tuple(ours + theirs for ours, theirs in zip(self.parts_ns, other.parts_ns, strict=True))
        return SpentTime(self.bucket, self.count + other.count, self.took_ns + other.took_ns, parts_ns)


class ReportCounts:
    """The counts of one slice, or of several together."""

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
        self.expected: Counter[tuple[str, int]] = Counter()  # failures that were part of the plan: class, second
        self.handshakes: Counter[Handshake] = Counter()
        self.told: Counter[int] = Counter()  # waits before polls in tenths of a second: as told, as kept
        self.kept: Counter[int] = Counter()
        self.spent: dict[tuple[Goal, int], SpentTime] = {}  # by bucket of the time to certificate, too
        self.ran_out: tuple[int, str] | None = None  # when our own machine first ran out of something, and of what

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
            except TypeError:  # a bug of ours has put something else there: it costs its row, and nothing else
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
        """Count what the time to a certificate was spent on."""
        if enrolment.end is not EnrolmentEnd.ISSUED or enrolment.ended_ns is None:
            return
        took_ns = enrolment.ended_ns - enrolment.intended_ns
        parts_ns = tuple(getattr(enrolment, part) for part in _PARTS_NS)
        bucket = bucket_index(min(max(0, took_ns // MS_NS), LONG.highest))
        self._spend(enrolment.goal, SpentTime(bucket, 1, took_ns, parts_ns))

    def merge(self, other: "ReportCounts", *, judged: bool = True) -> None:
        """Add another slice's counts; one that is not judged, of a warm-up, has no waits and no times here."""
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
