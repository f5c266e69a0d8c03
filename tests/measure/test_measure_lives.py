"""Enrolments: enrolled_within, failures, drain, fairness, and the time of those that are still open."""

import pytest
from measure_builders import MS, S, a_recorder, an_enrolment

from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.measure.lives import CUT_BY_US, FAILURES


def test_every_end_is_a_certificate_a_failure_or_ours() -> None:
    """The ends fall into three groups, without rest."""
    assert {EnrolmentEnd.CUT, EnrolmentEnd.RETIRED} <= CUT_BY_US
    assert set(EnrolmentEnd) == CUT_BY_US | FAILURES | {EnrolmentEnd.ISSUED}


def test_enrolled_within_asks_only_those_who_had_the_time() -> None:
    """Intended 10 s or more before the end: one in time, one late, one open, and one cut by us that is spared."""
    recorder = a_recorder(
        (),
        [
            an_enrolment(device=1, at_ns=0, took_ns=4 * S),
            an_enrolment(device=2, at_ns=0, took_ns=11 * S),
            an_enrolment(device=3, at_ns=5 * S),
            an_enrolment(device=4, at_ns=5 * S, took_ns=S, end=EnrolmentEnd.CUT),
            an_enrolment(device=5, at_ns=5 * S, took_ns=S, end=EnrolmentEnd.REFUSED),
            an_enrolment(device=6, at_ns=15 * S, took_ns=S),  # too young to be asked
        ],
    )
    assert recorder.scope(20 * S).enrolled_within(10.0) == 1 / 4
    assert recorder.scope(9 * S).enrolled_within(10.0) is None


def test_failures_are_a_share_of_what_ended_by_itself() -> None:
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
    assert a_recorder().scope(S).failures is None


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
    lives = a_recorder((), [enrolment]).book.total().lives
    assert lives.parts_ns.total() == lives.time_to_certificate.total * MS


def test_an_enrolment_that_has_not_ended_cannot_be_counted_as_ended() -> None:
    """The driver's mistake is told, not swallowed."""
    recorder = a_recorder()
    recorder.enrolment_began(enrolment := an_enrolment())
    with pytest.raises(ValueError, match="has not ended"):
        recorder.enrolment_ended(enrolment)
