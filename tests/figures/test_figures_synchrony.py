"""Whether polls march in step: herds, even traffic, split herds."""

import tracemalloc
from random import Random

import pytest

from estsim.figures.synchrony import resync_s, synchrony_of


def _bins(times_s: list[float]) -> dict[int, int]:
    bins: dict[int, int] = {}
    for at_s in times_s:
        bins[int(at_s * 10)] = bins.get(int(at_s * 10), 0) + 1
    return bins


def test_a_herd_in_lock_step_has_an_r_of_one() -> None:
    """200 polls every 6 s at one instant."""
    figures = synchrony_of(_bins([6.0 * n for n in range(31) for _ in range(200)]), 6)
    assert figures is not None
    assert figures.synchronisation == pytest.approx(1.0)
    assert figures.lag_correlation == pytest.approx(1.0, abs=0.1)
    assert (figures.fano or 0) > 100


def test_even_traffic_has_none() -> None:
    """Poisson arrivals: R near 0, no burstiness, a Fano factor of 1."""
    random = Random(3)
    figures = synchrony_of(_bins([random.uniform(0, 600) for _ in range(30_000)]), 6)
    assert figures is not None
    assert (figures.synchronisation or 1) < 0.1
    assert figures.burstiness == pytest.approx(0, abs=0.01)
    assert figures.fano == pytest.approx(1, abs=0.25)


def test_a_herd_split_in_two_shows_in_the_lag_correlation() -> None:
    """Two halves, half a period apart: R sees nothing, the correlation at lag T sees all."""
    figures = synchrony_of(_bins([3.0 * n for n in range(62) for _ in range(200)]), 6)
    assert figures is not None
    assert figures.synchronisation == pytest.approx(0.0, abs=0.05)
    assert (figures.lag_correlation or 0) > 0.8


def test_without_a_period_or_enough_polls_there_is_no_figure() -> None:
    """Null, not zero: 49 polls a window say nothing."""
    assert synchrony_of({1: 100}, None) is None
    assert synchrony_of({}, 6) is None
    assert synchrony_of(_bins([n * 18 / 49 for n in range(49 * 5)]), 6) is None


def test_a_period_that_no_run_lasts_takes_no_memory() -> None:
    """A Retry-After of 2**31 s makes windows of two centuries, of which none is filled."""
    tracemalloc.start()
    try:
        assert synchrony_of(_bins([0.5 * n for n in range(1000)]), 2**31) is None
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_herd_that_falls_apart_is_resynced_when_a_window_shows_it() -> None:
    """In step for a minute after the event, then spread: the first whole window of 3 T with R below 0.2."""
    random = Random(7)
    herd = [60.0 + 6.0 * turn for turn in range(10) for _ in range(100)]
    spread = [random.uniform(120.0, 300.0) for _ in range(3000)]
    took = resync_s(_bins(herd + spread), 6, [60.0])
    assert took is not None
    assert 60 < took <= 60 + 18 + 6
    assert resync_s(_bins(herd), 6, [60.0]) is None
    assert resync_s(_bins(herd + spread), 6, []) is None
    assert resync_s(_bins(herd + spread), 6, [60.0, 130.0]) is None  # the second came before the first was over
