"""The generator's own delay in the figures of a run: schedule lag, and delays of its event loop.

docs/metrics.md, "The generator judges itself": a failure that would pass without that delay is the generator's. So
for each distribution the delayed values are counted as measured and without the delay (:class:`Shift`), and the
enrolments that failed because of it. Most exchanges have hardly any delay and cost nothing here. It all merges by
addition; :mod:`estsim.figures.without_delay` applies it.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from estsim.errors import Trouble
from estsim.est.enrolment import EnrolmentEnd, Goal, ImpactKind
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.record.ages import Ages
from estsim.record.histograms import LATENCY, LONG, SIGNED, Histogram, Layout
from estsim.record.sample import Enrolment, Impact, Sample
from estsim.record.waits import punctuality_us

LEAST_NS: Final = 1_000_000  # shorter delays are noise
SPOILS_NS: Final = 1_000_000_000  # a delay that may have made an exchange fail
BROKEN_BY_DELAY: Final = frozenset({Trouble.TIMEOUT, Trouble.RESET})  # a refusal or a failed check is the server's
LAYOUTS: Final = {"punctuality": SIGNED, "first": LONG}  # of distributions; the others have LATENCY
_MS_NS: Final = 1_000_000


class Shift:
    """The values of a distribution as measured, and without the generator's delay."""

    __slots__ = ("measured", "without")

    def __init__(self, layout: Layout = LATENCY) -> None:
        self.measured = Histogram(layout)
        self.without = Histogram(layout)

    def record(self, value: int, own: int) -> None:
        """Count a value and the delay in it, in the layout's units."""
        self.measured.record(value)
        self.without.record(max(self.without.layout.lowest, value - own))

    def merge(self, other: "Shift") -> None:
        """Add another shard's counts."""
        self.measured.merge(other.measured)
        self.without.merge(other.without)


class OwnDelays:
    """The generator's own delay in one tally. ``spreads`` are by operation (or "") and name."""

    __slots__ = ("ages", "ends", "failed", "spreads")

    def __init__(self) -> None:
        self.spreads: dict[tuple[str, str], Shift] = {}  # (operation, "service") and so on, ("", "punctuality")
        self.failed: Counter[Operation] = Counter()  # exchanges that failed because of the delay
        self.ends: Counter[EnrolmentEnd] = Counter()  # of enrolments that failed because of it
        self.ages: dict[Goal | ImpactKind, tuple[Ages, Ages]] = {}  # as measured, and without the delay

    def __bool__(self) -> bool:
        return bool(self.spreads or self.failed or self.ends or self.ages)

    def exchange(self, sample: Sample) -> None:
        """Count the generator's delay in an exchange that ended ok, was deferred or failed."""
        stamps, kind = sample.stamps, sample.kind
        own_ns = stamps.own_delay_ns
        if own_ns < LEAST_NS:
            return
        if sample.poll is not None:
            late_us = punctuality_us(stamps.started_ns, sample.poll)
            self._shift("", "punctuality").record(late_us, max(0, stamps.schedule_lag_ns) // 1000)
        name = {OutcomeClass.OK: "service", OutcomeClass.DEFERRED: "deferred"}.get(kind, "failed")
        if name == "failed" and (not kind.is_failure or sample.expected):
            return
        self._shift(sample.operation, name).record(_us(stamps.service_ns), _us(stamps.loop_delay_ns))
        if kind is OutcomeClass.OK:
            self._shift(sample.operation, "response").record(_us(stamps.response_ns), _us(own_ns))
        if kind is OutcomeClass.FAILED and sample.trouble in BROKEN_BY_DELAY and own_ns >= SPOILS_NS:
            self.failed[sample.operation] += 1

    def enrolment(self, enrolment: Enrolment, limits_ms: Iterable[int], *, first: bool) -> None:
        """Count the generator's delay in an ended enrolment; ``first`` marks the device's first certificate."""
        own_ns, end = enrolment.own_delay_ns, enrolment.end
        if end is None or enrolment.ended_ns is None:
            return
        took_ns = enrolment.ended_ns - enrolment.intended_ns
        if enrolment.spoilt:  # it failed because of the delay, and is left out
            self.ends[end] += 1
            self._ages(enrolment.goal, limits_ms)[0].end_failed(took_ns)
        if own_ns < LEAST_NS or end is not EnrolmentEnd.ISSUED:
            return
        measured, without = self._ages(enrolment.goal, limits_ms)
        measured.end_issued(took_ns)
        without.end_issued(max(0, took_ns - own_ns))
        if first:
            self._shift("", "first").record(enrolment.ended_ns // _MS_NS, own_ns // _MS_NS)

    def impact(self, impact: Impact, limits_ms: Iterable[int]) -> None:
        """Count the generator's delay in the enrolment that ended an impact."""
        own_ns, ended_ns = impact.own_delay_ns, impact.ended_ns
        if own_ns < LEAST_NS or impact.end is not EnrolmentEnd.ISSUED or ended_ns is None:
            return
        measured, without = self._ages(impact.kind, limits_ms)
        measured.end_issued(ended_ns - impact.since_ns)
        without.end_issued(max(0, ended_ns - impact.since_ns - own_ns))

    def merge(self, other: "OwnDelays") -> None:
        """Add another shard's counts."""
        for key, shift in other.spreads.items():
            self._shift(*key).merge(shift)
        self.failed.update(other.failed)
        self.ends.update(other.ends)
        for goal, theirs in other.ages.items():
            for mine, part in zip(self._ages(goal, theirs[0].within), theirs, strict=True):
                mine.merge(part)

    def _ages(self, goal: Goal | ImpactKind, limits_ms: Iterable[int]) -> tuple[Ages, Ages]:
        found = self.ages.get(goal)
        if found is None:
            limits_ms = tuple(limits_ms)
            found = self.ages[goal] = Ages(limits_ms), Ages(limits_ms)
        return found

    def _shift(self, whose: str, name: str) -> Shift:
        found = self.spreads.get((whose, name))
        if found is None:
            found = self.spreads[whose, name] = Shift(LAYOUTS.get(name, LATENCY))
        return found


def _us(duration_ns: int) -> int:
    return max(0, duration_ns) // 1000
