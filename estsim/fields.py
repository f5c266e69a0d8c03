"""Field types for configuration models: :mod:`estsim.units` as pydantic types, with the bounds of their places.

Used by the scenario's models and the sandbox's. A message ends with what came: ``must be greater than 0 (got -3/s)``.
A model lists keys of later versions in ``not_yet``, so that the loader can refuse them by name.
"""

from collections.abc import Callable
from math import isfinite
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from estsim.errors import UnitError
from estsim.spreads import parse_distribution
from estsim.units import (
    Distribution,
    format_duration,
    format_rate,
    format_share,
    parse_bitrate,
    parse_duration,
    parse_latency,
    parse_rate,
    parse_share,
    shown,
)

Parse = Callable[[object], float]

MOST: Final = 1_000_000_000  # of any count
SECRET_KEYS: Final = frozenset({"password", "users", "http_auth"})  # their values may be or contain passwords
_LONGEST_S: Final = 100 * 365 * 86_400  # a century; longer durations fit neither a date nor the store's nanoseconds
_FASTEST_BPS: Final = 1e12
_TLS_VERSIONS: Final = ("1.2", "1.3")


class Section(BaseModel):
    """A mapping of a configuration file: frozen, without unknown keys, and with the keys that it will have later."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    not_yet: ClassVar[frozenset[str]] = frozenset()
    short_for: ClassVar[tuple[str, ...]] = ()  # keys that a single value may be meant for, likelier first
    example: ClassVar[str] = ""  # of the whole mapping


def reader(
    parse: Parse, *, above: float | None = None, at_least: float | None = None, at_most: float | None = None
) -> Callable[[object], float]:
    """Return a validator that reads a value with ``parse`` and checks bounds in the same unit."""
    written = _WRITERS.get(parse, _plain)

    def read(value: object) -> float:
        number = parse(value)
        if above is not None and number <= above:
            raise UnitError(f"must be greater than {written(above)} (got {shown(value)})")
        if at_least is not None and number < at_least:
            raise UnitError(f"must be at least {written(at_least)} (got {shown(value)})")
        if at_most is not None and number > at_most:
            raise UnitError(f"must be at most {written(at_most)} (got {shown(value)})")
        return number

    return read


def spread_reader(
    parse: Parse, *, at_least: float | None = None, at_most: float | None = None
) -> Callable[[object], Distribution]:
    """Return a validator that reads a value, a range or a distribution and checks bounds of its ends."""
    written = _WRITERS.get(parse, _plain)

    def read(value: object) -> Distribution:
        spread = parse_distribution(value, parse)
        if at_least is not None and spread.low < at_least:
            raise UnitError(f"must be at least {written(at_least)}{_reaching(spread.low, spread, value, written)}")
        if at_most is not None and spread.high > at_most:
            raise UnitError(f"must be at most {written(at_most)}{_reaching(spread.high, spread, value, written)}")
        return spread

    return read


def parse_number(value: object) -> float:
    """Return a plain number: a factor, which has no unit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnitError(f"expected a number without unit (got {shown(value)})")
    try:
        number = float(value)
    except OverflowError as error:
        raise UnitError(f"too large (got {shown(value)})") from error
    if not isfinite(number):
        raise UnitError(f"expected a finite number (got {shown(value)})")
    return number


def parse_tls_versions(value: object) -> tuple[str, str]:
    """Return the oldest and newest version of ``1.2..1.3`` or ``1.3``."""
    text = str(value) if isinstance(value, str | float) else ""
    oldest, dots, newest = (part.strip() for part in text.partition(".."))
    newest = newest if dots else oldest
    # RFC 8996: TLS 1.0 and 1.1 are not to be used.
    if oldest not in _TLS_VERSIONS or newest not in _TLS_VERSIONS or oldest > newest:
        raise UnitError(f"expected 1.2, 1.3 or 1.2..1.3 (got {shown(value)})")
    return oldest, newest


def _reaching(end: float, spread: Distribution, value: object, written: Callable[[float], str]) -> str:
    """Return the value for a message; for a distribution without written ends, how far it reaches."""
    return f" (got {shown(value)})" if isinstance(value, str) else f" (this {_kind(spread)} reaches {written(end)})"


def _kind(spread: Distribution) -> str:
    return type(spread).__name__.lower()


def _plain(bound: float) -> str:
    return f"{bound:g}"


def _zero_or(write: Callable[[float], str]) -> Callable[[float], str]:
    return lambda bound: write(bound) if bound else "0"


_WRITERS: Final[dict[Parse, Callable[[float], str]]] = {
    parse_duration: _zero_or(format_duration),
    parse_latency: _zero_or(format_duration),
    parse_share: _zero_or(format_share),
    parse_rate: _zero_or(format_rate),
}


def _text(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


def _spread(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": ["string", "object"], "examples": [example]})


# Seconds.
Duration = Annotated[float, BeforeValidator(reader(parse_duration, at_least=0, at_most=_LONGEST_S)), _text("30s")]
PositiveDuration = Annotated[float, BeforeValidator(reader(parse_duration, above=0, at_most=_LONGEST_S)), _text("30s")]
DurationRange = Annotated[
    Distribution, BeforeValidator(spread_reader(parse_duration, at_least=0, at_most=_LONGEST_S)), _spread("2s..4s")
]
# Short times in seconds; the advice takes a bare 40 for milliseconds.
PositiveLatency = Annotated[float, BeforeValidator(reader(parse_latency, above=0, at_most=_LONGEST_S)), _text("20ms")]
LatencyRange = Annotated[
    Distribution, BeforeValidator(spread_reader(parse_latency, at_least=0, at_most=_LONGEST_S)), _spread("40ms..120ms")
]
SignedDurationRange = Annotated[
    Distribution,
    BeforeValidator(spread_reader(parse_duration, at_least=-_LONGEST_S, at_most=_LONGEST_S)),
    _spread("-30s..30s"),
]
# Seconds that can be added to a date.
TenYearRange = Annotated[
    Distribution, BeforeValidator(spread_reader(parse_duration, at_least=0, at_most=10 * 365 * 86_400)), _spread("2s")
]

# Per second.
Rate = Annotated[float, BeforeValidator(reader(parse_rate, above=0, at_most=MOST)), _text("50/s")]
RateOrZero = Annotated[float, BeforeValidator(reader(parse_rate, at_least=0, at_most=MOST)), _text("10/s")]
Bitrate = Annotated[float, BeforeValidator(reader(parse_bitrate, above=0, at_most=_FASTEST_BPS)), _text("64kbit/s")]

# Parts of one.
Share = Annotated[float, BeforeValidator(reader(parse_share, at_least=0, at_most=1)), _text("40%")]
PositiveShare = Annotated[float, BeforeValidator(reader(parse_share, above=0, at_most=1)), _text("40%")]
ShareRange = Annotated[
    Distribution, BeforeValidator(spread_reader(parse_share, at_least=-1, at_most=1)), _spread("0%..10%")
]

# No unit. Strict: YAML distinguishes numbers, booleans and text.
PositiveNumber = Annotated[float, BeforeValidator(reader(parse_number, above=0)), WithJsonSchema({"type": "number"})]
Count = Annotated[int, Field(strict=True, ge=0, le=MOST)]
PositiveCount = Annotated[int, Field(strict=True, gt=0, le=MOST)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True, min_length=1)]

# The oldest and the newest version of TLS.
TlsVersions = Annotated[tuple[str, str], BeforeValidator(parse_tls_versions), _text("1.2..1.3")]
