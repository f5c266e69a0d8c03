"""What is counted of a run, in slices of ten seconds: where every exchange and every enrolment is counted, once.

A process counts into its :class:`CountedSlices`, whether it plays the whole fleet or a part of it. They are taken once
a second: merged into the book of tallies for whoever looks at the run, and into the store beside the rows of the same
second (:mod:`estsim.record.stored_slices`), where reports read them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from estsim.record.blocks import BLOCK_S
from estsim.record.enrolment_tally import DEFAULT_WITHIN_S
from estsim.record.phases import Stretch, phase_at
from estsim.record.report_counts import ReportCounts
from estsim.record.sample import Enrolment, Sample
from estsim.record.tally import Tally

SLICE_S: Final = BLOCK_S
SLICE_NS: Final = round(SLICE_S * 1e9)

SliceKey = tuple[int, str, str | None]  # the slice's number, cohort, phase


@dataclass(slots=True)
class SliceCounts:
    """The tally of a slice, and what only reports show of it."""

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
        """Count a search that ended; ``first`` marks the device's first certificate."""
        self.tally.enrolment_ended(enrolment, first=first)
        self.report.enrolment_ended(enrolment)

    def merge(self, other: "SliceCounts") -> None:
        """Add what else was counted in the same slice."""
        self.tally.merge(other.tally)
        self.report.merge(other.report)


class CountedSlices:
    """What one process has counted since it was last taken, in the slice of its own time, however late it comes."""

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
        """Return what has been counted since it was last taken; nobody changes that any more."""
        taken, self.counts = self.counts, {}
        return taken
