"""When a valid request gets its certificate: deferral (RFC 7030 §4.2.3), manual approval, capacity.

Pure; time is passed in. Owns the pending requests in memory; the store keeps the durable copy and returns it after a
restart. A repeat is recognised by identity and public key, because the bytes of a CSR change when it is linked to a new
TLS session (§3.5). HTTP and admission are elsewhere.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from heapq import heappop, heappush
from math import ceil
from typing import Final

from estsim.load.streams import Purpose, uniform
from estsim.server.capacity import CapacityGate, Granted, GrantedAt, KeptUntil, NoToken, Overflow
from estsim.server.draws import UNKEYED, DrawKey
from estsim.server.issuing_config import Early, IssueConfig, IssueMode, RetryAfterKind

_REFUSALS: Final = {Overflow.WAIT: 503, Overflow.REFUSE: 503, Overflow.THROTTLE: 429}  # WAIT: its queue is full


class _Draw(IntEnum):
    SHARE = 0
    DELAY = 1
    RETRY_AFTER = 2
    SIGN_TIME = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What the policy needs of a request: digests of the client, the key and the names.

    ``draws`` keys its random draws.
    """

    identity: bytes
    key: bytes
    names: bytes
    draws: DrawKey = UNKEYED


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision on a pending request."""

    approved: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """A deferred request. Times are wall-clock seconds, so that they mean the same after a restart."""

    request: Request
    ready_s: float  # when its certificate may be issued
    told_s: float  # when the client was told to repeat it
    polls: int = 0  # repeats so far
    has_token: bool = False  # its ready time is a slot of the capacity
    for_person: bool = False  # received in mode: manual
    decision: Decision | None = None  # that person's


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
    """Deferred for ``wait_s``; ``pending`` is what to store, None where the server forgets it."""

    wait_s: int
    pending: Pending | None
    early: bool = False


@dataclass(frozen=True, slots=True)
class TooEarly:
    """An early repeat, refused with 403 or 429; the request stays pending."""

    status: int
    wait_s: int
    early: bool = True


@dataclass(frozen=True, slots=True)
class Overloaded:
    """Refused for lack of capacity with 503 or 429, without Retry-After if ``wait_s`` is None."""

    status: int
    wait_s: int | None
    early: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """Rejected by a person, perhaps with a reason."""

    reason: str
    early: bool = False


Verdict = IssueNow | IssueAt | ComeAgain | TooEarly | Overloaded | Denied


class IssuePolicy:
    """The ``issue`` and ``capacity`` keys of one trust center, applied to requests.

    ``tells_overload`` says whether refusals for lack of capacity carry a Retry-After.
    """

    def __init__(
        self, issue: IssueConfig, gate: CapacityGate | None, *, seed: int, tells_overload: bool = True
    ) -> None:
        self._issue = issue
        self._gate = gate
        self._seed = seed
        self._tells_overload = tells_overload
        self._book: dict[tuple[bytes, bytes], Pending] = {}
        self._promised: list[float] = []  # a heap of the slots given out; past ones are dropped as others come

    def change(self, issue: IssueConfig, gate: CapacityGate | None, *, tells_overload: bool) -> None:
        """Apply other rules: pending requests stay pending, and promised slots are kept.

        A gate of the same terms replaces nothing, so the state of its token bucket stays.
        """
        self._issue = issue
        self._tells_overload = tells_overload
        if gate is not None and self._gate is not None and gate.terms == self._gate.terms:
            return
        self._gate = gate
        if gate is not None:
            for slot_s in sorted(self._promised):
                gate.resume_after(slot_s)

    def __len__(self) -> int:
        return len(self._book)

    @property
    def is_manual(self) -> bool:
        """Whether a person decides on new requests."""
        return self._issue.mode is IssueMode.MANUAL

    def backlog(self, now_s: float) -> int:
        """Return how many requests queue for a signer now, on their connections or deferred."""
        return self._gate.backlog(now_s) if self._gate is not None else 0

    def resume(self, pending: Pending) -> None:
        """Restore a request that was pending before a restart, under the present rules."""
        self._keep(replace(pending, for_person=self.is_manual))
        if pending.has_token:
            heappush(self._promised, pending.ready_s)
            if self._gate is not None:
                self._gate.resume_after(pending.ready_s)

    def awaits_decision(self, request: Request) -> bool:
        """Whether a person may have decided on ``request`` since its last repeat."""
        known = self._known(request)
        return known is not None and known.for_person

    def decided(self, request: Request, decision: Decision) -> None:
        """Note a person's decision on a pending request."""
        known = self._known(request)
        if known is not None:
            self._keep(replace(known, decision=decision))

    def decide(self, request: Request, now_s: float) -> Verdict:
        """Decide on ``request`` now; the caller signs, or stores what is pending, before it answers."""
        known = self._known(request)
        if known is not None:
            return self._repeat(replace(known, request=request), now_s)
        if self.is_manual:
            return self._come_again(Pending(request, now_s, now_s, for_person=True), now_s)
        if self._is_deferred(request):
            ready_s = now_s + max(0.0, self._issue.delay.at(self._draw_of_new(request, _Draw.DELAY)))
            return self._come_again(Pending(request, ready_s, now_s), now_s)
        return self._admit(request, now_s, early=False)

    def issued(self, request: Request) -> bool:
        """Forget a request whose certificate is recorded as issued; True if it was pending."""
        if self._known(request) is None:
            return False
        del self._book[request.identity, request.key]
        return True

    def kept(self, request: Request) -> Pending | None:
        """Return what is pending for a request's identity and key, whatever its names."""
        return self._book.get((request.identity, request.key))

    def restore(self, request: Request, pending: Pending | None) -> None:
        """Restore what was pending before a decision that was not carried out."""
        if pending is not None:
            self._keep(pending)
        else:
            self._book.pop((request.identity, request.key), None)

    def pending(self, request: Request) -> Pending | None:
        """Return what is pending of a request."""
        return self._known(request)

    def _known(self, request: Request) -> Pending | None:
        """Return what is pending of a request; another Subject or SAN with the same key is another request."""
        known = self._book.get((request.identity, request.key))
        return known if known is not None and known.request.names == request.names else None

    def _repeat(self, known: Pending, now_s: float) -> Verdict:
        early = now_s < known.told_s
        known = replace(known, polls=known.polls + 1)
        if early and self._issue.early is not Early.AGAIN:
            self._keep(known)
            return TooEarly(403 if self._issue.early is Early.FORBID else 429, ceil(known.told_s - now_s))
        decision = known.decision if known.for_person else None
        if decision is not None and not decision.approved:
            self._keep(known)
            return Denied(decision.reason, early)
        waits_for_person = known.for_person and decision is None
        if waits_for_person or now_s < known.ready_s:
            return self._come_again(known, now_s, early=early)
        if known.has_token:
            return IssueNow(early)
        return self._admit(known.request, now_s, early=early, known=known)

    def _admit(self, request: Request, now_s: float, *, early: bool, known: Pending | None = None) -> Verdict:
        if self._gate is None:
            return IssueNow(early)
        gate = self._gate
        match gate.admit(now_s, self._draw(request.draws, request.draws.ordinal, _Draw.SIGN_TIME)):
            case Granted():
                return IssueNow(early)
            case GrantedAt(slot_s):
                self._promise(slot_s, now_s)
                return IssueAt(slot_s, early)
            case KeptUntil(slot_s):
                self._promise(slot_s, now_s)
                kept = replace(known or Pending(request, slot_s, now_s), ready_s=slot_s, has_token=True)
                return self._come_again(kept, now_s, early=early)
            case NoToken() as refusal:
                pass
        status = _REFUSALS.get(gate.overflow)
        if status is not None:
            wait_s = max(1, ceil(refusal.free_s - now_s)) if self._tells_overload else None
            return Overloaded(status, wait_s, early)
        if known is not None:  # a deferred request stays pending, and asks for a token at each repeat
            return self._come_again(known, now_s, early=early, free_s=refusal.free_s)
        forgotten = Pending(request, refusal.free_s, now_s)
        return ComeAgain(self._wait_s(forgotten, now_s), None, early)

    def _promise(self, slot_s: float, now_s: float) -> None:
        while self._promised and self._promised[0] <= now_s:
            heappop(self._promised)
        heappush(self._promised, slot_s)

    def _come_again(
        self, pending: Pending, now_s: float, *, early: bool = False, free_s: float | None = None
    ) -> ComeAgain:
        """Defer; ``free_s`` is the time of the next free token, if the request is ready but has no token."""
        wait_s = self._wait_s(pending if free_s is None else replace(pending, ready_s=free_s), now_s)
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
                key = pending.request.draws
                draw = self._draw(key, key.ordinal, _Draw.RETRY_AFTER)
                return low + int(draw * (high - low + 1))

    def _is_deferred(self, request: Request) -> bool:
        if self._issue.mode is not IssueMode.DEFERRED:
            return False
        return self._draw_of_new(request, _Draw.SHARE) < self._issue.share

    def _draw_of_new(self, request: Request, what: _Draw) -> float:
        """Draw for a request and its repeats alike, so that a refusal for lack of capacity changes no draw."""
        return self._draw(request.draws, request.draws.first, what)

    def _draw(self, key: DrawKey, ordinal: int, what: _Draw) -> float:
        return uniform(self._seed, key.who, Purpose.SERVER, ordinal * len(_Draw) + what)
