"""Figures and names as text: counts, times, shares and sizes, each in as few cells as stay truthful.

None, NaN and infinities become a dash, so that a missing figure never looks like a zero.
"""

import math
from functools import lru_cache
from typing import Final

from estsim.units import plural

ABSENT: Final = "\N{EN DASH}"
PARTS: Final = {  # of a time to certificate, as summary.json names them, in words
    "service": "service",
    "told": "Retry-After",
    "device": "device delay",
    "backoff": "backoff",
    "client": "client work",
    "generator": "generator lag",
}

# Three digits, except where whole milliseconds suffice: upper bound in seconds, size of the unit, decimals, unit.
# The bounds lie where rounding would reach the next row.
_STEPS: Final = (
    (0.9995e-3, 1e-6, 0, "µs"),
    (9.95e-3, 1e-3, 1, "ms"),
    (0.9995, 1e-3, 0, "ms"),
    (9.995, 1.0, 2, "s"),
    (99.95, 1.0, 1, "s"),
)
_LONG_STEPS: Final = (
    (3597.0, 60.0, 1, "m"),
    (359_820.0, 3600.0, 1, "h"),
    (8_635_680.0, 86_400.0, 1, "d"),
    (863_956_800.0, 86_400.0, 0, "d"),
)
_KILO_BELOW: Final = 999_500
_IN_MINUTES_BELOW_S: Final = 599.5
_VARIATION_SELECTOR: Final = "\ufe0f"  # makes the character before it wide, in some terminals
_PREFIXES: Final = ((9_995e3, 1e9, "G"), (9_995e6, 1e12, "T"), (9_995e9, 1e15, "P"), (9_995e12, 1e18, "E"))
_DAY_S: Final = 86_400.0


def count(number: float | None) -> str:
    """Return a whole number with spaces between thousands: ``12 345``."""
    if number is None or not math.isfinite(number):
        return ABSENT
    return f"{round(number):,}".replace(",", " ")


def quantity(number: float, noun: str) -> str:
    """Return a whole number with its noun: ``1 device``, ``12 345 devices``."""
    return f"{count(number)} {plural(number, noun)}"


def short_count(number: float | None, width: int) -> str:
    """Return a count in at most ``width`` cells (6 or more): ``12 345``, else ``1000000``, else ``12.3M``."""
    grouped = count(number)
    if number is None or grouped == ABSENT or len(grouped) <= width:
        return grouped
    plain = grouped.replace(" ", "")
    if len(plain) <= width:
        return plain
    size, prefix = 1e6, "M"
    for above, larger, name in _PREFIXES:
        if abs(number) >= above * 100:
            size, prefix = larger, name
    return f"{number / size:.3g}{prefix}" if abs(number) < size * 999 else f">1k{prefix}"


def compact(number: float | None, *, kilo_from: int = 100_000) -> str:
    """Return a count in at most five cells: ``99999``, ``524k``, ``1.05M``."""
    if number is None or not math.isfinite(number):
        return ABSENT
    if abs(number) < kilo_from - 0.5:
        return str(round(number))
    return f"{number / 1e3:.0f}k" if abs(number) < _KILO_BELOW else short_count(number, 6)


def duration(seconds: float | None) -> str:
    """Return a measured time in a fitting unit and at most five cells: ``850µs``, ``46ms``, ``2m05s``."""
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds == 0:
        return "0ms"
    for below_s, unit_s, decimals, unit in _STEPS:
        if seconds < below_s:
            return f"{seconds / unit_s:.{decimals}f}{unit}"
    if seconds < _IN_MINUTES_BELOW_S:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}m{rest:02d}s"
    for below_s, unit_s, decimals, unit in _LONG_STEPS:
        if seconds < below_s:
            return f"{seconds / unit_s:.{decimals}f}{unit}"
    return "∞"


def milliseconds(value: float | None) -> str:
    """Return a measured time given in milliseconds, as :func:`duration`."""
    return duration(None if value is None else value / 1e3)


def clock(seconds: float | None) -> str:
    """Return a time of the run as a clock shows it: ``0:23``, ``1:02:03``."""
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def moment(seconds: float | None, *, within_s: float) -> str:
    """Return a time within ``within_s`` seconds as a clock shows it, or from a day on in days and hours.

    ``3d``, ``3d06h``, or with minutes ``3d06:30``.
    """
    if seconds is None or not math.isfinite(seconds) or within_s < _DAY_S:
        return clock(seconds)
    minutes = int(seconds) // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if minutes:
        return f"{days}d{hours:02}:{minutes:02}"
    return f"{days}d{hours:02}h" if hours else f"{days}d"


def percent(share: float | None, decimals: int = 0) -> str:
    """Return a share as a percentage: ``38%``, or ``>99%`` and ``<1%`` where rounding would mislead."""
    if share is None or not math.isfinite(share):
        return ABSENT
    least = 10.0**-decimals
    shown = f"{share * 100:.{decimals}f}%"
    if share > 0 and shown == f"{0:.{decimals}f}%":
        return f"<{least:.{decimals}f}%"
    if share < 1 and shown == f"{100:.{decimals}f}%":
        return f">{100 - least:.{decimals}f}%"
    return shown if share not in (0, 1) else f"{share:.0%}"


def mebibytes(size_mib: float | None) -> str:
    """Return a size of memory: ``123 MiB``, ``1.2 GiB``."""
    if size_mib is None or not math.isfinite(size_mib):
        return ABSENT
    return f"{size_mib:.0f} MiB" if size_mib < 1000 else f"{size_mib / 1024:.1f} GiB"  # noqa: PLR2004 - four digits


def ratio(value: float | None) -> str:
    """Return a plain figure with two decimals: ``1.42``."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:.2f}"


def words(name: str) -> str:
    """Return a name as words."""
    return name.replace("_", " ")


@lru_cache(maxsize=1024)
def clean(text: str) -> str:
    """Return the text with everything that is not a visible character or a plain space as ``·``."""
    visible = text.replace(_VARIATION_SELECTOR, "")
    return visible if visible.isprintable() else "".join(c if c.isprintable() else "·" for c in visible)
