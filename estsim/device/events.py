"""What happens to a device: the inputs of the machine.

Plan-born events carry the time the plan meant (``planned_s``), which never slips when the generator is late.
``turn`` echoes the command that a wake-up or an answer belongs to, so that late ones are told apart.
"""

from dataclasses import dataclass

from estsim.est.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A certificate's validity on the run's clock, in seconds; negative before the run began."""

    not_before_s: float
    not_after_s: float


@dataclass(frozen=True, slots=True)
class Started:
    """The device is switched on for the first time."""

    planned_s: float


@dataclass(frozen=True, slots=True)
class Commissioned:
    """The device was in service before the run: it is on, and owns a certificate. Takes the place of ``Started``."""

    lifetime: Lifetime


@dataclass(frozen=True, slots=True)
class Woke:
    """The wait of this turn is over."""

    turn: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The exchange of this turn ended; ``lifetime`` comes with an issued certificate."""

    turn: int
    outcome: Outcome
    lifetime: Lifetime | None = None


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The power fails. What survives it: the key of a request under way, the knowledge that it is pending."""

    keeps_key: bool = False
    keeps_pending: bool = False


@dataclass(frozen=True, slots=True)
class PowerRestored:
    """One cut is over; the device boots when none is left."""

    planned_s: float


@dataclass(frozen=True, slots=True)
class RenewNow:
    """An order to renew at once."""

    planned_s: float


@dataclass(frozen=True, slots=True)
class Retire:
    """The device is taken out of service."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The run ends: no new exchange, an answer under way is still taken."""


Event = Started | Commissioned | Woke | Answered | PowerCut | PowerRestored | RenewNow | Retire | StopAsked
EventType = type[Event]
