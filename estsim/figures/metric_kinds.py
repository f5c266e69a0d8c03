"""The kinds of metrics: a number, a distribution, a share within a time; each has name, unit, label and meaning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from estsim.figures.incidence import Incidence
from estsim.figures.scopes import Scope
from estsim.figures.summary_blocks import DeferralSummary
from estsim.record.histograms import Histogram


class Unit(Enum):
    """The unit of a metric, which decides how a threshold writes its bound."""

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
        """The seconds in one unit of a time."""
        return 0.001 if self is Unit.MILLISECONDS else 1.0


class Place(Enum):
    """A place where a metric has a line."""

    TABLES = "tables"
    REPORT = "report"
    COHORTS = "by cohort and phase"  # in the report
    TILES = "tiles"  # at the head of the report


@dataclass(frozen=True, slots=True)
class RunMetric:
    """A number of a run, a cohort or a phase. ``gloss`` explains the label where there is room.

    ``in_summary`` is false for what summary.json has only in its thresholds.
    """

    name: str
    unit: Unit
    label: str
    meaning: str
    of_scope: Callable[[Scope], float | None]
    shown_in: tuple[Place, ...] = ()
    gloss: str = ""
    whole: bool = False  # it is always a whole number
    in_summary: bool = True

    @property
    def long_label(self) -> str:
        """The label with its gloss."""
        return f"{self.label} ({self.gloss})" if self.gloss else self.label

    @property
    def key(self) -> str:
        """The key in summary.json."""
        return f"{self.name}_s" if self.unit is Unit.SECONDS else self.name

    def of_summary(self, figures: DeferralSummary) -> float | None:
        """Return the value in summary.json."""
        value: float | None = getattr(figures, self.key) if self.in_summary else None
        return value


@dataclass(frozen=True, slots=True)
class SpreadMetric:
    """A distribution over exchanges or enrolments, such as ``time_to_certificate``."""

    name: str
    unit: Unit
    label: str
    meaning: str
    of_scope: Callable[[Scope], Histogram | Incidence]


@dataclass(frozen=True, slots=True)
class WithinMetric:
    """A share that is reached within a time D, such as ``enrolled_within.5m``."""

    name: str
    label: str
    meaning: str

    def of_summary(self, figures: DeferralSummary) -> Mapping[str, float | None]:
        """Return the shares in summary.json, by D."""
        shares: Mapping[str, float | None] = getattr(figures, self.name)
        return shares
