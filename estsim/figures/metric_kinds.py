"""What a metric is: a number, a distribution or a share within a time, each with its name, unit, label and meaning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from estsim.figures.deferral import Scope
from estsim.figures.incidence import Incidence
from estsim.figures.summary_deferral import DeferralSummary
from estsim.record.histograms import Histogram
from estsim.record.statistic import Statistic


class Unit(Enum):
    """What a metric is measured in, which decides how its bound is written."""

    MILLISECONDS = "milliseconds"
    SECONDS = "seconds"
    SHARE = "share"
    NUMBER = "number"

    @property
    def label(self) -> str:
        """The unit as summary.json names it."""
        return {Unit.MILLISECONDS: "ms", Unit.SECONDS: "s", Unit.SHARE: "share"}.get(self, "count")

    @property
    def seconds(self) -> float:
        """How many seconds a unit of a time is."""
        return 0.001 if self is Unit.MILLISECONDS else 1.0


class Place(Enum):
    """Where a metric has a line of its own."""

    TABLES = "tables"
    REPORT = "report"
    COHORTS = "by cohort and phase"  # in the report
    TILES = "tiles"  # at the head of the report


@dataclass(frozen=True, slots=True)
class RunMetric:
    """A number of a run, a cohort or a phase. ``gloss`` explains the label where there is room.

    ``in_summary`` is None for what summary.json has among its thresholds only.
    """

    name: str
    unit: Unit
    label: str
    meaning: str
    of_scope: Callable[[Scope], float | None]
    in_summary: Callable[[DeferralSummary], float | None] | None
    shown_in: tuple[Place, ...] = ()
    gloss: str = ""
    whole: bool = False  # it is always a whole number

    @property
    def long_label(self) -> str:
        """The label with what explains it."""
        return f"{self.label} ({self.gloss})" if self.gloss else self.label


@dataclass(frozen=True, slots=True)
class SpreadMetric:
    """What has a distribution over exchanges or enrolments: ``time_to_certificate.p90``."""

    name: str
    unit: Unit
    label: str
    meaning: str
    of_scope: Callable[[Scope], Histogram | Incidence]
    in_summary: Callable[[DeferralSummary], Statistic]


@dataclass(frozen=True, slots=True)
class WithinMetric:
    """A share that is reached within a time D: ``enrolled_within.5m``."""

    name: str
    label: str
    meaning: str
    in_summary: Callable[[DeferralSummary], Mapping[str, float | None]]
