"""Histograms in the layout of HdrHistogram, kept sparse: mergeable by addition, exact in sum and extremes.

The package's own histogram is a dense array of 229 KB in our range, and a percentile scans it in 4 ms: too much for one
per second, cohort and operation, read by a dashboard on the event loop. So counts live in a dict keyed by the package's
bucket index; `encode` and `histogram_text` speak the package's interchange format (V2), and tests hold every index and
percentile against it.
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
BEYOND: Final = 10  # a percentile is shown where at least so many samples lie beyond it
_ROUNDING: Final = 1e-6  # of a rank: 0.9 * 10 is the ninth


@dataclass(frozen=True, slots=True)
class Layout:
    """A histogram's unit and range; values outside are clamped to it and counted."""

    unit_ns: int
    highest: int
    lowest: int = 0  # below zero for the few figures that have a sign; such a histogram cannot be encoded

    def units(self, value_s: float) -> int:
        """Return a time in seconds as the nearest whole number of this layout's units."""
        return round(value_s * 1_000_000_000 / self.unit_ns)

    def highest_in(self, index: int) -> int:
        """Return the highest value of a bucket that is within the range."""
        return min(highest_equivalent(index), self.highest)


LATENCY: Final = Layout(unit_ns=1_000, highest=24 * 3600 * 1_000_000)
LONG: Final = Layout(unit_ns=1_000_000, highest=30 * 24 * 3600 * 1_000)
SIGNED: Final = Layout(unit_ns=1_000, highest=LATENCY.highest, lowest=-LATENCY.highest)


def bucket_index(value: int) -> int:
    """Return HdrHistogram's counts index of a value ≥ 0, for 3 digits and a unit of 1."""
    shift = value.bit_length() - _HALF_BITS - 1
    return value if shift <= 0 else (shift << _HALF_BITS) + (value >> shift)


def highest_equivalent(index: int) -> int:
    """Return the highest value that shares a bucket: what a percentile that falls there reads as."""
    if index < _FIRST_BUCKET:
        return index
    shift = (index >> _HALF_BITS) - 1
    return ((index - (shift << _HALF_BITS) + 1) << shift) - 1


def bucket_of(value: int) -> int:
    """Return the bucket of a value, also of one below zero; buckets rise with their values."""
    return bucket_index(value) if value >= 0 else ~bucket_index(-value)


def value_of(index: int) -> int:
    """Return the value that a bucket stands for."""
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

    __hash__ = None  # type: ignore[assignment]  # mutable, so not to be hashed; as the data model wants it written

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
        """Return a new histogram without values that are in this one; extremes are then those of the buckets."""
        rest = Histogram(self.layout)
        for index, count in self.counts.items():
            left = count - part.counts.get(index, 0)
            if left > 0:
                value = value_of(index)
                rest.record(value if self.max is None else min(value, self.max), left)
        return rest

    def values(self) -> Iterator[tuple[int, int]]:
        """Yield (value, count) in rising order, a value being the highest of its bucket and at most the maximum."""
        top = self.max or 0
        for index in sorted(self.counts):
            yield min(value_of(index), top), self.counts[index]

    def quantile(self, share: float) -> int | None:
        """Return the value that ``share`` of the values do not exceed, in units: the nearest rank, of one value on."""
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
        return tuple(found)  # not reached: the last rank is at most the count

    def share_of(self, holds: Callable[[int], bool]) -> float:
        """Return the share of the values for which something holds, each taken as the highest of its bucket."""
        return sum(count for value, count in self.values() if holds(value)) / self.count if self.count else 0.0

    def supports(self, share: float) -> bool:
        """Tell whether enough samples lie beyond the percentile for it to be worth showing."""
        return self.count >= needed_samples(share)

    def scaled(self, value: float | None, unit_s: float) -> float | None:
        """Return a value of this histogram in units of ``unit_s`` seconds (0.001 for milliseconds)."""
        return None if value is None else round(value * self.layout.unit_ns / (unit_s * 1e9), 6)

    def mean(self) -> float | None:
        """Return the exact mean in units (sums are kept beside the buckets); None of an empty histogram."""
        return self.total / self.count if self.count else None

    def block(self, unit_s: float) -> Statistic:
        """Return the statistic block in units of ``unit_s`` seconds; null where the sample does not support it."""

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
        """Return the counts in HdrHistogram's V2 interchange format, base64. About 1 ms: for the writer alone."""
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
    """Empty the package's histogram: its own `reset` walks 57 000 counters in Python, for 2.7 ms."""
    ctypes.memset(dense.counts, 0, ctypes.sizeof(dense.counts))
    dense.total_count = 0
    dense.min_value, dense.max_value = sys.maxsize, 0
    dense.start_time_stamp_msec, dense.end_time_stamp_msec = sys.maxsize, 0


@cache
def _dense(highest: int) -> HdrHistogram:
    """Return the package's histogram to encode with: 229 KB in a ring that only the collector would free."""
    return HdrHistogram(1, highest, 3)


def merged(histograms: Iterable[Histogram], layout: Layout = LATENCY) -> Histogram:
    """Return a new histogram with the counts of all given ones."""
    total = Histogram(layout)
    for histogram in histograms:
        total.merge(histogram)
    return total
