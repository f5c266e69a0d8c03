"""A stored run in the scopes of a live one: tallies by cohort and phase put together as the book of tallies does.

The facts of the run say which cohorts and phases there were; what is not among them is read off its rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from oracle_enrolments import EnrolmentReader
from oracle_exchanges import ExchangeCounts, fill_tallies
from oracle_queries import BUCKETS, FLEET, RunQueries, apart, bucket, number_of

from estsim.est.operations import Operation
from estsim.figures.scopes import Scope, Scopes
from estsim.figures.thresholds import limits_of
from estsim.record.blocks import Blocks
from estsim.record.book import OperationBlocks
from estsim.record.enrolment_tally import DEFAULT_WITHIN_S
from estsim.record.histograms import Histogram
from estsim.record.phases import WARMUP, judged_s, phase_at
from estsim.record.slice_counts import SLICE_S
from estsim.record.tally import Tally, total_of
from estsim.report.stored_run import StoredPlan

_EVENT: Final = "event"


@dataclass(slots=True)
class StoredBook:
    """The tallies of a stored run by cohort and phase, and the blocks for confidence intervals."""

    plan: StoredPlan
    tallies: dict[tuple[str, str | None], Tally] = field(default_factory=dict)
    blocks: dict[str, dict[Operation, OperationBlocks]] = field(default_factory=dict)
    states: dict[str, dict[str, int]] = field(default_factory=dict)  # of each cohort at the end
    events_s: tuple[float, ...] = ()
    ends: dict[str, Blocks] = field(default_factory=dict)  # by cohort

    @property
    def within_s(self) -> tuple[float, ...]:
        """Every D that is asked about."""
        return limits_of(self.plan.thresholds) if self.plan.thresholds else DEFAULT_WITHIN_S

    def tally(self, cohort: str, phase: str | None) -> Tally:
        """Return the tally of a cohort in a phase, or outside of all."""
        found = self.tallies.get((cohort, phase))
        if found is None:
            found = self.tallies[cohort, phase] = Tally(self.within_s)
        return found

    def read_enrolments(self, store: RunQueries) -> EnrolmentReader:
        """Count the enrolments."""
        reader = EnrolmentReader(store, tuple(self.plan.devices), self.plan.phases)
        limits_ms = [round(limit_s * 1000) for limit_s in self.within_s]
        reader.fill(lambda cohort, phase: self.tally(cohort, phase).enrolment_tally, limits_ms, WARMUP)
        for cohort, number, ends in reader.ends(WARMUP):
            self.ends.setdefault(cohort, Blocks()).add(number, ends)
        for impact in store.impacts():
            tally = self.tally(impact.cohort, phase_at(self.plan.phases, impact.since_ns))
            tally.impact_began(impact)
            if impact.end is not None:
                tally.impact_ended(impact)
        return reader

    def read_snapshots(self, store: RunQueries) -> None:
        """Take note of where the fleet stood at the end, and of what stirred it."""
        for row in store.fleet():
            self.states[row.cohort] = row.states
        self.events_s = tuple(mark.at_ns / 1e9 for mark in store.marks() if mark.kind == _EVENT)

    def add_exchanges(self, counts: ExchangeCounts) -> None:
        """Add what was counted of the exchanges."""
        fill_tallies(counts, self.tally)

    def add_blocks(self, store: RunQueries) -> None:
        """Cut the seconds of the run into blocks, without those exchanges that belong to a warm-up."""
        service: dict[tuple[str, Operation], dict[int, Histogram]] = {}
        response: dict[tuple[str, Operation], dict[int, Histogram]] = {}
        for each in store.series():
            for latencies, by_operation in ((service, each.service), (response, each.response)):
                for operation, histogram in by_operation.items():
                    seconds = latencies.setdefault((each.cohort, Operation(operation)), {})
                    seconds.setdefault(each.second, Histogram()).merge(histogram)
        warm = any(phase.name == WARMUP for phase in self.plan.phases)
        for name, seconds_of in (("service", service), ("response", response)):
            sums: dict[tuple[str, Operation, int], Histogram] = {}
            for (cohort, operation), seconds in seconds_of.items():
                for second, histogram in seconds.items():
                    sums.setdefault((cohort, operation, int(second // SLICE_S)), Histogram()).merge(histogram)
            for key, index, count in _of_warmup(store, self.plan, name):
                if key in sums:
                    sums[key].counts[index] = sums[key].counts.get(index, 0) - count
            for (cohort, operation, number), histogram in sorted(sums.items()):
                blocks = self.blocks.setdefault(cohort, {}).setdefault(operation, OperationBlocks())
                left = _without(histogram) if warm else histogram
                (blocks.service if name == "service" else blocks.response).add(number, left)

    def scopes(self, ended_ns: int) -> Scopes:
        """Return the run, each cohort and each phase as they stood at the end; a warm-up is in its own scope only."""
        devices, names = self.plan.devices, tuple(self.plan.devices)
        cohorts = {
            name: Scope(
                self._total([name]), devices[name], ended_ns, self.states.get(name, {}), self.blocks.get(name, {}),
                self.events_s, self.ends.get(name, Blocks()),
            )
            for name in names
        }  # fmt: skip
        states: dict[str, int] = {}
        for found in self.states.values():
            for state, count in found.items():
                states[state] = states.get(state, 0) + count
        fleet = sum(devices.values())
        ends = Blocks()
        for blocks in self.ends.values():
            ends.merge(blocks)
        run = Scope(self._total(names), fleet, ended_ns, states, self._all_blocks(), self.events_s, ends)
        phases = {
            phase.name: Scopes(
                Scope(self._of_phase(phase.name, names), fleet, ended_ns),
                {name: Scope(self._of_phase(phase.name, [name]), devices[name], ended_ns) for name in names},
                lasted_s=phase.lasted_s(ended_ns),
            )
            for phase in self.plan.phases
        }
        return Scopes(run, cohorts, phases, judged_s(self.plan.phases, ended_ns))

    def _total(self, cohorts: Iterable[str]) -> Tally:
        wanted = frozenset(cohorts)
        parts = (tally for (name, phase), tally in self.tallies.items() if name in wanted and phase != WARMUP)
        return total_of(parts, self.within_s)

    def _of_phase(self, phase: str, cohorts: Iterable[str]) -> Tally:
        keys = [(name, phase) for name in cohorts]
        return total_of((self.tallies[key] for key in keys if key in self.tallies), self.within_s)

    def _all_blocks(self) -> dict[Operation, OperationBlocks]:
        merged: dict[Operation, OperationBlocks] = {}
        for operations in self.blocks.values():
            for operation, blocks in operations.items():
                found = merged.setdefault(operation, OperationBlocks())
                found.service.merge(blocks.service)
                found.response.merge(blocks.response)
        return merged


def _of_warmup(store: RunQueries, plan: StoredPlan, name: str) -> Iterable[tuple[tuple[str, Operation, int], int, int]]:
    """Yield the successful exchanges of a warm-up by cohort, operation and slice of their end, and by bucket."""
    operations, cohorts = (*Operation,), tuple(plan.devices)
    began = "started_ns + client_work_ns" if name == "service" else "intended_ns"
    for warmup in (phase for phase in plan.phases if phase.name == WARMUP):
        number = f"({number_of('cohort', cohorts)}) * {len(operations)} + ({number_of('operation', operations)})"
        inner = apart(
            f"SELECT {number} AS place, ended_ns / {round(SLICE_S * 1e9)} AS slice, "
            f"MAX(0, (ended_ns - ({began})) / 1000) AS took {FLEET} AND kind = 'ok' "
            f"AND intended_ns / 1e9 >= {warmup.from_s!r} AND intended_ns / 1e9 < {warmup.to_s!r}"
        )
        query = f"SELECT place, slice * {BUCKETS} + {bucket('took')}, COUNT(*) FROM {inner} GROUP BY 1, 2"  # noqa: S608 - names of ours
        for place, packed, count in store.rows(query):
            cohort, operation = divmod(place, len(operations))
            piece, index = divmod(packed, BUCKETS)
            yield (cohorts[cohort], operations[operation], piece), index, count


def _without(histogram: Histogram) -> Histogram:
    """Return a histogram of whose buckets something was taken, with its sum and extremes as they are now."""
    left = Histogram()
    for index, count in histogram.counts.items():
        if count > 0:
            left.record(histogram.layout.highest_in(index), count)
    return left
