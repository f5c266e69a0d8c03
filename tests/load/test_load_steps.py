"""Staircases of rates and recorded times: each device once, in order, and as many as the plan's curve says."""

from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.load.arrivals import Steps, Trace, boot_times, boot_window_s

RATES = st.floats(min_value=0.01, max_value=1000.0)
HEIGHTS = st.one_of(st.just(0.0), RATES)
LENGTHS = st.floats(min_value=0.1, max_value=100.0)
STAIRS = st.builds(
    lambda stairs, last: Steps((*stairs, last)),
    st.lists(st.tuples(HEIGHTS, LENGTHS), max_size=5),
    st.tuples(RATES, LENGTHS),
)


def times(arrivals: Steps | Trace, devices: int) -> list[float]:
    """Return all boot times."""
    return list(boot_times(arrivals, devices, seed=1))


def booted_by(steps: Steps, at_s: float) -> float:
    """Integrate the staircase: how many devices have booted by a time, as a real number."""
    booted, begun_s = 0.0, 0.0
    for number, (rate, for_s) in enumerate(steps.steps, start=1):
        inside_s = max(0.0, at_s - begun_s)
        booted += rate * (inside_s if number == len(steps.steps) else min(inside_s, for_s))
        begun_s += for_s
    return booted


@given(STAIRS, st.integers(min_value=0, max_value=300))
def test_each_device_boots_once_in_order(steps: Steps, devices: int) -> None:
    """Whatever the staircase, as long as its last step is not flat on the ground."""
    booted = times(steps, devices)
    assert len(booted) == devices
    assert all(at_s >= 0 for at_s in booted)
    assert all(before <= after for before, after in pairwise(booted))
    assert boot_window_s(steps, devices, seed=1) == (booted[-1] if booted else 0.0)


@given(STAIRS, st.integers(min_value=1, max_value=300))
def test_a_staircase_is_the_integral_of_its_rates(steps: Steps, devices: int) -> None:
    """At each device's time the integral is the number of devices before it."""
    for index, at_s in enumerate(times(steps, devices)):
        assert booted_by(steps, at_s) == pytest.approx(index, rel=1e-6, abs=1e-5)


def test_each_step_has_its_rate_and_the_last_one_stays() -> None:
    """10/s for 2 s, nothing for 3 s, then 5/s for as long as it takes."""
    booted = times(Steps(((10.0, 2.0), (0.0, 3.0), (5.0, 1.0))), 40)
    per_second = [bisect_left(booted, end) - bisect_left(booted, end - 1) for end in range(1, 10)]
    assert per_second == [10, 10, 0, 0, 0, 5, 5, 5, 5]


def test_a_staircase_that_ends_at_nothing_lets_no_more_devices_boot() -> None:
    """Whose scenario is told so before the run."""
    assert times(Steps(((2.0, 2.0), (0.0, 1.0))), 10) == [0.0, 0.5, 1.0, 1.5]


@given(
    st.lists(st.floats(min_value=0.0, max_value=1e6), max_size=50).map(sorted), st.integers(min_value=0, max_value=50)
)
def test_a_trace_is_played_as_it_was_recorded(recorded: list[float], devices: int) -> None:
    """From its beginning, as far as there are devices."""
    assert times(Trace(tuple(recorded)), devices) == recorded[:devices]
