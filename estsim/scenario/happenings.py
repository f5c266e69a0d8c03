"""What a scenario plans to happen to its fleet (docs/scenario-reference.md, ``events``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from estsim.load.arrivals import Arrivals, Burst
from estsim.units import Distribution

_AT_ONCE: Final = Burst(0.0)


@dataclass(frozen=True, slots=True)
class Touched:
    """Which devices an event concerns: a share of each cohort's devices, an exact count chosen by seed."""

    cohorts: tuple[str, ...]
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The power fails at once, stays off for a time, and comes back by an arrival process.

    An exchange in flight is cut. What survives in a device is its certificate, and what ``keeps_*`` say.
    """

    touched: Touched
    off_s: Distribution
    back: Arrivals = _AT_ONCE
    keeps_key: bool = False
    keeps_pending: bool = False


@dataclass(frozen=True, slots=True)
class RenewNow:
    """An order to renew, given to each device at a moment of its own within ``within_s``."""

    touched: Touched
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Retire:
    """Devices leave service, each at a moment of its own within ``within_s``."""

    touched: Touched
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CohortJoin:
    """A cohort that has been waiting for this begins to boot, by its own arrivals."""

    cohort: str


@dataclass(frozen=True, slots=True)
class SandboxChange:
    """Policy keys of the sandbox take other values: by dotted path within a trust center, as YAML had them."""

    changes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """A line in the story of the run; one that waits for the operator's Enter holds back the events after it."""

    text: str
    wait_for_enter: bool = False


What = PowerCut | RenewNow | Retire | CohortJoin | SandboxChange | Mark


@dataclass(frozen=True, slots=True)
class Happening:
    """Something planned for a time of the run."""

    at_s: float
    what: What
