"""Durations, rates, shares, bit rates, ranges and distributions: read from text and written back.

Pure, and imported by every room. Values are plain floats in seconds, per second, parts of one and bits per second; a
spread value is a frozen :data:`Distribution` whose ``at`` turns a uniform draw into a value, so nobody here draws.
Whether a value makes sense where it stands (a negative timeout) is for :mod:`estsim.fields` to say.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, isfinite
from statistics import NormalDist
from typing import Final

from estsim.errors import UnitError

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_DURATION_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_RATE_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BITRATE_UNITS: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}

# Largest unit first, each at most once: "1h30m" is a duration, "30m1h" and "1h1h" are slips of the pen.
_DURATION: Final = re.compile("([+-]?)" + "".join(rf"(?:({_NUMBER}){u})?" for u in _DURATION_UNITS))
_RATE: Final = re.compile(rf"([+-]?{_NUMBER})/(s|min|h|d)")
_SHARE: Final = re.compile(rf"([+-]?{_NUMBER})%")
_BITRATE: Final = re.compile(rf"({_NUMBER})([kMG]?)bit/s")
_BARE: Final = re.compile(rf"[+-]?{_NUMBER}")

_EXPECTED_DURATION: Final = "expected a duration such as 500ms, 10s, 5m or 1h30m"
_EXPECTED_RATE: Final = "expected a rate such as 50/s, 24/min or 3/h"
_EXPECTED_SHARE: Final = "expected a share such as 40% or 0.1%"
_EXPECTED_BITRATE: Final = "expected a bit rate such as 64kbit/s or 1Mbit/s"

_STANDARD_NORMAL: Final = NormalDist()
_TAIL_SD: Final = (
    4.0  # one draw in 16 000 lies further out on either side; cut there, a spread has bounds that can be checked
)
_SHOWN_LENGTH: Final = 60


def shown(value: object) -> str:
    """Return a value as a message shows it: as YAML writes it, shortened, on one line, harmless on a terminal."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "a list"
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value)[: _SHOWN_LENGTH + 1])
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"


def parse_duration(text: object) -> float:
    """Return the seconds of ``500ms``, ``10s``, ``5m``, ``1h``, ``2d``, ``1h30m`` or ``-30s``."""
    stripped = _text_of(text, _EXPECTED_DURATION, example="{}s")
    match = _DURATION.fullmatch(stripped)
    if match is None or not any(match.groups()[1:]):
        raise UnitError(f"{_EXPECTED_DURATION} (got {shown(text)})")
    parts = zip(match.groups()[1:], _DURATION_UNITS.values(), strict=True)
    # Thousandths are divided, not multiplied: 20/1000 is 0.02, 20*0.001 is not.
    seconds = sum(float(n) / 1000 if unit < 1 else float(n) * unit for n, unit in parts if n is not None)
    return _finite(-seconds if match[1] == "-" else seconds, text)


def parse_rate(text: object) -> float:
    """Return the events per second of ``50/s``, ``24/min``, ``3/h`` or ``10/d``."""
    match = _RATE.fullmatch(_text_of(text, _EXPECTED_RATE, example="{}/s"))
    if match is None:
        raise UnitError(f"{_EXPECTED_RATE} (got {shown(text)})")
    return _finite(float(match[1]) / _RATE_UNITS[match[2]], text)


def parse_share(text: object) -> float:
    """Return the part of one that ``40%`` or ``-5%`` is."""
    match = _SHARE.fullmatch(_text_of(text, _EXPECTED_SHARE, example="{}%"))
    if match is None:
        raise UnitError(f"{_EXPECTED_SHARE} (got {shown(text)})")
    return _finite(float(match[1]) / 100, text)


def parse_bitrate(text: object) -> float:
    """Return the bits per second of ``64kbit/s``, ``1Mbit/s`` or ``9600bit/s``."""
    match = _BITRATE.fullmatch(_text_of(text, _EXPECTED_BITRATE, example="{}bit/s"))
    if match is None:
        raise UnitError(f"{_EXPECTED_BITRATE} (got {shown(text)})")
    return _finite(float(match[1]) * _BITRATE_UNITS[match[2]], text)


def format_duration(seconds: float) -> str:
    """Return a duration in the largest units that read well, such that reading it gives the same seconds back."""
    if not isfinite(seconds):
        return "no limit"
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if 0 < seconds < 1:
        return f"{sign}{_decimal(seconds * 1000)}ms"
    text = ""
    for unit in ("d", "h", "m"):
        whole, seconds = divmod(seconds, _DURATION_UNITS[unit])
        text += f"{int(whole)}{unit}" if whole else ""
    rest = _decimal(seconds)
    return sign + (text if text and rest == "0" else f"{text}{rest}s")


def format_rate(per_s: float) -> str:
    """Return a rate per second, minute or hour, whichever says it with the fewest digits."""
    ways = [f"{_decimal(per_s * _RATE_UNITS[unit])}/{unit}" for unit in ("s", "min", "h")]
    return min(ways, key=len) if per_s else ways[0]


def format_share(share: float) -> str:
    """Return a part of one as per cent."""
    return f"{_decimal(share * 100)}%"


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same value."""

    value: float

    @property
    def low(self) -> float:
        """The smallest value there is."""
        return self.value

    @property
    def high(self) -> float:
        """The largest value there is."""
        return self.value

    def at(self, u: float) -> float:  # noqa: ARG002 - one shape for all distributions
        """Return the value, whatever was drawn."""
        return self.value


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every value from ``low`` to ``high`` alike."""

    low: float
    high: float

    def at(self, u: float) -> float:
        """Return the value below which a share ``u`` of all draws lies."""
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True, slots=True)
class Normal:
    """The bell curve, cut four standard deviations from its middle."""

    mean: float
    sd: float

    @property
    def low(self) -> float:
        """The smallest value there is."""
        return self.mean - _TAIL_SD * self.sd

    @property
    def high(self) -> float:
        """The largest value there is."""
        return self.mean + _TAIL_SD * self.sd

    def at(self, u: float) -> float:
        """Return the value below which a share ``u`` of all draws lies."""
        return self.mean + self.sd * _standard_quantile(u)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A value whose logarithm is normal: ``sigma`` is the standard deviation of the logarithm."""

    median: float
    sigma: float

    @property
    def low(self) -> float:
        """The smallest value there is."""
        return self.median * exp(-_TAIL_SD * self.sigma)

    @property
    def high(self) -> float:
        """The largest value there is."""
        return self.median * exp(_TAIL_SD * self.sigma)

    def at(self, u: float) -> float:
        """Return the value below which a share ``u`` of all draws lies."""
        return self.median * exp(self.sigma * _standard_quantile(u))


Distribution = Constant | Uniform | Normal | LogNormal


def parse_distribution(value: object, parse: Callable[[object], float]) -> Distribution:
    """Return the distribution of ``3s``, ``2s..4s``, ``{normal: [80ms, 10ms]}`` or ``{lognormal: [80ms, 0.4]}``.

    ``parse`` reads one value in the unit that the place asks for.
    """
    if isinstance(value, Mapping):
        return _parse_named(value, parse)
    if not isinstance(value, str) or ".." not in value:
        return Constant(parse(value))
    low, high = (parse(part.strip()) for part in value.split("..", 1))
    if low > high:
        raise UnitError(f"a range goes from the smaller to the larger value (got {shown(value)})")
    return Constant(low) if low == high else Uniform(low, high)


def _parse_named(value: Mapping[object, object], parse: Callable[[object], float]) -> Distribution:
    kind, arguments = next(iter(value.items()), (None, None))
    if len(value) != 1 or kind not in ("normal", "lognormal"):
        raise UnitError("expected one value, a range a..b, {normal: [mean, sd]} or {lognormal: [median, sigma]}")
    if not isinstance(arguments, Sequence) or isinstance(arguments, str) or len(arguments) != 2:  # noqa: PLR2004 - a pair
        raise UnitError(f"{kind} takes two values in a list (got {shown(arguments)})")
    middle = parse(arguments[0])
    if kind == "normal":
        sd = parse(arguments[1])
        if sd < 0:
            raise UnitError(f"a standard deviation is never negative (got {shown(arguments[1])})")
        return Normal(middle, sd) if sd else Constant(middle)
    sigma = arguments[1]
    if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not 0 <= sigma <= _TAIL_SD:
        raise UnitError(
            f"the sigma of lognormal is a number from 0 to {_TAIL_SD:.0f}, without unit (got {shown(sigma)})"
        )
    if middle <= 0:
        raise UnitError(f"the median of lognormal must be greater than 0 (got {shown(arguments[0])})")
    return LogNormal(middle, float(sigma)) if sigma else Constant(middle)


def _standard_quantile(u: float) -> float:
    """Return the standard normal quantile, cut to the tails' bounds (0 itself has none)."""
    return (
        max(-_TAIL_SD, min(_TAIL_SD, _STANDARD_NORMAL.inv_cdf(u))) if 0 < u < 1 else (-_TAIL_SD if u <= 0 else _TAIL_SD)
    )


def _text_of(value: object, expected: str, *, example: str) -> str:
    """Return the text to read; a bare number is answered with what its writer may have meant."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = value.strip() if isinstance(value, str) else ""
    if number or _BARE.fullmatch(text):
        bare = shown(value)
        raise UnitError(f"{expected}: a number needs its unit, write {example.format(bare)} (got {bare})")
    if not text:
        raise UnitError(f"{expected} (got {shown(value).strip() or 'nothing'})")
    return text


def _finite(value: float, text: object) -> float:
    if not isfinite(value):
        raise UnitError(f"too large (got {shown(text)})")
    return value


def _decimal(value: float) -> str:
    """Return a number without exponent and trailing zeros, at most nine digits behind the point."""
    return f"{value:.9f}".rstrip("0").rstrip(".")
