"""The sandbox's clock: wall time that no correction moves while it serves, and the age that fault windows count in."""

import time
from math import inf


class SandboxClock:
    """Seconds: UNIX time, which means the same after a restart, and the age since the sandbox, or a run, began."""

    def __init__(self, *, begun: bool = True) -> None:
        self._offset_s = time.time() - _uptime_s()
        self._began_s = self.now_s() if begun else inf

    def now_s(self) -> float:
        """Return the time as UNIX seconds, never going back."""
        return self._offset_s + _uptime_s()

    @property
    def has_begun(self) -> bool:
        """Whether the run has begun that this is the clock of."""
        return self._began_s < inf

    def age_s(self) -> float:
        """Return the seconds since the beginning; below zero as long as nobody has told when that is.

        The first request of a run is never before it: two processes' clocks may be a moment apart.
        """
        return max(0.0, self.now_s() - self._began_s) if self.has_begun else -inf

    def begin_at(self, unix_s: float) -> None:
        """Count ages from this moment on: a run that started the sandbox tells when its own clock begins."""
        self._began_s = unix_s


def _uptime_s() -> float:
    """Return a time that never goes back and does not stand still while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
