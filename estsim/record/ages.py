"""How old enrolments of one kind were when they ended, and when those that are open were meant to begin.

All state is counts, so that shards merge by addition and a long run stays small: ages in histograms of milliseconds,
exact counts at each limit D that somebody asks about, and bins of 100 ms for the intended times of what is open.
Enrolments whose refusal was expected are not in here.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from estsim.record.histograms import LONG, Histogram
from estsim.record.waits import BIN_NS

MS_NS: Final = 1_000_000


class Within:
    """What had ended by the age D: issued or failed at D at the latest, cut by us before it."""

    __slots__ = ("cut", "failed", "issued")

    def __init__(self, issued: int = 0, failed: int = 0, cut: int = 0) -> None:
        self.issued = issued
        self.failed = failed
        self.cut = cut

    def add(self, other: "Within", sign: int = 1) -> None:
        """Add other counts, or take them away."""
        self.issued += sign * other.issued
        self.failed += sign * other.failed
        self.cut += sign * other.cut


class Ages:
    """Enrolments by their age when they ended: issued, failed, or cut by us; and the open ones by intended time."""

    __slots__ = ("cut", "failed", "issued", "open_bins", "within")

    def __init__(self, limits_ms: Iterable[int] = ()) -> None:
        self.issued = Histogram(LONG)
        self.failed = Histogram(LONG)
        self.cut = Histogram(LONG)
        self.open_bins: Counter[int] = Counter()
        self.within = {limit_ms: Within() for limit_ms in limits_ms}  # by D in ms

    def __bool__(self) -> bool:
        return bool(self.open_bins or self.issued.count or self.failed.count or self.cut.count)

    def begin(self, intended_ns: int) -> None:
        """Count one that is open from now on."""
        self.open_bins[intended_ns // BIN_NS] += 1

    def close(self, intended_ns: int) -> None:
        """Count one that is open no more; it may have begun in another shard, and is then below zero in this one."""
        key = intended_ns // BIN_NS
        if self.open_bins[key] == 1:
            del self.open_bins[key]
        else:
            self.open_bins[key] -= 1

    def end_issued(self, age_ns: int) -> None:
        """Count a certificate."""
        self.issued.record_ns(age_ns)
        for limit_ms, within in self.within.items():
            within.issued += age_ns <= limit_ms * MS_NS

    def end_failed(self, age_ns: int) -> None:
        """Count an end without a certificate that was not expected."""
        self.failed.record_ns(age_ns)
        for limit_ms, within in self.within.items():
            within.failed += age_ns <= limit_ms * MS_NS

    def end_cut(self, age_ns: int) -> None:
        """Count an end of our making."""
        self.cut.record_ns(age_ns)
        for limit_ms, within in self.within.items():
            within.cut += age_ns < limit_ms * MS_NS

    def merge(self, other: "Ages") -> None:
        """Add another shard's counts; both must know the same limits D."""
        if self.within.keys() != other.within.keys():
            message = f"enrolled_within of different limits do not merge: {[*self.within]} and {[*other.within]} ms"
            raise ValueError(message)
        self.issued.merge(other.issued)
        self.failed.merge(other.failed)
        self.cut.merge(other.cut)
        for key, count in other.open_bins.items():
            self.open_bins[key] += count
            if not self.open_bins[key]:
                del self.open_bins[key]  # it would stay for the length of the run
        for limit_ms, within in self.within.items():
            within.add(other.within[limit_ms])

    def less(self, part: "Ages") -> "Ages":
        """Return new ages without those that are in these ones."""
        rest = Ages(self.within)
        rest.issued, rest.failed, rest.cut = (
            self.issued.less(part.issued),
            self.failed.less(part.failed),
            self.cut.less(part.cut),
        )
        rest.open_bins = self.open_bins
        for limit_ms, within in rest.within.items():
            within.add(self.within[limit_ms])
            if limit_ms in part.within:
                within.add(part.within[limit_ms], -1)
        return rest

    def open_ages_ms(self, ended_ns: int, grain_ms: int = 1) -> Counter[int]:
        """Return how old the open ones are: the oldest that a bin can hold, so that no wait is understated."""
        ages: Counter[int] = Counter()
        for key, count in self.open_bins.items():
            age_ms = max(0, (ended_ns - key * BIN_NS) // MS_NS)
            ages[-(-age_ms // grain_ms) * grain_ms] += count
        return ages
