"""Told waits and polls: forms, nonsense, punctuality, hits and waste."""

import pytest
from record_builders import S, a_recorder, a_sample

from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.record.sample import PollPlan
from estsim.record.waits import ToldWaits, punctuality_us


def _told(*waits: float | None) -> ToldWaits:
    told = ToldWaits()
    for wait_s in waits:
        told.record(
            RetryAfter(wait_s, RetryAfterForm.MISSING if wait_s is None else RetryAfterForm.SECONDS),
        )
    return told


def test_implausible_retry_afters_are_counted_separately() -> None:
    """Missing, unreadable, zero, past and absurd."""
    told = _told(None, 0.0, 3.0, 90_000.0)
    told.record(RetryAfter(None, RetryAfterForm.UNREADABLE))
    told.record(RetryAfter(0.0, RetryAfterForm.HTTP_DATE, past=True))
    assert (told.missing, told.unreadable, told.zero, told.past, told.absurd) == (1, 1, 1, 1, 1)
    assert told.histogram.count == 4
    assert told.forms == {"missing": 1, "seconds": 3, "unreadable": 1, "http-date": 1}


@pytest.mark.parametrize(
    ("waits", "period"),
    [
        ([], None),
        ([6.0, 6.0, 6.2, 40.0], 6),
        ([6.0, 7.0, 8.0], None),  # none is half of them
        ([1.0, 1.0], None),  # under 2 s
        ([3.0, 3.0, 5.0, 5.0], 3),  # a tie: the shorter
    ],
)
def test_the_period_is_the_retry_after_of_half_of_the_deferrals(waits: list[float], period: int | None) -> None:
    """T by its definition."""
    assert _told(*waits).period_s() == period


def test_punctuality_counts_from_the_deferrals_first_byte() -> None:
    """Started 3.25 s after the deferral, told 3 s, spread 0.2 s: 50 ms late."""
    assert punctuality_us(int(13.25 * S), PollPlan(10 * S, 3.0, 0.2, "seconds")) == 50_000


def test_polls_are_early_wasted_or_hits() -> None:
    """An early poll is in no hit rate; a deferral answered to a poll is waste; a date has a second's tolerance."""
    plan = PollPlan(0, 3.0, 0.0, "seconds")
    date = PollPlan(0, 3.0, 0.0, "http-date")
    recorder = a_recorder(
        [
            a_sample(at_ns=2 * S, poll=plan),  # early, though it got one
            a_sample(at_ns=int(2.5 * S), poll=date),  # within the tolerance
            a_sample(OutcomeClass.DEFERRED, at_ns=3 * S, poll=plan),
            a_sample(OutcomeClass.FAILED, at_ns=4 * S, poll=plan),
            a_sample(at_ns=5 * S),  # no poll
        ]
    )
    scope = recorder.scope(10 * S)
    polls = scope.tally.polls
    assert (polls.count, polls.early, polls.wasted, polls.due, polls.hits) == (4, 1, 1, 3, 1)
    assert scope.wasted_share == 0.25
    assert scope.hit_rate == pytest.approx(1 / 3)
    assert polls.bins == {20: 1, 25: 1, 30: 1, 40: 1}
    assert scope.peak_to_mean == pytest.approx(2 / (4 / 3))
