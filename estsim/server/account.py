"""What a sandbox has served, for people: counts, and exchanges as lines. Pure; time is passed in.

The store has the record of every exchange; this is what a screen shows of it, bounded in memory and in lines a second.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from estsim.server.peer import EMPTY_SUBJECT
from estsim.server.store import Exchange
from estsim.units import harmless

_LINES_PER_S: Final = 20
SECONDS: Final = 60
_RECENT: Final = 64  # lines, more than a tall terminal shows
_REASONS: Final = 200  # kept apart; further ones count as "other reasons"
_OTHERS: Final = "other reasons"
_DEFERRALS: Final = frozenset({202, 206})
_ERROR: Final = 400
_PARTICULARS: Final = (" (got ", "; ", ": ")  # the details of one case follow


class ReadableLines:
    """Limits the lines per second, and says how many were held back."""

    def __init__(self, per_s: int = _LINES_PER_S) -> None:
        self._per_s = per_s
        self._second = -1
        self._shown = 0
        self._held = 0

    def of(self, exchange: Exchange, now_s: float) -> list[str]:
        """Return the lines to print for an exchange served now, which may include one about lines held back."""
        return self.of_text(line_of(exchange), now_s)

    def of_text(self, line: str, now_s: float) -> list[str]:
        """Return the lines to print for another line now."""
        lines = self.due(now_s)
        if self._shown >= self._per_s:
            self._held += 1
            return lines
        self._shown += 1
        return [*lines, line]

    def due(self, now_s: float) -> list[str]:
        """Return the line about exchanges held back, once their second is over."""
        second = int(now_s)
        if second == self._second:
            return []
        held, self._second, self._shown, self._held = self._held, second, 0, 0
        return [f"          … and {held} more"] if held else []


def line_of(exchange: Exchange) -> str:
    """Return ``12:00:01Z 202 simpleenroll CN=meter-7: deferred, Retry-After 3``."""
    clock = datetime.fromtimestamp(exchange.at_unix, UTC).strftime("%H:%M:%SZ")
    who = exchange.user or _named(exchange.peer_subject)
    what = exchange.operation or f"{exchange.method} {exchange.path}"
    status = exchange.status or "---"
    return f"{clock} {status} {what} {harmless(who)}{harmless(_result(exchange))}"


def _named(subject: str | None) -> str:
    """Return the name of a client; a Subject may be empty where there are alternative names."""
    return "anonymous" if subject is None else subject or EMPTY_SUBJECT


def _result(exchange: Exchange) -> str:
    if exchange.serial:
        return f": certificate {exchange.serial}"
    if exchange.detail:
        return f": {exchange.detail}"
    if exchange.retry_after:
        return f": deferred, Retry-After {exchange.retry_after}{' (early poll)' if exchange.early else ''}"
    return ""


@dataclass(slots=True)
class CenterAccount:
    """The counts of one trust center."""

    requests: int = 0
    issued: int = 0
    deferred: int = 0
    refused: int = 0
    early: int = 0
    faults: int = 0


@dataclass(slots=True)
class Account:
    """The counts of the whole sandbox."""

    centers: dict[str, CenterAccount] = field(default_factory=dict)
    total: CenterAccount = field(default_factory=CenterAccount)
    failed_handshakes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _per_second: dict[int, list[int]] = field(default_factory=dict)  # requests and certificates

    def saw(self, exchange: Exchange, now_s: float) -> None:
        """Count an exchange served now."""
        of_center = self.centers.setdefault(exchange.center, CenterAccount()) if exchange.center else None
        for account in (self.total, of_center):
            if account is not None:
                _count(account, exchange)
        if exchange.status is not None and exchange.status >= _ERROR:
            self._reason(f"{exchange.status} {_rule(exchange.detail or 'injected fault')}")
        bins = self._per_second.setdefault(int(now_s), [0, 0])
        bins[0] += 1
        bins[1] += exchange.serial is not None
        if len(self._per_second) > 2 * SECONDS:
            self._per_second = {s: both for s, both in self._per_second.items() if s >= int(now_s) - SECONDS}
        self.recent.append(line_of(exchange))

    def saw_failed_handshake(self, reason: str) -> None:
        """Count a failed handshake."""
        self.failed_handshakes += 1
        self._reason(f"handshake: {reason}")

    def per_second(self, now_s: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return requests and certificates in each of the last sixty whole seconds, oldest first."""
        nothing = [0, 0]
        bins = [self._per_second.get(second, nothing) for second in range(int(now_s) - SECONDS, int(now_s))]
        return tuple(requests for requests, _ in bins), tuple(certificates for _, certificates in bins)

    def _reason(self, reason: str) -> None:
        known = reason in self.reasons or len(self.reasons) < _REASONS
        self.reasons[reason if known else _OTHERS] += 1


def _count(account: CenterAccount, exchange: Exchange) -> None:
    status = exchange.status or 0
    account.requests += 1
    account.issued += exchange.serial is not None
    account.deferred += status in _DEFERRALS
    account.refused += status >= _ERROR
    account.early += exchange.early
    account.faults += exchange.fault is not None


def _rule(detail: str) -> str:
    """Return the part of a reason that many exchanges share."""
    for particulars in _PARTICULARS:
        detail = detail.partition(particulars)[0]
    return detail
