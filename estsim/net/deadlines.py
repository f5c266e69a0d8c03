"""How long each part of an exchange may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each part of an exchange may take; resolving and connecting share one."""

    connect_s: float
    handshake_s: float
    answer_s: float
