"""The data of a report about the generator: readings over time, worst windows, saturation verdict.

The verdict is made by the class that a live run uses. Lags up to the limit are stored coarsely, larger ones exactly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from estsim.record.histograms import Histogram, merged
from estsim.record.sample import GeneratorReading, MarkRow
from estsim.record.saturation import LOST, WINDOW_S, Saturation, SaturationWatch, of_loss, stall_limit_s
from estsim.record.slice_counts import ReportCounts
from estsim.record.statistic import Statistic
from estsim.report.stored_run import StoredPlan
from estsim.report.windows import MAX_POINTS, Course, course_of

WORST: Final = 5
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Vital:
    """A point of the charts: the mean of CPU, the maximum of everything else."""

    at_s: float
    cpu_share: float
    loop_delay_ms: float
    rss_mib: float
    ports: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class GeneratorWindow:
    """Ten seconds of the generator; ``strain`` is its largest figure as a share of the limit."""

    from_s: int
    lag_p99_ms: float | None
    loop_delay_ms: float | None
    cpu_share: float | None
    rss_mib: float | None
    ports: int
    descriptors: int
    strain: float


@dataclass(frozen=True, slots=True)
class GeneratorReport:
    """The figures of the generator."""

    lag_ms: Statistic
    lag: Course
    loop_monitor: tuple[Vital, ...]
    peak_rss_bytes: int | None
    max_lag_ms: float
    max_cpu: float
    worst: tuple[GeneratorWindow, ...] = ()
    saturation: Saturation | None = None


def generator_of(
    readings: Sequence[GeneratorReading],
    marks: Iterable[MarkRow],
    plan: StoredPlan,
    counts: ReportCounts,
    *,
    lag: Histogram,
    ended_ns: int,
) -> tuple[GeneratorReport, SaturationWatch]:
    """Return the generator's figures, and the watch that judged it."""
    lags = counts.lags
    watch = _watched(plan, readings, counts)
    watch.now_ns = ended_ns
    lost = next((of_loss(mark.at_ns, mark.text) for mark in marks if mark.kind == LOST), None)
    report = GeneratorReport(
        lag_ms=lag.block(0.001),
        lag=course_of(lags),
        loop_monitor=_loop_monitor(readings, max(1, ended_ns // MAX_POINTS)),
        peak_rss_bytes=round(_memory_mib(readings) * 2**20) if readings else None,
        max_lag_ms=plan.max_lag_s * 1000,
        max_cpu=plan.max_cpu,
        worst=_worst(readings, lags, plan),
        saturation=lost or watch.verdict(),
    )
    return report, watch


def _loop_monitor(readings: Iterable[GeneratorReading], width_ns: int) -> tuple[Vital, ...]:
    points: dict[int, list[GeneratorReading]] = {}
    for reading in readings:
        points.setdefault(reading.at_ns // width_ns, []).append(reading)
    return tuple(
        Vital(
            at_s=group[-1].at_ns / _NS,
            cpu_share=_busiest(group),
            loop_delay_ms=max(reading.loop_delay_p99_ns for reading in group) / 1e6,
            rss_mib=_memory_mib(group),
            ports=max(reading.ports for reading in group),
            descriptors=max(reading.descriptors for reading in group),
        )
        for group in points.values()
    )


def _by_worker(readings: Iterable[GeneratorReading]) -> list[list[GeneratorReading]]:
    workers: dict[int, list[GeneratorReading]] = {}
    for reading in readings:
        workers.setdefault(reading.worker, []).append(reading)
    return [*workers.values()]


def _busiest(readings: Iterable[GeneratorReading]) -> float:
    """Return the mean CPU share of the busiest worker; each worker has a core."""
    return max(sum(reading.cpu_share for reading in own) / len(own) for own in _by_worker(readings))


def _memory_mib(readings: Iterable[GeneratorReading]) -> float:
    """Return the sum of the workers' peak memory."""
    return sum(max(reading.rss_bytes for reading in own) for own in _by_worker(readings)) / 2**20


def _worst(
    readings: Sequence[GeneratorReading], lags: Mapping[int, Histogram], plan: StoredPlan
) -> tuple[GeneratorWindow, ...]:
    """Return the windows closest to a limit, in the order of time."""
    by_window: dict[int, tuple[list[Histogram], list[GeneratorReading]]] = {}
    for second, histogram in lags.items():
        by_window.setdefault(second // WINDOW_S, ([], []))[0].append(histogram)
    for reading in readings:
        by_window.setdefault(max(0, reading.at_ns) // _NS // WINDOW_S, ([], []))[1].append(reading)
    windows = [_window(number * WINDOW_S, *found, plan) for number, found in by_window.items()]
    worst = sorted(windows, key=lambda window: (-window.strain, window.from_s))[:WORST]
    return tuple(sorted(worst, key=lambda window: window.from_s))


def _window(
    from_s: int, lags: Sequence[Histogram], readings: Sequence[GeneratorReading], plan: StoredPlan
) -> GeneratorWindow:
    lag = merged(lags)
    lag_ms = lag.scaled(lag.quantile(0.99), 0.001)
    cpu = _busiest(readings) if readings else None
    return GeneratorWindow(
        from_s=from_s,
        lag_p99_ms=lag_ms,
        loop_delay_ms=max((reading.loop_delay_p99_ns / 1e6 for reading in readings), default=None),
        cpu_share=cpu,
        rss_mib=_memory_mib(readings) if readings else None,
        ports=max((reading.ports for reading in readings), default=0),
        descriptors=max((reading.descriptors for reading in readings), default=0),
        strain=max(
            (lag_ms or 0.0) / (plan.max_lag_s * 1000),
            (cpu or 0.0) / plan.max_cpu,
            max(map(_stalled_s, readings), default=0.0) / stall_limit_s(plan.max_lag_s),
        ),
    )


def _stalled_s(reading: GeneratorReading) -> float:
    if reading.stalled_from_ns is None or reading.stalled_to_ns is None:
        return 0.0
    return (reading.stalled_to_ns - reading.stalled_from_ns) / _NS


def _watch(readings: Iterable[GeneratorReading], plan: StoredPlan) -> SaturationWatch:
    """Return a watch of one worker's readings."""
    watch = SaturationWatch(max_lag_s=plan.max_lag_s, max_cpu=plan.max_cpu)
    for reading in readings:
        watch.reading(reading)
    return watch


def _watched(plan: StoredPlan, readings: Iterable[GeneratorReading], counts: ReportCounts) -> SaturationWatch:
    """Return a watch of the whole generator, as a live run has: of the lags of each second and of the readings."""
    watch = SaturationWatch(max_lag_s=plan.max_lag_s, max_cpu=plan.max_cpu)
    limit_us = plan.max_lag_s * 1e6
    for second, histogram in counts.lags.items():
        watch.started[second] += histogram.count
        late = Histogram()
        for value_us, count in histogram.values():
            if value_us > limit_us:
                late.record(value_us, count)
        if late.count:
            watch.late[second] = late
        watch.latest = max(watch.latest, (1000 * (histogram.max or 0), second * _NS))
    for own in _by_worker(readings):
        watch.merge(_watch(own, plan))
    if counts.ran_out is not None:
        watch.out_of(*counts.ran_out)
    return watch
