"""How long each part of an exchange may take.

A deadline does not run while this process stands still (:mod:`estsim.net.loop_stalls`): the peer has its whole time
with a loop that looks at it. So a deadline that passed in a stall is no failure of the peer's.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each part of an exchange may take; resolving and connecting share one."""

    connect_s: float
    handshake_s: float
    answer_s: float
