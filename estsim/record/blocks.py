"""Confidence intervals of percentiles from blocks of time (docs/metrics.md, "Statistics").

Samples of a herd are not independent, but blocks of time that are long enough nearly are. So the uncertainty of "this
share lies below that value" is estimated from its variation between blocks, as between the clusters of a survey, and
transferred to the percentile (Woodruff, JASA 47, 1952).
"""

from collections.abc import Iterable, Sequence
from math import ceil, sqrt
from statistics import NormalDist
from typing import Final

from estsim.record.histograms import Histogram, bucket_of, value_of

BLOCK_S: Final = 10.0
MIN_BLOCKS: Final = 5  # for an interval
EFFECTIVE_BLOCKS: Final = 20  # for an effective number of samples
_MOST_BLOCKS: Final = 256  # with more, neighbours are merged
_Z: Final = NormalDist().inv_cdf(0.975)

Interval = tuple[int, int | None]  # in the histogram's units; None: no upper bound is known


class Blocks:
    """Histograms by block of time, ``grain`` times 10 s long; an added histogram must not be changed afterwards."""

    __slots__ = ("_by_number", "grain")

    def __init__(self) -> None:
        self.grain = 1
        self._by_number: dict[int, Histogram] = {}

    def add(self, number: int, histogram: Histogram) -> None:
        """Add the values of the block that began ``number`` times 10 s into the run."""
        if histogram.count:
            self._put(number // self.grain, histogram)
            while len(self._by_number) > _MOST_BLOCKS:
                self._coarsen(self.grain * 2)

    def merge(self, other: "Blocks") -> None:
        """Add another shard's blocks."""
        if other.grain > self.grain:
            self._coarsen(other.grain)
        for number, histogram in other.items():
            self.add(number * other.grain, histogram)

    def items(self) -> Iterable[tuple[int, Histogram]]:
        """Return the blocks by number, in units of the grain."""
        return self._by_number.items()

    def _coarsen(self, grain: int) -> None:
        ratio, old = grain // self.grain, self._by_number
        self.grain, self._by_number = grain, {}
        for number, histogram in old.items():
            self._put(number // ratio, histogram)

    def _put(self, number: int, histogram: Histogram) -> None:
        before = self._by_number.get(number)
        if before is None:
            self._by_number[number] = histogram
            return
        both = Histogram(histogram.layout)  # the given one must not change
        both.merge(before)
        both.merge(histogram)
        self._by_number[number] = both

    def of(self, period_s: float | None) -> list[Histogram]:
        """Return blocks of at least max(T, 10 s), in the order of time."""
        length = BLOCK_S * self.grain
        together = ceil(max(period_s or 0.0, BLOCK_S) / length)
        joined: dict[int, list[Histogram]] = {}
        for number in sorted(self._by_number):
            joined.setdefault(number // together, []).append(self._by_number[number])
        return [group[0] if len(group) == 1 else _merge(group) for group in joined.values()]


def interval(blocks: Sequence[Histogram], share: float) -> Interval | None:
    """Return the 95 % confidence interval of the percentile at ``share``; None with fewer than five blocks."""
    filled = [block for block in blocks if block.count]
    if len(filled) < MIN_BLOCKS:
        return None
    whole = _merge(filled)
    value = whole.quantile(share)
    if value is None:
        return None
    # Many samples may have this value, so the share below it and the share up to it can differ, as can their variation.
    half = max(_half_width(filled, whole.count, value), _half_width(filled, whole.count, value - 1))
    low = whole.quantile(max(0.0, share - half))
    high = whole.quantile(share + half) if (1 - share - half) * whole.count >= 1 else None
    return (low if low is not None else value, high)


def effective_samples(blocks: Sequence[Histogram], value: int) -> float | None:
    """Return the number of independent samples that would determine the share up to a value equally well.

    None with fewer than 20 blocks, which do not show the dependence; never more than the number of samples.
    """
    filled = [block for block in blocks if block.count]
    n = len(filled)
    if n < EFFECTIVE_BLOCKS:
        return None
    count = sum(block.count for block in filled)
    below = [_not_above(block, value) for block in filled]
    at = sum(below) / count
    spread = sum((under - at * block.count) ** 2 for under, block in zip(below, filled, strict=True)) * n / (n - 1)
    return min(float(count), at * (1 - at) * count * count / spread) if spread > 0 and 0 < at < 1 else float(count)


def _merge(histograms: Sequence[Histogram]) -> Histogram:
    whole = Histogram(histograms[0].layout)
    for histogram in histograms:
        whole.merge(histogram)
    return whole


def _half_width(blocks: Sequence[Histogram], count: int, value: int) -> float:
    """Return the uncertainty of the share of samples up to a value, from its variation between blocks."""
    below = [_not_above(block, value) for block in blocks]
    at = sum(below) / count
    spread = sum((under - at * block.count) ** 2 for under, block in zip(below, blocks, strict=True))
    n = len(blocks)
    return _t975(n - 1) * sqrt(spread * n / (n - 1)) / count


def _not_above(histogram: Histogram, value: int) -> int:
    if histogram.max is None or value >= histogram.max:
        return histogram.count
    last = bucket_of(value)
    if value_of(last) > value:  # it represents its highest value
        last -= 1
    return sum(count for index, count in histogram.counts.items() if index <= last)


def _t975(degrees: int) -> float:
    """Return Student's t at 97.5 % by the Cornish-Fisher expansion, within 1 % from four degrees of freedom on."""
    z, n = _Z, degrees
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )
