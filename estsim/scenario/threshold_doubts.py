"""Thresholds that hold, or fail, whatever the server does."""

from collections.abc import Iterator
from typing import Final

from estsim.figures.metric_kinds import Unit
from estsim.figures.thresholds import DEFAULT_THRESHOLDS, Threshold, parse_threshold
from estsim.scenario.document import Location
from estsim.scenario.model import ScenarioModel
from estsim.units import format_duration

Finding = tuple[Location, str]

_ONE_EXCHANGE: Final = (".service.", ".wait.")
_UPPER: Final = ("<", "<=")
_LOWER: Final = (">", ">=")


def threshold_doubts(model: ScenarioModel) -> Iterator[Finding]:
    """Yield the thresholds whose bound no figure can pass, or none can miss, and a list of none at all."""
    if "thresholds" in model.model_fields_set and not model.thresholds:
        yield ("thresholds",), f"is empty, so the defaults apply: {' and '.join(DEFAULT_THRESHOLDS)}"
    cohorts, phases = frozenset(model.cohorts), frozenset(model.phases)
    for number, part in enumerate(model.thresholds):
        threshold = parse_threshold(part.threshold, cohorts=cohorts, phases=phases)
        if doubt := _doubt(threshold, model):
            yield ("thresholds", number), f"{part.threshold}: {doubt}"


def _doubt(threshold: Threshold, model: ScenarioModel) -> str | None:
    bound, comparison = threshold.limit.bound, threshold.limit.comparison
    if threshold.metric.unit is Unit.SHARE and (fate := _fate(comparison, bound, highest=1.0)):
        return f"{fate}: a share is from 0% to 100%"
    if bound < 0 and (fate := _fate(comparison, bound, highest=float("inf"))) and _is_never_negative(threshold):
        return f"{fate}: it is never below 0"
    timeouts = model.target.timeouts
    longest_s = timeouts.connect + timeouts.handshake + timeouts.answer
    is_time = threshold.metric.unit is Unit.MILLISECONDS
    of_one_exchange = is_time and any(part in f".{threshold.metric.path}." for part in _ONE_EXCHANGE)
    if of_one_exchange and comparison in _UPPER and bound > longest_s:
        return f"always passes: target.timeouts end each exchange after {format_duration(longest_s)}"
    return None


def _fate(comparison: str, bound: float, *, highest: float) -> str | None:
    """Say whether a figure from 0 to ``highest`` always or never meets a bound; None where it depends."""
    always = {"<": bound > highest, "<=": bound >= highest, ">": bound < 0, ">=": bound <= 0, "==": False}
    never = {
        "<": bound <= 0,
        "<=": bound < 0,
        ">": bound >= highest,
        ">=": bound > highest,
        "==": not 0 <= bound <= highest,
    }
    return "always passes" if always[comparison] else "never passes" if never[comparison] else None


def _is_never_negative(threshold: Threshold) -> bool:
    """Say whether a figure cannot be negative: devices may be early, and correlations are of either sign."""
    path = threshold.metric.path
    return not any(name in path for name in ("punctuality", "lag_correlation", "burstiness"))
