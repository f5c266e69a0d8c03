"""The shaped network of one connection: waits for what :mod:`estsim.net.shaping` calculates."""

from collections.abc import Callable
from math import inf
from typing import Final

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.io import Io
from estsim.net.shaping import Blow, Course, Path

_NS_PER_S: Final = 1_000_000_000
_REASONS: Final = {
    Trouble.NETWORK_STALL: "the simulated network stalled the connection permanently",
    Trouble.NETWORK_RESET: "the simulated network reset the connection",
}


class Link:
    """Delays what goes and comes on one connection, and ends it where a mishap is due. ``clock`` gives nanoseconds."""

    __slots__ = ("_clock", "_course", "_io", "path", "stalled")

    def __init__(self, path: Path, clock: Callable[[], int], io: Io) -> None:
        self.path = path
        self.stalled = False  # what waits now, waits for its deadline
        self._course = Course(path)
        self._clock = clock
        self._io = io

    async def answered(self) -> None:
        """Wait until the peer's answer to our SYN is heard: one round trip."""
        if self.path.rtt_s:
            await self._io.sleep(self.path.rtt_s)

    async def leave(self, data: bytes, phase: Phase) -> tuple[bytes, bool]:
        """Wait until a flight has left; returns what leaves, and whether the mishap follows."""
        passing = self._course.passing(phase, len(data)) if phase is Phase.SEND else None
        leaving = data if passing is None else data[:passing]
        await self._wait(self._course.leaving_ns(len(leaving)))
        return leaving, passing is not None

    async def arrive(self, received: bytes, phase: Phase, arrived_ns: int) -> tuple[bytes, bool, int]:
        """Wait until bytes are heard; returns them, whether the mishap follows, and when the first was heard."""
        passing = self._course.passing(phase, len(received))
        heard = received if passing is None else received[:passing]
        first_ns, last_ns = self._course.heard_ns(arrived_ns, len(heard))
        await self._wait(last_ns - self._clock())
        return heard, passing is not None, first_ns

    async def strike(self, phase: Phase) -> TransportFailed:
        """Stall until cancelled, or return the failure that the reset is; the reset itself is the caller's to send."""
        mishap = self.path.mishap
        if mishap is not None and mishap.blow is Blow.STALL:
            self.stalled = True
            await self._io.sleep(inf)
        return TransportFailed(phase, Trouble.NETWORK_RESET, _REASONS[Trouble.NETWORK_RESET])

    async def _wait(self, wait_ns: int) -> None:
        if wait_ns > 0:
            await self._io.sleep(wait_ns / _NS_PER_S)


def timed_out(link: Link | None, phase: Phase, limit: str) -> TransportFailed:
    """Return the failure of a deadline that passed: the peer's, or that of a network that had stalled."""
    if link is not None and link.stalled:
        return TransportFailed(phase, Trouble.NETWORK_STALL, f"{_REASONS[Trouble.NETWORK_STALL]}: {limit}")
    return TransportFailed(phase, Trouble.TIMEOUT, limit)
