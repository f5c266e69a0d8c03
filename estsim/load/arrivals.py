"""Arrival processes: when each device of a cohort is meant to boot, as a pure function of the plan (open loop).

Times are seconds from the start of the cohort's boot, ascending, one per device. Random plans draw from
:mod:`estsim.load.streams`, so they are the same fleet-wide for any number of workers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, inf, log1p, sqrt

from estsim.load.streams import Purpose, uniform


@dataclass(frozen=True, slots=True)
class Burst:
    """All devices within ``over_s``, each at a moment of its own (uniformly drawn); 0 is all at once."""

    over_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Even:
    """One device every ``1 / rate_per_s``."""

    rate_per_s: float


@dataclass(frozen=True, slots=True)
class Poisson:
    """Exponential gaps with mean ``1 / rate_per_s``: independent devices."""

    rate_per_s: float


@dataclass(frozen=True, slots=True)
class Ramp:
    """A rate that grows linearly from ``from_per_s`` to ``to_per_s`` over ``over_s``, then stays."""

    from_per_s: float
    to_per_s: float
    over_s: float


@dataclass(frozen=True, slots=True)
class Steps:
    """A staircase: so many per second for so many seconds, step after step; the last rate stays. A step may be 0."""

    steps: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Recorded times, ascending, one per device; those beyond the devices are not played."""

    times_s: tuple[float, ...]


Arrivals = Burst | Even | Poisson | Ramp | Steps | Trace


def boot_times(arrivals: Arrivals, devices: int, *, seed: int, cohort: int = 0) -> Iterator[float]:
    """Yield the boot time of each of ``devices`` devices in seconds, ascending.

    ``cohort`` numbers the cohort in the scenario, so that two cohorts draw different times.
    """
    match arrivals:
        case Burst(over_s):
            return iter(sorted(over_s * uniform(seed, cohort, Purpose.ARRIVAL, i) for i in range(devices)))
        case Even(rate):
            return (i / rate for i in range(devices))
        case Poisson(rate):
            return accumulate(_gap(rate, seed, cohort, i) for i in range(devices))
        case Ramp():
            return (_ramp_time(arrivals, i) for i in range(devices))
        case Steps(steps):
            return _step_times(steps, devices)
        case Trace(times_s):
            return iter(times_s[:devices])


def boot_window_s(arrivals: Arrivals, devices: int, *, seed: int, cohort: int = 0) -> float:
    """Return when the last device boots, in seconds: at once, where no draws decide it."""
    match arrivals:
        case Even(rate) if devices:
            return (devices - 1) / rate
        case Ramp() if devices:
            return _ramp_time(arrivals, devices - 1)
        case Steps(steps):
            return _last_step_time(steps, devices)
        case _:
            return max(boot_times(arrivals, devices, seed=seed, cohort=cohort), default=0.0)


def boot_time_at(arrivals: Arrivals, devices: int, share: float) -> float:
    """Return about when a share of the devices has booted, without any draw; infinity where it never does."""
    index = min(max(0, devices - 1), int(share * devices))
    match arrivals:
        case Burst(over_s):
            return over_s * share
        case Even(rate) | Poisson(rate):
            return index / rate
        case Ramp():
            return _ramp_time(arrivals, index)
        case Steps(steps):
            return _last_step_time(steps, index + 1)
        case Trace(times_s):
            return times_s[index] if index < len(times_s) else inf


def _gap(rate_per_s: float, seed: int, cohort: int, index: int) -> float:
    return -log1p(-uniform(seed, cohort, Purpose.ARRIVAL, index)) / rate_per_s


def _step_times(steps: tuple[tuple[float, float], ...], devices: int) -> Iterator[float]:
    """Yield when the count of a staircase's integral reaches each device; one that ends at 0 yields no more."""
    begun_s, booted, index = 0.0, 0.0, 0
    for number, (rate, for_s) in enumerate(steps, start=1):
        last = number == len(steps)
        while index < devices and rate > 0 and (last or index < booted + rate * for_s - 1e-9):
            yield begun_s + max(0.0, index - booted) / rate
            index += 1
        begun_s, booted = begun_s + for_s, booted + rate * for_s


def _last_step_time(steps: tuple[tuple[float, float], ...], devices: int) -> float:
    """Return the last time of :func:`_step_times`."""
    begun_s, booted, index, at_s = 0.0, 0.0, 0, 0.0
    for number, (rate, for_s) in enumerate(steps, start=1):
        end = devices if number == len(steps) else min(devices, ceil(booted + rate * for_s - 1e-9))
        if rate > 0 and end > index:
            at_s, index = begun_s + max(0.0, end - 1 - booted) / rate, end
        begun_s, booted = begun_s + for_s, booted + rate * for_s
    return at_s


def _ramp_time(ramp: Ramp, index: int) -> float:
    """Solve (devices booted by t) = index for t; the curve is a parabola, then a line."""
    slope = (ramp.to_per_s - ramp.from_per_s) / ramp.over_s
    by_end = (ramp.from_per_s + ramp.to_per_s) / 2 * ramp.over_s
    if index >= by_end:
        return ramp.over_s + (index - by_end) / ramp.to_per_s
    if slope == 0:
        return index / ramp.from_per_s
    return (sqrt(ramp.from_per_s**2 + 2 * slope * index) - ramp.from_per_s) / slope
