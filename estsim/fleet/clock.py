"""The run's one clock: monotonic nanoseconds since the run's epoch, tied once to the wall clock."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from estsim.net.loop_stalls import LOOP_STALLS

NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RunClock:
    """Times of one run. ``mono_epoch_ns`` and ``wall_epoch_s`` (UNIX seconds) name the same moment."""

    mono_epoch_ns: int
    wall_epoch_s: float

    @classmethod
    def start(cls, *, in_s: float = 0.0) -> "RunClock":
        """Return a clock whose epoch is now, or soon: what is planned for time 0 must not find us still setting up."""
        return cls(time.perf_counter_ns() + to_ns(in_s), time.time() + in_s)

    @classmethod
    def at_wall(cls, epoch_s: float) -> Self:
        """Return a clock whose epoch is at that time of this machine's wall clock (UNIX seconds), wherever it was."""
        return cls(time.perf_counter_ns() - to_ns(time.time() - epoch_s), epoch_s)

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return time.perf_counter_ns() - self.mono_epoch_ns

    def now_s(self) -> float:
        """Return seconds since the epoch."""
        return self.now_ns() / NS_PER_S

    def wall_s(self, run_s: float) -> float:
        """Return a moment of the run as UNIX seconds."""
        return self.wall_epoch_s + run_s

    def stalled_ns(self, from_ns: int, to_ns: int) -> int:
        """Return for how much of a time of the run this process's event loop stood still."""
        return LOOP_STALLS.within_ns(from_ns + self.mono_epoch_ns, to_ns + self.mono_epoch_ns)

    def started(self) -> datetime:
        """Return the epoch as a date in UTC."""
        return datetime.fromtimestamp(self.wall_epoch_s, UTC)


def to_ns(seconds: float) -> int:
    """Return seconds as whole nanoseconds."""
    return round(seconds * NS_PER_S)
