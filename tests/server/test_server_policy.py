"""Deferral and capacity as one policy: tables of requests and times."""

import pytest

from estsim.server.capacity import CapacityGate, Overflow, TokenBucket
from estsim.server.issuing_config import IssueConfig
from estsim.server.policy import ComeAgain, IssueAt, IssueNow, IssuePolicy, Overloaded, Request, TooEarly


def request(number: int, *, names: bytes = b"n") -> Request:
    """Return the request of a device."""
    return Request(b"identity", number.to_bytes(4, "big"), names)


def policy(gate: CapacityGate | None = None, *, seed: int = 1, **issue: object) -> IssuePolicy:
    """Return a policy of the ``issue`` keys given."""
    return IssuePolicy(IssueConfig.model_validate(issue), gate, seed=seed)


def gate(overflow: Overflow, queue: int = 0) -> CapacityGate:
    """Return a gate of 1/s, burst 1."""
    return CapacityGate(TokenBucket(1.0, 1), overflow, queue)


def test_immediate_issues_at_the_first_request() -> None:
    """Nothing is kept."""
    it = policy()
    assert it.decide(request(1), 0.0) == IssueNow()
    assert len(it) == 0


def test_a_deferred_request_is_issued_when_ready_and_not_before() -> None:
    """Told 1 s and ready after 2.5 s: two more deferrals, none early, then the certificate."""
    it = policy(mode="deferred", delay="2500ms", retry_after={"seconds": 1})
    verdicts = [it.decide(request(1), now) for now in (0.0, 1.0, 2.0, 3.0)]
    assert [type(verdict) for verdict in verdicts] == [ComeAgain, ComeAgain, ComeAgain, IssueNow]
    assert not any(verdict.early for verdict in verdicts)
    assert it.issued(request(1))
    assert len(it) == 0
    assert isinstance(it.decide(request(1), 4.0), ComeAgain), "a new request under the same key starts anew"


@pytest.mark.parametrize(("early", "expected"), [("again", ComeAgain), ("forbid", TooEarly), ("throttle", TooEarly)])
def test_a_repeat_before_the_told_time_is_early(early: str, expected: type) -> None:
    """What it gets is the scenario's to say; the request stays pending all the same."""
    it = policy(mode="deferred", delay="3s", early=early)
    it.decide(request(1), 0.0)
    verdict = it.decide(request(1), 1.0)
    assert type(verdict) is expected
    assert verdict.early
    assert it.decide(request(1), 9.0) == IssueNow()


def test_an_impatient_repeat_gets_its_certificate_if_it_is_ready() -> None:
    """Ready after 1 s, told 3 s: a repeat at 2 s is early and issued."""
    it = policy(mode="deferred", delay="1s")
    it.decide(request(1), 0.0)
    assert it.decide(request(1), 2.0) == IssueNow(early=True)


def test_share_draws_by_key_and_not_by_order() -> None:
    """The same fifth of 2000 requests is deferred whichever comes first; another seed defers others."""

    def deferred(seed: int, order: range) -> set[int]:
        it = policy(seed=seed, mode="deferred", share="20%")
        return {n for n in order if isinstance(it.decide(request(n), 0.0), ComeAgain)}

    forward = deferred(1, range(2000))
    assert forward == deferred(1, range(1999, -1, -1))
    assert forward != deferred(2, range(2000))
    assert 340 < len(forward) < 460


def test_delays_spread_over_their_range() -> None:
    """Every ready time lies within delay, and they differ."""
    it = policy(mode="deferred", delay="2s..4s")
    verdicts = [it.decide(request(n), 10.0) for n in range(200)]
    ready = [v.pending.ready_s for v in verdicts if isinstance(v, ComeAgain) and v.pending is not None]
    assert len(ready) == 200
    assert 12.0 <= min(ready) < 12.2
    assert 13.8 < max(ready) <= 14.0


def test_another_subject_under_the_same_key_is_another_request() -> None:
    """It does not inherit the place of the first."""
    it = policy(mode="deferred", delay="1s", retry_after={"seconds": 1})
    it.decide(request(1), 0.0)
    assert isinstance(it.decide(request(1, names=b"other"), 1.0), ComeAgain)
    assert it.decide(request(1, names=b"other"), 2.0) == IssueNow()


def test_next_slot_tells_the_time_that_is_left_in_whole_seconds() -> None:
    """Rounded up, so that a client that obeys finds its certificate."""
    it = policy(mode="deferred", delay="2500ms", retry_after={"kind": "next_slot"})
    first = it.decide(request(1), 0.0)
    assert isinstance(first, ComeAgain)
    assert first.wait_s == 3
    assert it.decide(request(1), 3.0) == IssueNow()


def test_random_waits_lie_within_their_bounds() -> None:
    """All whole seconds from 2 to 4 come up."""
    it = policy(mode="deferred", retry_after={"kind": "random", "from": 2, "to": 4})
    waits = {v.wait_s for n in range(100) if isinstance(v := it.decide(request(n), 0.0), ComeAgain)}
    assert waits == {2, 3, 4}


def test_overflow_wait_holds_the_connection_to_its_slot() -> None:
    """And turns away what the queue cannot hold."""
    it = policy(gate(Overflow.WAIT, queue=1))
    assert it.decide(request(1), 0.0) == IssueNow()
    assert it.decide(request(2), 0.0) == IssueAt(1.0)
    assert it.decide(request(3), 0.5) == Overloaded(503, 2)


def test_overflow_defer_keeps_a_slot_that_nobody_can_take() -> None:
    """The repeat after its slot is issued at once, even when the bucket is empty again."""
    it = policy(gate(Overflow.DEFER), retry_after={"seconds": 2})
    assert it.decide(request(1), 0.0) == IssueNow()
    assert isinstance(it.decide(request(2), 0.0), ComeAgain)  # slot 1
    assert isinstance(it.decide(request(3), 0.0), ComeAgain)  # slot 2
    assert isinstance(it.decide(request(4), 2.0), ComeAgain), "the newcomer comes after those who wait"
    assert it.decide(request(3), 2.0) == IssueNow()
    assert it.decide(request(2), 2.0) == IssueNow()


def test_overflow_defer_forget_keeps_nothing() -> None:
    """A repeat draws a token anew, and loses against whoever comes first."""
    it = policy(gate(Overflow.DEFER_FORGET), retry_after={"seconds": 2})
    assert it.decide(request(1), 0.0) == IssueNow()
    forgotten = it.decide(request(2), 0.0)
    assert forgotten == ComeAgain(2, None)
    assert len(it) == 0
    assert it.decide(request(3), 2.0) == IssueNow()
    assert it.decide(request(2), 2.0) == ComeAgain(2, None)


@pytest.mark.parametrize(("overflow", "status"), [(Overflow.REFUSE, 503), (Overflow.THROTTLE, 429)])
def test_overflow_refuse_and_throttle_say_when_to_come(overflow: Overflow, status: int) -> None:
    """503 or 429, with the time until a token."""
    it = policy(gate(overflow))
    it.decide(request(1), 0.0)
    assert it.decide(request(2), 0.2) == Overloaded(status, 1)


def test_what_mode_deferred_keeps_survives_an_empty_bucket() -> None:
    """Ready but no token under defer_forget: told again, still kept, issued when a token is there."""
    it = policy(gate(Overflow.DEFER_FORGET), mode="deferred", delay="1s", retry_after={"seconds": 1})
    for number in (1, 2):
        it.decide(request(number), 0.0)
    assert it.decide(request(1), 1.0) == IssueNow()
    assert isinstance(it.decide(request(2), 1.0), ComeAgain)
    assert len(it) == 2, "neither was handed out yet"
    assert it.decide(request(2), 2.0) == IssueNow()


def test_slots_and_told_times_survive_a_restart() -> None:
    """What was pending is handed back, and its slot stays taken."""
    before = policy(gate(Overflow.DEFER), retry_after={"seconds": 5})
    before.decide(request(1), 0.0)
    kept = before.decide(request(2), 0.0)
    assert isinstance(kept, ComeAgain)
    assert kept.pending is not None
    after = policy(gate(Overflow.DEFER), retry_after={"seconds": 5})
    after.resume(kept.pending)
    newcomer = after.decide(request(3), 0.5)
    assert isinstance(newcomer, ComeAgain)
    assert newcomer.pending is not None
    assert newcomer.pending.ready_s == pytest.approx(2.0)
    assert after.decide(request(2), 2.0).early
    assert after.decide(request(2), 8.0) == IssueNow()
