"""The counts of a stored run made from its rows, slice by slice: how an older store gets its tallies."""

from collections.abc import Iterator

from estsim.est.enrolment import Cause
from estsim.figures.thresholds import limits_of
from estsim.record.enrolment_tally import FirstCertificateOnce
from estsim.record.histograms import Histogram
from estsim.record.run_reader import RunReader
from estsim.record.slice_counts import CountedSlices, SliceCounts, SliceKey
from estsim.report.stored_run import StoredPlan


def replayed(run: RunReader, plan: StoredPlan) -> dict[SliceKey, SliceCounts]:
    """Count all rows of a run as its recorder would have counted them."""
    counted = CountedSlices(limits_of(plan.thresholds), plan.phases, max_lag_s=plan.max_lag_s)
    for sample in run.exchanges():
        if sample.cause is not Cause.PREFLIGHT:
            stamps = sample.stamps
            counted.at(sample.cohort, intended_ns=stamps.intended_ns, now_ns=stamps.ended_ns).exchange(sample)
    once = FirstCertificateOnce()
    for each in sorted(run.enrolments(), key=lambda each: each.number):
        began_ns = each.intended_ns
        counted.at(each.cohort, intended_ns=began_ns, now_ns=began_ns).tally.enrolment_began(each)
        if each.ended_ns is not None:
            first = once.is_first(each)
            counted.at(each.cohort, intended_ns=began_ns, now_ns=each.ended_ns).enrolment_ended(each, first=first)
    for impact in run.impacts():
        since_ns = impact.since_ns
        counted.at(impact.cohort, intended_ns=since_ns, now_ns=since_ns).tally.impact_began(impact)
        if impact.ended_ns is not None:
            counted.at(impact.cohort, intended_ns=since_ns, now_ns=impact.ended_ns).tally.impact_ended(impact)
    return counted.take()


def in_buckets(counts: SliceCounts) -> SliceCounts:
    """Give every histogram the sum and the extremes of its buckets, as counting in SQL has them; returns the same."""
    for histogram in _histograms(counts):
        buckets = {**histogram.counts}
        histogram.__init__(histogram.layout)  # type: ignore[misc]  # as it was made, empty
        for index, count in buckets.items():
            layout = histogram.layout
            histogram.record(layout.highest_in(index) if index >= 0 else -layout.highest_in(~index), count)
    return counts


def _histograms(counts: SliceCounts) -> Iterator[Histogram]:
    tally = counts.tally
    for each in tally.operations.values():
        yield from (each.service, each.response, each.deferred, each.failed)
    yield from (tally.schedule_lag, tally.polls.punctuality, tally.enrolment_tally.first.ended_ms)
    for ages in tally.enrolment_tally.ages.values():
        yield from (ages.issued, ages.failed, ages.cut)
    yield from counts.report.lags.values()
