"""The end of a blocking wait: its deadline, or the moment at which its exchange is cut off."""

import time
from math import inf
from typing import Final

from estsim.net.loop_stalls import LOOP_STALLS

_NS_PER_S: Final = 1_000_000_000


class DeadlinePassed(BaseException):
    """A wait reached its deadline. Ends the block under that deadline and goes no further."""


class CutOff(BaseException):
    """The exchange is cancelled at this moment, as by a power cut; like ``trio.Cancelled`` no ``Exception``."""


class Limit:
    """Waits end ``within_s`` from now, or at ``cut_off_s`` (``time.monotonic``) if that is sooner.

    Time for which this process stalled is not counted, except for the cut-off, which is an event of the plan.
    """

    __slots__ = ("_cut_off_s", "_deadline_s", "_stalled_ns")

    def __init__(self, within_s: float, *, cut_off_s: float = inf) -> None:
        self._deadline_s = time.monotonic() + within_s
        self._stalled_ns = _stalled_ns()
        self._cut_off_s = cut_off_s

    def left_s(self) -> float:
        """Return the seconds left; raises what :meth:`passed` returns where there are none."""
        left_s = min(self._ends_s, self._cut_off_s) - time.monotonic()
        if left_s <= 0:
            raise self.passed()
        return left_s

    def rest_s(self) -> float:
        """Return the seconds left after a wait without result; 0 for a last check without waiting."""
        return max(0.0, min(self._ends_s, self._cut_off_s) - time.monotonic())

    def passed(self) -> DeadlinePassed | CutOff:
        """Return the exception for a wait that has ended."""
        return CutOff("cut off") if self._cut_off_s < self._ends_s else DeadlinePassed()

    @property
    def _ends_s(self) -> float:
        return self._deadline_s + (_stalled_ns() - self._stalled_ns) / _NS_PER_S


def _stalled_ns() -> int:
    return LOOP_STALLS.total_ns(time.perf_counter_ns())
