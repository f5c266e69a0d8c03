"""How long a device waits: deferral, backoff and renewal times as pure functions of policy and draws."""

from collections.abc import Callable
from typing import Final

from estsim.device.events import Lifetime
from estsim.device.policy import Backoff, DeferralPolicy, Jitter, RenewPolicy, RetryPolicy
from estsim.load.streams import Purpose

_SOONEST_S: Final = 1.0
_DOUBLINGS: Final = 62  # beyond every cap, and still a number

Draw = Callable[[Purpose], float]


def deferral_wait(policy: DeferralPolicy, retry_after_s: float | None, draw: Draw) -> float:
    """Return the wait after a deferral, in seconds: as told, with the device's own obedience and spread.

    ``retry_after_s`` is None without a readable Retry-After. A wait is never negative.
    """
    if retry_after_s is None:
        return policy.when_missing_s
    wait_s = retry_after_s * (policy.obedience + policy.spread.at(draw(Purpose.DEFERRAL)))
    return wait_s if wait_s > 0 else 0.0


def backoff_wait(policy: RetryPolicy, failures: int, draw: Draw) -> float:
    """Return the wait after ``failures`` ≥ 1 failures in a row, in seconds."""
    factor = 2.0 ** min(failures - 1, _DOUBLINGS) if policy.backoff is Backoff.EXPONENTIAL else 1.0
    wait_s = min(policy.cap_s, policy.base_s * factor)
    return wait_s * draw(Purpose.BACKOFF) if policy.jitter is Jitter.FULL else wait_s


def aged(lifetime: Lifetime, now_s: float, scale: float) -> Lifetime:
    """Let a certificate age ``scale`` times as fast: from now on, and as if it always had."""
    return Lifetime(
        not_before_s=now_s - (now_s - lifetime.not_before_s) / scale,
        not_after_s=now_s + (lifetime.not_after_s - now_s) / scale,
    )


def came_late(policy: RenewPolicy, lifetime: Lifetime, now_s: float) -> bool:
    """Whether a certificate that comes now is past its renewal time already, or as good as, of a CA that backdates."""
    if policy.after_s is not None:
        return False
    due_s = lifetime.not_before_s + (lifetime.not_after_s - lifetime.not_before_s) * policy.at
    is_backdated = now_s - lifetime.not_before_s > _SOONEST_S  # not only by the fraction of a second that it leaves out
    return due_s <= now_s or (is_backdated and due_s < now_s + _SOONEST_S)


def renewal_time(policy: RenewPolicy, lifetime: Lifetime, now_s: float, draw: Draw) -> float:
    """Return when the renewal of a certificate that was issued at ``now_s`` is due, never before that.

    One that is past that time when it comes is renewed at the same share of what is left of it, a second later at the
    earliest: else it would be renewed at once, the next one too, and so on as fast as the server can.
    """
    spread = policy.spread.at(draw(Purpose.RENEWAL))
    if policy.after_s is not None:
        return now_s + policy.after_s * (1.0 + spread)
    if came_late(policy, lifetime, now_s):
        return now_s + max(_SOONEST_S, (lifetime.not_after_s - now_s) * (policy.at + spread))
    lifetime_s = lifetime.not_after_s - lifetime.not_before_s
    return max(now_s, lifetime.not_before_s + lifetime_s * (policy.at + spread))


def age_share(lifetime: Lifetime, now_s: float) -> float:
    """Return which share of its lifetime a certificate has behind it."""
    return (now_s - lifetime.not_before_s) / (lifetime.not_after_s - lifetime.not_before_s)
