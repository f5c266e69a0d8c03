"""The shaped network of a connection: delay, bit rate and failures, calculated in nanoseconds of the caller's clock.

The whole round trip is added on the way back: what the peer sent is heard one round trip after it arrived. Each flight
of ours answers what was heard and so follows a round trip later, and both ends count round trips as over a real path:
one to connect, one for a TLS 1.3 handshake (RFC 8446 §2; two for TLS 1.2, RFC 5246 §7.3), one for request and answer.

The bit rate applies to each direction separately and counts the bytes of TLS records, not the headers below them. What
arrives while a request is leaving, such as the session tickets of TLS 1.3, is heard only when the answer comes; a real
path would have delivered some of it before. No packet is lost and nothing is reordered.

:class:`LinkTiming` is the calculation and pure; :class:`Link` waits for what it calculates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.io import Io

_NS_PER_S: Final = 1_000_000_000
_BITS: Final = 8

# A failure happens in one flight: the server's first, our request, or its answer. Every exchange has each of them,
# whatever the version and whether resumed or not, so exactly the scenario's share of connections fails.
FAILURE_PHASES: Final = (Phase.HANDSHAKE, Phase.SEND, Phase.WAIT)
_REASONS: Final = {
    Trouble.NETWORK_STALL: "the simulated network stalled the connection permanently",
    Trouble.NETWORK_RESET: "the simulated network reset the connection",
}


class LinkFailureKind(Enum):
    """How a connection fails."""

    STALL = "stall"  # nothing passes any more
    RESET = "reset"  # both ends receive a reset


@dataclass(frozen=True, slots=True)
class LinkFailure:
    """A failure in one of the phases :data:`FAILURE_PHASES`, after a ``share`` of the flight's bytes has passed."""

    kind: LinkFailureKind
    phase: Phase
    share: float


@dataclass(frozen=True, slots=True)
class Path:
    """The network between a device and the server, for one connection: seconds, bits per second, a failure."""

    rtt_s: float = 0.0
    rate_bps: float | None = None
    failure: LinkFailure | None = None


class LinkTiming:
    """When the bytes of one connection leave and arrive over its path."""

    __slots__ = ("_heard_until_ns", "_ns_per_byte", "_path", "_rtt_ns")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rtt_ns = round(path.rtt_s * _NS_PER_S)
        self._ns_per_byte = _BITS * _NS_PER_S / path.rate_bps if path.rate_bps else 0.0
        self._heard_until_ns = 0

    def leaving_ns(self, size: int) -> int:
        """Return how long ``size`` bytes take to leave."""
        return round(size * self._ns_per_byte)

    def heard_ns(self, arrived_ns: int, size: int) -> tuple[int, int]:
        """Return when the first and the last of ``size`` bytes that arrived at ``arrived_ns`` are heard."""
        first_ns = max(arrived_ns + self._rtt_ns, self._heard_until_ns)
        self._heard_until_ns = first_ns + round(size * self._ns_per_byte)
        return first_ns, self._heard_until_ns

    def passing(self, phase: Phase, size: int) -> int | None:
        """Return how many of a flight's bytes pass before its failure, never all; None without a failure."""
        failure = self._path.failure
        if failure is None or failure.phase is not phase or not size:
            return None
        return min(int(size * failure.share), size - 1)


class Link:
    """Delays one connection's bytes, and fails it where that is due. ``clock`` gives nanoseconds."""

    __slots__ = ("_clock", "_io", "_timing", "path", "stalled")

    def __init__(self, path: Path, clock: Callable[[], int], io: Io) -> None:
        self.path = path
        self.stalled = False  # waits now end at their deadline only
        self._timing = LinkTiming(path)
        self._clock = clock
        self._io = io

    async def answered(self) -> None:
        """Wait for the answer to our SYN: one round trip."""
        if self.path.rtt_s:
            await self._io.sleep(self.path.rtt_s)

    async def leave(self, data: bytes, phase: Phase) -> tuple[bytes, bool]:
        """Wait until a flight has left; returns the bytes that leave, and whether the failure follows."""
        passing = self._timing.passing(phase, len(data)) if phase is Phase.SEND else None
        leaving = data if passing is None else data[:passing]
        await self._wait(self._timing.leaving_ns(len(leaving)))
        return leaving, passing is not None

    async def arrive(self, received: bytes, phase: Phase, arrived_ns: int) -> tuple[bytes, bool, int]:
        """Wait until bytes are heard; returns them, whether the failure follows, and when the first was heard."""
        passing = self._timing.passing(phase, len(received))
        heard = received if passing is None else received[:passing]
        first_ns, last_ns = self._timing.heard_ns(arrived_ns, len(heard))
        await self._wait(last_ns - self._clock())
        return heard, passing is not None, first_ns

    async def fail(self, phase: Phase) -> TransportFailed:
        """Stall until cancelled, or return the failure of a reset, which the caller then sends."""
        failure = self.path.failure
        if failure is not None and failure.kind is LinkFailureKind.STALL:
            self.stalled = True
            await self._io.sleep(inf)
        return TransportFailed(phase, Trouble.NETWORK_RESET, _REASONS[Trouble.NETWORK_RESET])

    async def _wait(self, wait_ns: int) -> None:
        if wait_ns > 0:
            await self._io.sleep(wait_ns / _NS_PER_S)


def timed_out(link: Link | None, phase: Phase, limit: str) -> TransportFailed:
    """Return the failure of a passed deadline: the peer's, or that of a stalled network."""
    if link is not None and link.stalled:
        return TransportFailed(phase, Trouble.NETWORK_STALL, f"{_REASONS[Trouble.NETWORK_STALL]}: {limit}")
    return TransportFailed(phase, Trouble.TIMEOUT, limit)
