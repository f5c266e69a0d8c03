"""Time to certificate with open enrolments as censored: the product-limit estimate."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.measure.histograms import LONG, Histogram
from estsim.measure.survival import Survival


def _events(*values: int) -> Histogram:
    histogram = Histogram(LONG)
    for value in values:
        histogram.record(value)
    return histogram


def test_the_estimate_is_that_of_the_textbook() -> None:
    """Remission times of Freireich's 6-MP group (Kaplan-Meier's usual example): median 23, S(10) = 0.7529."""
    events = _events(6, 6, 6, 7, 10, 13, 16, 22, 23)
    censored = Counter([6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35])
    survival = Survival(events, censored, 0)
    assert survival.size == 21
    assert survival.quantile(0.5) == 23
    assert survival.quantile(1 - 0.753) == 10
    assert survival.quantile(1 - 0.752) == 13
    assert survival.quantile(1 - 0.449) == 23
    assert survival.quantile(0.9) is None
    assert survival.horizon == 35


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.99]))
def test_with_all_certificates_in_hand_it_is_the_plain_quantile(values: list[int], share: float) -> None:
    """Nothing censored: the smallest value that reaches the share."""
    expected = next(v for n, v in enumerate(sorted(values), 1) if n / len(values) >= share - 1e-9)
    assert Survival(_events(*values), Counter(), 0).quantile(share) == expected


def test_a_herd_cut_short_does_not_look_fast() -> None:
    """A hundred enrolled within a second, nine hundred still wait at 600 s: the median is not reached."""
    survival = Survival(_events(*[800] * 100), Counter({600_000: 900}), 0)
    assert survival.quantile(0.1) == pytest.approx(800, abs=1)
    assert survival.quantile(0.5) is None
    assert survival.horizon == 600_000


def test_failures_stay_at_risk_for_ever() -> None:
    """One in ten was refused: nine in ten had a certificate by the last time, and p95 is never reached."""
    survival = Survival(_events(*range(1, 91)), Counter(), 10)
    assert survival.quantile(0.9) == 90
    assert survival.quantile(0.95) is None
