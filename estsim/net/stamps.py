"""When each step of an exchange was over on the wire, and by whose clock."""

from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], int]  # nanoseconds, never going back


@dataclass(slots=True)
class WireStamps:
    """When each step of an exchange was over, by the caller's clock; None where a step did not happen."""

    connected_ns: int | None = None
    handshaken_ns: int | None = None
    sent_ns: int | None = None
    first_byte_ns: int | None = None
    ended_ns: int | None = None
