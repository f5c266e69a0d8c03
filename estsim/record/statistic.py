"""The statistics of a sample in summary.json; a percentile is None if too few samples lie beyond it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["p50", "p90", "p95", "p99", "p99_9", "max"]
Interval = tuple[float | None, float | None]  # an upper bound of None is unknown


@dataclass(frozen=True, slots=True)
class Statistic:
    """Count, mean, percentiles and maximum, in the unit at the end of the block's key."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    max: float | None

    def at(self, level: Level) -> float | None:
        """Return a percentile, or the maximum, by its name."""
        value: float | None = getattr(self, level)
        return value


@dataclass(frozen=True, slots=True)
class Intervals:
    """The 95 % confidence intervals of three percentiles; None with too few blocks or samples."""

    p50: Interval | None
    p90: Interval | None
    p99: Interval | None


@dataclass(frozen=True, slots=True)
class LatencyStatistic(Statistic):
    """A statistic with its 95 % confidence intervals."""

    ci95: Intervals

    def interval(self, level: Level) -> Interval | None:
        """Return the interval of a percentile, where there is one."""
        found: Interval | None = getattr(self.ci95, level, None)
        return found
