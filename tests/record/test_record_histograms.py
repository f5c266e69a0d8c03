"""Histograms: HdrHistogram's layout and percentiles, kept sparse; merging by addition."""

from random import Random

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from estsim.record.histogram_text import decoded
from estsim.record.histograms import (
    LATENCY,
    LONG,
    SIGNED,
    Histogram,
    bucket_index,
    highest_equivalent,
    merged,
    needed_samples,
)
from estsim.record.statistic import Statistic

_VALUES = st.lists(st.integers(0, LATENCY.highest), max_size=60)


def _of(values: list[int]) -> Histogram:
    histogram = Histogram(LATENCY)
    for value in values:
        histogram.record(value)
    return histogram


_DENSE = HdrHistogram(1, LATENCY.highest, 3)


@given(st.integers(0, LATENCY.highest))
def test_a_value_falls_into_the_bucket_that_the_package_gives_it(value: int) -> None:
    """Index and highest equivalent value are the package's own."""
    index = bucket_index(value)
    assert index == _DENSE.get_counts_array_index(value)
    assert highest_equivalent(index) == _DENSE.get_highest_equivalent_value(value)


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=200), st.integers(1, 999))
def test_a_percentile_is_the_value_of_the_nearest_rank(values: list[int], per_mille: int) -> None:
    """Of one sample on: the smallest value that at least the share of the samples does not exceed."""
    rank = -(-per_mille * len(values) // 1000)
    assert _of(values).quantile(per_mille / 1000) == sorted(values)[rank - 1]


def test_percentiles_are_those_of_the_package() -> None:
    """On a skewed sample every percentile agrees with HdrHistogram's to the bucket."""
    random = Random(7)
    values = [int(random.lognormvariate(9, 1.2)) for _ in range(3000)]
    dense = HdrHistogram(1, LATENCY.highest, 3)
    for value in values:
        dense.record_value(value)
    ours = _of(values)
    for percentile in (1, 50, 90, 99, 99.9):
        assert ours.quantile(percentile / 100) == dense.get_value_at_percentile(percentile)
    assert ours.max == max(values)
    assert ours.mean() == sum(values) / len(values)


@given(_VALUES, st.integers(1, 5), st.randoms(use_true_random=False))
def test_merging_shards_in_any_order_gives_the_same_histogram(values: list[int], shards: int, random: Random) -> None:
    """The merge of shards equals the histogram of all values, whatever the order."""
    parts = [_of(values[n::shards]) for n in range(shards)]
    random.shuffle(parts)
    assert merged(parts) == _of(values)


@given(st.dictionaries(st.integers(0, LATENCY.highest), st.integers(1, 10**9), max_size=30))
def test_a_histogram_survives_its_interchange_format(counts: dict[int, int]) -> None:
    """Encoding and decoding keep every count, small or large."""
    histogram = Histogram(LATENCY)
    for value, count in counts.items():
        histogram.record(value, count)
    again = decoded(histogram.encode())
    assert again.counts == histogram.counts
    assert again.count == histogram.count


def test_values_out_of_range_are_clamped_and_counted() -> None:
    """Nothing is lost: an impossible value counts as the range's end, and as clamped."""
    histogram = Histogram(LATENCY)
    histogram.record(-5)
    histogram.record(LATENCY.highest * 3)
    histogram.record_ns(2_500)
    assert (histogram.count, histogram.clamped, histogram.min, histogram.max) == (3, 2, 0, LATENCY.highest)


def test_a_signed_histogram_orders_early_before_late() -> None:
    """Values below zero sort below zero, and their percentiles read so."""
    histogram = Histogram(SIGNED)
    for value in (-5_000_000, -3, 0, 4, 9):
        histogram.record(value)
    assert histogram.quantile(0.2) == pytest.approx(-5_000_000, rel=0.001)
    assert histogram.quantile(0.4) == -3
    assert histogram.quantile(1.0) == 9
    with pytest.raises(ValueError, match="sign"):
        histogram.encode()


@pytest.mark.parametrize(
    ("share", "needed"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000), (0.999, 10_000), (1.0, 1)]
)
def test_a_percentile_needs_ten_samples_beyond_it(share: float, needed: int) -> None:
    """The number of samples that a percentile needs."""
    assert needed_samples(share) == needed


def test_the_block_is_null_where_the_sample_is_too_small() -> None:
    """150 samples support p50 and p90, not p99; an empty histogram has only its count."""
    block = _of([1000 * n for n in range(1, 151)]).block(0.001)
    assert (block.count, block.p99, block.max) == (150, None, 150)
    assert block.p50 == pytest.approx(75, rel=0.01)
    assert block.p90 == pytest.approx(135, rel=0.001)
    assert Histogram(LONG).block(1.0) == Statistic(0, None, None, None, None, None, None, None)


def test_layouts_do_not_mix() -> None:
    """Merging milliseconds into microseconds is refused."""
    with pytest.raises(ValueError, match="layouts"):
        Histogram(LATENCY).merge(Histogram(LONG))
