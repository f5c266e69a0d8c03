"""Windows of a latency over time: each has enough samples for the percentiles drawn in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.record.histograms import Histogram
from estsim.report.windows import MAX_POINTS, bin_width_s, course_of


def a_second(count: int, value_us: int = 1000) -> Histogram:
    """Return a second in which everything took the same time."""
    histogram = Histogram()
    histogram.record(value_us, count)
    return histogram


@pytest.mark.parametrize(
    ("per_second", "names"),
    [
        ({0: 19}, ()),
        ({0: 20}, ("p50",)),
        ({0: 200, 1: 199}, ("p50",)),
        ({0: 200, 1: 200}, ("p50", "p90")),
        (dict.fromkeys(range(4), 1000), ("p50", "p90", "p99")),
    ],
)
def test_no_percentile_of_too_small_a_sample(per_second: dict[int, int], names: tuple[str, ...]) -> None:
    """A percentile is drawn where windows that support it remain, and not at all below that."""
    course = course_of({second: a_second(count) for second, count in per_second.items()})
    assert course.names == names
    assert course.count == sum(per_second.values())
    assert bool(course.windows) is bool(names)


@given(st.dictionaries(st.integers(0, 2000), st.integers(1, 60), min_size=1, max_size=300))
def test_every_window_supports_what_it_shows(per_second: dict[int, int]) -> None:
    """Windows follow each other, hold all samples between them, and none has too few."""
    course = course_of({second: a_second(count) for second, count in per_second.items()})
    needed = {"p50": 20, "p90": 100, "p99": 1000}
    for window in course.windows:
        assert {*window.percentiles} == {*course.names}
        assert window.count >= max(needed[name] for name in course.names)
    if course.windows:
        assert sum(window.count for window in course.windows) == sum(per_second.values())
    ends = [window.to_s for window in course.windows]
    assert all(after.from_s >= end for end, after in zip(ends, course.windows[1:], strict=False))
    assert len(course.windows) <= MAX_POINTS


def test_a_window_s_percentiles_come_from_merged_histograms() -> None:
    """Not from the mean of its seconds' percentiles: a slow second of few does not count as much as one of many."""
    course = course_of({0: a_second(19, 1_000), 1: a_second(3, 900_000)})
    (window,) = course.windows
    assert (window.from_s, window.to_s, window.count) == (0, 2, 22)
    assert window.percentiles["p50"] == pytest.approx(1.0, rel=1e-3)


def test_points_are_few_however_long_the_run() -> None:
    """A day has no more points than a minute's chart can show."""
    assert bin_width_s(60) == 1
    assert bin_width_s(241) == 2
    assert all(-(-span // bin_width_s(span)) <= MAX_POINTS for span in (1, 500, 86_400, 30 * 86_400))
