"""Warnings about thresholds: their result does not depend on the server, or the plan has too few samples for them."""

from collections.abc import Iterator
from math import floor
from typing import Final

from estsim.figures.evidence import Limit
from estsim.figures.metric_kinds import Unit
from estsim.figures.support import CONFIDENCE, needed_for
from estsim.figures.thresholds import DEFAULT_THRESHOLDS, Threshold, parse_threshold
from estsim.scenario.document import Finding
from estsim.scenario.model import ScenarioModel
from estsim.scenario.plan import Scenario
from estsim.scenario.samples import Span, samples_of
from estsim.units import format_duration

_ONE_EXCHANGE: Final = (".service.", ".wait.")
_UPPER: Final = ("<", "<=")
_LOWER: Final = (">", ">=")
_PERCENT: Final = round(100 * CONFIDENCE)
_MAY_BE_NONE: Final = ("failures", "unfinished")  # 0 % where no enrolment was begun


def threshold_doubts(model: ScenarioModel) -> Iterator[Finding]:
    """Yield the thresholds that always or never pass, and an empty list of them."""
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
    """Return whether a figure from 0 to ``highest`` always or never passes a bound; None if it depends."""
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
    """Whether a figure cannot be negative, unlike punctuality and correlations."""
    path = threshold.metric.path
    return not any(name in path for name in ("punctuality", "lag_correlation", "burstiness"))


def sample_doubts(scenario: Scenario) -> Iterator[Finding]:
    """Yield the thresholds that the plan cannot support: too few samples, none, or a time longer than the run."""
    cohorts = frozenset(cohort.name for cohort in scenario.cohorts)
    spans = {phase.name: Span(phase.from_s, phase.to_s) for phase in scenario.phases}
    for number, demand in enumerate(scenario.thresholds):
        threshold = parse_threshold(demand.expression, cohorts=cohorts, phases=spans, strict=demand.strict)
        span = spans.get(threshold.metric.phase or "", Span(0.0, scenario.duration_s))
        if span.from_s < scenario.duration_s and (doubt := _unsupported(threshold, scenario, span)):
            yield ("thresholds", number), doubt


def _unsupported(threshold: Threshold, scenario: Scenario, span: Span) -> str | None:
    metric, prefix = threshold.metric, f"{threshold.expression}: "
    left_s = scenario.duration_s - span.from_s
    if metric.within_s is not None and metric.within_s > left_s:
        whose = (
            "the run" if metric.phase is None else f"the time from the start of {metric.phase} to the end of the run"
        )
        return f"{prefix}{format_duration(metric.within_s)} is longer than {whose}, {format_duration(left_s)}"
    name = _bare(threshold)
    expected = samples_of(scenario, name, metric.cohort, span)
    if expected is None:
        return None
    samples = floor(expected + 0.5)
    if samples == 0:
        return None if name in _MAY_BE_NONE else f"{prefix}cannot be evaluated: the plan has no samples for it"
    return _thin(threshold, samples, devices=_devices(threshold, scenario))


def _thin(threshold: Threshold, samples: int, *, devices: int) -> str | None:
    """Return the warning for a threshold with too few samples to prove a pass; ``devices`` names them."""
    allowed = _allowed(threshold)
    needed = None if allowed is None else needed_for(0.0, allowed)
    if needed is None or samples >= needed:
        return None
    counted = f"{samples} device" if samples == devices else f"about {samples} sample"
    are = " is" if samples == 1 else "s are"
    end = "count as a failure (strict)" if threshold.strict else "be marked thin"
    return (
        f"{counted}{are} too few to prove {threshold.expression} ({needed} needed at {_PERCENT} % confidence); "
        f"a pass will {end}"
    )


def _devices(threshold: Threshold, scenario: Scenario) -> int:
    """Return the number of devices that a threshold covers."""
    cohort = threshold.metric.cohort
    return sum(each.devices for each in scenario.cohorts if cohort in (None, each.name))


def _allowed(threshold: Threshold) -> float | None:
    limit: Limit = threshold.limit
    if threshold.metric.rests_on is None:
        return None
    return limit.allowed(threshold.metric.share)


def _bare(threshold: Threshold) -> str:
    """Return the name of the metric without phase and cohort."""
    metric = threshold.metric
    name = metric.path
    if metric.phase is not None:
        name = name.removeprefix(f"{metric.phase}.")
    return name if metric.cohort is None else name.removeprefix(f"cohorts.{metric.cohort}.")
