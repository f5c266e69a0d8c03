"""The timer queue against a sorted list: order, radar, and what never enters it."""

from collections import Counter
from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st

from estsim.engine.timer_queue import FIRST_BOOT, TimerQueue

TIMES = st.floats(min_value=0.0, max_value=100.0)


def filled(*times: float) -> TimerQueue[int]:
    """Return an timer queue with an entry for each time, by its place."""
    agenda: TimerQueue[int] = TimerQueue()
    for place, at_s in enumerate(times):
        agenda.push(at_s, place, FIRST_BOOT)
    return agenda


@given(st.lists(TIMES), TIMES)
def test_what_is_due_comes_in_order_of_time_then_of_planning(times: list[float], now_s: float) -> None:
    """As a stable sort would have it, and not a moment before it is due."""
    agenda = filled(*times)
    popped = []
    while (due := agenda.pop_due(now_s)) is not None:
        popped.append(due)
    planned = sorted(((at_s, place, FIRST_BOOT) for place, at_s in enumerate(times)), key=lambda entry: entry[0])
    assert popped == [entry for entry in planned if entry[0] <= now_s]
    assert len(agenda) == len(planned) - len(popped)
    assert agenda.next_s() == min((at_s for at_s in times if at_s > now_s), default=inf)


@given(st.lists(st.tuples(TIMES, st.integers(min_value=0, max_value=2))), TIMES)
def test_the_radar_sees_each_entry_once(moves: list[tuple[float, int]], now_s: float) -> None:
    """However entries came and went, the seconds to come hold those that are left, and no others."""
    agenda: TimerQueue[int] = TimerQueue()
    left: list[float] = []
    for place, (at_s, pops) in enumerate(moves):
        agenda.push(at_s, place, place)
        left.append(at_s)
        for _ in range(pops):
            agenda.pop_due(now_s)
        gone = sorted(at_s for at_s in left if at_s <= now_s)[:pops]
        for each in gone:
            left.remove(each)
    seconds = Counter(int(at_s) for at_s in left)
    first = int(now_s)
    assert agenda.due_per_second(now_s, 60) == tuple(seconds[first + i] for i in range(60))
    assert sum(agenda.due_per_second(0.0, 101)) == len(left) == len(agenda)


def test_devices_are_never_compared() -> None:
    """Two at one moment with one turn: their order of planning decides."""
    agenda: TimerQueue[object] = TimerQueue()
    first, second = object(), object()
    agenda.push(1.0, first, 3)
    agenda.push(1.0, second, 3)
    assert agenda.pop_due(1.0) == (1.0, first, 3)
    assert agenda.pop_due(1.0) == (1.0, second, 3)


def test_nothing_planned_never_enters() -> None:
    """Infinity means that nothing is planned; such a device must not keep a run from settling."""
    agenda = filled(inf, -inf, nan)
    assert (len(agenda), agenda.next_s(), agenda.pop_due(inf)) == (0, inf, None)
    assert agenda.due_per_second(0.0, 3) == (0, 0, 0)


def test_the_radar_counts_whole_seconds_of_the_run() -> None:
    """The second under way is the first shown, with what is left of it."""
    agenda = filled(0.2, 0.9, 1.0, 1.999, 3.0)
    assert agenda.due_per_second(0.0, 4) == (2, 2, 0, 1)
    agenda.pop_due(0.5)
    assert agenda.due_per_second(0.5, 4) == (1, 2, 0, 1)
    assert agenda.due_per_second(-1.0, 1) == (1,)


def test_the_end_of_a_run_forgets_everything() -> None:
    """A list is dropped; nothing is due any more, nor shown as due."""
    agenda = filled(1.0, 2.0)
    agenda.clear()
    assert (len(agenda), agenda.next_s(), agenda.pop_due(9.0)) == (0, inf, None)
    assert agenda.due_per_second(0.0, 3) == (0, 0, 0)
