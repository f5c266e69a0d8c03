"""Seeded draws: on [0, 1), the same for the same key, and without a trace of each other."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.load.streams import Purpose, uniform

LONGS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
DRAWS = 20_000
BINS = 100
CHI_SQUARED_99_9 = 148.2  # 99 degrees of freedom: one sound generator in a thousand lies above


@given(LONGS, LONGS, LONGS, LONGS)
def test_a_draw_is_on_the_unit_interval_and_repeats(seed: int, device: int, purpose: int, counter: int) -> None:
    """One is never reached, so that the logarithm of an exponential gap is finite."""
    drawn = uniform(seed, device, purpose, counter)
    assert 0.0 <= drawn < 1.0
    assert uniform(seed, device, purpose, counter) == drawn


def test_draws_are_those_of_earlier_versions() -> None:
    """A seed in somebody's scenario means the same fleet for ever: BLAKE2b-64 of four little-endian longs."""
    assert uniform(42, 0, Purpose.ARRIVAL, 0) == 0.057911705357381216
    assert uniform(-1, 7, Purpose.DEFERRAL, 3) == 0.9764876828044515


def test_every_part_of_the_key_counts() -> None:
    """A thousand neighbouring keys, a thousand different draws."""
    keys = product(range(5), range(10), (purpose for purpose in Purpose if purpose <= Purpose.SELECTION), range(4))
    drawn = [uniform(*key) for key in keys]
    assert len(set(drawn)) == len(drawn) == 1000


def test_purposes_have_numbers_of_their_own() -> None:
    """Two purposes with one number would wake a device by the draw of its arrival."""
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose.__members__)


def of_seeds(index: int) -> float:
    """Draw by seed."""
    return uniform(index, 0, Purpose.ARRIVAL, 0)


def of_devices(index: int) -> float:
    """Draw by device."""
    return uniform(1, index, Purpose.ARRIVAL, 0)


def of_counters(index: int) -> float:
    """Draw by counter."""
    return uniform(1, 0, Purpose.ARRIVAL, index)


STREAMS = pytest.mark.parametrize("stream", [of_seeds, of_devices, of_counters])


@STREAMS
def test_draws_are_uniform(stream: Callable[[int], float]) -> None:
    """Chi-squared over a hundred bins, along each part of the key that is counted up."""
    bins = Counter(int(stream(index) * BINS) for index in range(DRAWS))
    expected = DRAWS / BINS
    assert sum((bins[i] - expected) ** 2 / expected for i in range(BINS)) < CHI_SQUARED_99_9


@STREAMS
def test_neighbours_are_strangers(stream: Callable[[int], float]) -> None:
    """Devices next to each other do not act next to each other: no serial correlation beyond chance (4 sigma)."""
    drawn = [stream(index) for index in range(DRAWS)]
    covariance = sum((a - 0.5) * (b - 0.5) for a, b in pairwise(drawn)) / (DRAWS - 1)
    assert abs(covariance * 12) < 4 / DRAWS**0.5


@pytest.mark.parametrize("other", [purpose for purpose in Purpose if purpose is not Purpose.ARRIVAL])
def test_purposes_are_independent(other: Purpose) -> None:
    """When a device arrives says nothing about anything else it draws."""
    together = sum(
        (uniform(1, device, Purpose.ARRIVAL, 0) - 0.5) * (uniform(1, device, other, 0) - 0.5) for device in range(DRAWS)
    )
    assert abs(together / DRAWS * 12) < 4 / DRAWS**0.5
