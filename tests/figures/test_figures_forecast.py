"""The figures of a forecast: its busiest window."""

from hypothesis import given
from hypothesis import strategies as st

from estsim.figures.forecast import busiest


def test_the_busiest_stretch() -> None:
    """The first window with the most, from a second that has some."""
    assert busiest({}, 10) == (0, 0)
    assert busiest({3: 1, 12: 5, 13: 5, 40: 10}, 10) == (12, 10)


@given(st.dictionaries(st.integers(0, 60), st.integers(1, 9)), st.integers(1, 20))
def test_the_busiest_window_is_that_of_the_slow_way(counts: dict[int, int], window_s: int) -> None:
    """Each window is summed up anew."""
    sums = {begin: sum(counts.get(begin + i, 0) for i in range(window_s)) for begin in range(61)}
    begins, most = busiest(counts, window_s)
    assert most == max(sums.values())
    assert sums[begins] == most
