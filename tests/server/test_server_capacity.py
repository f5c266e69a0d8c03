"""The token bucket, the pool of signers and the overflow rules: tables of times, and properties over any arrivals."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from estsim.server.capacity import (
    GRANTED,
    Admission,
    CapacityGate,
    Granted,
    GrantedAt,
    KeptUntil,
    NoToken,
    Overflow,
    SignerPool,
    Signers,
    TokenBucket,
)
from estsim.units import Constant, Distribution, LogNormal, Normal, Uniform


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


@pytest.mark.parametrize("rate", [30, 200, 1000])
def test_arrivals_exactly_at_the_rate_are_not_refused_by_unix_time_either(rate: int) -> None:
    """The sandbox counts in UNIX seconds, whose floats lie 0.24 µs apart: what is rounded must not add up."""
    began_s = 1.8e9
    for model in (TokenBucket(rate, 1), SignerPool(1, Constant(1 / rate))):
        assert [n for n in range(1000) if model.try_take(began_s + n / rate) is None] == []


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


# -- the pool of signers


def test_a_signer_takes_its_time_for_each_certificate() -> None:
    """Two signers, three requests at once: two are signed after 2 s, the third is one too many."""
    pool = SignerPool(2, Constant(2.0))
    assert [pool.try_take(10.0) for _ in range(3)] == [12.0, 12.0, None]
    assert pool.try_take(11.9) is None
    assert [pool.try_take(12.0) for _ in range(3)] == [14.0, 14.0, None]


def test_idle_signers_save_nothing_up() -> None:
    """After an hour a signer still signs one at a time."""
    pool = SignerPool(1, Constant(2.0))
    assert pool.try_take(0.0) == 2.0
    assert [pool.try_take(3600.0) for _ in range(2)] == [3602.0, None]


def test_a_burst_waits_for_the_signers_behind_those_being_signed() -> None:
    """Burst 3 with two signers: four are taken in at once, in pairs; one more when the first pair is out."""
    pool = SignerPool(2, Constant(1.0), burst=3)
    assert [pool.try_take(0.0) for _ in range(5)] == [1.0, 1.0, 2.0, 2.0, None]
    assert [pool.try_take(1.0) for _ in range(3)] == [3.0, 3.0, None]


def test_a_certificate_takes_what_its_draw_says() -> None:
    """And the next one goes to the signer that is free first, so that it may overtake."""
    pool = SignerPool(2, Uniform(1.0, 5.0), burst=3)
    assert [pool.try_take(0.0, u) for u in (0.75, 0.0, 0.25)] == [4.0, 1.0, 3.0]


def test_reserved_requests_are_signed_behind_all_others() -> None:
    """However many there are already; whoever arrives to take later queues behind them."""
    pool = SignerPool(2, Constant(1.0))
    assert [pool.reserve(0.0) for _ in range(5)] == [1.0, 1.0, 2.0, 2.0, 3.0]
    assert pool.try_take(1.5) is None
    assert [pool.try_take(2.0) for _ in range(2)] == [3.0, None]


def test_the_backlog_is_what_was_taken_in_beyond_the_room() -> None:
    """Two being signed and the burst of one more are no backlog, the three behind them are, and they become fewer."""
    pool = SignerPool(2, Constant(1.0), burst=2)
    for _ in range(6):
        pool.reserve(0.0)
    assert [pool.backlog(now) for now in (0.0, 0.99, 1.0, 2.0, 3.0)] == [3, 3, 1, 0, 0]


def test_next_free_looks_past_all_that_have_to_be_signed_first() -> None:
    """With room it is now; without, when so many are out that one more fits. Asking takes nothing."""
    pool = SignerPool(2, Constant(1.0))
    assert pool.next_free(5.0) == 5.0
    for _ in range(5):  # signed at 6, 6, 7, 7, 8
        pool.reserve(5.0)
    assert [pool.next_free(5.5) for _ in range(2)] == [7.0, 7.0]
    assert pool.next_free(7.5) == 7.5, "one signer is busy, the other one is not"


def test_signers_promised_before_a_restart_are_busy_until_then() -> None:
    """Of two signers one was promised until 10: certificates take turns at the other, and queue for both after that."""
    pool = SignerPool(2, Constant(4.0))
    pool.resume_after(10.0)
    assert [pool.reserve(1.0) for _ in range(4)] == [5.0, 9.0, 13.0, 14.0]


@pytest.mark.parametrize("slots", [(4.0, 10.0), (10.0, 4.0)])
def test_promises_from_before_a_restart_are_taken_in_whatever_their_order(slots: tuple[float, float]) -> None:
    """The one signer is busy until the later of them; they fill the room and count as any other request."""
    pool = SignerPool(1, Constant(1.0))
    for slot_s in slots:
        pool.resume_after(slot_s)
    assert (pool.backlog(0.0), pool.next_free(0.0), pool.try_take(9.0)) == (1, 10.0, None)
    assert pool.reserve(9.0) == 11.0


def test_promises_that_are_past_cost_nothing() -> None:
    """A slot whose client never came back."""
    pool = SignerPool(1, Constant(1.0))
    for slot_s in (3.0, 5.0):
        pool.resume_after(slot_s)
    assert pool.backlog(20.0) == 0
    assert pool.try_take(20.0) == 21.0


@pytest.mark.parametrize(
    ("signers", "sign_time", "burst"),
    [
        (0, Constant(1.0), 1),
        (1, Constant(1.0), 0),
        (1, Constant(0.0), 1),
        (1, Constant(-1.0), 1),
        (1, Uniform(-1.0, 1.0), 1),
    ],
)
def test_a_pool_that_signs_nothing_or_in_no_time_is_refused(signers: int, sign_time: Distribution, burst: int) -> None:
    """There must be a signer, a burst and a sign time."""
    with pytest.raises(ValueError, match="expected at least one signer"):
        SignerPool(signers, sign_time, burst)


Arrivals = list[tuple[float, float]]  # when, and the draw of the sign time

spreads = st.sampled_from([Constant(0.5), Uniform(0.0, 2.0), Uniform(0.3, 0.4), Normal(1.0, 0.2), LogNormal(0.2, 1.0)])


@st.composite
def arrivals(draw: st.DrawFn) -> Arrivals:
    """Draw when requests come, many of them at once, and the draw of each."""
    gaps = draw(st.lists(st.floats(0.0, 2.0) | st.just(0.0), min_size=1, max_size=60))
    return [(now, draw(st.floats(0.0, 1.0, exclude_max=True))) for now in accumulate(gaps)]


def most_at_once(signings: Iterable[tuple[float, float]]) -> int:
    """Return how many (begin, end) overlap at the busiest moment; one may begin when another ends."""
    grain = 1e-9
    steps = sorted(step for begin, end in signings for step in ((begin + grain, 1), (max(begin + grain, end), -1)))
    return max(accumulate(change for _, change in steps), default=0)


@given(arrivals=arrivals(), signers=st.integers(1, 4), burst=st.integers(1, 4), sign_time=spreads, takes=st.data())
def test_no_signer_ever_signs_two_certificates_at_once(
    arrivals: Arrivals, signers: int, burst: int, sign_time: Distribution, takes: st.DataObject
) -> None:
    """Whatever the arrivals, the sign times, and whether requests are taken or reserved."""
    pool = SignerPool(signers, sign_time, burst)
    signings = []
    for now, u in arrivals:
        signed = pool.reserve(now, u) if takes.draw(st.booleans()) else pool.try_take(now, u)
        if signed is not None:
            assert signed - sign_time.at(u) >= now - 1e-9, "it begins when the request is there, not before"
            signings.append((signed - sign_time.at(u), signed))
    assert most_at_once(signings) <= signers


@given(arrivals=arrivals(), signers=st.integers(1, 4), sign_time_s=st.floats(0.01, 3.0))
def test_with_one_sign_time_certificates_come_in_the_order_of_arrival_and_no_faster_than_the_signers(
    arrivals: Arrivals, signers: int, sign_time_s: float
) -> None:
    """Each comes at least a sign time after the one that is as many places ahead as there are signers."""
    pool = SignerPool(signers, Constant(sign_time_s))
    signed = [pool.reserve(now, u) for now, u in arrivals]
    assert signed == sorted(signed)
    assert all(later - earlier >= sign_time_s - 1e-9 for earlier, later in zip(signed, signed[signers:], strict=False))


@given(arrivals=arrivals(), signers=st.integers(1, 4), sign_time=spreads, seen=st.integers(0, 60))
def test_no_signer_is_double_booked_after_a_restart(
    arrivals: Arrivals, signers: int, sign_time: Distribution, seen: int
) -> None:
    """What was promised before, in the order of its times, and what comes after do not overlap on a signer."""
    old, new = SignerPool(signers, sign_time), SignerPool(signers, sign_time)
    promised = sorted((old.reserve(now, u), u) for now, u in arrivals[:seen])
    for slot_s, _ in promised:
        new.resume_after(slot_s)
    after = [(new.reserve(now, u), u) for now, u in arrivals[seen:]]
    assert most_at_once((end - sign_time.at(u), end) for end, u in promised + after) <= signers


@given(times=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=20).map(sorted), rate=st.floats(0.1, 1000.0))
@example(times=[0.4, 1.68], rate=5.0)
def test_no_slot_lies_before_the_request_it_is_given_to(times: list[float], rate: float) -> None:
    """Not by the last digit of a float either."""
    for model in (TokenBucket(rate), SignerPool(1, Constant(1 / rate))):
        for now in times:
            assert model.next_free(now) >= now
            assert model.reserve(now) >= now


@dataclass
class Workshop:
    """Signers and a queue played tick by tick: what a pool has to agree with, told in another way."""

    signers: int
    now: int = 0
    queue: list[tuple[int, int]] = field(default_factory=list)  # number and sign time
    benches: dict[int, int] = field(default_factory=dict)  # number, and ticks left
    signed: dict[int, int] = field(default_factory=dict)  # number, and when

    def enter(self, number: int, ticks: int) -> None:
        """Bring a request in."""
        self.queue.append((number, ticks))
        self._sit_down()

    def wait_until(self, now: int) -> None:
        """Let time pass."""
        while self.now < now:
            self.now += 1
            self.benches = {number: left - 1 for number, left in self.benches.items()}
            self.signed |= {number: self.now for number, left in self.benches.items() if not left}
            self.benches = {number: left for number, left in self.benches.items() if left}
            self._sit_down()

    def _sit_down(self) -> None:
        while self.queue and len(self.benches) < self.signers:
            number, ticks = self.queue.pop(0)
            self.benches[number] = ticks

    @property
    def inside(self) -> int:
        """How many are here."""
        return len(self.queue) + len(self.benches)


@given(
    requests=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 7), st.booleans()), min_size=1, max_size=40),
    signers=st.integers(1, 4),
    burst=st.integers(1, 4),
)
def test_a_pool_agrees_with_a_workshop_played_tick_by_tick(
    requests: list[tuple[int, int, bool]], signers: int, burst: int
) -> None:
    """On who is taken in, how many are too many, when there is room again, and when each is signed."""
    pool, room = SignerPool(signers, Uniform(0.0, 8.0), burst), signers - 1 + burst
    workshop = Workshop(signers)
    told: dict[int, float] = {}
    for number, (gap, ticks, is_reserved) in enumerate(requests):
        now = workshop.now + gap
        workshop.wait_until(now)
        assert pool.backlog(now) == max(0, workshop.inside - room)
        free = pool.next_free(now)
        slot = pool.reserve(now, ticks / 8) if is_reserved else pool.try_take(now, ticks / 8)
        assert (slot is None) == (not is_reserved and workshop.inside >= room)
        if slot is None:
            ahead = Workshop(signers, now, list(workshop.queue), dict(workshop.benches))
            ahead.wait_until(int(free) - 1)
            assert ahead.inside >= room, "there is no room a tick earlier"
            ahead.wait_until(int(free))
            assert ahead.inside < room
        else:
            told[number] = slot
            workshop.enter(number, ticks)
    workshop.wait_until(workshop.now + 8 * len(requests))
    assert told == workshop.signed


@given(
    rate=st.integers(1, 20),
    burst=st.integers(1, 5),
    gaps=st.lists(st.integers(0, 64), min_size=1, max_size=60),
    overflow=st.sampled_from(Overflow),
    queue=st.integers(0, 3),
)
@example(rate=3, burst=1, gaps=[0, 64, 0, 64], overflow=Overflow.REFUSE, queue=0)  # exactly one third apart, and not
def test_one_signer_admits_what_a_token_bucket_of_its_rate_does(
    rate: int, burst: int, gaps: list[int], overflow: Overflow, queue: int
) -> None:
    """With any arrivals and behind any gate: the same are taken in, kept and turned away, and as many queue.

    Times are whole 64ths of a second, so that nothing lies within a rounding of a token's time without being there.
    """
    tokens, signer = TokenBucket(rate, burst), SignerPool(1, Constant(1 / rate), burst)
    bare = [(tokens.try_take(now) is None, signer.try_take(now) is None) for now in (n / 64 for n in accumulate(gaps))]
    assert [of_tokens for of_tokens, _ in bare] == [of_signer for _, of_signer in bare]
    gates = [
        CapacityGate(model, overflow, queue)
        for model in (TokenBucket(rate, burst), SignerPool(1, Constant(1 / rate), burst))
    ]
    for now in (n / 64 for n in accumulate(gaps)):
        of_tokens, of_signer = (gate.admit(now) for gate in gates)
        assert kind_of(of_tokens) == kind_of(of_signer)
        if isinstance(of_tokens, NoToken) and isinstance(of_signer, NoToken):
            assert of_tokens.free_s == pytest.approx(of_signer.free_s)
        assert gates[0].backlog(now) == gates[1].backlog(now)


def kind_of(admission: Admission) -> str:
    """Return what became of a request; a token is there at once, a signature after a while."""
    return "taken in" if isinstance(admission, Granted | GrantedAt) else type(admission).__name__


@pytest.mark.parametrize("signers", [TokenBucket(2.0, 2), SignerPool(2, Constant(1.5), 2)], ids=["bucket", "pool"])
def test_at_the_time_that_is_told_there_is_room_and_not_before(signers: Signers) -> None:
    """Whoever comes when ``next_free`` said is taken in, if nobody came in between; a moment earlier is too early."""
    for _ in range(7):
        signers.reserve(0.0)
    for now in (0.0, 0.7, 2.0):
        assert signers.try_take(now) is None
    free = signers.next_free(2.0)
    assert free > 2.0
    assert signers.try_take(free - 1e-3) is None
    assert signers.try_take(free) is not None


# -- the gate


def gate(overflow: Overflow, *, queue: int = 0) -> CapacityGate:
    """Return a gate of 1/s, burst 1: every time below is exact."""
    return CapacityGate(TokenBucket(1.0, 1), overflow, queue)


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("queue", [0, 1, 2])
def test_the_queue_is_filled_before_the_overflow_is_heard(overflow: Overflow, queue: int) -> None:
    """One is granted, as many as the queue holds get a slot in order, the rest is kept or turned away."""
    it = gate(overflow, queue=queue)
    rest: list[Admission] = [NoToken(queue + 1.0)] * 3
    if overflow is Overflow.DEFER:
        rest = [KeptUntil(queue + n) for n in (1.0, 2.0, 3.0)]
    slots = [GrantedAt(n + 1.0) for n in range(queue)]
    assert [it.admit(0.0) for _ in range(queue + 4)] == [GRANTED, *slots, *rest]


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("queue", [0, 1, 2])
def test_signers_queue_by_the_same_rule_and_each_is_told_when_it_is_signed(overflow: Overflow, queue: int) -> None:
    """Two signers of 1 s: two are being signed, the queue's places come in pairs, then the overflow."""
    it = CapacityGate(SignerPool(2, Constant(1.0)), overflow, queue)
    signed = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    admitted: list[Admission] = [GrantedAt(slot) for slot in signed[: 2 + queue]]
    rest: Admission = NoToken(signed[queue])  # one goes out, and with a queue it leaves as many in it as it found
    if overflow is Overflow.DEFER:
        rest = KeptUntil(signed[2 + queue])
    assert [it.admit(0.0) for _ in range(3 + queue)] == [*admitted, rest]


@pytest.mark.parametrize("queue", [0, 1, 2])
def test_each_certificate_takes_what_its_own_draw_says(queue: int) -> None:
    """Whether it is signed at once, has queued for its signer, or is kept."""
    it = CapacityGate(SignerPool(1, Uniform(1.0, 5.0)), Overflow.DEFER, queue)
    expected = [(KeptUntil if place > queue else GrantedAt)(slot_s) for place, slot_s in enumerate((5.0, 7.0, 10.0))]
    assert [it.admit(0.0, u) for u in (1.0, 0.25, 0.5)] == expected


def test_a_full_queue_has_room_again_when_one_has_left() -> None:
    """Two queue, the next is turned away; a slot later there is one place more, and in the end none waits."""
    it = gate(Overflow.WAIT, queue=2)
    assert [it.admit(0.0) for _ in range(4)] == [GRANTED, GrantedAt(1.0), GrantedAt(2.0), NoToken(3.0)]
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


def test_nobody_waits_on_its_connection_behind_more_kept_requests_than_the_queue_holds() -> None:
    """Kept ones count against the queue: a newcomer is kept too, until so few are left that its wait is short."""
    it = gate(Overflow.DEFER, queue=1)
    assert [it.admit(0.0) for _ in range(4)] == [GRANTED, GrantedAt(1.0), KeptUntil(2.0), KeptUntil(3.0)]
    assert it.admit(1.5) == KeptUntil(4.0)
    assert it.admit(4.0) == GrantedAt(5.0)


@pytest.mark.parametrize("overflow", [Overflow.DEFER_FORGET, Overflow.REFUSE, Overflow.THROTTLE, Overflow.WAIT])
def test_a_server_that_forgets_lends_nothing(overflow: Overflow) -> None:
    """However many were turned away, the next token goes to the first to come."""
    it = gate(overflow)
    assert it.admit(0.0) == Granted()
    assert [it.admit(0.5) for _ in range(50)] == [NoToken(1.0)] * 50
    assert it.admit(1.0) == Granted()


def test_a_slot_from_before_a_restart_keeps_its_place_in_the_queue() -> None:
    """It counts in the backlog, and the next request comes after it."""
    it = gate(Overflow.WAIT, queue=5)
    it.resume_after(2.0)
    assert it.backlog(1.5) == 1
    assert it.admit(1.5) == GrantedAt(3.0)
