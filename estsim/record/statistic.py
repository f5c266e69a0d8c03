"""The statistics of a sample as summary.json has them: a percentile is None where too few samples lie beyond it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["p50", "p90", "p95", "p99", "p99_9", "max"]
Interval = tuple[float | None, float | None]  # above, None: the sample cannot say how high


@dataclass(frozen=True, slots=True)
class Statistic:
    """How many values there are, and where they lie, in the unit that the key of the block ends with."""

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
        match level:
            case "p50":
                return self.p50
            case "p90":
                return self.p90
            case "p95":
                return self.p95
            case "p99":
                return self.p99
            case "p99_9":
                return self.p99_9
            case "max":
                return self.max


@dataclass(frozen=True, slots=True)
class Intervals:
    """The 95 % confidence intervals of three percentiles; None of too few blocks or samples."""

    p50: Interval | None
    p90: Interval | None
    p99: Interval | None


@dataclass(frozen=True, slots=True)
class LatencyStatistic(Statistic):
    """A statistic with its 95 % confidence intervals."""

    ci95: Intervals

    def interval(self, level: Level) -> Interval | None:
        """Return the interval of a percentile, where there is one."""
        match level:
            case "p50":
                return self.ci95.p50
            case "p90":
                return self.ci95.p90
            case "p99":
                return self.ci95.p99
            case _:
                return None
