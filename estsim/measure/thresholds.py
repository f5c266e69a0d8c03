"""Thresholds: what a scenario demands of a run, read and judged (METRICS.md, "Thresholds").

A threshold that the sample cannot support is not judged, and that fails: a run too small to say is no pass.
"""

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from estsim.errors import UnitError
from estsim.measure.catalogue import Metric, Reading, ThresholdError, Unit, parse_metric
from estsim.measure.deferral import Scopes
from estsim.measure.lives import DEFAULT_WITHIN_S
from estsim.units import format_duration, format_share, parse_duration, parse_share

DEFAULT_THRESHOLD: Final = "failures < 1%"

_FORM: Final = re.compile(r"\s*(?P<path>[^\s<>=!]+)\s*(?P<comparison><=|>=|==|<|>)\s*(?P<bound>\S.*?)\s*")
_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_NS: Final = 1_000_000_000
_TIMES: Final = frozenset({Unit.MILLISECONDS, Unit.SECONDS})


@dataclass(frozen=True, slots=True)
class Threshold:
    """One demand; ``bound`` is in seconds for times, a part of one for shares."""

    expression: str
    metric: Metric
    comparison: str
    bound: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a threshold came to; ``value`` is in the unit of summary.json."""

    expression: str
    value: float | None
    passed: bool
    why: str
    judged: bool = True  # there was enough to say

    def block(self) -> dict[str, object]:
        """Return the judgement as summary.json has it."""
        return {"expression": self.expression, "value": self.value, "passed": self.passed, "why": self.why}


def parse_threshold(expression: str, *, cohorts: Collection[str] = (), phases: Collection[str] = ()) -> Threshold:
    """Read ``simpleenroll.response.p99 < 800ms``; raises ThresholdError for a name or unit that does not fit."""
    match = _FORM.fullmatch(expression)
    if match is None:
        raise ThresholdError(
            f"expected a metric, a comparison and a value, such as {DEFAULT_THRESHOLD} (got {expression.strip()})"
        )
    metric = parse_metric(match["path"], cohorts=cohorts, phases=phases)
    return Threshold(expression.strip(), metric, match["comparison"], _parse_bound(metric, match["bound"]))


def parse_thresholds(
    expressions: Iterable[str], *, cohorts: Collection[str] = (), phases: Collection[str] = ()
) -> tuple[Threshold, ...]:
    """Read all thresholds of a scenario; where there are none, the default one is judged."""
    demanded = [*expressions] or [DEFAULT_THRESHOLD]
    return tuple(parse_threshold(text, cohorts=cohorts, phases=phases) for text in demanded)


def limits_of(thresholds: Iterable[Threshold]) -> tuple[float, ...]:
    """Return every D of ``enrolled_within.D`` that a run must count: the usual ones and those asked for."""
    asked = {threshold.metric.within_s for threshold in thresholds if threshold.metric.within_s is not None}
    return tuple(sorted(asked.union(DEFAULT_WITHIN_S)))


def judge(threshold: Threshold, scopes: Scopes) -> Judgement:
    """Judge one threshold against the run, or against the cohort and the phase that it names."""
    metric = threshold.metric
    reading = metric.read(scopes.of(cohort=metric.cohort, phase=metric.phase))
    if reading.longer_than is not None:
        return _judge_open(threshold, reading.longer_than)
    if reading.value is None:
        return Judgement(threshold.expression, None, passed=False, why=f"not judged: {reading.why_none}", judged=False)
    passed = _COMPARISONS[threshold.comparison](_comparable(metric, reading.value), threshold.bound)
    return Judgement(threshold.expression, reading.value, passed, f"was {_shown(metric, reading)}")


@dataclass(frozen=True, slots=True)
class Vigil:
    """The thresholds that end a run at once when they fail, each with how far into the run it is first asked."""

    thresholds: tuple[tuple[Threshold, float], ...]

    def broken(self, scopes: Scopes) -> Judgement | None:
        """Return the first that fails as the run stands; one that cannot be judged yet has not failed."""
        at_s = scopes.run.ended_ns / _NS
        for threshold, after_s in self.thresholds:
            if at_s >= after_s:
                judgement = judge(threshold, scopes)
                if judgement.judged and not judgement.passed:
                    return replace(judgement, why=f"{judgement.why} after {at_s:.0f} s, which ended the run")
        return None


def _judge_open(threshold: Threshold, longer_than: float) -> Judgement:
    """Judge a time that was not reached: known to be longer than the run could see, and no more than that."""
    known_longer = longer_than * threshold.metric.unit.seconds
    passed = threshold.comparison in (">", ">=") and known_longer >= threshold.bound
    return Judgement(threshold.expression, None, passed, f"was > {known_longer:.0f} s")


def _comparable(metric: Metric, value: float) -> float:
    return value * metric.unit.seconds if metric.unit in _TIMES else value


def _shown(metric: Metric, reading: Reading) -> str:
    value = reading.value or 0.0
    if metric.unit in _TIMES:
        return format_duration(round(value * metric.unit.seconds, 4))
    return format_share(round(value, 6)) if metric.unit is Unit.SHARE else f"{round(value, 4):g}"


def _parse_bound(metric: Metric, text: str) -> float:
    try:
        if metric.unit in _TIMES:
            return parse_duration(text)
        if metric.unit is Unit.SHARE:
            return parse_share(text)
        return float(text)
    except UnitError as error:
        raise ThresholdError(f"{metric.path}: {error}") from error
    except ValueError:
        raise ThresholdError(f"{metric.path}: expected a plain number such as 3 (got {text})") from None
