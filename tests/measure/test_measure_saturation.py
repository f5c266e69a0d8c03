"""The generator's verdict on itself: lag or CPU over any 10 s."""

import pytest

from estsim.measure.sample import GeneratorReading
from estsim.measure.saturation import SaturationWatch

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


def test_a_late_window_is_named_with_its_figure_and_what_it_spoils() -> None:
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


def test_a_display_is_told_of_windows_that_have_ended_and_never_of_more_than_the_verdict() -> None:
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


def test_one_hiccup_in_a_small_fleet_is_not_saturation() -> None:
    """A single late start in ten seconds has no p99 to speak of; two of twenty have."""
    watch = _watch()
    for n in range(20):
        watch.exchange(n * _S, 50 * _MS if n == 3 else 0)
    assert watch.verdict() is None
    watch.exchange(5 * _S, 50 * _MS)
    assert watch.verdict() is not None


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
    """Two shards, each with one late start in the same window: together they are late."""
    one, two = _watch(), _watch()
    one.exchange(5 * _S, 50 * _MS)
    two.exchange(6 * _S, 50 * _MS)
    assert one.verdict() is None
    one.merge(two)
    assert one.verdict() is not None


def test_what_our_own_machine_ran_out_of_comes_before_lag_and_cpu() -> None:
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
