"""Until when a blocking wait may last: its deadline, and the moment at which its exchange is cut off."""

import time
from math import inf
from typing import Final

from estsim.net.loop_stalls import LOOP_STALLS

_NS_PER_S: Final = 1_000_000_000


class DeadlinePassed(BaseException):
    """A wait lasted as long as it may: ends the block under its deadline, and is seen by nobody outside."""


class CutOff(BaseException):
    """The exchange was to end here, whatever it had come to: its device has lost its power, say.

    A cancellation, as ``trio.Cancelled`` is one, and so no ``Exception`` either.
    """


class Limit:
    """Waits end ``within_s`` from now, or at ``cut_off_s`` (``time.monotonic``) if that is sooner.

    The time in which this process stood still is not counted, except to the cut-off: that is an event of the plan.
    """

    __slots__ = ("_cut_off_s", "_deadline_s", "_stalled_ns")

    def __init__(self, within_s: float, *, cut_off_s: float = inf) -> None:
        self._deadline_s = time.monotonic() + within_s
        self._stalled_ns = _stalled_ns()
        self._cut_off_s = cut_off_s

    def left_s(self) -> float:
        """Return the seconds that are left; raises what :meth:`passed` returns where there are none."""
        left_s = min(self._ends_s, self._cut_off_s) - time.monotonic()
        if left_s <= 0:
            raise self.passed()
        return left_s

    def rest_s(self) -> float:
        """Return the seconds that are left after a wait that was in vain: 0 for one last look without waiting."""
        return max(0.0, min(self._ends_s, self._cut_off_s) - time.monotonic())

    def passed(self) -> DeadlinePassed | CutOff:
        """Return what it is that a wait lasted as long as it may."""
        return CutOff("cut off") if self._cut_off_s < self._ends_s else DeadlinePassed()

    @property
    def _ends_s(self) -> float:
        return self._deadline_s + (_stalled_ns() - self._stalled_ns) / _NS_PER_S


def _stalled_ns() -> int:
    return LOOP_STALLS.total_ns(time.perf_counter_ns())
