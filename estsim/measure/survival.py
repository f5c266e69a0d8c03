"""Time to certificate when not everybody has one yet: the product-limit estimate of Kaplan and Meier.

Without it a ten-minute run of a twenty-minute herd would show the times of the lucky half only.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from estsim.measure.histograms import Histogram, needed_samples

_ROUNDING: Final = 1e-9


class Survival:
    """Who had no certificate yet, by time since they were meant to start; times in the histogram's units.

    ``censored`` counts by age what was still open at the end or what we cut. ``never`` counts those that failed: they
    stay at risk for ever, so that a quantile says "the time by which so many had one".
    """

    def __init__(self, events: Histogram, censored: Counter[int], never: int) -> None:
        self.events = events
        self.censored = censored.total()
        self.never = never
        self.horizon = max([events.max or 0, *censored])
        self._steps = list(_estimate(events, censored, never))

    @property
    def size(self) -> int:
        """All enrolments that the estimate stands on."""
        return self.events.count + self.censored + self.never

    @property
    def unfinished(self) -> int:
        """Enrolments without a certificate: open, cut or failed."""
        return self.censored + self.never

    def supports(self, share: float) -> bool:
        """Tell whether enough enrolments lie beyond the percentile for it to be worth judging."""
        return self.size >= needed_samples(share)

    def quantile(self, share: float) -> int | None:
        """Return the time by which ``share`` had a certificate; None if not reached: later than ``horizon``."""
        return self.quantiles(share)[0]

    def quantiles(self, *shares: float) -> tuple[int | None, ...]:
        """Return several quantiles."""
        return tuple(next((value for value, had in self._steps if had >= share - _ROUNDING), None) for share in shares)


def _estimate(events: Histogram, censored: Counter[int], never: int) -> Iterator[tuple[int, float]]:
    """Yield (time, share that had a certificate by then), in rising order; at a tie certificates come first."""
    at_risk = events.count + censored.total() + never
    without = 1.0
    moments = [(value, 0, count) for value, count in events.values()]
    moments += [(age, 1, count) for age, count in censored.items()]
    for (value, leaves), group in groupby(sorted(moments), key=lambda moment: moment[:2]):
        count = sum(moment[2] for moment in group)
        if not leaves:
            without *= 1 - count / at_risk
            yield value, 1 - without
        at_risk -= count
