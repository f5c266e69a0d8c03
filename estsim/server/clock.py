"""The sandbox's clock: wall time without corrections while it serves, and the age that fault windows use."""

import time
from math import inf


class SandboxClock:
    """UNIX time in seconds, and the age since the sandbox or its run began."""

    def __init__(self, *, begun: bool = True) -> None:
        self._offset_s = time.time() - _uptime_s()
        self._began_s = self.now_s() if begun else inf

    def now_s(self) -> float:
        """Return the time as UNIX seconds, never going back."""
        return self._offset_s + _uptime_s()

    @property
    def has_begun(self) -> bool:
        """Whether the sandbox, or its run, has begun."""
        return self._began_s < inf

    def age_s(self) -> float:
        """Return the seconds since the beginning, minus infinity before it.

        Never negative after it: the clocks of two processes may differ slightly.
        """
        return max(0.0, self.now_s() - self._began_s) if self.has_begun else -inf

    def begin_at(self, unix_s: float) -> None:
        """Count ages from this moment, the beginning of the run that owns the sandbox."""
        self._began_s = unix_s


def _uptime_s() -> float:
    """Return a time that never goes back and does not stand still while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
