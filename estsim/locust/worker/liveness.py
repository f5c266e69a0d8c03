"""Whether the master is still there, from what is seen of the connection and what is heard. Pure.

Locust's worker takes its master for lost after a minute of silence. A master that was restarted is silent as well: it
answers the heartbeats of nobody it does not know. But its connections were cut, and that can be seen: so a worker whose
connection is back and who hears nothing has a new master.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

SILENT_S: Final = 60.0  # MASTER_HEARTBEAT_TIMEOUT in locust/runners.py
CUT_S: Final = 10.0
UNANSWERED_S: Final = 3.0  # a master answers each heartbeat, one a second


@dataclass(slots=True)
class Liveness:
    """A worker's bond with its master; times are seconds of any clock that does not jump."""

    linked: bool = False
    _heard_s: float = -inf
    _since_s: float = -inf  # the connection was made or lost
    _was_cut: bool = False  # and nothing was heard since it is back

    @property
    def is_sure(self) -> bool:
        """Whether there is a connection, and the master at its end the one of before: what is sent is not lost."""
        return self.linked and not self._was_cut

    def link(self, now_s: float) -> None:
        """Take note that there is a connection."""
        self.linked, self._since_s = True, now_s

    def unlink(self, now_s: float) -> None:
        """Take note that there is none any more."""
        if self.linked:
            self._since_s = now_s
        self.linked, self._was_cut = False, True

    def hear(self, now_s: float) -> None:
        """Take note that the master has said something."""
        self._heard_s, self._was_cut = now_s, False

    def is_lost(self, now_s: float) -> bool:
        """Say whether a master that had taken this worker in has to be taken for gone."""
        if now_s - self._heard_s > SILENT_S:
            return True
        return self._was_cut and now_s - self._since_s > (UNANSWERED_S if self.linked else CUT_S)
