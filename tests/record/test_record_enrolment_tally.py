"""Enrolments: enrolled_within, failures, drain, fairness, and the time of those that are still open."""

import pytest
from record_builders import MS, S, a_recorder, a_sample, an_enrolment

from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.record.enrolment_tally import CUT_BY_US, FAILURES


def test_every_end_is_a_certificate_a_failure_or_a_cut() -> None:
    """The ends fall into three groups, without rest."""
    assert {EnrolmentEnd.CUT, EnrolmentEnd.RETIRED} <= CUT_BY_US
    assert set(EnrolmentEnd) == CUT_BY_US | FAILURES | {EnrolmentEnd.ISSUED}


def test_enrolled_within_is_the_incidence_at_d() -> None:
    """One in time, one late, one refused, one cut by us at 1 s, one open at 15 s, one too young to know at 5 s.

    By weights: at risk after the cut are 5 of 6, so that what comes later counts 6 / 5: 4 s and 6 s count so.
    """
    searches = [
        an_enrolment(device=1, at_ns=0, took_ns=4 * S),
        an_enrolment(device=2, at_ns=0, took_ns=11 * S),
        an_enrolment(device=3, at_ns=5 * S),
        an_enrolment(device=4, at_ns=5 * S, took_ns=S, end=EnrolmentEnd.CUT),
        an_enrolment(device=5, at_ns=5 * S, took_ns=2 * S, end=EnrolmentEnd.REFUSED),
        an_enrolment(device=6, at_ns=15 * S),
    ]
    share = a_recorder((), searches).scope(20 * S).within("enrolled_within", 10.0)
    assert share is not None
    assert share.low == pytest.approx(1 / 5)
    assert (share.is_known, share.samples, share.censored, share.at_risk) == (True, 6, 2, 2)


def test_renewals_are_no_part_of_enrolled_within_and_have_a_share_of_their_own() -> None:
    """Slow renewals do not lower the share of first enrolments."""
    searches = [an_enrolment(device=n, took_ns=S) for n in range(4)]
    searches += [an_enrolment(device=n, number=2, goal=Goal.RENEW, at_ns=9 * S, took_ns=20 * S) for n in range(4)]
    scope = a_recorder((), searches).scope(60 * S)
    shares = [scope.within(family, 10.0) for family in ("enrolled_within", "renewed_within")]
    assert [share and share.low for share in shares] == [1.0, 0.0]


def test_refusals_that_were_expected_are_outside() -> None:
    """Of failures, of their number, and of enrolled_within."""
    planned = an_enrolment(device=1, took_ns=S, end=EnrolmentEnd.REFUSED)
    planned.expected = True
    scope = a_recorder((), [an_enrolment(device=0, took_ns=S), planned]).scope(20 * S)
    share = scope.within("enrolled_within", 10.0)
    assert (scope.failures, share and (share.low, share.samples)) == (0.0, (1.0, 1))
    alone = a_recorder((), [planned]).scope(20 * S)
    assert (alone.failures, alone.within("enrolled_within", 10.0)) == (0.0, None)


@pytest.mark.parametrize("end", [None, EnrolmentEnd.CUT, EnrolmentEnd.INTERNAL_ERROR])
def test_enrolments_to_be_refused_do_not_count(end: EnrolmentEnd | None) -> None:
    """A faulty device that tries on, or that we cut, is not unfinished and not waited for; it is open all the same."""
    faulty = an_enrolment(device=1, took_ns=None if end is None else S, end=end, to_be_refused=True)
    recorder = a_recorder((), [an_enrolment(device=0, took_ns=S), faulty])
    scope = recorder.scope(100 * S)
    share = scope.within("enrolled_within", 10.0)
    assert (scope.failures, scope.unfinished, share and (share.low, share.high, share.samples)) == (0.0, 0.0, (1, 1, 1))
    assert scope.time_to_certificate.unfinished == 0
    assert (scope.tally.enrolment_tally.begun, scope.tally.enrolment_tally.open) == (2, 1 if end is None else 0)


def test_a_certificate_in_spite_of_a_fault_is_a_certificate() -> None:
    """What is to be refused and was issued is in the shares, and so is what failed otherwise than expected."""
    accepted = an_enrolment(device=1, took_ns=2 * S, to_be_refused=True)
    impatient = an_enrolment(device=2, took_ns=9 * S, end=EnrolmentEnd.IMPATIENT, to_be_refused=True)
    scope = a_recorder((), [an_enrolment(device=0, took_ns=S), accepted, impatient]).scope(20 * S)
    share = scope.within("enrolled_within", 10.0)
    assert scope.failures == pytest.approx(1 / 3)
    assert scope.unfinished == 0
    assert share is not None
    assert share.low == pytest.approx(2 / 3)
    assert share.samples == 3


@pytest.mark.parametrize(
    ("longest_s", "ended_s", "unfinished"),
    [(None, 10, 0.0), (None, 11, 0.5), (3.0, 11, 0.5), (30.0, 60, 0.0), (30.0, 61, 0.5)],
)
def test_unfinished_are_those_that_have_been_open_for_long(
    longest_s: float | None, ended_s: int, unfinished: float
) -> None:
    """Older than 10 s, and than twice the longest told wait; of all that were begun."""
    told = [] if longest_s is None else [RetryAfter(longest_s, RetryAfterForm.SECONDS)]
    exchanges = [a_sample(OutcomeClass.DEFERRED, retry_after=each) for each in told]
    recorder = a_recorder(exchanges, [an_enrolment(device=0, took_ns=S), an_enrolment(device=1)])
    assert recorder.scope(ended_s * S).unfinished == unfinished


def test_failures_are_a_share_of_the_enrolments_that_ended_by_themselves() -> None:
    """What we cut, and what is open, is neither failure nor success."""
    recorder = a_recorder(
        (),
        [
            an_enrolment(device=1, took_ns=S),
            an_enrolment(device=2, took_ns=S),
            an_enrolment(device=3, took_ns=S, end=EnrolmentEnd.EXHAUSTED),
            an_enrolment(device=4, took_ns=S, end=EnrolmentEnd.RETIRED),
            an_enrolment(device=5),
        ],
    )
    assert recorder.scope(S).failures == pytest.approx(1 / 3)
    assert a_recorder().scope(S).failures == 0.0, "nothing was begun"
    assert a_recorder((), [an_enrolment()]).scope(S).failures is None, "nothing has ended"


def test_drain_is_null_until_the_last_device_has_its_first_certificate() -> None:
    """From the first boot to the last first certificate; a renewal is none."""
    searches = [an_enrolment(device=n, cohort="north", at_ns=2 * S, took_ns=n * S) for n in range(1, 10)]
    recorder = a_recorder((), searches, north=10)
    assert recorder.scope(60 * S).drain_s() is None
    assert recorder.scope(60 * S).drain_s(0.9) == 9.0
    recorder.enrolment_began(renewal := an_enrolment(device=1, number=2, goal=Goal.RENEW, at_ns=30 * S, took_ns=S))
    recorder.enrolment_ended(renewal)
    assert recorder.scope(60 * S).drain_s() is None
    recorder.enrolment_began(last := an_enrolment(device=0, at_ns=2 * S, took_ns=12 * S))
    recorder.enrolment_ended(last)
    assert recorder.scope(60 * S).drain_s() == 12.0


def test_fairness_is_jains_index_with_open_ones_at_their_age() -> None:
    """All equal is 1; one that waits ten times as long lowers it."""
    even = a_recorder((), [an_enrolment(device=n, took_ns=2 * S) for n in range(4)])
    assert even.scope(20 * S).fairness == pytest.approx(1.0)
    uneven = a_recorder((), [*(an_enrolment(device=n, took_ns=2 * S) for n in range(3)), an_enrolment(device=3)])
    assert uneven.scope(20 * S).fairness == pytest.approx((6 + 20) ** 2 / (4 * (12 + 400)))


def test_parts_of_the_time_to_certificate_add_up() -> None:
    """The parts of all certificates sum to the sum of the times."""
    enrolment = an_enrolment(took_ns=0)
    enrolment.ended_ns = 1000 * MS
    enrolment.service_ns, enrolment.told_ns, enrolment.device_ns = 100 * MS, 600 * MS, 50 * MS
    enrolment.backoff_ns, enrolment.client_ns, enrolment.generator_ns = 200 * MS, 40 * MS, 10 * MS
    enrolment_tally = a_recorder((), [enrolment]).book.total().enrolment_tally
    assert enrolment_tally.parts_ns.total() == enrolment_tally.time_to_certificate.total * MS


def test_an_enrolment_that_has_not_ended_cannot_be_counted_as_ended() -> None:
    """The driver's mistake is told, not swallowed."""
    recorder = a_recorder()
    recorder.enrolment_began(enrolment := an_enrolment())
    with pytest.raises(ValueError, match="has not ended"):
        recorder.enrolment_ended(enrolment)
