"""The Retry-After values of servers, and the polls after them (docs/metrics.md, "Deferral").

All state is counts, and merges by addition. `estsim.figures.scopes` makes figures of them.
"""

from collections import Counter
from typing import Final

from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.record.histograms import LONG, SIGNED, Histogram
from estsim.record.sample import PollPlan, Sample

ABSURD_S: Final = 24 * 3600.0
BIN_NS: Final = 100_000_000  # poll bins: 100 ms of the run clock
HTTP_DATE_TOLERANCE_US: Final = 1_000_000  # an HTTP-date has whole seconds


class ToldWaits:
    """The Retry-After values of deferrals: durations, forms, and implausible ones."""

    __slots__ = ("absurd", "forms", "histogram", "past", "whole_seconds", "zero")

    def __init__(self) -> None:
        self.histogram = Histogram(LONG)
        self.forms: Counter[str] = Counter()
        self.whole_seconds: Counter[int] = Counter()  # Retry-After to the nearest second, for the period T
        self.zero = 0
        self.past = 0
        self.absurd = 0

    def record(self, told: RetryAfter) -> None:
        """Count one deferral's Retry-After."""
        self.forms[told.form.value] += 1
        if told.past:
            self.past += 1
        if told.wait_s is None:
            return
        self.histogram.record(LONG.units(told.wait_s))
        self.whole_seconds[round(told.wait_s)] += 1
        if told.wait_s > ABSURD_S:
            self.absurd += 1
        elif told.wait_s == 0 and not told.past:
            self.zero += 1

    def merge(self, other: "ToldWaits") -> None:
        """Add another shard's counts."""
        self.histogram.merge(other.histogram)
        self.forms.update(other.forms)
        self.whole_seconds.update(other.whole_seconds)
        self.zero += other.zero
        self.past += other.past
        self.absurd += other.absurd

    @property
    def missing(self) -> int:
        """Deferrals without a Retry-After."""
        return self.forms[RetryAfterForm.MISSING.value]

    @property
    def unreadable(self) -> int:
        """Deferrals whose Retry-After could not be read."""
        return self.forms[RetryAfterForm.UNREADABLE.value]

    def period_s(self) -> int | None:
        """Return the period T: the most frequent Retry-After in whole seconds, if half of them agree and T ≥ 2 s."""
        if not self.whole_seconds:
            return None
        period, count = min(self.whole_seconds.items(), key=lambda item: (-item[1], item[0]))
        return period if period >= 2 and 2 * count >= self.histogram.count else None  # noqa: PLR2004 - as defined


class Polls:
    """Polls, the exchanges after a Retry-After: their punctuality and their outcomes."""

    __slots__ = ("bins", "count", "due", "early", "gaps", "hits", "punctuality", "wasted")

    def __init__(self) -> None:
        self.count = 0
        self.wasted = 0  # answered by another deferral
        self.early = 0
        self.due = 0  # not early
        self.hits = 0  # not early, and received the certificate
        self.punctuality = Histogram(SIGNED)
        self.gaps: Counter[int] = Counter()  # from a deferral to the poll after it, to the nearest second
        self.bins: Counter[int] = Counter()  # poll starts by 100 ms of the run clock

    def record(self, sample: Sample, plan: PollPlan) -> None:
        """Count one poll."""
        started_ns = sample.stamps.started_ns
        self.count += 1
        self.bins[started_ns // BIN_NS] += 1
        self.gaps[round((started_ns - plan.deferred_at_ns) / 1e9)] += 1
        if sample.kind is OutcomeClass.DEFERRED:
            self.wasted += 1
        late_us = punctuality_us(started_ns, plan)
        self.punctuality.record(late_us)
        tolerance_us = HTTP_DATE_TOLERANCE_US if plan.form == RetryAfterForm.HTTP_DATE.value else 0
        if late_us < -tolerance_us:
            self.early += 1
            return
        self.due += 1
        if sample.kind is OutcomeClass.OK:
            self.hits += 1

    def merge(self, other: "Polls", *, bins: bool = True) -> None:
        """Add another shard's counts; ``bins=False`` leaves out the bins, which grow with the run's length."""
        self.count += other.count
        self.wasted += other.wasted
        self.early += other.early
        self.due += other.due
        self.hits += other.hits
        self.punctuality.merge(other.punctuality)
        self.gaps.update(other.gaps)
        if bins:
            self.bins.update(other.bins)


def punctuality_us(started_ns: int, plan: PollPlan) -> int:
    """Return the delay of a poll (negative: early) after the Retry-After and the device's own spread."""
    waited_us = (started_ns - plan.deferred_at_ns) / 1_000
    return round(waited_us - (plan.told_s + plan.spread_s) * 1_000_000)
