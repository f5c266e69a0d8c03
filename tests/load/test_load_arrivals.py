"""Arrival processes: as many boots as devices, in order, in the window or at the rate that the plan says."""

from bisect import bisect_right
from itertools import pairwise
from math import exp, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.load.arrivals import Arrivals, Burst, Even, Poisson, Ramp, Steps, Trace, boot_times, boot_window_s

RATES = st.floats(min_value=1e-3, max_value=1e4)
STAIRS = st.builds(
    lambda steps, last: Steps((*steps, last)),  # whose last rate is not 0, so that everybody boots
    st.lists(st.tuples(st.one_of(st.just(0.0), RATES), st.floats(min_value=0.001, max_value=1e4)), max_size=5),
    st.tuples(RATES, st.floats(min_value=0.001, max_value=1e4)),
)
PROCESSES: st.SearchStrategy[Arrivals] = st.one_of(
    st.builds(Burst, st.floats(min_value=0.0, max_value=1e5)),
    st.builds(Even, RATES),
    st.builds(Poisson, RATES),
    st.builds(Ramp, st.one_of(st.just(0.0), RATES), RATES, st.floats(min_value=0.1, max_value=1e4)),
    STAIRS,
    st.lists(st.floats(min_value=0.0, max_value=1e6), min_size=200, max_size=200).map(
        lambda times_s: Trace(tuple(sorted(times_s)))
    ),
)
RAMPS = [Ramp(0.0, 50.0, 60.0), Ramp(5.0, 50.0, 10.0), Ramp(50.0, 5.0, 10.0), Ramp(7.0, 7.0, 10.0)]


def times(arrivals: Arrivals, devices: int, *, seed: int = 1, cohort: int = 0) -> list[float]:
    """Return all boot times."""
    return list(boot_times(arrivals, devices, seed=seed, cohort=cohort))


@given(PROCESSES, st.integers(min_value=0, max_value=200), st.integers(), st.integers(min_value=0, max_value=9))
def test_each_device_boots_once_in_order(arrivals: Arrivals, devices: int, seed: int, cohort: int) -> None:
    """Whatever the process, its times ascend from zero, one for each device, and the window ends with the last."""
    seed %= 2**31
    booted = times(arrivals, devices, seed=seed, cohort=cohort)
    assert len(booted) == devices
    assert all(at_s >= 0.0 for at_s in booted)
    assert all(before <= after for before, after in pairwise(booted))
    assert boot_window_s(arrivals, devices, seed=seed, cohort=cohort) == (booted[-1] if booted else 0.0)
    assert times(arrivals, devices, seed=seed, cohort=cohort) == booted


@given(PROCESSES, st.integers(min_value=1, max_value=50), st.integers(min_value=1, max_value=50))
def test_a_larger_fleet_begins_as_a_smaller_one(arrivals: Arrivals, devices: int, more: int) -> None:
    """Devices that are added come after, in every process that is not squeezed into a window."""
    few, many = times(arrivals, devices), times(arrivals, devices + more)
    if isinstance(arrivals, Burst):
        assert set(few) <= set(many)
    else:
        assert many[:devices] == few


@pytest.mark.parametrize("random", [Burst(10.0), Poisson(10.0)])
def test_seeds_and_cohorts_have_plans_of_their_own(random: Arrivals) -> None:
    """Two cohorts of one scenario do not boot in step, nor do two seeds."""
    plans = [times(random, 50, seed=seed, cohort=cohort) for seed in (1, 2) for cohort in (0, 1)]
    assert len({at_s for plan in plans for at_s in plan}) == 4 * 50


@given(st.floats(min_value=0.0, max_value=1e6), st.integers(min_value=1, max_value=100))
def test_a_burst_stays_in_its_window(over_s: float, devices: int) -> None:
    """All of it; and a window of nothing is one moment."""
    assert max(times(Burst(over_s), devices)) <= over_s
    assert times(Burst(0.0), devices) == [0.0] * devices


def test_a_burst_fills_its_window_evenly() -> None:
    """The distribution of the times is the window's diagonal (Kolmogorov-Smirnov, one in a thousand above)."""
    devices = 2000
    booted = times(Burst(30.0), devices)
    gap = max(abs(at_s / 30.0 - (i + 0.5) / devices) for i, at_s in enumerate(booted))
    assert gap < 1.95 / sqrt(devices)


def test_even_is_a_metronome() -> None:
    """From the very start, with no drift: the millionth device is where the rate puts it."""
    assert times(Even(4.0), 5) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert boot_window_s(Even(3.0), 100_000, seed=1) == 99_999 / 3.0


def test_poisson_has_its_mean_rate_and_exponential_gaps() -> None:
    """The mean within 4 sigma; the share of gaps longer than the mean is 1/e; the spread is that of the mean."""
    devices, rate = 20_000, 50.0
    booted = [0.0, *times(Poisson(rate), devices)]
    gaps = [after - before for before, after in pairwise(booted)]
    assert booted[-1] / devices == pytest.approx(1 / rate, rel=4 / sqrt(devices))
    long = sum(gap > 1 / rate for gap in gaps) / devices
    assert long == pytest.approx(exp(-1), abs=4 * sqrt(exp(-1) * (1 - exp(-1)) / devices))
    assert sum(gap**2 for gap in gaps) / devices == pytest.approx(2 / rate**2, rel=0.1)


def booted_by(ramp: Ramp, at_s: float) -> float:
    """Integrate the ramp's rate: how many devices have booted by a time, as a real number."""
    inside_s = min(at_s, ramp.over_s)
    slope = (ramp.to_per_s - ramp.from_per_s) / ramp.over_s
    return ramp.from_per_s * inside_s + slope * inside_s**2 / 2 + max(0.0, at_s - ramp.over_s) * ramp.to_per_s


@pytest.mark.parametrize("ramp", RAMPS)
def test_a_ramp_is_the_integral_of_its_rate(ramp: Ramp) -> None:
    """At each device's time the integral is the number of devices before it, in the ramp and on the plateau."""
    devices = 3000
    for index, at_s in enumerate(times(ramp, devices)):
        assert booted_by(ramp, at_s) == pytest.approx(index, abs=1e-6)


def test_a_ramp_reaches_its_rate_and_keeps_it() -> None:
    """From 5/s to 50/s over 10 s: 275 devices on the way, 50 in each second after."""
    booted = times(Ramp(5.0, 50.0, 10.0), 1000)
    per_second = [bisect_right(booted, end - 1e-9) - bisect_right(booted, end - 1 - 1e-9) for end in range(1, 15)]
    assert sum(per_second[:10]) == 275
    assert per_second[10:] == [50] * 4


@given(
    st.one_of(st.just(0.0), RATES),
    RATES,
    st.floats(min_value=0.1, max_value=1e4),
    st.integers(min_value=1, max_value=400),
)
def test_any_ramp_inverts_its_integral(start: float, end: float, over_s: float, devices: int) -> None:
    """Also where it is nearly flat, falls, or is over before the second device."""
    ramp = Ramp(start, end, over_s)
    last = times(ramp, devices)[-1]
    assert booted_by(ramp, last) == pytest.approx(devices - 1, rel=1e-6, abs=1e-6)


def climbed_by(stairs: Steps, at_s: float) -> float:
    """Integrate a staircase's rate: how many devices have booted by a time, as a real number."""
    booted, begun_s = 0.0, 0.0
    for rate, for_s in stairs.steps:
        booted += rate * min(for_s, max(0.0, at_s - begun_s))
        begun_s += for_s
    return booted + stairs.steps[-1][0] * max(0.0, at_s - begun_s)


@given(STAIRS, st.integers(min_value=1, max_value=300))
def test_any_staircase_inverts_its_integral(stairs: Steps, devices: int) -> None:
    """At each device's time the integral is the number of devices before it, whatever the steps, also those of 0."""
    for index, at_s in enumerate(times(stairs, devices)):
        assert climbed_by(stairs, at_s) == pytest.approx(index, rel=1e-6, abs=1e-5)


def test_a_staircase_boots_so_many_in_each_step() -> None:
    """Steps of 10/s, 0/s and 20/s for a second each: 10, none, 20, and 20 in each second after."""
    booted = times(Steps(((10.0, 1.0), (0.0, 1.0), (20.0, 1.0))), 70)
    assert booted[9] == pytest.approx(0.9)
    assert booted[10] == 2.0
    per_second = [bisect_right(booted, end - 1e-9) - bisect_right(booted, end - 1 - 1e-9) for end in range(1, 6)]
    assert per_second == [10, 0, 20, 20, 20]


@pytest.mark.parametrize(
    ("steps", "boots"),
    [
        (((1.0, 9.5), (0.0, 1.0)), 10),  # the first at 0, the tenth at 9
        (((1.0, 9.0), (0.0, 1.0)), 9),
        (((0.1, 30.0), (0.0, 1.0)), 3),  # no fourth for a rounding error
        (((0.0, 5.0), (0.0, 1.0)), 0),
    ],
)
def test_a_staircase_that_ends_at_nothing_lets_no_more_boot(steps: tuple[tuple[float, float], ...], boots: int) -> None:
    """As many as its integral, the first one at once; the scenario's reader refuses what would wait for ever."""
    assert len(times(Steps(steps), 100)) == boots


def test_a_staircase_that_ends_at_nothing_boots_the_others_at_its_rates() -> None:
    """Whose scenario is told so before the run."""
    assert times(Steps(((2.0, 2.0), (0.0, 1.0))), 10) == [0.0, 0.5, 1.0, 1.5]


def test_no_rounding_puts_a_device_before_the_one_before_it() -> None:
    """A steep step that ends a hair below a whole device, then one of a device a day."""
    booted = times(Steps(((1e5, 0.001 * (1 - 5e-12)), (1 / 86_400, 1.0))), 103)
    assert booted == sorted(booted)


def test_a_trace_is_played_as_it_is() -> None:
    """From its beginning, as far as there are devices; no seed and no cohort changes it."""
    trace = Trace((0.5, 0.5, 7.0, 9.0))
    assert times(trace, 3, seed=5, cohort=6) == [0.5, 0.5, 7.0]
    assert times(trace, 9) == [0.5, 0.5, 7.0, 9.0]
    assert times(Trace(()), 9) == []


@given(
    st.lists(st.floats(min_value=0.0, max_value=1e6), max_size=50).map(sorted), st.integers(min_value=0, max_value=50)
)
def test_any_trace_is_played_as_it_was_recorded(recorded: list[float], devices: int) -> None:
    """From its beginning, as far as there are devices."""
    assert times(Trace(tuple(recorded)), devices) == recorded[:devices]
