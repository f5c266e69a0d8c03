"""Time cut into windows that have enough samples for the percentiles drawn in them (docs/metrics.md, "Thresholds").

Percentiles per second of a small fleet would be noise. So seconds are merged until each window supports the highest
percentile drawn; percentiles come from the merged histograms, never from means.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from estsim.record.histograms import Histogram, merged, needed_samples

SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
MAX_POINTS: Final = 240  # along the time axis of a chart
_MIN_WINDOWS: Final = 4  # fewer show no development
_NICE_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Window:
    """Some seconds of a run with the percentiles that their samples support, in milliseconds."""

    from_s: int
    to_s: int
    count: int
    percentiles: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Course:
    """A latency over time. ``names`` are the percentiles that every window has; none if the sample is too small."""

    count: int
    names: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """How the seconds of ``count`` values are cut into windows; ``groups`` are the seconds of each."""

    count: int
    names: tuple[str, ...] = ()
    groups: tuple[list[int], ...] = ()

    def course(self, histograms: Iterable[Histogram]) -> Course:
        """Return the course of a latency whose windows have these histograms."""
        windows = (_window(group, whole, self.names) for group, whole in zip(self.groups, histograms, strict=True))
        return Course(self.count, self.names, tuple(windows))


def course_of(seconds: Mapping[int, Histogram]) -> Course:
    """Cut the seconds of a run into windows."""
    cut = cut_of({second: histogram.count for second, histogram in seconds.items()})
    return cut.course(merged(seconds[second] for second in group) for group in cut.groups)


def cut_of(counts: Mapping[int, int]) -> Cut:
    """Return the windows for seconds with these numbers of values."""
    count = sum(counts.values())
    names = _supported(count)
    if not names:
        return Cut(count)
    groups = _groups(counts, needed_samples(SHARES[names[-1]]), bin_width_s(max(counts) + 1 - min(counts)))
    return Cut(count, names, tuple(groups))


def bin_width_s(span_s: int) -> int:
    """Return the whole seconds of a chart's point, so that the span has at most MAX_POINTS."""
    least = -(-span_s // MAX_POINTS)
    return next((width for width in _NICE_S if width >= least), least)


def _supported(count: int) -> tuple[str, ...]:
    """Return the percentiles that the windows of ``count`` values support, if there are to be enough windows."""
    names = [name for name, share in SHARES.items() if count >= _MIN_WINDOWS * needed_samples(share)]
    if not names:
        names = [name for name, share in SHARES.items() if count >= needed_samples(share)][:1]
    return tuple(names)


def _groups(counts: Mapping[int, int], needed: int, width_s: int) -> list[list[int]]:
    """Return the seconds of each window; a remainder at the end joins the last one."""
    groups: list[list[int]] = []
    group: list[int] = []
    count = 0
    for second in sorted(counts):
        group.append(second)
        count += counts[second]
        if count >= needed and second + 1 - group[0] >= width_s:
            groups.append(group)
            group, count = [], 0
    if groups and group:
        groups[-1].extend(group)
    return groups or [group]


def _window(group: list[int], whole: Histogram, names: tuple[str, ...]) -> Window:
    values = whole.quantiles(*(SHARES[name] for name in names))
    shown = {name: whole.scaled(value, 0.001) or 0.0 for name, value in zip(names, values, strict=True)}
    return Window(group[0], group[-1] + 1, whole.count, shown)
