"""Units: what is read, what is written, what is refused and in which words."""

from contextlib import suppress
from math import exp, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.errors import UnitError
from estsim.spreads import parse_distribution
from estsim.units import (
    Constant,
    Distribution,
    LogNormal,
    Normal,
    Uniform,
    counted,
    format_duration,
    format_rate,
    format_share,
    parse_bitrate,
    parse_duration,
    parse_rate,
    parse_share,
    shown,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("20ms", 0.02),
        ("10s", 10),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172_800),
        ("1h30m", 5400),
        ("1m30.5s", 90.5),
        ("-30s", -30),
        ("0s", 0),
        (" 10s ", 10),
    ],
)
def test_a_duration_reads_as_seconds(text: str, seconds: float) -> None:
    """Every unit, compounds, decimals and signs."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (10, "expected a duration such as 500ms, 10s, 5m or 1h30m: missing unit, write 10s or 10m (got 10)"),
        (
            "10",
            "expected a duration such as 500ms, 10s, 5m or 1h30m: missing unit, write 10s or 10m (got 10)",
        ),
        (None, "expected a duration such as 500ms, 10s, 5m or 1h30m (got nothing)"),
        (True, "expected a duration such as 500ms, 10s, 5m or 1h30m (got true)"),
        ("soon", "expected a duration such as 500ms, 10s, 5m or 1h30m (got soon)"),
        ("30m1h", "expected a duration such as 500ms, 10s, 5m or 1h30m: write 1h30m (got 30m1h)"),
        ("1e3s", "expected a duration such as 500ms, 10s, 5m or 1h30m: write 1000s (got 1e3s)"),
        ("-", "expected a duration such as 500ms, 10s, 5m or 1h30m (got -)"),
        ("٣s", "expected a duration such as 500ms, 10s, 5m or 1h30m (got ٣s)"),
        ([], "expected a duration such as 500ms, 10s, 5m or 1h30m (got a list)"),
    ],
)
def test_what_is_no_duration_is_told_with_an_example(value: object, said: str) -> None:
    """A bare number is the commonest slip, and the answer says which unit to write."""
    with pytest.raises(UnitError) as caught:
        parse_duration(value)
    assert str(caught.value) == said


def test_a_number_beyond_all_bounds_is_refused() -> None:
    """No infinity comes out of digits."""
    with pytest.raises(UnitError, match="too large"):
        parse_duration("9" * 400 + "s")


@pytest.mark.parametrize(("text", "per_s"), [("50/s", 50), ("24/min", 0.4), ("36/h", 0.01), ("-3/s", -3)])
def test_a_rate_reads_per_second(text: str, per_s: float) -> None:
    """Seconds, minutes, hours; whether a negative rate is allowed is the field's business."""
    assert parse_rate(text) == per_s


def test_a_rate_per_m_is_refused_because_it_could_be_months() -> None:
    """The minute of a rate is written min."""
    with pytest.raises(UnitError, match=r"24/min"):
        parse_rate("5/m")


def test_shares_and_bit_rates_read_in_their_units() -> None:
    """40 % is 0.4, a kilobit is a thousand bits."""
    assert parse_share("40%") == 0.4
    assert parse_share("-5%") == -0.05
    assert parse_share("0.1%") == 0.001
    assert parse_bitrate("64kbit/s") == 64_000
    assert parse_bitrate("1.5Mbit/s") == 1_500_000
    with pytest.raises(UnitError, match="write 40%"):
        parse_share(40)


@given(st.integers(min_value=-(10**9), max_value=10**12))
def test_a_duration_in_milliseconds_survives_being_written(milliseconds: int) -> None:
    """Formatting and reading are inverse, to the nanosecond."""
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(min_value=0, max_value=10**7))
def test_rates_and_shares_survive_being_written(number: int) -> None:
    """Formatting and reading are inverse for what people write."""
    assert parse_rate(format_rate(number / 60)) == pytest.approx(number / 60, abs=1e-8)
    assert parse_share(format_share(number / 10_000)) == pytest.approx(number / 10_000)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0123, "12.3ms"),
        (1.5, "1.5s"),
        (90, "1m30s"),
        (3600, "1h"),
        (90_061, "1d1h1m1s"),
        (-30, "-30s"),
        (inf, "no limit"),
    ],
)
def test_a_duration_is_written_as_people_do(seconds: float, text: str) -> None:
    """The largest units first, no zeros."""
    assert format_duration(seconds) == text


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers())))
def test_any_value_reads_or_is_a_unit_error(value: object) -> None:
    """No other exception, and never an infinity."""
    for parse in (parse_duration, parse_rate, parse_share, parse_bitrate):
        with suppress(UnitError):
            assert abs(parse(value)) < inf


@pytest.mark.parametrize(
    ("value", "distribution"),
    [
        ("3s", Constant(3)),
        ("2s..4s", Uniform(2, 4)),
        ("2s .. 4s", Uniform(2, 4)),
        ("2s..2s", Constant(2)),
        ("-30s..30s", Uniform(-30, 30)),
        ({"normal": ["80ms", "10ms"]}, Normal(0.08, 0.01)),
        ({"lognormal": ["80ms", 0.4]}, LogNormal(0.08, 0.4)),
    ],
)
def test_a_distribution_reads_in_all_its_forms(value: object, distribution: Distribution) -> None:
    """A value, a range, and the two named ones."""
    assert parse_distribution(value, parse_duration) == distribution


@pytest.mark.parametrize(
    "value",
    [
        "4s..2s",
        "2..4",
        "1s..2s..3s",
        {"normal": ["80ms"]},
        {"normal": "80ms"},
        {"normal": ["80ms", "-1ms"]},
        {"lognormal": ["80ms", "40%"]},
        {"lognormal": ["0s", 0.4]},
        {"gamma": ["1s", "2s"]},
        {},
        {"normal": ["1s", "1s"], "lognormal": ["1s", 1]},
    ],
)
def test_a_broken_distribution_is_refused(value: object) -> None:
    """Ranges go up, named ones take two values."""
    with pytest.raises(UnitError):
        parse_distribution(value, parse_duration)


@pytest.mark.parametrize("spread", [Constant(3), Uniform(2, 4), Normal(80, 10), LogNormal(80, 0.4)])
def test_a_distribution_stays_between_its_bounds_and_grows_with_the_draw(spread: Distribution) -> None:
    """``at`` is a quantile function over the whole of [0, 1)."""
    values = [spread.at(u) for u in (0.0, 1e-12, 0.25, 0.5, 0.75, 1 - 1e-12)]
    assert values == sorted(values)
    assert spread.low <= values[0]
    assert values[-1] <= spread.high


def test_the_quantiles_of_the_named_distributions_are_right() -> None:
    """The median in the middle, one standard deviation at 84.13 %."""
    assert Normal(80, 10).at(0.5) == 80
    assert Normal(80, 10).at(0.841344746) == pytest.approx(90)
    assert LogNormal(80, 0.4).at(0.841344746) == pytest.approx(80 * exp(0.4))


def test_a_shown_value_is_short_and_harmless() -> None:
    """A message never carries control characters or pages of text."""
    assert shown("a\x1b[31m\nb") == "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b"
    assert len(shown("x" * 1000)) == 60


@pytest.mark.parametrize(("number", "text"), [(0, "0 kinds"), (1, "1 kind"), (2, "2 kinds")])
def test_a_noun_agrees_with_its_number(number: int, text: str) -> None:
    """One is one."""
    assert counted(number, "kind") == text
