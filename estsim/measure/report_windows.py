"""Time cut into windows that have enough samples for the percentiles drawn in them (METRICS.md, "Thresholds").

A chart of percentiles per second of a small fleet would show noise. So seconds are merged until each window supports
the highest percentile that the whole can be cut for; percentiles come from the merged histograms, never from means.
"""

import zlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from operator import mul
from typing import Final

from estsim.measure.histograms import LATENCY, Histogram, merged, needed_samples

SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
MAX_POINTS: Final = 240  # along the time axis of a chart
_MIN_WINDOWS: Final = 4  # fewer show no course of time
_NICE_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_ENVELOPE_BYTES: Final = 8  # cookie and length, then what was compressed
_HEADER_BYTES: Final = 40  # of the histogram, before its counts


@dataclass(frozen=True, slots=True)
class Window:
    """Some seconds of a run with the percentiles that their samples support, in milliseconds."""

    from_s: int
    to_s: int
    count: int
    percentiles: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Course:
    """A latency over time. ``names`` are the percentiles that every window has; none of too small a sample."""

    count: int
    names: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()


def course_of(seconds: Mapping[int, Histogram]) -> Course:
    """Cut the seconds of a run into windows."""
    count = sum(histogram.count for histogram in seconds.values())
    names = _supported(count)
    if not names:
        return Course(count)
    groups = _groups(seconds, needed_samples(SHARES[names[-1]]), bin_width_s(max(seconds) + 1 - min(seconds)))
    return Course(count, names, tuple(_window(seconds, group, names) for group in groups))


def bin_width_s(span_s: int) -> int:
    """Return into how many whole seconds a point of a chart falls, so that the span has no more than MAX_POINTS."""
    least = -(-span_s // MAX_POINTS)
    return next((width for width in _NICE_S if width >= least), least)


def _supported(count: int) -> tuple[str, ...]:
    """Return the percentiles that windows of such a total can show: the higher ones only if enough windows remain."""
    names = [name for name, share in SHARES.items() if count >= _MIN_WINDOWS * needed_samples(share)]
    if not names:
        names = [name for name, share in SHARES.items() if count >= needed_samples(share)][:1]
    return tuple(names)


def _groups(seconds: Mapping[int, Histogram], needed: int, width_s: int) -> list[list[int]]:
    """Return the seconds of each window; what is left at the end joins the last one."""
    groups: list[list[int]] = []
    group: list[int] = []
    count = 0
    for second in sorted(seconds):
        group.append(second)
        count += seconds[second].count
        if count >= needed and second + 1 - group[0] >= width_s:
            groups.append(group)
            group, count = [], 0
    if groups and group:
        groups[-1].extend(group)
    return groups or [group]


def _window(seconds: Mapping[int, Histogram], group: list[int], names: tuple[str, ...]) -> Window:
    whole = merged(seconds[second] for second in group)
    values = whole.quantiles(*(SHARES[name] for name in names))
    shown = {name: whole.scaled(value, 0.001) or 0.0 for name, value in zip(names, values, strict=True)}
    return Window(group[0], group[-1] + 1, whole.count, shown)


def decoded(encoded: str) -> Histogram:
    """Read HdrHistogram's V2 interchange format of our range without a dense array: some 1000 times quicker.

    The counts are zigzag LEB128 numbers, one a bucket from bucket 0 on; one below zero is that many empty buckets.
    """
    payload = zlib.decompress(b64decode(encoded)[_ENVELOPE_BYTES:])[_HEADER_BYTES:]
    counts: dict[int, int] = {}
    index, number, shift = 0, 0, 0
    for byte in payload:
        if byte >= 0x80:  # noqa: PLR2004 - the top bit says that more follows
            number |= (byte & 0x7F) << shift
            shift += 7
            continue
        number |= byte << shift
        if number & 1:
            index += (number + 1) >> 1
        else:
            if number:
                counts[index] = number >> 1
            index += 1
        number = shift = 0
    return _of_counts(counts)


def _of_counts(counts: dict[int, int]) -> Histogram:
    """Return a histogram of such counts by bucket; its values are the highest of their buckets."""
    histogram = Histogram(LATENCY)
    if counts:
        values = [*map(LATENCY.highest_in, counts)]  # in rising order
        histogram.counts, histogram.count = counts, sum(counts.values())
        histogram.total = sum(map(mul, values, counts.values()))
        histogram.min, histogram.max = values[0], values[-1]
    return histogram
