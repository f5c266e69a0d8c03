"""Confidence intervals from blocks of time: as wide as the blocks differ, and honest about too few."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.record.blocks import MIN_BLOCKS, Blocks, interval
from estsim.record.histograms import Histogram


def a_block(values: list[int]) -> Histogram:
    """Return a block of values."""
    block = Histogram()
    for value in values:
        block.record(value)
    return block


def test_an_interval_holds_the_truth_nineteen_times_out_of_twenty() -> None:
    """Blocks that share a common delay, as a herd's do: samples that are not independent."""
    held, wide = 0, 0
    for seed in range(200):
        random = Random(seed)
        blocks = []
        for _ in range(30):
            shift = random.gauss(0, 300)
            blocks.append(a_block([round(5000 + shift + random.gauss(0, 300)) for _ in range(60)]))
        found = interval(blocks, 0.5)
        assert found is not None
        low, high = found
        assert high is not None
        held += low <= 5000 <= high
        wide += high - low
    assert 0.90 * 200 <= held <= 0.99 * 200
    assert wide / 200 == pytest.approx(2 * 1.96 * 300 / 30**0.5, rel=0.35)  # a mean of 30 blocks, not of 1800 samples


def test_too_few_blocks_say_nothing() -> None:
    """A spread needs five."""
    block = a_block([1000] * 50)
    assert interval([block] * (MIN_BLOCKS - 1), 0.5) is None
    assert interval([block] * MIN_BLOCKS, 0.5) == (1000, 1000)
    assert interval([], 0.5) is None


def test_a_bound_that_the_sample_cannot_reach_is_open() -> None:
    """Where the worst block holds the whole tail, nobody knows how high p99 may be."""
    blocks = [a_block([1000] * 100) for _ in range(9)] + [a_block([1000] * 88 + [90_000] * 12)]
    found = interval(blocks, 0.99)
    assert found is not None
    assert found[1] is None
    assert found[0] <= 1000


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 10**6)), max_size=300), st.integers(1, 4))
def test_blocks_merge_in_any_order_and_lose_nothing(values: list[tuple[int, int]], shards: int) -> None:
    """Also those that had to be coarsened."""
    whole = Blocks()
    parts = [Blocks() for _ in range(shards)]
    for place, (number, value) in enumerate(values):
        whole.add(number, a_block([value]))
        parts[place % shards].add(number, a_block([value]))
    merged = Blocks()
    for part in reversed(parts):
        merged.merge(part)
    assert merged.grain == whole.grain
    assert merged.of(25.0) == whole.of(25.0)
    assert sum(block.count for block in whole.of(None)) == len(values)


def test_blocks_are_as_long_as_the_period_asks() -> None:
    """max(T, 10 s), in whole blocks of 10 s."""
    blocks = Blocks()
    for number in range(12):
        blocks.add(number, a_block([1]))
    assert [len(blocks.of(period_s)) for period_s in (None, 3, 10, 11, 30, 1000)] == [12, 12, 12, 6, 4, 1]
