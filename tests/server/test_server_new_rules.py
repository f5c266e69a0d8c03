"""A policy goes on by other rules: what was promised under the old ones is kept, and counted once."""

from copy import deepcopy

import pytest

from estsim.server.capacity import CapacityGate, Granted, GrantedAt, Overflow, SignerPool, Signers, TokenBucket
from estsim.server.draws import DrawKey
from estsim.server.issuing_config import IssueConfig
from estsim.server.policy import ComeAgain, Decision, IssueAt, IssueNow, IssuePolicy, Overloaded, Request
from estsim.units import Constant


def request(number: int, attempt: int = 0) -> Request:
    """Return the request of a device."""
    return Request(b"identity", number.to_bytes(4, "big"), b"n", DrawKey(number, attempt))


def gate(rate_per_s: float, *, burst: int = 1, queue: int = 100, overflow: Overflow = Overflow.WAIT) -> CapacityGate:
    """Return the gate of a token bucket."""
    return CapacityGate(TokenBucket(rate_per_s, burst), overflow, queue)


def issue(**keys: object) -> IssueConfig:
    """Return ``issue`` keys."""
    return IssueConfig.model_validate(keys)


def policy(before: CapacityGate | None, **keys: object) -> IssuePolicy:
    """Return a policy of these rules."""
    return IssuePolicy(issue(**keys), before, seed=1)


def change(it: IssuePolicy, after: CapacityGate | None, **keys: object) -> None:
    """Let it go on by other rules."""
    it.change(issue(**keys), after, tells_overload=True)


@pytest.mark.parametrize(("rate_per_s", "next_slot_s"), [(4.0, 4.25), (0.5, 6.0)])
def test_who_comes_after_the_change_comes_after_all_who_wait(rate_per_s: float, next_slot_s: float) -> None:
    """Faster or slower: the slots that were given stand, and the next lies one new gap behind the last."""
    it = policy(gate(1.0))
    given = [it.decide(request(number), 0.0) for number in range(5)]
    assert given == [IssueNow(), IssueAt(1.0), IssueAt(2.0), IssueAt(3.0), IssueAt(4.0)]
    change(it, gate(rate_per_s))
    assert it.backlog(0.0) == 4
    assert it.decide(request(5), 0.0) == IssueAt(next_slot_s)
    assert [it.backlog(now_s) for now_s in (0.0, 2.0, 4.0, 10.0)] == [5, 3, 1, 0]


def test_a_full_queue_stays_full_at_a_higher_rate_and_no_fuller() -> None:
    """Its room is counted in requests: four wait in a queue of five, though the time is that of forty."""
    it = policy(gate(1.0, queue=5))
    for number in range(5):
        it.decide(request(number), 0.0)
    change(it, gate(10.0, queue=5))
    assert isinstance(it.decide(request(5), 0.0), IssueAt)
    assert isinstance(it.decide(request(6), 0.0), Overloaded)


def test_signers_keep_every_promise_and_not_only_the_last() -> None:
    """Two of the new ones are as busy as two of the old ones were."""
    it = policy(CapacityGate(SignerPool(2, Constant(1.0)), Overflow.WAIT, 100))
    assert [it.decide(request(number), 0.0) for number in range(4)] == [IssueAt(1.0)] * 2 + [IssueAt(2.0)] * 2
    change(it, CapacityGate(SignerPool(2, Constant(5.0)), Overflow.WAIT, 100))
    assert it.backlog(0.0) == 2
    assert it.decide(request(4), 0.0) == IssueAt(7.0)


def test_slots_of_deferred_requests_are_kept_and_those_behind_them_come_later() -> None:
    """In an authority that defers; also when it had no limit for a while."""
    it = policy(gate(1.0, queue=0, overflow=Overflow.DEFER))
    it.decide(request(0), 0.0)
    assert isinstance(it.decide(request(1), 0.0), ComeAgain)
    change(it, None)
    assert it.decide(request(2), 0.0) == IssueNow()
    change(it, gate(0.1, overflow=Overflow.REFUSE, queue=0))
    assert it.decide(request(1, attempt=1), 3.0) == IssueNow()
    assert it.decide(request(3), 3.0) == Overloaded(503, 8)  # one gap of 10 s after the slot at 1.0


def test_a_promise_that_is_past_costs_the_new_signers_nothing() -> None:
    """They begin with all that they have."""
    it = policy(gate(1.0))
    for number in range(3):
        it.decide(request(number), 0.0)
    change(it, gate(2.0, burst=2))
    assert it.backlog(60.0) == 0
    assert [it.decide(request(number), 60.0) for number in (3, 4, 5)] == [IssueNow(), IssueNow(), IssueAt(60.5)]


def test_a_change_of_something_else_fills_no_bucket() -> None:
    """An event about faults or deferral is no gift of a burst."""
    it = policy(gate(1.0, burst=3, queue=0, overflow=Overflow.REFUSE))
    assert [it.decide(request(number), 0.0) for number in range(3)] == [IssueNow()] * 3
    change(it, gate(1.0, burst=3, queue=0, overflow=Overflow.REFUSE), status=206, mode="deferred", share="0%")
    assert it.decide(request(3), 0.0) == Overloaded(503, 1)
    change(it, gate(1.0, burst=4, queue=0, overflow=Overflow.REFUSE))
    assert it.decide(request(3), 0.0) == IssueNow()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TokenBucket(1.0, 1), TokenBucket(2.0, 1)),
        (TokenBucket(1.0, 1), TokenBucket(1.0, 2)),
        (TokenBucket(1.0, 1), SignerPool(1, Constant(1.0))),
        (SignerPool(1, Constant(1.0)), SignerPool(2, Constant(1.0))),
        (SignerPool(1, Constant(1.0)), SignerPool(1, Constant(2.0))),
        (SignerPool(1, Constant(1.0)), SignerPool(1, Constant(1.0), 2)),
    ],
)
def test_terms_tell_signers_apart(one: Signers, other: Signers) -> None:
    """By what they were made of."""
    assert deepcopy(one).terms == one.terms != other.terms


def test_terms_do_not_say_what_has_been_taken() -> None:
    """Nor the gate's, which has a queue and a rule for the rest besides."""
    one, other = gate(1.0), gate(1.0)
    assert [one.admit(0.0), one.admit(0.0)] == [Granted(), GrantedAt(1.0)]
    assert one.terms == other.terms
    assert gate(1.0, queue=1).terms != other.terms != gate(1.0, overflow=Overflow.REFUSE).terms


def test_what_a_person_holds_waits_for_that_person_whatever_the_mode() -> None:
    """A change of the mode is about new requests; a decision still counts."""
    it = policy(None, mode="manual")
    it.decide(request(0), 0.0)
    change(it, None, mode="immediate")
    assert it.decide(request(1), 3.0) == IssueNow()
    assert not it.awaits_decision(request(1))
    assert isinstance(it.decide(request(0, attempt=1), 3.0), ComeAgain)
    assert it.awaits_decision(request(0))
    it.decided(request(0), Decision(approved=True))
    assert it.decide(request(0, attempt=2), 6.0) == IssueNow()


def test_what_was_deferred_by_the_clock_needs_no_person_later() -> None:
    """It is ready when it would have been; newcomers wait for a person."""
    it = policy(None, mode="deferred", delay="10s")
    it.decide(request(0), 0.0)
    change(it, None, mode="manual")
    assert isinstance(it.decide(request(1), 1.0), ComeAgain)
    assert (it.awaits_decision(request(0)), it.awaits_decision(request(1))) == (False, True)
    assert isinstance(it.decide(request(0, attempt=1), 9.0), ComeAgain)
    assert it.decide(request(0, attempt=2), 12.0) == IssueNow()
    assert isinstance(it.decide(request(1, attempt=1), 12.0), ComeAgain)
