"""What is advised for a value whose unit is missing or written otherwise: each line was a scenario author's slip."""

from functools import partial
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from estsim.errors import UnitError
from estsim.spreads import parse_distribution, parse_pair
from estsim.unit_advice import meant_bitrates, meant_durations, meant_ranges, meant_rates, meant_shares
from estsim.units import parse_bitrate, parse_duration, parse_latency, parse_rate, parse_share

DURATION: Final = "expected a duration such as 500ms, 10s, 5m or 1h30m"
SHARE: Final = "expected a share such as 40% or 0.1%"
RATE: Final = "expected a rate such as 50/s, 24/min or 3/h"
BITRATE: Final = "expected a bit rate such as 64kbit/s or 1Mbit/s"
UNIT: Final = "missing unit"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.4, f"{SHARE}: {UNIT}, write 40% or 0.4% (got 0.4)"),
        (0.66, f"{SHARE}: {UNIT}, write 66% or 0.66% (got 0.66)"),
        (1, f"{SHARE}: {UNIT}, write 100% or 1% (got 1)"),
        (40, f"{SHARE}: {UNIT}, write 40% (got 40)"),
        (0, f"{SHARE}: {UNIT}, write 0% (got 0)"),
        ("40", f"{SHARE}: {UNIT}, write 40% (got 40)"),
        (-0.05, f"{SHARE}: {UNIT}, write -5% or -0.05% (got -0.05)"),
        ("40 %", f"{SHARE}: write 40% (got 40 %)"),
        ("40 percent", f"{SHARE}: write 40% (got 40 percent)"),
        ("40,5%", f"{SHARE}: write 40.5% (got 40,5%)"),
        ("1/3", f"{SHARE}: write 33.3333% (got 1/3)"),
        ("12h", f"{SHARE} (got 12h)"),
        (True, f"{SHARE} (got true)"),
    ],
)
def test_a_share_is_advised(value: object, told: str) -> None:
    """A number up to one can be a part or per cent, so both are offered, the part first."""
    with pytest.raises(UnitError) as caught:
        parse_share(value)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (10, f"{DURATION}: {UNIT}, write 10s or 10m (got 10)"),
        (600, f"{DURATION}: {UNIT}, write 600s or 600ms (got 600)"),
        (5000, f"{DURATION}: {UNIT}, write 5000ms or 5000s (got 5000)"),
        ("600", f"{DURATION}: {UNIT}, write 600s or 600ms (got 600)"),
        (0, f"{DURATION}: {UNIT}, write 0s (got 0)"),
        ("1:30", f"{DURATION}: write 1m30s or 1h30m (got 1:30)"),
        ("1:30:00", f"{DURATION}: write 1h30m (got 1:30:00)"),
        ("3min", f"{DURATION}: write 3m (got 3min)"),
        ("10 s", f"{DURATION}: write 10s (got 10 s)"),
        ("10 minutes", f"{DURATION}: write 10m (got 10 minutes)"),
        ("10M", f"{DURATION}: write 10m (got 10M)"),
        ("1h 30m", f"{DURATION}: write 1h30m (got 1h 30m)"),
        ("1h30", f"{DURATION}: write 1h30m (got 1h30)"),
        ("30m1h", f"{DURATION}: write 1h30m (got 30m1h)"),
        ("2 hours and 5 min", f"{DURATION}: write 2h5m (got 2 hours and 5 min)"),
        ("PT10M", f"{DURATION}: write 10m (got PT10M)"),
        ("1w", f"{DURATION}: write 7d (got 1w)"),
        ("500us", f"{DURATION}: write 0.5ms (got 500us)"),
        ("1,5m", f"{DURATION}: write 1.5m (got 1,5m)"),
        ("1,500ms", f"{DURATION}: write 1500ms or 1.5ms (got 1,500ms)"),
        ("1_000s", f"{DURATION}: write 1000s (got 1_000s)"),
        (".5m", f"{DURATION}: write 0.5m (got .5m)"),
        ("\N{LEFT DOUBLE QUOTATION MARK}10m\N{RIGHT DOUBLE QUOTATION MARK}", f"{DURATION}: write 10m (got “10m”)"),
        ("1.2.3s", f"{DURATION} (got 1.2.3s)"),
        ("forever", f"{DURATION} (got forever)"),
        (float("inf"), f"{DURATION} (got inf)"),
    ],
)
def test_a_duration_is_advised(value: object, told: str) -> None:
    """Words, blanks, clocks, ISO 8601 and decimal commas are read as they were meant."""
    with pytest.raises(UnitError) as caught:
        parse_duration(value)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("value", "readings"), [(800, "800ms or 800s"), (0.8, "0.8s or 0.8ms"), (5, "5s or 5ms"), (40, "40ms or 40s")]
)
def test_a_latency_is_milliseconds_first(value: float, readings: str) -> None:
    """No server is tested for an answer within 800 s."""
    with pytest.raises(UnitError, match=f"write {readings} "):
        parse_latency(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (50, f"{RATE}: {UNIT}, write 50/s or 50/min (got 50)"),
        ("50/sec", f"{RATE}: write 50/s (got 50/sec)"),
        ("50 /s", f"{RATE}: write 50/s (got 50 /s)"),
        ("50/m", f"{RATE}: write 50/min (got 50/m)"),
        ("50 per second", f"{RATE}: write 50/s (got 50 per second)"),
        ("10 devices per minute", f"{RATE}: write 10/min (got 10 devices per minute)"),
        ("50rps", f"{RATE}: write 50/s (got 50rps)"),
        ("50/10s", f"{RATE}: write 5/s (got 50/10s)"),
        ("1_000/s", f"{RATE}: write 1000/s (got 1_000/s)"),
        ("1e6/s", f"{RATE}: write 1000000/s (got 1e6/s)"),
        ("fast", f"{RATE} (got fast)"),
    ],
)
def test_a_rate_is_advised(value: object, told: str) -> None:
    """Per second, in whatever words."""
    with pytest.raises(UnitError) as caught:
        parse_rate(value)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (64, f"{BITRATE}: {UNIT}, write 64kbit/s or 64bit/s (got 64)"),
        (64000, f"{BITRATE}: {UNIT}, write 64000bit/s (got 64000)"),
        ("64k", f"{BITRATE}: write 64kbit/s (got 64k)"),
        ("64 kbit/s", f"{BITRATE}: write 64kbit/s (got 64 kbit/s)"),
        ("1Mbps", f"{BITRATE}: write 1Mbit/s (got 1Mbps)"),
        ("8kB/s", f"{BITRATE}: write 64kbit/s (got 8kB/s)"),
    ],
)
def test_a_bit_rate_is_advised(value: object, told: str) -> None:
    """A capital B is bytes."""
    with pytest.raises(UnitError) as caught:
        parse_bitrate(value)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("value", "write", "got"),
    [
        ("40..120ms", "40ms..120ms", "40..120ms"),
        ("40-120ms", "40ms..120ms", "40-120ms"),
        ("40ms to 120ms", "40ms..120ms", "40ms to 120ms"),
        ("40ms...120ms", "40ms..120ms", "40ms...120ms"),
        ("40ms\N{EN DASH}120ms", "40ms..120ms", "40ms\N{EN DASH}120ms"),
        (["40ms", "120ms"], "40ms..120ms", "[40ms, 120ms]"),
        ({"min": "40ms", "max": "120ms"}, "40ms..120ms", "{min: 40ms, max: 120ms}"),
        ("40..120", "40ms..120ms or 40s..120s", "40..120"),
    ],
)
def test_a_range_is_advised(value: object, write: str, got: str) -> None:
    """Whatever stands between the ends, and where the unit stands at one end alone."""
    with pytest.raises(UnitError) as caught:
        parse_distribution(value, parse_latency)
    assert str(caught.value) == f"expected one value or a range a..b: write {write} (got {got})"


def test_a_range_the_wrong_way_round_is_turned() -> None:
    """The smaller value comes first."""
    with pytest.raises(UnitError) as caught:
        parse_distribution("120ms..40ms", parse_latency)
    assert str(caught.value) == (
        "a range goes from the smaller to the larger value: write 40ms..120ms (got 120ms..40ms)"
    )


def test_a_pair_is_advised() -> None:
    """The two times of a phase, the two rates of a ramp."""
    with pytest.raises(UnitError) as caught:
        parse_pair("0s-5m", parse_duration, "two times such as 0s..5m")
    assert str(caught.value) == "expected two times such as 0s..5m: write 0s..5m (got 0s-5m)"


KINDS: Final = [
    (meant_durations, parse_duration),
    (partial(meant_durations, short=True), parse_latency),
    (meant_shares, parse_share),
    (meant_rates, parse_rate),
    (meant_bitrates, parse_bitrate),
]
SLIPS: Final = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.text(max_size=70),
    st.text(alphabet="0123456789.,_:-+/% eEdhmsinkMGbBtpr", max_size=20),
)


@given(SLIPS, st.sampled_from(KINDS))
@example("1e15s", KINDS[0])
@example(1e-300, KINDS[2])
@example("0 per 0 s", KINDS[3])
def test_whatever_is_advised_can_be_read(value: object, kind: tuple[object, object]) -> None:
    """The advice is text of the language, however odd the value was."""
    meant, parse = kind
    for reading in meant(value):  # type: ignore[operator]  # a table's row
        parse(reading)  # type: ignore[operator]


@given(st.one_of(SLIPS, st.lists(SLIPS, max_size=3)), st.sampled_from(KINDS))
def test_whatever_range_is_advised_can_be_read(value: object, kind: tuple[object, object]) -> None:
    """Each end of it, at least: they may be the wrong way round."""
    meant, parse = kind
    for reading in meant_ranges(value, meant):  # type: ignore[arg-type]
        for end in reading.split(".."):
            parse(end)  # type: ignore[operator]
