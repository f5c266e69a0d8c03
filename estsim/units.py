"""Durations, rates, shares and bit rates, read from text and written back, and the distributions that values have.

Pure, and imported by every room; :mod:`estsim.spreads` reads distributions. Values are plain floats in seconds, per
second, fractions and bits per second. A :data:`Distribution` is frozen; its ``at`` turns a uniform draw into a value,
so nothing here draws. :mod:`estsim.fields` checks the bounds of a place, such as a negative timeout.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, isfinite
from statistics import NormalDist
from typing import Final

from estsim.errors import UnitError
from estsim.unit_advice import (
    Readings,
    advice,
    is_bare_number,
    meant_bitrates,
    meant_durations,
    meant_rates,
    meant_shares,
)

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_DURATION_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_RATE_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BITRATE_UNITS: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}

# Largest unit first, each at most once: "1h30m" is a duration, "30m1h" and "1h1h" are slips of the pen.
_DURATION: Final = re.compile("([+-]?)" + "".join(rf"(?:({_NUMBER}){u})?" for u in _DURATION_UNITS))
_RATE: Final = re.compile(rf"([+-]?{_NUMBER})/(s|min|h|d)")
_SHARE: Final = re.compile(rf"([+-]?{_NUMBER})%")
_BITRATE: Final = re.compile(rf"({_NUMBER})([kMG]?)bit/s")

_EXPECTED_DURATION: Final = "expected a duration such as 500ms, 10s, 5m or 1h30m"
_EXPECTED_RATE: Final = "expected a rate such as 50/s, 24/min or 3/h"
_EXPECTED_SHARE: Final = "expected a share such as 40% or 0.1%"
_EXPECTED_BITRATE: Final = "expected a bit rate such as 64kbit/s or 1Mbit/s"

_STANDARD_NORMAL: Final = NormalDist()
TAIL_SD: Final = (
    4.0  # one draw in 16 000 lies further out on either side; cut there, a spread has bounds that can be checked
)
_SHOWN_LENGTH: Final = 60
_LONGEST: Final = 1000  # characters of any of these; longer texts are not read


def harmless(text: str) -> str:
    """Return foreign text as one line that is safe for a terminal: no controls, line breaks or bidi overrides.

    Whatever a peer or a file says goes through here once, where it enters.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shown(value: object) -> str:
    """Return a value for a message: as in YAML, shortened, on one line, safe for a terminal."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "a list"
    text = harmless(str(value)[: _SHOWN_LENGTH + 1])
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"


def parse_duration(text: object) -> float:
    """Return the seconds of ``500ms``, ``10s``, ``5m``, ``1h``, ``2d``, ``1h30m`` or ``-30s``."""
    return _duration(text, meant_durations)


def parse_latency(text: object) -> float:
    """Return the seconds of a typically short duration; the advice takes a bare 800 for milliseconds."""
    return _duration(text, partial(meant_durations, short=True))


def parse_rate(text: object) -> float:
    """Return the events per second of ``50/s``, ``24/min``, ``3/h`` or ``10/d``."""
    match = _RATE.fullmatch(_text_of(text))
    if match is None:
        raise _refusal(_EXPECTED_RATE, text, meant_rates(text))
    return _finite(float(match[1]) / _RATE_UNITS[match[2]], text)


def parse_share(text: object) -> float:
    """Return the fraction of ``40%`` or ``-5%``."""
    return _share(text, meant_shares)


def parse_small_share(text: object) -> float:
    """Return the fraction of a typically small share; the advice takes a bare 0.5 for 0.5%."""
    return _share(text, partial(meant_shares, small=True))


def parse_bitrate(text: object) -> float:
    """Return the bits per second of ``64kbit/s``, ``1Mbit/s`` or ``9600bit/s``."""
    match = _BITRATE.fullmatch(_text_of(text))
    if match is None:
        raise _refusal(_EXPECTED_BITRATE, text, meant_bitrates(text))
    return _finite(float(match[1]) * _BITRATE_UNITS[match[2]], text)


def _share(text: object, meant: Callable[[object], Readings]) -> float:
    match = _SHARE.fullmatch(_text_of(text))
    if match is None:
        raise _refusal(_EXPECTED_SHARE, text, meant(text))
    return _finite(float(match[1]) / 100, text)


def _duration(text: object, meant: Callable[[object], Readings]) -> float:
    match = _DURATION.fullmatch(_text_of(text))
    if match is None or not any(match.groups()[1:]):
        raise _refusal(_EXPECTED_DURATION, text, meant(text))
    parts = zip(match.groups()[1:], _DURATION_UNITS.values(), strict=True)
    # Thousandths are divided, not multiplied: 20/1000 is 0.02, 20*0.001 is not.
    seconds = sum(float(n) / 1000 if unit < 1 else float(n) * unit for n, unit in parts if n is not None)
    return _finite(-seconds if match[1] == "-" else seconds, text)


def format_duration(seconds: float) -> str:
    """Return a duration in the largest readable units; parsing it gives the same seconds."""
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
    """Return a rate per second, minute or hour, whichever needs the fewest digits."""
    ways = [f"{_decimal(per_s * _RATE_UNITS[unit])}/{unit}" for unit in ("s", "min", "h")]
    return min(ways, key=len) if per_s else ways[0]


def format_share(share: float) -> str:
    """Return a fraction as a percentage."""
    return f"{_decimal(share * 100)}%"


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same value."""

    value: float

    @property
    def low(self) -> float:
        """The smallest value."""
        return self.value

    @property
    def high(self) -> float:
        """The largest value."""
        return self.value

    def at(self, u: float) -> float:  # noqa: ARG002 - one shape for all distributions
        """Return the value for any draw."""
        return self.value


@dataclass(frozen=True, slots=True)
class Uniform:
    """A uniform distribution from ``low`` to ``high``."""

    low: float
    high: float

    def at(self, u: float) -> float:
        """Return the quantile of ``u``."""
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True, slots=True)
class Normal:
    """A normal distribution, cut four standard deviations from its mean."""

    mean: float
    sd: float

    @property
    def low(self) -> float:
        """The smallest value."""
        return self.mean - TAIL_SD * self.sd

    @property
    def high(self) -> float:
        """The largest value."""
        return self.mean + TAIL_SD * self.sd

    def at(self, u: float) -> float:
        """Return the quantile of ``u``."""
        return self.mean + self.sd * _standard_quantile(u)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A lognormal distribution: ``sigma`` is the standard deviation of the logarithm."""

    median: float
    sigma: float

    @property
    def low(self) -> float:
        """The smallest value."""
        return self.median * exp(-TAIL_SD * self.sigma)

    @property
    def high(self) -> float:
        """The largest value."""
        return self.median * exp(TAIL_SD * self.sigma)

    def at(self, u: float) -> float:
        """Return the quantile of ``u``."""
        return self.median * exp(self.sigma * _standard_quantile(u))


Distribution = Constant | Uniform | Normal | LogNormal


def _standard_quantile(u: float) -> float:
    """Return the standard normal quantile, cut to the tails' bounds (0 itself has none)."""
    return max(-TAIL_SD, min(TAIL_SD, _STANDARD_NORMAL.inv_cdf(u))) if 0 < u < 1 else (-TAIL_SD if u <= 0 else TAIL_SD)


def _text_of(value: object) -> str:
    """Return the text of a value, empty if it is not text or too long."""
    text = value.strip() if isinstance(value, str) else ""
    return text if len(text) <= _LONGEST else ""


def _refusal(expected: str, value: object, readings: Readings) -> UnitError:
    """Return the refusal of a value, with what was probably meant, the likelier reading first."""
    write = advice(readings)
    why = f": missing unit, {write}" if is_bare_number(value) and write else f": {write}" if write else ""
    return UnitError(f"{expected}{why} (got {shown(value).strip() or 'nothing'})")


def _finite(value: float, text: object) -> float:
    if not isfinite(value):
        raise UnitError(f"too large (got {shown(text)})")
    return value


def _decimal(value: float) -> str:
    """Return a number without exponent and trailing zeros, with at most nine decimals."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 kind``, ``3 kinds``."""
    return f"{number} {plural(number, noun)}"


def plural(number: float, noun: str) -> str:
    """Return a noun in the form after a number."""
    return noun if number == 1 else f"{noun}s"
