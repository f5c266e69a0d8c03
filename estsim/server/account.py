"""What a sandbox has served so far, in figures that a person watches: pure, time is passed in.

The record of every exchange is the store's; this is only what a screen shows of it, bounded whatever clients do.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from estsim.server.lines import line_of
from estsim.server.store import Exchange

SECONDS: Final = 60
_RECENT: Final = 64  # lines, more than a tall terminal shows
_REASONS: Final = 200  # told apart; what comes after is "other reasons"
_OTHERS: Final = "other reasons"
_DEFERRALS: Final = frozenset({202, 206})
_ERROR: Final = 400
_PARTICULARS: Final = (" (got ", "; ", ": ")  # where a reason turns from the rule to the case


@dataclass(slots=True)
class CenterAccount:
    """What one trust center has served."""

    requests: int = 0
    issued: int = 0
    deferred: int = 0
    refused: int = 0
    early: int = 0
    faults: int = 0


@dataclass(slots=True)
class Account:
    """What the whole sandbox has served."""

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
        """Count a client that did not get in."""
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
