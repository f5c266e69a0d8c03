"""How numbers read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.figures import text as figures


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),  # noqa: RUF001 - the dash that stands for an absent figure
        (math.nan, "–"),  # noqa: RUF001 - as above
        (0, "0ms"),
        (0.000_85, "850µs"),
        (0.000_999_6, "1.0ms"),
        (0.0046, "4.6ms"),
        (0.0461, "46ms"),
        (0.9996, "1.00s"),
        (1.234, "1.23s"),
        (12.34, "12.3s"),
        (125, "2m05s"),
        (599.4, "9m59s"),
        (726, "12.1m"),
        (3600, "1.0h"),
        (172_800, "48.0h"),
        (8_000_000, "92.6d"),
        (-0.25, "-250ms"),
    ],
)
def test_a_time_reads_in_the_unit_that_fits(seconds: float | None, text: str) -> None:
    """Three digits at most, and no rounding into four."""
    assert figures.duration(seconds) == text


@given(st.just(math.nan) | st.floats(min_value=0))
def test_a_time_takes_at_most_five_cells(seconds: float) -> None:
    """So that the columns of the latency pane never touch."""
    assert len(figures.duration(seconds)) <= 5


@given(st.integers(min_value=0, max_value=10**15))
def test_a_count_fits_six_cells(number: int) -> None:
    """Grouped where there is room, then plain, then with a prefix."""
    assert len(figures.short_count(number, 6)) <= 6


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (12_345, "12 345"), (1_000_000, "1000000"), (12_345_678, "12.3M"), (2e9, "2G")]
)
def test_a_count_stays_exact_as_long_as_it_fits(number: float, text: str) -> None:
    """A million devices still read as a figure that adds up."""
    assert figures.short_count(number, 7) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (1, "100%"), (0.999, ">99%"), (0.001, "<1%"), (0.384, "38%"), (1.2, "120%")]
)
def test_a_share_never_rounds_to_all_or_nothing(share: float, text: str) -> None:
    """One failure in a thousand is not none, and 999 of 1000 are not all."""
    assert figures.percent(share) == text


def test_a_clock_shows_hours_once_there_are_any() -> None:
    """Minutes and seconds until then."""
    assert [figures.clock(at_s) for at_s in (0, 83.9, 3723)] == ["0:00", "1:23", "1:02:03"]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 devices"), (1, "1 device"), (2, "2 devices"), (12345, "12 345 devices")]
)
def test_a_noun_agrees_with_its_number(number: int, text: str) -> None:
    """One is one."""
    assert figures.quantity(number, "device") == text
