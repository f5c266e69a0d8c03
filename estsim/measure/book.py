"""The book of tallies: what a run counts, by cohort, phase and time, each sample entered once.

Samples go into the slice of their cohort, their phase and the ten seconds in which they ended. A finished slice is
added to the cohort's total and its phase's, stays for a minute as a part of the last window, and is a block for
confidence intervals. So the run's totals, its phases, its last minute and its blocks are the same counts, and merge by
addition.

An exchange and an enrolment belong to the phase they were meant to begin in, whenever they end.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from estsim.est.operations import Operation
from estsim.measure.blocks import BLOCK_S, Blocks
from estsim.measure.lives import DEFAULT_WITHIN_S
from estsim.measure.tally import Tally, total_of

SLICE_S: Final = BLOCK_S
WINDOW_SLICES: Final = 6  # the last window: the slice under way and the five before it, 50 to 60 s
WARMUP: Final = "warmup"  # the phase that nothing but its own block counts
_SLICE_NS: Final = round(SLICE_S * 1e9)

_Key = tuple[str, str | None]  # cohort, phase


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase: a name, and when it begins and ends (seconds of the run, the end not within it)."""

    name: str
    from_s: float
    to_s: float


def phase_at(phases: Iterable[Stretch], intended_ns: int) -> str | None:
    """Return the phase in which something was meant to begin, None outside of all."""
    intended_s = intended_ns / 1e9
    return next((phase.name for phase in phases if phase.from_s <= intended_s < phase.to_s), None)


@dataclass(slots=True)
class OperationBlocks:
    """The latencies of one operation, block by block."""

    service: Blocks = field(default_factory=Blocks)
    response: Blocks = field(default_factory=Blocks)


BlocksByOperation = Mapping[Operation, OperationBlocks]


class TallyBook:
    """All tallies of a run in one process."""

    def __init__(
        self, cohorts: Iterable[str], *, within_s: Iterable[float] = DEFAULT_WITHIN_S, phases: Sequence[Stretch] = ()
    ) -> None:
        self.cohorts = tuple(cohorts)
        self.within_s = tuple(within_s)
        self.phases = tuple(phases)
        self._total: dict[str, Tally] = {cohort: self._new() for cohort in self.cohorts}
        self._by_phase: dict[_Key, Tally] = {}
        self._slice = 0
        self._open: dict[_Key, Tally] = {}
        self._closing: deque[tuple[int, _Key, Tally]] = deque()  # finished slices that are still to be added
        self._recent: deque[tuple[int, dict[_Key, Tally]]] = deque()
        self._blocks: dict[str, dict[Operation, OperationBlocks]] = {cohort: {} for cohort in self.cohorts}

    @property
    def slice(self) -> int:
        """The number of the slice under way."""
        return self._slice

    def tally(self, cohort: str, *, intended_ns: int, now_ns: int) -> Tally:
        """Return the slice to count in: of what was meant to begin at ``intended_ns`` and is recorded at ``now_ns``."""
        number = now_ns // _SLICE_NS
        if number > self._slice:
            self.turn(number)
        elif self._closing:
            self._add_one()
        return self._in_slice((cohort, phase_at(self.phases, intended_ns) if self.phases else None))

    def merge(self, number: int, cohort: str, phase: str | None, tally: Tally) -> None:
        """Add what another process counted in the slice of this number; a slice that is closed takes it as well."""
        if number > self._slice:
            self.turn(number)
        if number == self._slice:
            self._in_slice((cohort, phase)).merge(tally)
            return
        key = (cohort, phase)
        self._closing.append((number, key, tally))
        for recent, tallies in self._recent:
            if recent == number:  # a new one: the old may wait to be added as well
                tallies[key] = total_of([tallies[key], tally], self.within_s) if key in tallies else tally

    def _in_slice(self, key: _Key) -> Tally:
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = self._new()
        return found

    def turn(self, number: int) -> None:
        """Close the slice under way and open the one of this number.

        Finished slices are added one by one with the samples that come, so that no pass of the loop bears them all.
        """
        while self._closing:
            self._add_one()
        self._closing.extend((self._slice, key, tally) for key, tally in self._open.items())
        self._recent.append((self._slice, self._open))
        self._open, self._slice = {}, number
        while self._recent and self._recent[0][0] <= number - WINDOW_SLICES:
            self._recent.popleft()

    def _add_one(self) -> None:
        number, (cohort, phase), tally = self._closing.popleft()
        if phase is not None:
            self._by_phase.setdefault((cohort, phase), self._new()).merge(tally)
        if phase != WARMUP:
            self._total[cohort].merge(tally)
            self._keep_blocks(number, cohort, tally)

    def _unadded(self) -> Iterator[tuple[int, _Key, Tally]]:
        """Yield the slices that are in no total yet: those finished last, and the one under way."""
        yield from self._closing
        yield from ((self._slice, key, tally) for key, tally in self._open.items())

    def _keep_blocks(self, number: int, cohort: str, tally: Tally) -> None:
        for operation, counts in tally.operations.items():
            blocks = self._blocks[cohort].setdefault(operation, OperationBlocks())
            blocks.service.add(number, counts.service)
            blocks.response.add(number, counts.response)

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

    def window_s(self, now_ns: int) -> float:
        """Return how long the last window is, in seconds."""
        first = self._recent[0][0] if self._recent else self._slice
        return max(0.0, (now_ns - first * _SLICE_NS) / 1e9)

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

    def _new(self) -> Tally:
        return Tally(self.within_s)
