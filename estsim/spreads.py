"""Distributions, ``2s..4s`` or ``{normal: [80ms, 10ms]}``, and pairs of values, read from YAML.

Pure. ``parse`` is always a reader of :mod:`estsim.units`: it reads one value in the unit of its place, and determines
the advice for an unreadable one.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from estsim.errors import UnitError
from estsim.unit_advice import (
    Readings,
    advice,
    meant_bitrates,
    meant_durations,
    meant_ranges,
    meant_rates,
    meant_shares,
)
from estsim.units import (
    TAIL_SD,
    Constant,
    Distribution,
    LogNormal,
    Normal,
    Uniform,
    parse_bitrate,
    parse_duration,
    parse_latency,
    parse_rate,
    parse_share,
    shown,
)

_MEANT: Final[dict[Callable[[object], float], Callable[[object], Readings]]] = {
    parse_duration: meant_durations,
    parse_latency: partial(meant_durations, short=True),
    parse_rate: meant_rates,
    parse_share: meant_shares,
    parse_bitrate: meant_bitrates,
}


def parse_distribution(value: object, parse: Callable[[object], float]) -> Distribution:
    """Return the distribution of ``3s``, ``2s..4s``, ``{normal: [80ms, 10ms]}`` or ``{lognormal: [80ms, 0.4]}``.

    ``parse`` reads one value in the unit that the place asks for.
    """
    if isinstance(value, Mapping) and not _looks_like_range(value, parse):
        return _parse_named(value, parse)
    text = value if isinstance(value, str) and ".." in value else None
    try:
        low, high = (parse(part.strip()) for part in text.split("..", 1)) if text else (parse(value),) * 2
    except UnitError as error:
        if readings := _meant_ranges(value, parse):
            raise UnitError(
                f"expected one value or a range a..b: {advice(readings)} (got {_range_shown(value)})"
            ) from error
        raise
    if low > high:
        written = value if isinstance(value, str) else ""
        turned = "..".join(part.strip() for part in reversed(written.split("..", 1)))
        raise UnitError(f"a range goes from the smaller to the larger value: write {turned} (got {shown(value)})")
    return Constant(low) if low == high else Uniform(low, high)


def parse_pair(value: object, parse: Callable[[object], float], expected: str) -> tuple[float, float]:
    """Return the two ends of ``a..b``, in either order; ``expected`` says what they are, with an example."""
    start, dots, end = value.partition("..") if isinstance(value, str) else ("", "", "")
    if dots:
        try:
            return parse(start), parse(end)
        except UnitError:
            if not _meant_ranges(value, parse):
                raise
    write = advice(_meant_ranges(value, parse))
    raise UnitError(f"expected {expected}{f': {write}' if write else ''} (got {_range_shown(value)})")


def _meant_ranges(value: object, parse: Callable[[object], float]) -> Readings:
    return meant_ranges(value, _MEANT[parse]) if parse in _MEANT else ()


def _looks_like_range(value: Mapping[object, object], parse: Callable[[object], float]) -> bool:
    return bool(_meant_ranges(value, parse))


def _range_shown(value: object) -> str:
    """Return a value that was meant for a range as it was written, shortened to a line."""
    if isinstance(value, Mapping):
        return shown("{" + ", ".join(f"{shown(key)}: {shown(end)}" for key, end in value.items()) + "}")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return shown("[" + ", ".join(map(shown, value)) + "]")
    return shown(value)


def _parse_named(value: Mapping[object, object], parse: Callable[[object], float]) -> Distribution:
    kind, arguments = next(iter(value.items()), (None, None))
    if len(value) != 1 or kind not in ("normal", "lognormal"):
        raise UnitError("expected one value, a range a..b, {normal: [mean, sd]} or {lognormal: [median, sigma]}")
    if not isinstance(arguments, Sequence) or isinstance(arguments, str) or len(arguments) != 2:  # noqa: PLR2004 - a pair
        raise UnitError(f"{kind} requires a list of two values (got {shown(arguments)})")
    middle = parse(arguments[0])
    if kind == "normal":
        sd = parse(arguments[1])
        if sd < 0:
            raise UnitError(f"a standard deviation must not be negative (got {shown(arguments[1])})")
        return Normal(middle, sd) if sd else Constant(middle)
    sigma = arguments[1]
    if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not 0 <= sigma <= TAIL_SD:
        raise UnitError(
            f"the sigma of lognormal is a number from 0 to {TAIL_SD:.0f}, without unit (got {shown(sigma)})"
        )
    if middle <= 0:
        raise UnitError(f"the median of lognormal must be greater than 0 (got {shown(arguments[0])})")
    return LogNormal(middle, float(sigma)) if sigma else Constant(middle)
