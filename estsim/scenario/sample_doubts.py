"""Thresholds that a plan cannot support: too few samples, none at all, or a time longer than the run."""

from collections.abc import Iterator
from math import floor
from typing import Final

from estsim.figures.evidence import Limit
from estsim.figures.support import CONFIDENCE, needed_for
from estsim.figures.thresholds import Threshold, parse_threshold
from estsim.scenario.document import Location
from estsim.scenario.plan import Scenario
from estsim.scenario.samples import Span, samples_of
from estsim.units import format_duration

Finding = tuple[Location, str]

_PERCENT: Final = round(100 * CONFIDENCE)
_MAY_BE_NONE: Final = ("failures", "unfinished")  # 0 % where no enrolment was begun


def sample_doubts(scenario: Scenario) -> Iterator[Finding]:
    """Yield the thresholds of a scenario that its plan cannot support, each at its place."""
    cohorts = frozenset(cohort.name for cohort in scenario.cohorts)
    spans = {phase.name: Span(phase.from_s, phase.to_s) for phase in scenario.phases}
    for number, demand in enumerate(scenario.thresholds):
        threshold = parse_threshold(demand.expression, cohorts=cohorts, phases=spans, strict=demand.strict)
        span = spans.get(threshold.metric.phase or "", Span(0.0, scenario.duration_s))
        if span.from_s < scenario.duration_s and (doubt := _doubt(threshold, scenario, span)):
            yield ("thresholds", number), doubt


def _doubt(threshold: Threshold, scenario: Scenario, span: Span) -> str | None:
    metric, told = threshold.metric, f"{threshold.expression}: "
    left_s = scenario.duration_s - span.from_s
    if metric.within_s is not None and metric.within_s > left_s:
        whose = (
            "the run" if metric.phase is None else f"the time from the start of {metric.phase} to the end of the run"
        )
        return f"{told}{format_duration(metric.within_s)} is longer than {whose}, {format_duration(left_s)}"
    name = _bare(threshold)
    expected = samples_of(scenario, name, metric.cohort, span)
    if expected is None:
        return None
    samples = floor(expected + 0.5)
    if samples == 0:
        return None if name in _MAY_BE_NONE else f"{told}cannot be evaluated: the plan has no samples for it"
    return _thin(threshold, samples, devices=_devices(threshold, scenario))


def _thin(threshold: Threshold, samples: int, *, devices: int) -> str | None:
    """Return the warning for a threshold whose pass its samples do not prove; one per device are told as devices."""
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
    """Return how many devices a threshold is about."""
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
