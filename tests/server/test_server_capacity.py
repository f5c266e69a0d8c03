"""The token bucket and the overflow rules, as tables of times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.server.capacity import (
    CapacityGate,
    Granted,
    GrantedAt,
    KeptUntil,
    NoToken,
    Overflow,
    TokenBucket,
)


def test_a_full_bucket_grants_its_burst_then_one_token_per_gap() -> None:
    """Burst 3 at 10/s: three at once, none more, one 100 ms later."""
    bucket = TokenBucket(10.0, 3)
    assert [bucket.try_take(0.0) for _ in range(4)] == [0.0, 0.0, 0.0, None]
    assert bucket.try_take(0.09) is None
    assert bucket.try_take(0.1) == pytest.approx(0.1)
    assert bucket.try_take(0.1) is None


def test_an_idle_bucket_refills_to_its_burst_and_no_further() -> None:
    """After an hour there are as many tokens as at the start."""
    bucket = TokenBucket(10.0, 2)
    assert bucket.try_take(0.0) == 0.0
    assert [bucket.try_take(3600.0) for _ in range(3)] == [3600.0, 3600.0, None]


def test_arrivals_exactly_at_the_rate_are_never_refused() -> None:
    """Rounding does not cost a token: 1000 arrivals spaced 1/30 s."""
    bucket = TokenBucket(30.0, 1)
    assert all(bucket.try_take(n / 30) is not None for n in range(1000))


def test_reserved_slots_come_in_order_one_gap_apart() -> None:
    """Lending the future: burst at once, then a queue in time."""
    bucket = TokenBucket(2.0, 2)
    assert [bucket.reserve(5.0) for _ in range(5)] == pytest.approx([5.0, 5.0, 5.5, 6.0, 6.5])
    assert bucket.try_take(6.5) is None
    assert bucket.next_free(6.5) == pytest.approx(7.0)
    assert bucket.try_take(7.0) is not None


def test_slots_lent_before_a_restart_stay_lent() -> None:
    """A new bucket told of an old slot lends the next one after it."""
    bucket = TokenBucket(2.0, 2)
    bucket.resume_after(10.0)
    assert bucket.reserve(3.0) == pytest.approx(10.5)


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_a_bucket_that_never_fills_is_refused(rate: float, burst: int) -> None:
    """Rate must be positive and burst at least one."""
    with pytest.raises(ValueError, match="greater than 0"):
        TokenBucket(rate, burst)


@given(
    rate=st.floats(0.1, 1000.0),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=200),
)
def test_no_window_ever_holds_more_than_burst_plus_rate_times_its_length(
    rate: float, burst: int, gaps: list[float]
) -> None:
    """The definition of a token bucket, over any arrivals."""
    bucket, now, taken = TokenBucket(rate, burst), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.try_take(now) is not None:
            taken.append(now)
    for first in range(0, len(taken), 7):
        for last in range(first, len(taken), 5):
            assert last - first + 1 <= burst + rate * (taken[last] - taken[first]) + 1e-6


def gate(overflow: Overflow, *, queue: int = 0) -> CapacityGate:
    """Return a gate of 1/s, burst 1: every time below is exact."""
    return CapacityGate(TokenBucket(1.0, 1), overflow, queue)


def test_wait_gives_slots_until_the_queue_is_full() -> None:
    """One is granted, two queue, the next is turned away; when one has left, there is room again."""
    it = gate(Overflow.WAIT, queue=2)
    assert it.admit(0.0) == Granted()
    assert it.admit(0.0) == GrantedAt(1.0)
    assert it.admit(0.0) == GrantedAt(2.0)
    assert it.admit(0.0) == NoToken(3.0)
    assert it.backlog(0.0) == 2
    assert it.admit(1.5) == GrantedAt(3.0)
    assert it.backlog(10.0) == 0


def test_defer_keeps_the_order_and_lets_nobody_overtake() -> None:
    """Kept requests own the coming tokens: a newcomer queues behind them."""
    it = gate(Overflow.DEFER)
    assert it.admit(0.0) == Granted()
    assert [it.admit(0.0) for _ in range(3)] == [KeptUntil(1.0), KeptUntil(2.0), KeptUntil(3.0)]
    assert it.admit(3.0) == KeptUntil(4.0)
    assert it.admit(10.0) == Granted()


@pytest.mark.parametrize("overflow", [Overflow.DEFER_FORGET, Overflow.REFUSE, Overflow.THROTTLE])
def test_a_server_that_forgets_lends_nothing(overflow: Overflow) -> None:
    """However many were turned away, the next token goes to whoever comes first."""
    it = gate(overflow)
    assert it.admit(0.0) == Granted()
    assert [it.admit(0.5) for _ in range(50)] == [NoToken(1.0)] * 50
    assert it.admit(1.0) == Granted()
