"""The event queue of virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from estsim.virtual.buckets import Buckets


@given(st.lists(st.floats(0, 20), max_size=60))
def test_buckets_pop_in_order_of_time_then_of_insertion(times: list[float]) -> None:
    """Also what is pushed while they are emptied, for the moment that has been reached."""
    buckets: Buckets[int, None] = Buckets()
    for number, at_s in enumerate(times):
        buckets.push(at_s, number, None, 0)
    popped = []
    while (entry := buckets.pop()) is not None:
        popped.append((entry[0], entry[2]))
        if entry[2] < len(times):
            buckets.push(entry[0], entry[2] + len(times), None, 0)
    assert [at_s for at_s, _ in popped] == sorted(times * 2)
    assert [who for _, who in popped if who < len(times)] == sorted(range(len(times)), key=lambda who: times[who])
