"""Deferral, approval and capacity as one policy: tables of requests and times."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from estsim.server.capacity import CapacityGate, Overflow, SignerPool, TokenBucket
from estsim.server.draws import DrawKey
from estsim.server.issuing_config import IssueConfig
from estsim.server.policy import (
    ComeAgain,
    Decision,
    Denied,
    IssueAt,
    IssueNow,
    IssuePolicy,
    Overloaded,
    Pending,
    Request,
    TooEarly,
    Verdict,
)
from estsim.server.store import Exchange, PendingRow, Store
from estsim.units import Constant, Uniform

APPROVED = Decision(approved=True)
REJECTED = Decision(approved=False, reason="not one of ours")


def request(number: int, *, names: bytes = b"n", attempt: int = 0) -> Request:
    """Return the request of a device."""
    return Request(b"identity", number.to_bytes(4, "big"), names, DrawKey(number, attempt))


def policy(
    gate: CapacityGate | None = None, *, seed: int = 1, tells_overload: bool = True, **issue: object
) -> IssuePolicy:
    """Return a policy of the ``issue`` keys given."""
    return IssuePolicy(IssueConfig.model_validate(issue), gate, seed=seed, tells_overload=tells_overload)


def kept(verdict: Verdict) -> Pending:
    """Return what a deferral keeps."""
    assert isinstance(verdict, ComeAgain)
    assert verdict.pending is not None
    return verdict.pending


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


def test_what_is_pending_outlives_another_subject_under_the_same_key_that_is_issued_at_once() -> None:
    """It never waited, so it settles nothing: the one with a slot is not forgotten."""
    it = policy(gate(Overflow.DEFER))
    for number in (1, 2):
        it.decide(request(number), 0.0)
    other = request(2, names=b"other")
    assert it.decide(other, 10.0) == IssueNow()
    assert it.pending(other) is None
    assert not it.issued(other)
    assert it.decide(request(2), 10.0) == IssueNow()


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
    """A repeat draws a new token, and loses against the first to come."""
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
    waiting = kept(before.decide(request(2), 0.0))
    after = policy(gate(Overflow.DEFER), retry_after={"seconds": 5})
    after.resume(waiting)
    newcomer = kept(after.decide(request(3), 0.5))
    assert newcomer.ready_s == pytest.approx(2.0)
    assert after.decide(request(2), 2.0).early
    assert after.decide(request(2), 8.0) == IssueNow()


def test_a_ready_request_without_a_token_is_told_when_there_is_one() -> None:
    """``next_slot`` under defer_forget: one token every ten seconds, the next at 11; not "come in a second"."""
    slow = CapacityGate(TokenBucket(0.1, 1), Overflow.DEFER_FORGET, 0)
    it = policy(slow, mode="deferred", delay="1s", retry_after={"kind": "next_slot"})
    for number in (1, 2):
        it.decide(request(number), 0.0)
    assert it.decide(request(1), 1.0) == IssueNow()
    again = it.decide(request(2), 1.0)
    assert isinstance(again, ComeAgain)
    assert again.wait_s == 10
    assert it.decide(request(2), 11.0) == IssueNow()


# -- mode: manual


def manual(gate: CapacityGate | None = None, *, early: str = "again") -> IssuePolicy:
    """Return a policy of a trust center where a person decides; a deferral tells 3 s."""
    return policy(gate, mode="manual", early=early)


def test_in_mode_manual_nobody_is_issued_anything_undecided() -> None:
    """Deferred again and again, a day later too, and counted."""
    it = manual()
    verdicts = [it.decide(request(1), now) for now in (0.0, 3.0, 6.0, 86_400.0)]
    assert [kept(verdict).polls for verdict in verdicts] == [0, 1, 2, 3]
    assert [verdict.early for verdict in verdicts] == [False] * 4
    assert len(it) == 1


def test_what_was_approved_is_issued_at_the_next_repeat() -> None:
    """And pending until that is on record; the next request under the same key needs somebody again."""
    it = manual()
    it.decide(request(1), 0.0)
    it.decided(request(1), APPROVED)
    assert it.decide(request(1), 3.0) == IssueNow()
    assert it.pending(request(1)) is not None
    assert it.issued(request(1))
    assert it.pending(request(1)) is None
    assert isinstance(it.decide(request(1), 4.0), ComeAgain)


def test_a_decision_concerns_one_request() -> None:
    """The others go on waiting."""
    it = manual()
    for number in (1, 2):
        it.decide(request(number), 0.0)
    it.decided(request(1), APPROVED)
    assert isinstance(it.decide(request(2), 3.0), ComeAgain)


def test_a_decision_on_what_is_not_pending_means_nothing() -> None:
    """A request that comes later is not approved beforehand."""
    it = manual()
    it.decided(request(1), APPROVED)
    assert len(it) == 0
    assert isinstance(it.decide(request(1), 0.0), ComeAgain)
    assert isinstance(it.decide(request(1), 3.0), ComeAgain)


def test_what_was_rejected_stays_rejected() -> None:
    """Every repeat is told why, and none is a new request."""
    it = manual()
    it.decide(request(1), 0.0)
    it.decided(request(1), REJECTED)
    assert [it.decide(request(1), now) for now in (3.0, 4.0, 1e6)] == [Denied("not one of ours")] * 3
    assert it.pending(request(1)) is not None


def test_a_rejection_may_be_taken_back() -> None:
    """And so may an approval, until the certificate is made: somebody is asked again at each repeat."""
    it = manual()
    assert not it.awaits_decision(request(1))
    it.decide(request(1), 0.0)
    assert it.awaits_decision(request(1))
    it.decided(request(1), REJECTED)
    assert it.awaits_decision(request(1))
    it.decided(request(1), APPROVED)
    assert it.awaits_decision(request(1))
    assert it.decide(request(1), 3.0) == IssueNow()


@pytest.mark.parametrize("mode", ["immediate", "deferred"])
def test_nobody_is_asked_in_the_other_modes(mode: str) -> None:
    """Not even about what is pending."""
    it = policy(gate(Overflow.DEFER), mode=mode)
    for number in (1, 2):
        it.decide(request(number), 0.0)
    assert not it.is_manual
    assert it.pending(request(2)) is not None
    assert not it.awaits_decision(request(2))


@pytest.mark.parametrize("decision", [APPROVED, REJECTED])
@pytest.mark.parametrize(("early", "status"), [("forbid", 403), ("throttle", 429)])
def test_an_early_repeat_is_punished_whatever_was_decided(decision: Decision, early: str, status: int) -> None:
    """It learns of the decision when it comes in time."""
    it = manual(early=early)
    it.decide(request(1), 0.0)
    it.decided(request(1), decision)
    assert it.decide(request(1), 0.5) == TooEarly(status, 3)
    in_time: Verdict = IssueNow() if decision.approved else Denied("not one of ours")
    assert it.decide(request(1), 3.0) == in_time


@pytest.mark.parametrize(
    ("decision", "expected"), [(APPROVED, IssueNow(early=True)), (REJECTED, Denied("not one of ours", early=True))]
)
def test_where_early_is_no_offence_an_early_repeat_learns_what_was_decided(
    decision: Decision, expected: Verdict
) -> None:
    """And is noted as early."""
    it = manual()
    it.decide(request(1), 0.0)
    it.decided(request(1), decision)
    assert it.decide(request(1), 0.5) == expected


def test_an_early_repeat_that_nobody_decided_on_waits_from_anew() -> None:
    """Told 3 s again at 1 s, so that 3.5 s is early once more."""
    it = manual()
    verdicts = [it.decide(request(1), now) for now in (0.0, 1.0, 3.5, 6.5)]
    assert [verdict.early for verdict in verdicts] == [False, True, True, False]


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [
        (Overflow.WAIT, Overloaded(503, 1)),
        (Overflow.REFUSE, Overloaded(503, 1)),
        (Overflow.THROTTLE, Overloaded(429, 1)),
    ],
)
def test_an_approved_request_without_capacity_is_refused_and_stays_approved(
    overflow: Overflow, expected: Verdict
) -> None:
    """Two are approved and one token is there; the second is issued when there is another."""
    it = manual(gate(overflow))
    approve(it, 1, 2)
    assert it.decide(request(1), 3.0) == IssueNow()
    assert it.decide(request(2), 3.0) == expected
    assert it.decide(request(2), 4.0) == IssueNow()


def test_an_approved_request_waits_on_its_connection_where_there_is_a_queue() -> None:
    """As any other would."""
    it = manual(gate(Overflow.WAIT, queue=1))
    approve(it, 1, 2)
    assert it.decide(request(1), 3.0) == IssueNow()
    assert it.decide(request(2), 3.0) == IssueAt(4.0)


def test_an_approved_request_is_kept_with_a_slot_where_capacity_defers() -> None:
    """Approved once, a token of its own: nothing stands in its way when its slot has come."""
    it = manual(gate(Overflow.DEFER))
    approve(it, 1, 2)
    assert it.decide(request(1), 3.0) == IssueNow()
    waiting = kept(it.decide(request(2), 3.0))
    assert (waiting.ready_s, waiting.has_token, waiting.decision) == (4.0, True, APPROVED)
    assert it.decide(request(2), 6.0) == IssueNow()


def test_an_approved_request_is_kept_without_a_slot_where_capacity_forgets() -> None:
    """What a person has approved is not lost: it draws a new token, and keeps its approval."""
    it = manual(gate(Overflow.DEFER_FORGET))
    approve(it, 1, 2)
    assert it.decide(request(1), 3.0) == IssueNow()
    waiting = kept(it.decide(request(2), 3.0))
    assert (waiting.has_token, waiting.decision) == (False, APPROVED)
    assert it.decide(request(2), 6.0) == IssueNow()


def test_waiting_for_a_person_takes_no_capacity() -> None:
    """A hundred undecided ones, and the one token is still there."""
    it = manual(gate(Overflow.DEFER))
    for number in range(100):
        it.decide(request(number), 0.0)
        it.decide(request(number), 3.0)
    assert it.backlog(3.0) == 0
    it.decided(request(7), APPROVED)
    assert it.decide(request(7), 6.0) == IssueNow()


def approve(it: IssuePolicy, *numbers: int) -> None:
    """Let requests come at 0 s, and approve them."""
    for number in numbers:
        it.decide(request(number), 0.0)
        it.decided(request(number), APPROVED)


@pytest.mark.parametrize(("decision", "expected"), [(APPROVED, IssueNow()), (REJECTED, Denied("not one of ours"))])
def test_a_decision_survives_a_restart(decision: Decision, expected: Verdict) -> None:
    """It is part of what is pending."""
    before, after = manual(), manual()
    waiting = kept(before.decide(request(1), 0.0))
    after.resume(Pending(waiting.request, waiting.ready_s, waiting.told_s, decision=decision))
    assert after.decide(request(1), 3.0) == expected


def test_what_was_rejected_is_not_held_against_a_request_once_nobody_has_to_decide() -> None:
    """The sandbox was started anew, in another mode."""
    it = policy()
    it.resume(Pending(request(1), 0.0, 3.0, decision=REJECTED))
    assert it.decide(request(1), 3.0) == IssueNow()


def test_an_undecided_request_survives_a_restart_with_the_time_it_was_told() -> None:
    """It neither starts anew nor is issued, and an early repeat still is one."""
    after = manual(early="forbid")
    after.resume(kept(manual().decide(request(1), 0.0)))
    assert after.decide(request(1), 2.0) == TooEarly(403, 1)
    assert kept(after.decide(request(1), 3.0)).polls == 2
    assert after.awaits_decision(request(1))


def test_another_subject_under_an_approved_key_starts_anew() -> None:
    """Somebody has to look at it first."""
    it = manual()
    approve(it, 1)
    other = request(1, names=b"other")
    assert kept(it.decide(other, 3.0)).decision is None
    assert isinstance(it.decide(other, 6.0), ComeAgain)
    it.decided(other, APPROVED)
    assert it.decide(other, 9.0) == IssueNow()


def test_another_subject_that_was_never_seen_awaits_no_decision() -> None:
    """Nobody can have decided on it: what is pending under its key is another request."""
    it = manual()
    it.decide(request(1), 0.0)
    assert not it.awaits_decision(request(1, names=b"other"))


def test_a_decision_on_another_subject_is_not_taken_for_one_on_this() -> None:
    """Under the same key too."""
    it = manual()
    it.decide(request(1), 0.0)
    it.decided(request(1, names=b"other"), APPROVED)
    assert isinstance(it.decide(request(1), 3.0), ComeAgain)


def test_what_was_decided_on_one_subject_is_not_read_for_another_under_the_same_key(tmp_path: Path) -> None:
    """The store may be behind the policy, which knows a new subject already when it cannot be written down."""
    seen, other = request(1), request(1, names=b"other")
    path = tmp_path / "sandbox.sqlite"
    with closing(Store(path)) as store, closing(sqlite3.connect(path, isolation_level=None)) as person:
        store.commit(Exchange(0.0), pending=PendingRow("default", Pending(seen, 0.0, 3.0), "CN=m", b"csr", 0.0))
        person.execute("UPDATE pending SET approved = 1")
        assert store.decision("default", seen) == APPROVED
        assert store.decision("default", other) is None


# -- what is refused without a word, and draws of each attempt


@pytest.mark.parametrize(
    ("overflow", "status"), [(Overflow.WAIT, 503), (Overflow.REFUSE, 503), (Overflow.THROTTLE, 429)]
)
def test_a_server_may_not_say_when_to_come_again(overflow: Overflow, status: int) -> None:
    """Refused for want of capacity, with no wait to tell; what is deferred has its wait all the same."""
    it = policy(gate(overflow), tells_overload=False)
    it.decide(request(1), 0.0)
    assert it.decide(request(2), 0.2) == Overloaded(status, None)
    deferring = policy(gate(overflow), tells_overload=False, mode="deferred")
    assert deferring.decide(request(1), 0.0) == ComeAgain(3, Pending(request(1), 3.0, 3.0))


def test_a_random_wait_is_drawn_anew_for_each_attempt() -> None:
    """By the ordinal of the request: not by what came before it, and by the seed."""
    wide = {"kind": "random", "from": 1, "to": 1000}

    def told(attempts: range, seed: int = 1) -> list[int]:
        it = policy(seed=seed, mode="deferred", delay="1h", retry_after=wide)
        verdicts = [it.decide(request(1, attempt=attempt), 0.0) for attempt in attempts]
        return [verdict.wait_s for verdict in verdicts if isinstance(verdict, ComeAgain)]

    waits = told(range(20))
    assert len(set(waits)) > 15
    assert waits[10:] == told(range(10, 20))
    assert waits != told(range(20), seed=2)


def test_waits_of_one_attempt_spread_evenly_over_all_who_ask() -> None:
    """Both bounds come up as often as what is between them."""
    it = policy(mode="deferred", retry_after={"kind": "random", "from": 2, "to": 5})
    verdicts = [it.decide(request(n), 0.0) for n in range(4000)]
    waits = [verdict.wait_s for verdict in verdicts if isinstance(verdict, ComeAgain)]
    assert set(waits) == {2, 3, 4, 5}
    assert all(850 < waits.count(wait) < 1150 for wait in set(waits))


def signing_time(attempt: int, *, seed: int = 1) -> float:
    """Return how long a request's certificate takes to be signed at an attempt, by a signer that takes 1 to 2 s."""
    it = policy(CapacityGate(SignerPool(1, Uniform(1.0, 2.0)), Overflow.REFUSE, 0), seed=seed)
    verdict = it.decide(request(1, attempt=attempt), 10.0)
    assert isinstance(verdict, IssueAt)
    return verdict.slot_s - 10.0


def test_a_random_sign_time_is_drawn_anew_for_each_attempt() -> None:
    """The same attempt takes the same time, another one another; none is out of bounds."""
    times = [signing_time(attempt) for attempt in range(20)]
    assert times == [signing_time(attempt) for attempt in range(20)]
    assert len(set(times)) == 20
    assert times != [signing_time(attempt, seed=2) for attempt in range(20)]
    assert all(1.0 <= time < 2.0 for time in times)
    assert min(times) < 1.25
    assert max(times) > 1.75


def test_a_sign_time_and_a_wait_of_one_attempt_are_draws_apart() -> None:
    """A long signature does not come with a long wait."""
    it = policy(mode="deferred", delay="1h", retry_after={"kind": "random", "from": 1, "to": 1000})
    waits, times = [], []
    for attempt in range(200):
        verdict = it.decide(request(1, attempt=attempt), 0.0)
        assert isinstance(verdict, ComeAgain)
        waits.append(verdict.wait_s > 500)
        times.append(signing_time(attempt) > 1.5)
    same = sum(wait is time for wait, time in zip(waits, times, strict=True))
    assert 60 < same < 140


def test_signers_answer_when_the_certificate_is_signed() -> None:
    """Two of them at 2 s each and a queue: two are held for 2 s, the next two for 4 s, none is issued at once."""
    it = policy(CapacityGate(SignerPool(2, Constant(2.0)), Overflow.WAIT, 2))
    verdicts = [it.decide(request(n), 10.0) for n in range(5)]
    assert verdicts == [IssueAt(12.0), IssueAt(12.0), IssueAt(14.0), IssueAt(14.0), Overloaded(503, 4)]


def test_signers_keep_a_deferred_request_until_it_is_signed() -> None:
    """Its slot is the end of the signing, and ``next_slot`` tells so."""
    pool = CapacityGate(SignerPool(1, Constant(2.5)), Overflow.DEFER, 0)
    it = policy(pool, retry_after={"kind": "next_slot"})
    assert it.decide(request(1), 10.0) == IssueAt(12.5)
    assert it.decide(request(2), 10.0) == ComeAgain(5, Pending(request(2), 15.0, 15.0, has_token=True))
    assert it.decide(request(2), 15.0) == IssueNow()
    assert it.backlog(15.0) == 0


def test_a_share_and_a_delay_hold_for_a_request_and_its_repeats() -> None:
    """Drawn once for a key, by the ordinal of its first request: a repeat draws no better."""

    def decided(ordinal: int, first: int, *, who: int = 1) -> Verdict:
        it = policy(mode="deferred", share="50%", delay="1s..1000s", retry_after={"kind": "next_slot"})
        return it.decide(Request(b"i", b"k", b"n", DrawKey(who, ordinal, first)), 0.0)

    repeats = [decided(ordinal, 7) for ordinal in range(7, 60)]
    assert repeats.count(repeats[0]) == len(repeats)
    anew = [decided(first, first) for first in range(400)]
    assert 150 < sum(isinstance(verdict, IssueNow) for verdict in anew) < 250
    waits = [verdict.wait_s for verdict in anew if isinstance(verdict, ComeAgain)]
    assert min(waits) < 100
    assert max(waits) > 900
    assert anew != [decided(first, first, who=2) for first in range(400)]
