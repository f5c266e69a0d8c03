"""Until when a blocking wait may last: one phase's deadline, and the moment at which its exchange is cut off."""

import time
from math import inf

from estsim.errors import EstsimError, Phase, TransportFailed, Trouble


class CutOff(EstsimError):  # noqa: N818 - says what it is
    """The exchange was to end here, whatever it had come to: its device has lost its power, say."""


class Limit:
    """The waits of one phase end ``within_s`` from now, or at ``cut_off_s`` (``time.monotonic``) if that is sooner."""

    __slots__ = ("_cut_off_s", "_deadline_s", "_what")

    def __init__(self, within_s: float, what: str, *, cut_off_s: float = inf) -> None:
        self._deadline_s = time.monotonic() + within_s
        self._cut_off_s = cut_off_s
        self._what = what

    def left_s(self, phase: Phase) -> float:
        """Return the seconds that are left; raises what :meth:`passed` returns where there are none."""
        left_s = min(self._deadline_s, self._cut_off_s) - time.monotonic()
        if left_s <= 0:
            raise self.passed(phase)
        return left_s

    def passed(self, phase: Phase) -> TransportFailed | CutOff:
        """Return what it is that a wait lasted as long as it may."""
        if self._cut_off_s < self._deadline_s:
            return CutOff("cut off")
        return TransportFailed(phase, Trouble.TIMEOUT, self._what)
