"""When a request that is in order gets its certificate: deferral (RFC 7030 §4.2.3) and capacity, pure, time passed in.

Owns the book of pending requests in memory; the store keeps the durable copy and hands it back after a restart. A
repeat is recognised by identity and public key, because the bytes of a CSR change when it is linked to a new TLS
session (§3.5). Knows nothing of HTTP or of who may enroll.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import blake2b
from math import ceil
from typing import Final

from estsim.load.streams import Purpose, uniform
from estsim.server.capacity import CapacityGate, Granted, GrantedAt, KeptUntil, NoToken, Overflow
from estsim.server.config import Early, IssueConfig, IssueMode, RetryAfterKind

_RANDOM_ROUND: Final = 100  # draws of told waits start here, clear of the others
_REFUSALS: Final = {Overflow.WAIT: 503, Overflow.REFUSE: 503, Overflow.THROTTLE: 429}  # WAIT: its queue is full


class _Draw(IntEnum):
    SHARE = 0
    DELAY = 1


@dataclass(frozen=True, slots=True)
class Request:
    """What the policy needs to know of a request: digests of who asks, for which key, and for which names."""

    identity: bytes
    key: bytes
    names: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """A deferred request. Times are wall-clock seconds, so that they mean the same after a restart."""

    request: Request
    ready_s: float  # when its certificate may be handed out
    told_s: float  # the earliest time at which the client was told to come again
    polls: int = 0  # repeats so far
    has_token: bool = False  # its ready time is a slot of the capacity: nothing more to wait for


@dataclass(frozen=True, slots=True)
class IssueNow:
    """Sign and answer."""

    early: bool = False


@dataclass(frozen=True, slots=True)
class IssueAt:
    """Hold the connection until ``slot_s``, then sign and answer."""

    slot_s: float
    early: bool = False


@dataclass(frozen=True, slots=True)
class ComeAgain:
    """Deferred for ``wait_s``; ``pending`` is what to keep, None where the server forgets."""

    wait_s: int
    pending: Pending | None
    early: bool = False


@dataclass(frozen=True, slots=True)
class TooEarly:
    """An early repeat that is punished: 403 or 429; the request stays pending."""

    status: int
    wait_s: int
    early: bool = True


@dataclass(frozen=True, slots=True)
class Overloaded:
    """Refused for want of capacity: 503 or 429."""

    status: int
    wait_s: int
    early: bool = False


Verdict = IssueNow | IssueAt | ComeAgain | TooEarly | Overloaded


class IssuePolicy:
    """The ``issue`` and ``capacity`` keys of one trust center, applied to requests as they come."""

    def __init__(self, issue: IssueConfig, gate: CapacityGate | None, *, seed: int) -> None:
        self._issue = issue
        self._gate = gate
        self._seed = seed
        self._book: dict[tuple[bytes, bytes], Pending] = {}

    def __len__(self) -> int:
        return len(self._book)

    def resume(self, pending: Pending) -> None:
        """Take up a request that was pending before a restart."""
        self._book[pending.request.identity, pending.request.key] = pending
        if pending.has_token and self._gate is not None:
            self._gate.resume_after(pending.ready_s)

    def decide(self, request: Request, now_s: float) -> Verdict:
        """Say what ``request`` gets now; the caller signs, or stores what is pending, before it answers."""
        known = self._book.get((request.identity, request.key))
        if known is not None and known.request.names == request.names:
            return self._repeat(known, now_s)
        # Another Subject or SAN under the same key is another request: it starts a wait of its own.
        if self._is_deferred(request):
            low_to_high = self._issue.delay
            ready_s = now_s + max(0.0, low_to_high.at(self._draw(request, _Draw.DELAY)))
            return self._come_again(Pending(request, ready_s, now_s), now_s)
        return self._admit(request, now_s, early=False)

    def issued(self, request: Request) -> bool:
        """Forget a request whose certificate was handed out; True if it was pending."""
        return self._book.pop((request.identity, request.key), None) is not None

    def _repeat(self, known: Pending, now_s: float) -> Verdict:
        early = now_s < known.told_s
        known = replace(known, polls=known.polls + 1)
        if early and self._issue.early is not Early.AGAIN:
            self._keep(known)
            return TooEarly(403 if self._issue.early is Early.FORBID else 429, ceil(known.told_s - now_s))
        if now_s < known.ready_s:
            return self._come_again(known, now_s, early=early)
        if known.has_token:
            return IssueNow(early)
        return self._admit(known.request, now_s, early=early, known=known)

    def _admit(self, request: Request, now_s: float, *, early: bool, known: Pending | None = None) -> Verdict:
        if self._gate is None:
            return IssueNow(early)
        gate = self._gate
        match gate.admit(now_s):
            case Granted():
                return IssueNow(early)
            case GrantedAt(slot_s):
                return IssueAt(slot_s, early)
            case KeptUntil(slot_s):
                polls = known.polls if known else 0
                kept = Pending(request, slot_s, now_s, polls, has_token=True)
                return self._come_again(kept, now_s, early=early)
            case NoToken() as refusal:
                pass
        status = _REFUSALS.get(gate.overflow)
        if status is not None:
            return Overloaded(status, max(1, ceil(refusal.free_s - now_s)), early)
        if known is not None:  # what mode: deferred keeps stays kept, ready, and draws a token at each repeat
            return self._come_again(known, now_s, early=early)
        forgotten = Pending(request, refusal.free_s, now_s)
        return ComeAgain(self._wait_s(forgotten, now_s), None, early)

    def _come_again(self, pending: Pending, now_s: float, *, early: bool = False) -> ComeAgain:
        wait_s = self._wait_s(pending, now_s)
        kept = replace(pending, told_s=now_s + wait_s)
        self._keep(kept)
        return ComeAgain(wait_s, kept, early)

    def _keep(self, pending: Pending) -> None:
        self._book[pending.request.identity, pending.request.key] = pending

    def _wait_s(self, pending: Pending, now_s: float) -> int:
        told = self._issue.retry_after
        match told.kind:
            case RetryAfterKind.FIXED:
                return told.seconds
            case RetryAfterKind.NEXT_SLOT:
                return max(1, ceil(pending.ready_s - now_s))
            case RetryAfterKind.RANDOM:
                low, high = told.from_ or 0, told.to or 0
                draw = self._draw(pending.request, _RANDOM_ROUND + pending.polls)
                return low + int(draw * (high - low + 1))

    def _is_deferred(self, request: Request) -> bool:
        if self._issue.mode is not IssueMode.DEFERRED:
            return False
        return self._draw(request, _Draw.SHARE) < self._issue.share

    def _draw(self, request: Request, counter: int) -> float:
        """Draw by (seed, identity, key), so that the order of arrival changes nothing."""
        digest = blake2b(request.identity + request.key, digest_size=8).digest()
        who = int.from_bytes(digest, "little", signed=True)
        return uniform(self._seed, who, Purpose.SERVER, counter)
