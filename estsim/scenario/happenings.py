"""The planned events of a run (docs/scenario-reference.md, ``events``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from estsim.load.arrivals import Arrivals, Burst
from estsim.units import Distribution

_AT_ONCE: Final = Burst(0.0)


@dataclass(frozen=True, slots=True)
class Touched:
    """The affected devices: a share of each cohort's devices, an exact count chosen by seed."""

    cohorts: tuple[str, ...]
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The power fails at once, stays off for a time, and returns by an arrival process.

    An exchange in flight is cut. A device keeps its certificate, and what ``keeps_*`` say.
    """

    touched: Touched
    off_s: Distribution
    back: Arrivals = _AT_ONCE
    keeps_key: bool = False
    keeps_pending: bool = False


@dataclass(frozen=True, slots=True)
class RenewNow:
    """An order to renew, given to each device at a random time within ``within_s``."""

    touched: Touched
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Retire:
    """Devices leave service, each at a random time within ``within_s``."""

    touched: Touched
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CohortJoin:
    """A waiting cohort begins to boot, by its own arrivals."""

    cohort: str


@dataclass(frozen=True, slots=True)
class SandboxChange:
    """New values for policy keys of the sandbox, by dotted path within a trust center, as in YAML."""

    changes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """An annotation; one that waits for the operator's Enter delays the events after it."""

    text: str
    wait_for_enter: bool = False


What = PowerCut | RenewNow | Retire | CohortJoin | SandboxChange | Mark


@dataclass(frozen=True, slots=True)
class Happening:
    """An event at a time of the run."""

    at_s: float
    what: What
