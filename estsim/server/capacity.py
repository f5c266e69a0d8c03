"""The signing capacity of a CA, and what happens to requests beyond it. Pure; time is passed in.

Owns the two models of a signer and the overflow rules of the ``capacity`` key. The sandbox and the virtual-time driver
share it, so both mean the same by "100/s, burst 10". Nothing is signed here: a slot is a time until which its request
waits.
"""

from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush, heapreplace
from math import ceil
from typing import Final, Protocol

from estsim.units import Distribution

# Arrivals spaced exactly 1/rate must not suffer from rounding: floats of UNIX times lie 0.24 µs apart.
_SLACK_S: Final = 1e-6


class Overflow(StrEnum):
    """What happens to a request that finds no token, and no room in the queue."""

    WAIT = "wait"  # it queues in the server and is answered late; 503 where the queue is full
    DEFER = "defer"  # it is kept and given a slot in order (RFC 7030 §4.2.3)
    DEFER_FORGET = "defer_forget"  # it is deferred and forgotten
    REFUSE = "refuse"  # 503
    THROTTLE = "throttle"  # 429


class Signers(Protocol):
    """A model of signers: assigns each request the time at which it is signed. Times passed in never decrease.

    ``u`` is a uniform draw, for models with random signing times.
    """

    def try_take(self, now_s: float, u: float = 0.0) -> float | None:
        """Accept a request if it need not queue, and return when it is signed (≥ ``now_s``), else None."""

    def reserve(self, now_s: float, u: float = 0.0) -> float:
        """Accept a request in any case, and return when it is signed (≥ ``now_s``)."""

    def next_free(self, now_s: float) -> float:
        """Return when a request could next be accepted without queueing (≥ ``now_s``)."""

    def backlog(self, now_s: float) -> int:
        """Return how many accepted requests queue, beyond the signers and the burst."""

    def resume_after(self, slot_s: float) -> None:
        """Count a slot that was given before a restart, or by the signers that these replace."""

    @property
    def terms(self) -> tuple[object, ...]:
        """The parameters; equal for equal signers."""


class _RelativeTimes:
    """Times relative to the first one: floats of UNIX times are too coarse for a million additions."""

    __slots__ = ("_origin_s",)

    def __init__(self) -> None:
        self._origin_s: float | None = None

    def _since(self, at_s: float) -> float:
        if self._origin_s is None:
            self._origin_s = at_s
        return at_s - self._origin_s

    def _at(self, since_s: float) -> float:
        return since_s + (self._origin_s or 0.0)


class TokenBucket(_RelativeTimes):
    """A token bucket of ``rate_per_s`` and ``burst``, full at the start, that can also lend future tokens.

    A request with a token is signed at once. The state is one number, the theoretical arrival time of GCRA: exactly a
    continuously filled bucket, in which lending a token is the same step as taking one.
    """

    __slots__ = ("_full_at_s", "_gap_s", "_owed", "_owed_until_s", "_tolerance_s")

    def __init__(self, rate_per_s: float, burst: int = 1) -> None:
        super().__init__()
        if rate_per_s <= 0 or burst < 1:
            raise ValueError(f"rate must be greater than 0 and burst at least 1 (got {rate_per_s}, {burst})")
        self._gap_s = 1.0 / rate_per_s
        self._tolerance_s = (burst - 1) * self._gap_s
        self._full_at_s = float("-inf")  # when the bucket would be full without further requests
        self._owed: list[float] = []  # resumed slots, spaced as another bucket lent them
        self._owed_until_s = float("-inf")

    def try_take(self, now_s: float, u: float = 0.0) -> float | None:  # noqa: ARG002 - tokens take no time
        """Take a token if there is one now."""
        if self._ahead_s(self._since(now_s)) > _SLACK_S:
            return None
        return self.reserve(now_s)

    def reserve(self, now_s: float, u: float = 0.0) -> float:  # noqa: ARG002 - the same
        """Take the next token, now or in the future, and return its time (≥ ``now_s``)."""
        now = self._since(now_s)
        ahead_s = self._ahead_s(now)
        self._full_at_s = max(self._full_at_s, now) + self._gap_s
        return max(now_s, self._at(now + ahead_s))

    def next_free(self, now_s: float) -> float:
        """Return when a token could next be taken (≥ ``now_s``)."""
        now = self._since(now_s)
        return max(now_s, self._at(now + self._ahead_s(now)))

    def backlog(self, now_s: float) -> int:
        """Return how many future tokens are lent."""
        now = self._since(now_s)
        while self._owed and self._owed[0] <= now + _SLACK_S:
            heappop(self._owed)
        ahead_s = self._ahead_s(max(now, self._owed_until_s))
        return len(self._owed) + max(0, ceil((ahead_s - _SLACK_S) / self._gap_s) - 1)

    def resume_after(self, slot_s: float) -> None:
        """Count a slot that was lent before: the tokens up to it are taken."""
        slot = self._since(slot_s)
        heappush(self._owed, slot)
        self._owed_until_s = max(self._owed_until_s, slot)
        self._full_at_s = max(self._full_at_s, slot + self._tolerance_s + self._gap_s)

    @property
    def terms(self) -> tuple[object, ...]:
        """Rate and burst."""
        return TokenBucket, self._gap_s, self._tolerance_s

    def _ahead_s(self, now: float) -> float:
        """Return the time until the next token."""
        return max(0.0, self._full_at_s - self._tolerance_s - now)


class SignerPool(_RelativeTimes):
    """A number of ``signers``, each busy for a ``sign_time`` per certificate, serving in order of arrival.

    Such as an HSM with a few sessions. ``burst`` - 1 requests more than signers are accepted without queueing.
    """

    __slots__ = ("_free_at_s", "_room", "_sign_time", "_under_way")

    def __init__(self, signers: int, sign_time: Distribution, burst: int = 1) -> None:
        super().__init__()
        if signers < 1 or burst < 1 or sign_time.low < 0 or sign_time.high <= 0:
            raise ValueError("expected at least one signer, a burst of at least 1, and a sign time greater than 0")
        self._sign_time = sign_time
        self._room = signers - 1 + burst
        self._free_at_s = [float("-inf")] * signers
        self._under_way: list[float] = []  # when each accepted request is signed

    def try_take(self, now_s: float, u: float = 0.0) -> float | None:
        """Accept a request if a signer is free or the burst has room, and return when it is signed."""
        return self.reserve(now_s, u) if self._in_system(self._since(now_s)) < self._room else None

    def reserve(self, now_s: float, u: float = 0.0) -> float:
        """Accept a request after all others, and return when it is signed."""
        signed_s = max(self._since(now_s), self._free_at_s[0]) + self._sign_time.at(u)
        heapreplace(self._free_at_s, signed_s)
        heappush(self._under_way, signed_s)
        return self._at(signed_s)

    def next_free(self, now_s: float) -> float:
        """Return when there is room, if no other request comes."""
        excess = self._in_system(self._since(now_s)) - self._room
        if excess < 0:
            return now_s
        return self._at(sorted(self._under_way)[excess])

    def backlog(self, now_s: float) -> int:
        """Return how many requests queue."""
        return max(0, self._in_system(self._since(now_s)) - self._room)

    def resume_after(self, slot_s: float) -> None:
        """Count a certificate promised before: a signer is busy until then."""
        signed_s = self._since(slot_s)
        heapreplace(self._free_at_s, max(self._free_at_s[0], signed_s))
        heappush(self._under_way, signed_s)

    @property
    def terms(self) -> tuple[object, ...]:
        """Number of signers, signing time and room."""
        return SignerPool, len(self._free_at_s), self._sign_time, self._room

    def _in_system(self, now: float) -> int:
        while self._under_way and self._under_way[0] <= now + _SLACK_S:
            heappop(self._under_way)
        return len(self._under_way)


@dataclass(frozen=True, slots=True)
class Granted:
    """Sign now."""


@dataclass(frozen=True, slots=True)
class GrantedAt:
    """Sign at ``slot_s``; the connection waits until then."""

    slot_s: float


@dataclass(frozen=True, slots=True)
class KeptUntil:
    """Deferred and kept until ``slot_s``."""

    slot_s: float


@dataclass(frozen=True, slots=True)
class NoToken:
    """Not accepted, as the queue is full; ``free_s`` is the time of the next free token."""

    free_s: float


Admission = Granted | GrantedAt | KeptUntil | NoToken
GRANTED: Final = Granted()


class CapacityGate:
    """The ``capacity`` of one CA: its signers, a queue, and the rule for requests that find it full."""

    __slots__ = ("_queue_limit", "_signers", "overflow")

    def __init__(self, signers: Signers, overflow: Overflow, queue_limit: int) -> None:
        self._signers = signers
        self._queue_limit = queue_limit
        self.overflow = overflow

    def admit(self, now_s: float, u: float = 0.0) -> Admission:
        """Decide on a request that arrives now and is ready to be signed."""
        slot_s = self._signers.try_take(now_s, u)
        if slot_s is None and self._signers.backlog(now_s) < self._queue_limit:
            slot_s = self._signers.reserve(now_s, u)
        if slot_s is not None:
            return GRANTED if slot_s <= now_s else GrantedAt(slot_s)
        if self.overflow is Overflow.DEFER:
            return KeptUntil(self._signers.reserve(now_s, u))
        return NoToken(self._signers.next_free(now_s))

    def resume_after(self, slot_s: float) -> None:
        """Count a slot that was given before."""
        self._signers.resume_after(slot_s)

    @property
    def terms(self) -> tuple[object, ...]:
        """The parameters: gates of equal terms differ only in their state."""
        return self._signers.terms, self._queue_limit, self.overflow

    def backlog(self, now_s: float) -> int:
        """Return how many requests queue for a signer now, on their connections or deferred."""
        return self._signers.backlog(now_s)
