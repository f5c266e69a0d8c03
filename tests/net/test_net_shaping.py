"""What a slow or bad network does to bytes, as a calculation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.errors import Phase
from estsim.net.shaping import Blow, Course, Mishap, Path

MS = 1_000_000
SIZES = st.integers(min_value=0, max_value=100_000)


@pytest.mark.parametrize(
    ("path", "arrivals", "heard"),
    [
        (Path(), [(5, 100)], [(5, 5)]),
        (Path(rtt_s=0.1), [(5 * MS, 100), (7 * MS, 100)], [(105 * MS, 105 * MS), (107 * MS, 107 * MS)]),
        (Path(rate_bps=8000.0), [(0, 10), (5 * MS, 5)], [(0, 10 * MS), (10 * MS, 15 * MS)]),
        (Path(rtt_s=0.1, rate_bps=8000.0), [(0, 10), (500 * MS, 1)], [(100 * MS, 110 * MS), (600 * MS, 601 * MS)]),
    ],
    ids=["no network", "each a round trip later", "one after the other", "the line is free again"],
)
def test_when_bytes_are_heard(path: Path, arrivals: list[tuple[int, int]], heard: list[tuple[int, int]]) -> None:
    """A delay for each, not one on top of the other; the bits queue."""
    course = Course(path)
    assert [course.heard_ns(at_ns, size) for at_ns, size in arrivals] == heard


def test_how_long_bytes_take_to_leave() -> None:
    """A kilobyte over 8 kbit/s takes a second, over no limit nothing."""
    assert Course(Path(rate_bps=8000.0)).leaving_ns(1000) == 1000 * MS
    assert Course(Path()).leaving_ns(1000) == 0


@given(st.lists(st.tuples(st.integers(min_value=0, max_value=10**10), SIZES), max_size=20))
def test_bytes_are_heard_in_their_order_and_at_no_more_than_the_rate(arrivals: list[tuple[int, int]]) -> None:
    """Never before their round trip, never faster than the line."""
    course = Course(Path(rtt_s=0.05, rate_bps=64_000.0))
    free_ns = 0
    for at_ns, size in sorted(arrivals):
        first_ns, last_ns = course.heard_ns(at_ns, size)
        assert first_ns >= max(free_ns, at_ns + 50 * MS)
        assert last_ns - first_ns == round(size * 125_000)
        free_ns = last_ns


@given(SIZES, st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_mishap_holds_back_a_part_of_its_own_flight(size: int, share: float) -> None:
    """At least one byte, so that the flight is not whole; other flights pass, and so does an end of stream."""
    course = Course(Path(mishap=Mishap(Blow.STALL, Phase.SEND, share)))
    passing = course.passing(Phase.SEND, size)
    assert (passing is None) == (size == 0)
    assert passing is None or 0 <= passing < size
    assert course.passing(Phase.WAIT, size) is None
    assert Course(Path()).passing(Phase.SEND, size) is None
