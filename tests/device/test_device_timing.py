"""How long a device waits: tables and properties of the pure functions."""

from collections.abc import Callable
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.device.commands import WaitUntil
from estsim.device.events import Lifetime
from estsim.device.policy import Backoff, DeferralPolicy, EnrollPolicy, Fetch, Jitter, Policy, RenewPolicy, RetryPolicy
from estsim.device.timing import age_share, aged, backoff_wait, came_late, deferral_wait, renewal_time
from estsim.est.outcome import NO_RETRY_AFTER, Deferred, RetryAfter, RetryAfterForm
from estsim.load.streams import Purpose
from estsim.testing import ScriptedDevice, deferred
from estsim.units import Constant, Uniform

UNIT = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)
WAITS = st.floats(min_value=0.0, max_value=1e6)


def always(u: float, purpose: Purpose) -> Callable[[Purpose], float]:
    """Return draws that all give ``u``, and may be made for one purpose only."""

    def draw(asked: Purpose) -> float:
        assert asked is purpose
        return u

    return draw


@pytest.mark.parametrize(
    ("obedience", "spread", "told_s", "wait_s"),
    [
        (1.0, 0.0, 10.0, 10.0),
        (1.0, 0.1, 10.0, 11.0),
        (0.5, 0.0, 10.0, 5.0),
        (1.2, 0.0, 10.0, 12.0),
        (0.0, 0.0, 10.0, 0.0),
        (0.0, -0.1, 10.0, 0.0),
        (1.0, 0.1, 0.0, 0.0),
    ],
)
def test_a_told_wait_with_the_device_s_obedience(obedience: float, spread: float, told_s: float, wait_s: float) -> None:
    """As told, later, or sooner; never before the answer itself, whatever the spread of an impatient device."""
    policy = DeferralPolicy(obedience=obedience, spread=Constant(spread))
    assert deferral_wait(policy, told_s, always(0.5, Purpose.DEFERRAL)) == pytest.approx(wait_s)


@given(WAITS, UNIT, st.floats(min_value=0.0, max_value=3.0))
def test_an_obedient_device_never_comes_early(told_s: float, u: float, most: float) -> None:
    """RFC 7030 §4.2.3: at least the told wait; and at most its spread later."""
    policy = DeferralPolicy(spread=Uniform(0.0, most))
    wait_s = deferral_wait(policy, told_s, always(u, Purpose.DEFERRAL))
    assert told_s <= wait_s <= told_s * (1 + most) * (1 + 1e-9)


def test_without_a_told_wait_it_is_all_the_device_s() -> None:
    """Obedience has nothing to obey."""
    policy = DeferralPolicy(obedience=0.0, spread=Constant(1.0), when_missing_s=30.0)
    assert deferral_wait(policy, None, always(0.5, Purpose.DEFERRAL)) == 30.0


@pytest.mark.parametrize("unread", [NO_RETRY_AFTER, RetryAfter(None, RetryAfterForm.UNREADABLE)])
def test_without_a_told_wait_nothing_counts_as_told(unread: RetryAfter) -> None:
    """The wait of the command is the device's own."""
    enroll = EnrollPolicy(cacerts=Fetch.NEVER)
    device = ScriptedDevice(Policy(enroll, deferral=DeferralPolicy(when_missing_s=30.0)), [Deferred(unread)])
    wait = device.run()[1]
    assert isinstance(wait, WaitUntil)
    assert (wait.told_s, wait.device_s) == (0.0, 30.0)


@given(WAITS, UNIT)
def test_the_told_and_the_own_part_add_up_to_the_wait(told_s: float, share: float) -> None:
    """Told as told; impatience makes the own part negative."""
    policy = Policy(EnrollPolicy(cacerts=Fetch.NEVER), deferral=DeferralPolicy(obedience=share, max_wait_s=inf))
    wait = ScriptedDevice(policy, [deferred(told_s)]).run()[1]
    assert isinstance(wait, WaitUntil)
    assert wait.told_s == told_s
    assert wait.device_s <= 0
    assert wait.at_s == pytest.approx(wait.told_s + wait.device_s, abs=1e-9)  # a nanosecond, as rows have it


@pytest.mark.parametrize(
    ("backoff", "waits"), [(Backoff.EXPONENTIAL, [1, 2, 4, 8, 10, 10]), (Backoff.CONSTANT, [1] * 6)]
)
def test_a_backoff_grows_to_its_cap(backoff: Backoff, waits: list[float]) -> None:
    """Doubling from the base, or not growing at all."""
    policy = RetryPolicy(backoff=backoff, base_s=1.0, cap_s=10.0, jitter=Jitter.NONE)
    unused = always(0.0, Purpose.ARRIVAL)
    assert [backoff_wait(policy, failures, unused) for failures in range(1, 7)] == waits


@given(st.integers(min_value=1, max_value=1000), UNIT)
def test_full_jitter_is_a_share_of_the_backoff(failures: int, u: float) -> None:
    """From nothing to all of it, however many failures there were (no overflow within a run's attempts)."""
    policy = RetryPolicy(base_s=1.0, cap_s=60.0)
    wait_s = backoff_wait(policy, failures, always(u, Purpose.BACKOFF))
    assert wait_s == u * min(60.0, 2.0 ** (failures - 1))


def test_a_backoff_of_many_failures_is_still_a_number() -> None:
    """Two to the power of 1100 is none; whoever allows that many attempts gets the cap."""
    policy = RetryPolicy(base_s=1.0, cap_s=60.0, jitter=Jitter.NONE, attempts=10**6)
    assert backoff_wait(policy, 1100, always(0.0, Purpose.BACKOFF)) == 60.0


@pytest.mark.parametrize(
    ("policy", "now_s", "due_s"),
    [
        (RenewPolicy(at=0.5), 0.0, 50.0),
        (RenewPolicy(at=0.5), 60.0, 80.0),  # half of what is left, as of any that comes late
        (RenewPolicy(at=0.5, spread=Constant(-0.1)), 0.0, 40.0),
        (RenewPolicy(at=0.5, spread=Constant(0.1)), 0.0, 60.0),
        (RenewPolicy(after_s=30.0), 7.0, 37.0),
        (RenewPolicy(after_s=30.0, spread=Constant(0.5)), 7.0, 52.0),
    ],
)
def test_a_renewal_is_due_by_share_or_by_time(policy: RenewPolicy, now_s: float, due_s: float) -> None:
    """A share of the lifetime counts from its beginning, a time from the issue."""
    lifetime = Lifetime(0.0, 100.0)
    assert renewal_time(policy, lifetime, now_s, always(0.5, Purpose.RENEWAL)) == pytest.approx(due_s)


@given(UNIT, st.floats(min_value=0.0, max_value=1.0), st.floats(min_value=0.0, max_value=1e6), WAITS)
def test_a_renewal_is_never_in_the_past(u: float, at: float, now_s: float, left_s: float) -> None:
    """Also of a backdated certificate whose share has gone by."""
    lifetime = Lifetime(now_s - 3600.0, now_s + left_s)
    policy = RenewPolicy(at=at, spread=Uniform(-0.5, 0.5))
    assert renewal_time(policy, lifetime, now_s, always(u, Purpose.RENEWAL)) >= now_s


@given(
    st.floats(min_value=0.0, max_value=1e5),
    st.floats(min_value=0.0, max_value=1e5),
    st.floats(min_value=1.0, max_value=1e5),
    st.floats(min_value=1.0, max_value=1e4),
)
def test_ageing_keeps_the_share_of_life_and_divides_its_length(
    now_s: float, lived_s: float, left_s: float, scale: float
) -> None:
    """A certificate that ages sixty times as fast is as old, of a sixtieth of the lifetime."""
    lifetime = Lifetime(now_s - lived_s, now_s + left_s)
    fast = aged(lifetime, now_s, scale)
    length_s = fast.not_after_s - fast.not_before_s
    assert length_s == pytest.approx((lived_s + left_s) / scale, abs=1e-9)
    assert fast.not_before_s <= now_s <= fast.not_after_s
    assert (now_s - fast.not_before_s) * (lived_s + left_s) == pytest.approx(lived_s * length_s, abs=1e-3)


@pytest.mark.parametrize(("now_s", "share"), [(-50.0, -0.5), (0.0, 0.0), (66.0, 0.66), (100.0, 1.0), (150.0, 1.5)])
def test_the_share_of_life(now_s: float, share: float) -> None:
    """Below nothing before it begins, above all when it is over."""
    assert age_share(Lifetime(0.0, 100.0), now_s) == pytest.approx(share)


def test_an_unlimited_cap_is_no_cap() -> None:
    """``inf`` means no limit."""
    policy = RetryPolicy(base_s=1.0, cap_s=inf, jitter=Jitter.NONE)
    assert backoff_wait(policy, 11, always(0.0, Purpose.BACKOFF)) == 1024.0


@pytest.mark.parametrize(
    ("begins_s", "ends_s", "due_s"),
    [
        (-100.0, 900.0, 400.0),  # half of it, as ever
        (-498.0, 502.0, 2.0),  # just not past it
        (-499.5, 500.5, 250.25),  # as good as past it
        (-500.0, 500.0, 250.0),  # past it as it comes: half of what is left
        (-1e6, 100.0, 50.0),
        (-1e6, 1.0, 1.0),  # a second later at the earliest
        (-1e6, 0.1, 1.0),
    ],
)
def test_what_comes_past_its_renewal_time_is_renewed_at_that_share_of_what_is_left(
    begins_s: float, ends_s: float, due_s: float
) -> None:
    """A CA that backdates makes no device ask again at once."""
    now_s = 7.0
    lifetime = Lifetime(now_s + begins_s, now_s + ends_s)
    policy = RenewPolicy(at=0.5)
    assert renewal_time(policy, lifetime, now_s, lambda _: 0.0) == pytest.approx(now_s + due_s)
    assert came_late(policy, lifetime, now_s) is (due_s not in {400.0, 2.0})
    assert not came_late(RenewPolicy(after_s=3.0), lifetime, now_s)
