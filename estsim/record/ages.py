"""The ages of enrolments of one kind at their end, and the intended starts of the open ones.

All state is counts, so that shards merge by addition and a long run stays small: ages in histograms of milliseconds,
exact counts at each limit D, and bins of 100 ms for the intended starts. Enrolments whose refusal was expected are left
out.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from estsim.record.histograms import LONG, Histogram
from estsim.record.waits import BIN_NS

MS_NS: Final = 1_000_000


class Within:
    """Counts by the age D: issued or failed up to D, cut by the generator before D."""

    __slots__ = ("cut", "failed", "issued")

    def __init__(self, issued: int = 0, failed: int = 0, cut: int = 0) -> None:
        self.issued = issued
        self.failed = failed
        self.cut = cut

    def add(self, other: "Within", sign: int = 1) -> None:
        """Add other counts, or with ``sign=-1`` subtract them."""
        self.issued += sign * other.issued
        self.failed += sign * other.failed
        self.cut += sign * other.cut


class Ages:
    """Enrolments by age at their end: issued, failed or cut by the generator; the open ones by intended start."""

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
        """Count an open enrolment."""
        self.open_bins[intended_ns // BIN_NS] += 1

    def close(self, intended_ns: int) -> None:
        """Count an enrolment that is no longer open; if it began in another shard, the bin here goes below zero."""
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
        """Count an enrolment that the generator cut."""
        self.cut.record_ns(age_ns)
        for limit_ms, within in self.within.items():
            within.cut += age_ns < limit_ms * MS_NS

    def merge(self, other: "Ages") -> None:
        """Add another shard's counts; both must have the same limits D."""
        if self.within.keys() != other.within.keys():
            message = f"enrolled_within of different limits do not merge: {[*self.within]} and {[*other.within]} ms"
            raise ValueError(message)
        self.issued.merge(other.issued)
        self.failed.merge(other.failed)
        self.cut.merge(other.cut)
        for key, count in other.open_bins.items():
            self.open_bins[key] += count
            if not self.open_bins[key]:
                del self.open_bins[key]  # else it would stay to the end of the run
        for limit_ms, within in self.within.items():
            within.add(other.within[limit_ms])

    def less(self, part: "Ages") -> "Ages":
        """Return these ages without those of a part of them."""
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
        """Return the ages of the open enrolments, the highest of each bin, so that no wait is understated."""
        ages: Counter[int] = Counter()
        for key, count in self.open_bins.items():
            age_ms = max(0, (ended_ns - key * BIN_NS) // MS_NS)
            ages[-(-age_ms // grain_ms) * grain_ms] += count
        return ages
