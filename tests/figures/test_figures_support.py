"""The bounds of Clopper and Pearson, and whether a sample supports what a threshold says of it."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.figures.summary_blocks import SupportSummary
from estsim.figures.support import Evidence, incomplete_beta, lower_bound, needed_for, support_of, upper_bound


@pytest.mark.parametrize(
    ("count", "samples", "low", "high"),
    [  # of published tables: the ends of the two-sided 90 % interval
        (0, 10, 0.0, 0.2589),
        (1, 10, 0.0051, 0.3942),
        (5, 10, 0.2224, 0.7776),
        (10, 10, 0.7411, 1.0),
        (5, 100, 0.0199, 0.1023),
        (0, 299, 0.0, 0.00997),
    ],
)
def test_the_bounds_are_those_of_the_tables(count: int, samples: int, low: float, high: float) -> None:
    """One-sided with 95 % confidence."""
    assert lower_bound(count, samples) == pytest.approx(low, abs=5e-5)
    assert upper_bound(count, samples) == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 60), st.integers(0, 59), st.floats(0.001, 0.999))
def test_the_incomplete_beta_function_sums_a_binomial(samples: int, count: int, share: float) -> None:
    """I_x(k, n - k + 1) is the probability of k or more of n."""
    k = 1 + count % samples
    tail = sum(comb(samples, i) * share**i * (1 - share) ** (samples - i) for i in range(k, samples + 1))
    assert incomplete_beta(k, samples - k + 1, share) == pytest.approx(tail, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("allowed", "needed"), [(0.5, 5), (0.1, 29), (0.05, 59), (0.01, 299), (0.001, 2995), (0.0, None), (1.0, None)]
)
def test_the_least_sample_with_none_beyond_the_limit(allowed: float, needed: int | None) -> None:
    """0.05 = (1 - allowed) ** n."""
    assert needed_for(0.0, allowed) == needed


@pytest.mark.parametrize(
    ("samples", "beyond", "passed", "supported"),
    [
        (298, 0.0, True, False),
        (299, 0.0, True, True),
        (473, 1 / 473, True, True),  # with one beyond, 473 are needed
        (472, 1 / 472, True, False),
        (10_000, 0.01, True, False),  # just what is allowed: no number shows that it is no more
        (2, 1.0, False, True),  # 0.05 ** (1 / 2) = 22 % at least are beyond
        (20, 1 / 20, False, False),  # 0.3 % at least
    ],
)
def test_the_sample_that_one_percent_allowed_needs(samples: int, beyond: float, passed: bool, supported: bool) -> None:  # noqa: FBT001 - a table
    """For a pass the upper bound, for a failure the lower one."""
    found = support_of(Evidence(samples, samples, beyond), 0.01, passed=passed)
    assert found.supported is supported
    assert found.supported == (found.needed is not None and found.samples >= found.needed)


def test_dependent_samples_are_needed_in_greater_number() -> None:
    """600 that are worth 200 do not do; as dependent ones 897 would."""
    assert support_of(Evidence(600, 200.0, 0.0), 0.01, passed=True).block() == SupportSummary(600, 897, supported=False)


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0.001, 0.999))
def test_more_samples_never_take_support_away(samples: int, beyond: float, allowed: float) -> None:
    """With the same share beyond the limit."""
    passed = beyond <= allowed
    one = support_of(Evidence(samples, samples, beyond), allowed, passed=passed)
    many = support_of(Evidence(4 * samples, 4 * samples, beyond), allowed, passed=passed)
    assert many.supported or not one.supported
