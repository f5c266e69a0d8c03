"""How an exchange ended: what the machine is told of it, and what the books need."""

from dataclasses import dataclass

from estsim.device.events import Lifetime
from estsim.est.outcome import Outcome
from estsim.record.sample import Stamps


@dataclass(frozen=True, slots=True)
class Settled:
    """One exchange, challenge included; ``stamps`` are those of its last request.

    ``verified_ns`` is when the answer had passed every check, ``margin_s`` the validity left of the one in hand.
    ``expected`` says that it was to end so, ``finding`` that the server should not have answered so.
    """

    outcome: Outcome
    stamps: Stamps
    verified_ns: int
    lifetime: Lifetime | None
    margin_s: float
    expected: bool = False
    finding: str | None = None
