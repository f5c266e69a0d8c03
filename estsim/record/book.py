"""The book of tallies: what a run counts, by cohort, phase and time, each sample entered once.

Samples are counted in the slice of their cohort, their phase and the ten seconds in which they ended. What a process
has counted since its last report is merged into the slice under way, or into one before it. A finished slice is added
to the cohort's total and its phase's, stays for a minute as a part of the last window, and is a block for confidence
intervals. So the run's totals, its phases, its last minute and its blocks are the same counts, and merge by addition.

An exchange and an enrolment belong to the phase they were meant to begin in, whenever they end.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from estsim.est.operations import Operation
from estsim.record.blocks import Blocks
from estsim.record.enrolment_tally import DEFAULT_WITHIN_S
from estsim.record.histograms import LONG, Histogram
from estsim.record.phases import WARMUP, Stretch
from estsim.record.slice_counts import SLICE_NS
from estsim.record.tally import Tally, total_of

WINDOW_SLICES: Final = 6  # the last window: the slice under way and the five before it, 50 to 60 s

_Key = tuple[str, str | None]  # cohort, phase


@dataclass(slots=True)
class OperationBlocks:
    """The latencies of one operation, block by block."""

    service: Blocks = field(default_factory=Blocks)
    response: Blocks = field(default_factory=Blocks)


def ends_of(concluded: int, failures: int) -> Histogram:
    """Return ends of enrolments as a histogram of zeros for certificates and ones for failures."""
    histogram = Histogram(LONG)
    for value, count in ((0, concluded - failures), (1, failures)):
        if count:
            histogram.record(value, count)
    return histogram


BlocksByOperation = Mapping[Operation, OperationBlocks]


class TallyBook:
    """All tallies of a run."""

    def __init__(
        self,
        cohorts: Iterable[str],
        *,
        within_s: Iterable[float] = DEFAULT_WITHIN_S,
        phases: Sequence[Stretch] = (),
    ) -> None:
        self.cohorts = tuple(cohorts)
        self.within_s = tuple(within_s)
        self.phases = tuple(phases)
        self._total: dict[str, Tally] = {cohort: self._new() for cohort in self.cohorts}
        self._by_phase: dict[_Key, Tally] = {}
        self._slice = 0
        self._waiting: deque[tuple[int, _Key, Tally]] = deque()  # what came and is still to be merged
        self._open: dict[_Key, Tally] = {}
        self._closing: deque[tuple[int, _Key, Tally]] = deque()  # finished slices that are still to be added
        self._recent: deque[tuple[int, dict[_Key, Tally]]] = deque()
        self._blocks: dict[str, dict[Operation, OperationBlocks]] = {cohort: {} for cohort in self.cohorts}
        self._ends: dict[str, Blocks] = {cohort: Blocks() for cohort in self.cohorts}

    def merge(self, number: int, cohort: str, phase: str | None, tally: Tally) -> None:
        """Take what was counted in the slice of this number, also of a closed one; it must not change any more.

        It belongs to every figure at once, and is added up by :meth:`settle`, or with what comes after it.
        """
        if self._waiting:
            self._merge_one()
        self._waiting.append((number, (cohort, phase), tally))

    def settle(self) -> Iterator[None]:
        """Add up what came, a part at each step, so that no pass of the loop bears it all."""
        while self._waiting or self._closing:
            if self._waiting:
                self._merge_one()
            else:
                self._add_one()
            yield

    def _merge_one(self) -> None:
        number, key, tally = self._waiting.popleft()
        if number > self._slice:
            self._turn(number)
        if number == self._slice:
            self._open.setdefault(key, self._new()).merge(tally)
            return
        self._closing.append((number, key, tally))
        for recent, tallies in self._recent:
            if recent == number:  # a new one: the old may wait to be added as well
                tallies[key] = total_of([tallies[key], tally], self.within_s) if key in tallies else tally

    def turn(self, number: int) -> None:
        """Close the slice under way and open the one of this number, unless it is open."""
        while self._waiting:
            self._merge_one()
        if number > self._slice:
            self._turn(number)

    def _turn(self, number: int) -> None:
        while self._closing:
            self._add_one()
        self._closing.extend((self._slice, key, tally) for key, tally in self._open.items())
        self._recent.append((self._slice, self._open))
        self._open, self._slice = {}, number
        while self._recent and self._recent[0][0] <= number - WINDOW_SLICES:
            self._recent.popleft()

    def _add_one(self) -> None:
        number, (cohort, phase), tally = self._closing.popleft()
        self.add(number, cohort, phase, tally)

    def add(self, number: int, cohort: str, phase: str | None, tally: Tally) -> None:
        """Add a finished slice to the totals; it is no part of the last window."""
        if phase is not None:
            self._by_phase.setdefault((cohort, phase), self._new()).merge(tally)
        if phase != WARMUP:
            self._total[cohort].merge(tally)
            self._keep_blocks(number, cohort, tally)

    def _unadded(self) -> Iterator[tuple[int, _Key, Tally]]:
        """Yield the slices that are in no total yet: finished last, under way, and what came since."""
        yield from self._closing
        yield from ((self._slice, key, tally) for key, tally in self._open.items())
        yield from self._waiting

    def _keep_blocks(self, number: int, cohort: str, tally: Tally) -> None:
        for operation, counts in tally.operations.items():
            blocks = self._blocks[cohort].setdefault(operation, OperationBlocks())
            blocks.service.add(number, counts.service)
            blocks.response.add(number, counts.response)
        self._ends[cohort].add(number, ends_of(tally.enrolment_tally.concluded, tally.enrolment_tally.failures))

    def parts(self, cohort: str) -> Iterator[Tally]:
        """Yield what a cohort's total is the merge of; none of them is to be changed."""
        yield self._total[cohort]
        for _, (name, phase), tally in self._unadded():
            if name == cohort and phase != WARMUP:
                yield tally

    def cohort(self, cohort: str) -> Tally:
        """Return a cohort's total so far."""
        return total_of(self.parts(cohort), self.within_s)

    def all_parts(self) -> Iterator[Tally]:
        """Yield what the run's total is the merge of; none of them is to be changed."""
        yield from self._total.values()
        yield from (tally for _, (_, phase), tally in self._unadded() if phase != WARMUP)

    def total(self, *, bins: bool = True) -> Tally:
        """Return the run's total so far; ``bins=False`` leaves out what grows with the run's length."""
        return total_of(self.all_parts(), self.within_s, bins=bins)

    def phase(self, phase: str, cohorts: Iterable[str] | None = None) -> Tally:
        """Return what belongs to a phase, of some cohorts or of all."""
        wanted = frozenset(self.cohorts if cohorts is None else cohorts)
        known = [tally for (cohort, name), tally in self._by_phase.items() if name == phase and cohort in wanted]
        late = [tally for _, (cohort, name), tally in self._unadded() if name == phase and cohort in wanted]
        return total_of((*known, *late), self.within_s)

    def window(self, cohorts: Iterable[str] | None = None) -> Iterator[Tally]:
        """Yield the slices of the last window, of some cohorts or of all; searches begun before it are not in it."""
        wanted = frozenset(self.cohorts if cohorts is None else cohorts)
        for table in (*(slices for _, slices in self._recent), self._open):
            for (cohort, phase), tally in table.items():
                if cohort in wanted and phase != WARMUP:
                    yield tally
        first = self._first_of_window
        for number, (cohort, phase), tally in self._waiting:
            if number >= first and cohort in wanted and phase != WARMUP:
                yield tally

    @property
    def _first_of_window(self) -> int:
        return self._recent[0][0] if self._recent else self._slice

    def window_s(self, now_ns: int) -> float:
        """Return how long the last window is, in seconds."""
        return max(0.0, (now_ns - self._first_of_window * SLICE_NS) / 1e9)

    def blocks(self, cohorts: Iterable[str] | None = None) -> dict[Operation, OperationBlocks]:
        """Return the blocks of the finished slices and of the one under way, of some cohorts or of all."""
        merged: dict[Operation, OperationBlocks] = {}
        wanted = tuple(self.cohorts if cohorts is None else cohorts)
        for cohort in wanted:
            for operation, blocks in self._blocks[cohort].items():
                found = merged.setdefault(operation, OperationBlocks())
                found.service.merge(blocks.service)
                found.response.merge(blocks.response)
        for number, (cohort, phase), tally in self._unadded():
            if cohort not in wanted or phase == WARMUP:
                continue
            for operation, counts in tally.operations.items():
                found = merged.setdefault(operation, OperationBlocks())
                found.service.add(number, counts.service)
                found.response.add(number, counts.response)
        return merged

    def ends(self, cohorts: Iterable[str] | None = None) -> Blocks:
        """Return the ends of enrolments block by block, 1 for one that failed and 0 for a certificate."""
        merged, wanted = Blocks(), tuple(self.cohorts if cohorts is None else cohorts)
        for cohort in wanted:
            merged.merge(self._ends[cohort])
        for number, (cohort, phase), tally in self._unadded():
            if cohort in wanted and phase != WARMUP:
                merged.add(number, ends_of(tally.enrolment_tally.concluded, tally.enrolment_tally.failures))
        return merged

    def _new(self) -> Tally:
        return Tally(self.within_s)
