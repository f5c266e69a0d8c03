"""How much a certification authority can sign, and what becomes of requests beyond that: pure, time is passed in.

Owns the token bucket and the overflow rules of the ``capacity`` key. Knows no network, no clock, no trio, so the
sandbox and the virtual-time driver share it and cannot disagree on what "100/s, burst 10" means.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SLACK_S: Final = 1e-9  # arrivals spaced exactly 1/rate must not fall on the wrong side of a rounding


class Overflow(StrEnum):
    """What happens to a request that finds no token."""

    WAIT = "wait"  # it queues inside the server and is answered late
    DEFER = "defer"  # it is kept and given a slot in order, as RFC 7030 §4.2.3 wants
    DEFER_FORGET = "defer_forget"  # it is told to come again and forgotten
    REFUSE = "refuse"  # 503
    THROTTLE = "throttle"  # 429


class TokenBucket:
    """A token bucket of ``rate_per_s`` and ``burst``, full at the start, that can also lend future tokens.

    Kept as one number, the theoretical arrival time of GCRA: exactly a continuously filled bucket, with no tick, and
    lending a token is the same step as taking one. Times must not decrease by more than a rounding.
    """

    __slots__ = ("_full_at_s", "_gap_s", "_tolerance_s")

    def __init__(self, rate_per_s: float, burst: int = 1) -> None:
        if rate_per_s <= 0 or burst < 1:
            raise ValueError(f"rate must be greater than 0 and burst at least 1 (got {rate_per_s}, {burst})")
        self._gap_s = 1.0 / rate_per_s
        self._tolerance_s = (burst - 1) * self._gap_s
        self._full_at_s = float("-inf")  # when the bucket would be full, if nothing more were taken

    def try_take(self, now_s: float) -> bool:
        """Take a token if there is one now."""
        if self._slot(now_s) > now_s + _SLACK_S:
            return False
        self._full_at_s = max(self._full_at_s, now_s) + self._gap_s
        return True

    def reserve(self, now_s: float) -> float:
        """Take the next token, now or in the future, and return when it is there (≥ ``now_s``)."""
        slot_s = self._slot(now_s)
        self._full_at_s = max(self._full_at_s, now_s) + self._gap_s
        return slot_s

    def next_free(self, now_s: float) -> float:
        """Return when a token could next be taken (≥ ``now_s``), taking none."""
        return self._slot(now_s)

    def resume_after(self, slot_s: float) -> None:
        """Count a slot that was lent before a restart: the tokens up to it are gone."""
        self._full_at_s = max(self._full_at_s, slot_s + self._tolerance_s + self._gap_s)

    def _slot(self, now_s: float) -> float:
        return max(now_s, self._full_at_s - self._tolerance_s)


@dataclass(frozen=True, slots=True)
class Granted:
    """A token is there: sign now."""


@dataclass(frozen=True, slots=True)
class GrantedAt:
    """Sign at ``slot_s``; the connection waits until then."""

    slot_s: float


@dataclass(frozen=True, slots=True)
class KeptUntil:
    """Deferred and kept; its turn comes at ``slot_s``."""

    slot_s: float


@dataclass(frozen=True, slots=True)
class NoToken:
    """Nothing kept, or the queue is full; ``free_s`` is when a token could next be had."""

    free_s: float


Admission = Granted | GrantedAt | KeptUntil | NoToken
GRANTED: Final = Granted()


class CapacityGate:
    """The ``capacity`` of one certification authority: a token bucket and the rule for what finds it empty."""

    __slots__ = ("_bucket", "_queue_limit", "_waiting", "overflow")

    def __init__(self, bucket: TokenBucket, overflow: Overflow, queue_limit: int = 1000) -> None:
        self._bucket = bucket
        self._queue_limit = queue_limit
        self._waiting: deque[float] = deque()  # slots of requests that wait, ascending
        self.overflow = overflow

    def admit(self, now_s: float) -> Admission:
        """Say what becomes of a request that arrives now and would be signed at once."""
        if self.overflow is Overflow.WAIT:
            return self._queue(now_s)
        if self._bucket.try_take(now_s):
            return GRANTED
        if self.overflow is Overflow.DEFER:
            return KeptUntil(self._bucket.reserve(now_s))
        return NoToken(self._bucket.next_free(now_s))

    def resume_after(self, slot_s: float) -> None:
        """Count a slot that was given before a restart."""
        self._bucket.resume_after(slot_s)

    def waiting(self, now_s: float) -> int:
        """Return how many requests wait for their slot now."""
        while self._waiting and self._waiting[0] <= now_s:
            self._waiting.popleft()
        return len(self._waiting)

    def _queue(self, now_s: float) -> Admission:
        if self._bucket.try_take(now_s):
            return GRANTED
        if self.waiting(now_s) >= self._queue_limit:
            return NoToken(self._bucket.next_free(now_s))
        slot_s = self._bucket.reserve(now_s)
        self._waiting.append(slot_s)
        return GrantedAt(slot_s)
