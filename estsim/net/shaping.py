"""What a slow or bad network does to a connection's bytes: a pure calculation, in nanoseconds of the caller's clock.

The whole round trip is put on the way back: what the peer sent is heard one round trip after it came. Then each flight
of ours, which answers what was heard, follows a round trip later, and both ends count round trips as over a real path:
one to connect, one for a TLS 1.3 handshake (RFC 8446 §2; two for TLS 1.2, RFC 5246 §7.3), one for request and answer.
A device's side shows each at once as its own; a server's shows them from the first flight on.

The bit rate holds for each direction alone and counts the bytes of TLS records, not the headers below them. What came
while a request was leaving, the session tickets of TLS 1.3 say, is heard from the moment on when the answer came: a
real path would have brought some of it by then. No packet is lost and nothing is reordered.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from estsim.errors import Phase

_NS_PER_S: Final = 1_000_000_000
_BITS: Final = 8

# A mishap strikes one flight: the server's first, our request, or its answer. Each is there in every exchange, whatever
# the version and whether resumed or not, so the share of connections that a scenario names is the share that is struck.
STRUCK: Final = (Phase.HANDSHAKE, Phase.SEND, Phase.WAIT)


class Blow(Enum):
    """How a connection is struck."""

    STALL = "stall"  # nothing passes any more
    RESET = "reset"  # both ends are told that it is over


@dataclass(frozen=True, slots=True)
class Mishap:
    """What befalls a connection in one of :data:`STRUCK`, when a ``share`` of the flight's bytes has passed."""

    blow: Blow
    phase: Phase
    share: float


@dataclass(frozen=True, slots=True)
class Path:
    """What lies between a device and the server, for one connection: seconds, bits per second, and a mishap if any."""

    rtt_s: float = 0.0
    rate_bps: float | None = None
    mishap: Mishap | None = None


class Course:
    """When the bytes of one connection leave and arrive over its path."""

    __slots__ = ("_heard_until_ns", "_ns_per_byte", "_path", "_rtt_ns")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rtt_ns = round(path.rtt_s * _NS_PER_S)
        self._ns_per_byte = _BITS * _NS_PER_S / path.rate_bps if path.rate_bps else 0.0
        self._heard_until_ns = 0

    def leaving_ns(self, size: int) -> int:
        """Return how long so many bytes take to leave."""
        return round(size * self._ns_per_byte)

    def heard_ns(self, arrived_ns: int, size: int) -> tuple[int, int]:
        """Return when the first and the last of bytes are heard that came at ``arrived_ns``, after those before."""
        first_ns = max(arrived_ns + self._rtt_ns, self._heard_until_ns)
        self._heard_until_ns = first_ns + round(size * self._ns_per_byte)
        return first_ns, self._heard_until_ns

    def passing(self, phase: Phase, size: int) -> int | None:
        """Return how many of a flight's bytes pass before its mishap, at least one stays behind; None: no mishap."""
        mishap = self._path.mishap
        if mishap is None or mishap.phase is not phase or not size:
            return None
        return min(int(size * mishap.share), size - 1)
