"""Served exchanges as lines that a person can follow, however fast they come: pure, time is passed in."""

from datetime import UTC, datetime
from typing import Final

from estsim.server.peer import EMPTY_SUBJECT
from estsim.server.store import Exchange
from estsim.units import harmless

_LINES_PER_S: Final = 20


class ReadableLines:
    """Lets so many lines a second through, and says how many it held back."""

    def __init__(self, per_s: int = _LINES_PER_S) -> None:
        self._per_s = per_s
        self._second = -1
        self._shown = 0
        self._held = 0

    def of(self, exchange: Exchange, now_s: float) -> list[str]:
        """Return the lines to print for an exchange served now: none, one, or one more about those held back."""
        return self.of_text(line_of(exchange), now_s)

    def of_text(self, line: str, now_s: float) -> list[str]:
        """Return the lines to print for something else that happened now."""
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
    """Return whom a certificate names; its Subject may be empty where it has alternative names."""
    return "anonymous" if subject is None else subject or EMPTY_SUBJECT


def _result(exchange: Exchange) -> str:
    if exchange.serial:
        return f": certificate {exchange.serial}"
    if exchange.detail:
        return f": {exchange.detail}"
    if exchange.retry_after:
        return f": deferred, Retry-After {exchange.retry_after}{' (early poll)' if exchange.early else ''}"
    return ""
