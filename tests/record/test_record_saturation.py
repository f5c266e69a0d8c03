"""The generator's verdict on itself: lag or CPU over any 10 s, and stalls of its loop."""

import math

import pytest

from estsim.record.sample import GeneratorReading
from estsim.record.saturation import SaturationWatch

_MS = 1_000_000
_S = 1_000_000_000


def _watch() -> SaturationWatch:
    return SaturationWatch(max_lag_s=0.02, max_cpu=0.9)


def _run(watch: SaturationWatch, shares: list[float], *, preparing: range = range(0)) -> None:
    for second, share in enumerate(shares, 1):
        watch.reading(
            GeneratorReading(second * _S, share, 0, 0, 0, preparing=second in preparing),
        )


def test_a_generator_that_keeps_up_has_no_verdict() -> None:
    """Lags under the limit and a calm core."""
    watch = _watch()
    for n in range(3000):
        watch.exchange(n * 10 * _MS, 15 * _MS)
    _run(watch, [0.5] * 30)
    assert watch.so_far() is None
    assert watch.verdict() is None


def test_the_verdict_names_the_late_window_its_lag_and_the_affected_figures() -> None:
    """2 % of the starts between 20 s and 30 s are 100 ms late: p99 over the limit there, though not over the run."""
    watch = _watch()
    for n in range(60 * 100):
        late = 20 * 100 <= n < 30 * 100 and n % 50 == 0
        watch.exchange(n * 10 * _MS, 100 * _MS if late else _MS)
    verdict = watch.verdict()
    assert verdict is not None
    assert (verdict.from_s, verdict.to_s) == (20, 30)
    assert "p99 was 100 ms (limit 20 ms) from 20 s to 30 s" in verdict.why
    assert "response times" in verdict.why


def test_a_display_shows_ended_windows_and_never_more_than_the_verdict() -> None:
    """A late second says nothing of its ten seconds yet; told once, a window is shown for as long as it holds."""
    watch = _watch()
    told = []
    for second in range(40):
        for n in range(100):
            watch.exchange(second * _S + n * 10 * _MS, 100 * _MS if second == 15 and n < 30 else _MS)
        told.append(watch.so_far())
    assert told[15] is not None  # the window from 6 s to 16 s has just ended
    assert told[5] is None
    assert told[39] is not None
    assert watch.verdict() is not None


def test_a_few_late_starts_at_the_very_end_are_judged_with_the_ten_seconds_before() -> None:
    """No window reaches beyond the run, where nothing dilutes it."""
    watch = _watch()
    for n in range(3000):
        watch.exchange(n * 10 * _MS, _MS)
    for _ in range(3):
        watch.exchange(30 * _S, 100 * _MS)
    assert watch.verdict() is None


@pytest.mark.parametrize(
    ("exchanges", "late", "lag_ms", "max_lag_s", "saturated"),
    [
        (20, 1, 999, 0.02, False),  # one hiccup of a small fleet
        (20, 10, 999, 0.02, False),
        (20, 1, 1010, 0.02, True),
        (1, 1, 1010, 0.02, True),
        (99, 98, 999, 0.02, False),
        (100, 1, 60_000, 0.02, False),  # from here on the p99 counts
        (100, 2, 30, 0.02, True),
        (100, 2, 19, 0.02, False),
        (20, 1, 1499, 0.3, False),  # 5 x max_lag is more than a second
        (20, 1, 1510, 0.3, True),
        (20, 20, 60_000, 30.0, False),
    ],
)
def test_few_exchanges_are_judged_by_their_largest_lag_and_many_by_their_p99(
    exchanges: int,
    late: int,
    lag_ms: int,
    max_lag_s: float,
    saturated: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Under a hundred in ten seconds the largest lag may be max(1 s, 5 x max_lag), whatever the fleet's size."""
    watch = SaturationWatch(max_lag_s=max_lag_s, max_cpu=0.9)
    for n in range(exchanges):
        watch.exchange(n * 9 * _S // exchanges, lag_ms * _MS if n < late else 0)
    verdict = watch.verdict()
    assert (verdict is not None) is saturated
    if verdict is not None:
        figure = "schedule lag p99 was" if exchanges >= 100 else f"the largest of {exchanges} schedule lags was"
        assert verdict.why.startswith(figure)
        assert f"from {verdict.from_s} s to {verdict.to_s} s" in verdict.why
        assert "times to certificate" in verdict.why


def test_no_window_reaches_beyond_the_end_of_the_run() -> None:
    """A run that ended at 11.4 s has no 12th second; display and verdict name the same window, with what to do."""
    watch = _watch()
    for n in range(1140):
        watch.exchange(n * 10 * _MS, 36 * _MS)
    watch.now_ns = 11_400 * _MS
    verdict = watch.verdict()
    assert verdict is not None
    assert verdict == watch.so_far()
    assert (verdict.limit, verdict.from_s, verdict.to_s, verdict.lag_ms) == ("lag", 0, 10, 36)
    late = _watch()
    for n in range(1140):
        late.exchange(n * 10 * _MS, 36 * _MS if n >= 1100 else 0)
    late.now_ns = 11_400 * _MS
    verdict = late.verdict()
    assert verdict is not None
    assert "p99 was 36 ms (limit 20 ms) from 2 s to 11 s: " in verdict.why
    advice = "use a quieter machine or more workers (--workers), or raise generator.max_lag (now 20ms)"
    assert verdict.why.endswith(f"do not reflect the server; {advice}")


def test_each_limit_has_its_next_step() -> None:
    """What helps against a stall does not help where ports are lacking."""
    stalled, busy, asleep, short = _watch(), _watch(), _watch(), _watch()
    stalled.reading(GeneratorReading(9 * _S, 0.1, 0, 0, 0, stalled_from_ns=3 * _S, stalled_to_ns=8 * _S))
    _run(busy, [1.0] * 12)
    asleep.reading(GeneratorReading(9 * _S, 0.1, 0, 0, 0, suspended_ns=5 * _S))
    short.out_of(3 * _S, "this machine ran out of local ports")
    told = {}
    for watch in (stalled, busy, asleep, short):
        verdict = watch.verdict()
        assert verdict is not None
        told[verdict.limit] = verdict.why.rpartition("; ")[2]
    assert told == {
        "stall": "use a quieter machine or more workers (--workers)",
        "cpu": "use more workers (--workers), a faster machine or fewer devices",
        "suspended": "keep this machine awake during a run",
        "resource": "raise the limits of this machine, use fewer devices at once, or spread them over several machines",
    }


def test_small_fleets_that_are_idle_for_long_are_judged_window_by_window() -> None:
    """One late start an hour after a hundred good ones is not diluted by them."""
    watch = _watch()
    for n in range(200):
        watch.exchange(n * 10 * _MS, 0)
    watch.exchange(3600 * _S, 3 * _S)
    verdict = watch.verdict()
    assert verdict is not None
    assert (verdict.from_s, verdict.to_s) == (3591, 3601)
    assert "the largest of 1 schedule lags was 3.00 s (limit 1 s)" in verdict.why


@pytest.mark.parametrize(
    ("from_s", "to_s", "max_lag_s", "saturated"),
    [
        (12.0, 40.0, 0.02, True),
        (12.0, 12.99, 0.02, False),
        (12.0, 13.01, 0.02, True),
        (-27.5, 0.5, 0.02, False),  # nothing was measured before zero
        (-27.5, 1.5, 0.02, True),
        (12.0, 14.0, 0.5, False),
        (12.0, 15.0, 0.5, True),
    ],
)
def test_a_long_stall_saturates_even_an_idle_generator(
    from_s: float,
    to_s: float,
    max_lag_s: float,
    saturated: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """No exchange was due, none was late: what came meanwhile was not looked at. The same limit as for a large lag."""
    watch = SaturationWatch(max_lag_s=max_lag_s, max_cpu=0.9)
    watch.reading(
        GeneratorReading(
            round(to_s * _S), 0.1, 0, 0, 0, stalled_from_ns=round(from_s * _S), stalled_to_ns=round(to_s * _S)
        )
    )
    verdict = watch.verdict()
    assert (verdict is not None) is saturated
    assert verdict == watch.so_far()
    if verdict is not None:
        start_s = max(0.0, from_s)
        limit_s = max(1.0, 5 * max_lag_s)
        assert verdict.why.startswith(
            f"the event loop stalled for {to_s - start_s:.1f} s (limit {limit_s:g} s) "
            f"from {start_s:.1f} s to {to_s:.1f} s: service and response times, times to certificate"
        )
        assert (verdict.from_s, verdict.to_s) == (int(start_s), math.ceil(to_s))


def test_a_stall_while_keys_are_prepared_is_not_judged() -> None:
    """Nothing is measured then."""
    watch = _watch()
    watch.reading(GeneratorReading(9 * _S, 0.1, 0, 0, 0, preparing=True, stalled_from_ns=_S, stalled_to_ns=8 * _S))
    assert watch.verdict() is None


def test_a_suspension_is_named() -> None:
    """The run's clock does not count that time, and the server's does."""
    watch = _watch()
    watch.reading(GeneratorReading(9 * _S, 0.1, 0, 0, 0, suspended_ns=3600 * _S))
    verdict = watch.verdict()
    assert verdict is not None
    assert verdict.why.startswith("the machine was suspended for 3600.0 s (limit 1 s) at 9 s of the run: ")


def test_the_verdict_names_the_worst_stall_of_several_workers() -> None:
    """Each has a loop of its own; one that stood still is enough."""
    one, two = _watch(), _watch()
    one.reading(GeneratorReading(9 * _S, 0.1, 0, 0, 0, stalled_from_ns=2 * _S, stalled_to_ns=8 * _S))
    two.reading(GeneratorReading(9 * _S, 0.1, 0, 0, 0, stalled_from_ns=1 * _S, stalled_to_ns=9 * _S))
    one.merge(two.successor())
    verdict = one.verdict()
    assert verdict is not None
    assert "stalled for 8.0 s" in verdict.why


@pytest.mark.parametrize(
    ("shares", "preparing", "saturated"),
    [
        ([0.95] * 10, range(0), True),
        ([0.95] * 9, range(0), False),  # not ten seconds
        ([1.0, *[0.5] * 9] * 3, range(0), False),
        ([*[1.0] * 12, *[0.5] * 20], range(1, 13), False),  # keys were being made
        ([*[1.0] * 12, *[0.5] * 20], range(1, 3), True),
    ],
)
def test_cpu_is_judged_over_ten_seconds_outside_key_preparation(
    shares: list[float],
    preparing: range,
    saturated: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """The mean share of a core over a window that readings cover."""
    watch = _watch()
    _run(watch, shares, preparing=preparing)
    verdict = watch.verdict()
    assert (verdict is not None) is saturated
    if verdict is not None:
        assert "CPU was" in verdict.why
        assert "(limit 90%)" in verdict.why


def test_shards_add_up_to_one_verdict() -> None:
    """Two shards of 60 exchanges, each with one late in the same window: together 2 of 120 are, and their p99 is."""
    one, two = _watch(), _watch()
    for watch in (one, two):
        for n in range(60):
            watch.exchange(5 * _S + n * _MS, 50 * _MS if n == 0 else 0)
    assert one.verdict() is None
    one.merge(two)
    assert one.verdict() is not None


def test_a_shortage_comes_before_lag_and_cpu() -> None:
    """Failures that the server never saw spoil more than lateness, and the first is told."""
    watch, other = _watch(), _watch()
    watch.exchange(0, 500 * _MS)
    watch.exchange(0, 500 * _MS)
    watch.out_of(7 * _S, "this process ran out of file descriptors")
    other.out_of(3 * _S, "this machine ran out of local ports")
    watch.merge(other)
    verdict = watch.verdict()
    assert verdict is not None
    assert verdict == watch.so_far()
    assert verdict.why.startswith("this machine ran out of local ports, first after 3 s")
