"""Histograms in the layout of HdrHistogram, kept sparse: mergeable by addition, exact in sum and extremes.

The package's own histogram is a dense array of 229 KB in this range, and a percentile scans it in 4 ms: too much for
one per second, cohort and operation, read by a dashboard on the event loop. So counts are in a dict keyed by the
package's bucket index; `encode` and `histogram_text` use the package's interchange format (V2), and tests compare every
index and percentile with it.
"""

import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Final

from hdrh.histogram import HdrHistogram

from estsim.record.statistic import Statistic

_HALF_BITS: Final = 10  # 3 significant digits: 2048 sub-buckets, in halves of 1024
_FIRST_BUCKET: Final = 1 << (_HALF_BITS + 1)
BEYOND: Final = 10  # samples that must lie beyond a percentile for it to be shown
_ROUNDING: Final = 1e-6  # of a rank: 0.9 * 10 is the ninth


@dataclass(frozen=True, slots=True)
class Layout:
    """A histogram's unit and range; values outside are clamped to it and counted."""

    unit_ns: int
    highest: int
    lowest: int = 0  # negative for the few figures with a sign; such a histogram cannot be encoded

    def units(self, value_s: float) -> int:
        """Return a time in seconds as the nearest whole number of this layout's units."""
        return round(value_s * 1_000_000_000 / self.unit_ns)

    def highest_in(self, index: int) -> int:
        """Return the highest value of a bucket, within the range."""
        return min(highest_equivalent(index), self.highest)


LATENCY: Final = Layout(unit_ns=1_000, highest=24 * 3600 * 1_000_000)
LONG: Final = Layout(unit_ns=1_000_000, highest=30 * 24 * 3600 * 1_000)
SIGNED: Final = Layout(unit_ns=1_000, highest=LATENCY.highest, lowest=-LATENCY.highest)


def bucket_index(value: int) -> int:
    """Return HdrHistogram's counts index of a value ≥ 0, for 3 digits and a unit of 1."""
    shift = value.bit_length() - _HALF_BITS - 1
    return value if shift <= 0 else (shift << _HALF_BITS) + (value >> shift)


def highest_equivalent(index: int) -> int:
    """Return the highest value of a bucket, which represents it in percentiles."""
    if index < _FIRST_BUCKET:
        return index
    shift = (index >> _HALF_BITS) - 1
    return ((index - (shift << _HALF_BITS) + 1) << shift) - 1


def bucket_of(value: int) -> int:
    """Return the bucket of a value, which may be negative; buckets rise with their values."""
    return bucket_index(value) if value >= 0 else ~bucket_index(-value)


def value_of(index: int) -> int:
    """Return the value that represents a bucket."""
    return highest_equivalent(index) if index >= 0 else -highest_equivalent(~index)


def needed_samples(share: float) -> int:
    """Return how many samples the percentile at ``share`` (0.99 for p99) needs; 1 for the maximum."""
    return 1 if share >= 1 else ceil(round(BEYOND / (1 - share), 6))


class Histogram:
    """Counts of whole units by bucket; adding and merging commute."""

    __slots__ = ("clamped", "count", "counts", "layout", "max", "min", "total")

    def __init__(self, layout: Layout = LATENCY) -> None:
        self.layout = layout
        self.counts: dict[int, int] = {}  # bucket index → count; ~index for a value below zero
        self.count = 0
        self.total = 0
        self.clamped = 0
        self.min: int | None = None
        self.max: int | None = None

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} values, {self.min} to {self.max} units of {self.layout.unit_ns} ns>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # mutable, so not hashable

    def record_ns(self, duration_ns: int) -> None:
        """Count one duration."""
        self.record(duration_ns // self.layout.unit_ns)

    def record(self, value: int, count: int = 1) -> None:
        """Count a value in the layout's units, clamped to its range."""
        layout = self.layout
        if not layout.lowest <= value <= layout.highest:
            value = layout.highest if value > layout.highest else layout.lowest
            self.clamped += count
        index = bucket_index(value) if value >= 0 else ~bucket_index(-value)
        self.counts[index] = self.counts.get(index, 0) + count
        self.count += count
        self.total += value * count
        if self.max is None or value > self.max:
            self.max = value
        if self.min is None or value < self.min:
            self.min = value

    def merge(self, other: "Histogram") -> None:
        """Add another histogram's counts; both must have one layout."""
        if other.layout != self.layout:
            message = f"histograms of different layouts do not merge: {self.layout} and {other.layout}"
            raise ValueError(message)
        for index, count in other.counts.items():
            self.counts[index] = self.counts.get(index, 0) + count
        self.count += other.count
        self.total += other.total
        self.clamped += other.clamped
        if other.max is not None and (self.max is None or other.max > self.max):
            self.max = other.max
        if other.min is not None and (self.min is None or other.min < self.min):
            self.min = other.min

    def less(self, part: "Histogram") -> "Histogram":
        """Return this histogram without the values of a part of it; its extremes are those of the buckets."""
        rest = Histogram(self.layout)
        for index, count in self.counts.items():
            left = count - part.counts.get(index, 0)
            if left > 0:
                value = value_of(index)
                rest.record(value if self.max is None else min(value, self.max), left)
        return rest

    def values(self) -> Iterator[tuple[int, int]]:
        """Yield (value, count) in rising order; a value is the highest of its bucket, and at most the maximum."""
        top = self.max or 0
        for index in sorted(self.counts):
            yield min(value_of(index), top), self.counts[index]

    def quantile(self, share: float) -> int | None:
        """Return the quantile at ``share`` in units, by nearest rank; None of an empty histogram."""
        return self.quantiles(share)[0]

    def quantiles(self, *shares: float) -> tuple[int | None, ...]:
        """Return several quantiles in one pass; ``shares`` must rise."""
        if not self.count or self.max is None:
            return (None,) * len(shares)
        ranks = [max(1, ceil(share * self.count - _ROUNDING)) for share in shares]
        found: list[int | None] = []
        seen = 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            while seen >= ranks[len(found)]:
                found.append(min(self.max, value_of(index)))
                if len(found) == len(ranks):
                    return tuple(found)
        return tuple(found)  # unreachable: the last rank is at most the count

    def share_of(self, holds: Callable[[int], bool]) -> float:
        """Return the share of the values for which ``holds`` is true, each as the highest of its bucket."""
        return sum(count for value, count in self.values() if holds(value)) / self.count if self.count else 0.0

    def supports(self, share: float) -> bool:
        """Return whether enough samples lie beyond the percentile to show it."""
        return self.count >= needed_samples(share)

    def scaled(self, value: float | None, unit_s: float) -> float | None:
        """Return a value of this histogram in units of ``unit_s`` seconds (0.001 for milliseconds)."""
        return None if value is None else round(value * self.layout.unit_ns / (unit_s * 1e9), 6)

    def mean(self) -> float | None:
        """Return the exact mean in units (the sum is kept separately); None of an empty histogram."""
        return self.total / self.count if self.count else None

    def block(self, unit_s: float) -> Statistic:
        """Return the statistic in units of ``unit_s`` seconds; None where the sample is too small."""

        def at(share: float) -> float | None:
            return self.scaled(self.quantile(share), unit_s) if self.supports(share) else None

        return Statistic(
            count=self.count,
            mean=self.scaled(self.mean(), unit_s),
            p50=at(0.5),
            p90=at(0.9),
            p95=at(0.95),
            p99=at(0.99),
            p99_9=at(0.999),
            max=self.scaled(self.max, unit_s),
        )

    def encode(self) -> str:
        """Return the counts in HdrHistogram's V2 interchange format, base64. It takes 1 ms: for the writer's thread."""
        if self.layout.lowest < 0:
            message = "a histogram with a sign has no HdrHistogram encoding"
            raise ValueError(message)
        dense = _dense(self.layout.highest)
        _clear(dense)
        for value, count in self.values():
            dense.record_value(value, count)
        encoded: bytes = dense.encode()
        return encoded.decode("ascii")


def _clear(dense: HdrHistogram) -> None:
    """Empty the package's histogram; its own `reset` takes 2.7 ms for 57 000 counters in Python."""
    ctypes.memset(dense.counts, 0, ctypes.sizeof(dense.counts))
    dense.total_count = 0
    dense.min_value, dense.max_value = sys.maxsize, 0
    dense.start_time_stamp_msec, dense.end_time_stamp_msec = sys.maxsize, 0


@cache
def _dense(highest: int) -> HdrHistogram:
    """Return the package's histogram to encode with, cached: 229 KB in a reference cycle."""
    return HdrHistogram(1, highest, 3)


def merged(histograms: Iterable[Histogram], layout: Layout = LATENCY) -> Histogram:
    """Return a new histogram with the counts of all given ones."""
    total = Histogram(layout)
    for histogram in histograms:
        total.merge(histogram)
    return total
