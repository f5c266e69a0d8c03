"""Thresholds: the demands of a scenario on a run, parsed and judged (docs/metrics.md, "Thresholds").

A threshold whose value is unknown is not judged, and fails. One that is judged is supported by its sample, or thin: a
thin pass passes with a remark, unless the threshold is strict.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from estsim.figures.catalogue import Metric, Reading, parse_metric
from estsim.figures.evidence import Limit
from estsim.figures.metric_kinds import Unit
from estsim.figures.scopes import Scope, Scopes
from estsim.figures.summary_blocks import ThresholdSummary
from estsim.figures.support import Support, support_of
from estsim.figures.threshold_syntax import bound_of, parts_of
from estsim.figures.without_delay import scopes_of_answers, scopes_without_delay
from estsim.record.enrolment_tally import DEFAULT_WITHIN_S
from estsim.units import counted, format_duration, format_share

DEFAULT_THRESHOLDS: Final = ("failures < 1%", "unfinished < 1%")

_NS: Final = 1_000_000_000
_TIMES: Final = frozenset({Unit.MILLISECONDS, Unit.SECONDS})
NOT_JUDGED: Final = "not judged"  # the first words of the reason
_ACTUAL: Final = "actual "
_DIGITS: Final = 4
_ALL_DIGITS: Final = 17
_WHOLE: Final = (0, 1)  # none and all: no other value is rounded to these


@dataclass(frozen=True, slots=True)
class Threshold:
    """One threshold; its bound is in seconds or a share. A strict one fails on a thin pass."""

    expression: str
    metric: Metric
    limit: Limit
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of a threshold; ``value`` is in the unit of summary.json."""

    expression: str
    value: float | None
    passed: bool
    why: str
    judged: bool = True  # the value was known
    ours: bool = False  # it fails only because of the generator's own delay
    support: Support | None = None  # None for a claim about this run only, or if not judged
    too_thin: bool = False  # it holds, and fails because it is strict and thin
    unit: Unit = Unit.NUMBER
    answered: bool = False  # it fails by answers of the server alone, without the generator's own delay

    @property
    def thin(self) -> bool:
        """Whether the sample is too small."""
        return self.support is not None and not self.support.supported

    @property
    def reason(self) -> str:
        """The reason, with a remark if the sample is too small."""
        if self.support is None or self.support.supported:
            return self.why
        return f"{self.why}; thin: {_sample(self.support)}{'; fails because it is strict' if self.too_thin else ''}"

    def block(self) -> ThresholdSummary:
        """Return the block of summary.json."""
        support = self.support.block() if self.support else None
        return ThresholdSummary(self.expression, self.value, self.unit.label, self.passed, self.reason, support)


def parse_threshold(
    expression: str, *, cohorts: Collection[str] = (), phases: Collection[str] = (), strict: bool = False
) -> Threshold:
    """Parse ``simpleenroll.response.p99 < 800ms``; raises ThresholdError for an unknown name or a wrong unit."""
    path, comparison, bound = parts_of(expression, example=DEFAULT_THRESHOLDS[0])
    metric = parse_metric(path, cohorts=cohorts, phases=phases)
    limit = Limit(comparison, bound_of(metric, comparison, bound))
    return Threshold(expression.strip(), metric, limit, strict)


def parse_thresholds(
    expressions: Iterable[str],
    *,
    cohorts: Collection[str] = (),
    phases: Collection[str] = (),
    strict: Collection[str] = (),
) -> tuple[Threshold, ...]:
    """Parse the thresholds of a scenario, or the default ones; ``strict`` has those that are strict."""
    texts = [*expressions] or DEFAULT_THRESHOLDS
    return tuple(parse_threshold(text, cohorts=cohorts, phases=phases, strict=text in strict) for text in texts)


def limits_of(thresholds: Iterable[Threshold]) -> tuple[float, ...]:
    """Return every D of a ``..._within.D`` that is counted: the default ones and those of thresholds."""
    asked = {threshold.metric.within_s for threshold in thresholds if threshold.metric.within_s is not None}
    return tuple(sorted(asked.union(DEFAULT_WITHIN_S)))


def judge(threshold: Threshold, scopes: Scopes) -> Judgement:
    """Judge one threshold by the run, or by its cohort and phase."""
    metric = threshold.metric
    scope = scopes.of(cohort=metric.cohort, phase=metric.phase)
    reading = metric.read(scope)
    if reading.longer_than is not None:
        return _judge_open(threshold, reading.longer_than)
    if reading.between is not None:
        judgement = _judge_between(threshold, reading, reading.between)
    elif reading.value is None:
        judgement = _not_judged(threshold, reading.why_none)
    else:
        passed = threshold.limit.holds(_comparable(metric, reading.value))
        judgement = _judged(threshold, reading.value, passed=passed, why=f"{_ACTUAL}{_shown(threshold, reading.value)}")
    return _with_support(threshold, judgement, scope) if judgement.judged else judgement


def _not_judged(threshold: Threshold, why: str) -> Judgement:
    return replace(_judged(threshold, None, passed=False, why=f"{NOT_JUDGED}: {why}"), judged=False)


def _judged(threshold: Threshold, value: float | None, *, passed: bool, why: str) -> Judgement:
    return Judgement(threshold.expression, value, passed, why, unit=threshold.metric.unit)


def _judge_between(threshold: Threshold, reading: Reading, bounds: tuple[float, float]) -> Judgement:
    """Judge by both bounds of the value; if they disagree, it is not judged."""
    low, high = (threshold.limit.holds(bound) for bound in bounds)
    between = "between {} and {}".format(*(_shown(threshold, bound) for bound in bounds))
    if low != high:
        return _not_judged(threshold, f"{between}; {reading.why_none}")
    return _judged(threshold, None, passed=low, why=f"{_ACTUAL}{between}")


def _with_support(threshold: Threshold, judgement: Judgement, scope: Scope) -> Judgement:
    """Return a judgement with its support; a thin pass of a strict threshold becomes a failure."""
    resting = threshold.metric.rests_on(scope, threshold.limit) if threshold.metric.rests_on else None
    if resting is None:
        return judgement
    support = support_of(*resting, passed=judgement.passed)
    judgement = replace(judgement, support=support)
    if support.supported:
        return judgement
    too_thin = judgement.passed and threshold.strict
    return replace(judgement, passed=judgement.passed and not too_thin, too_thin=too_thin)


def unjudged(thresholds: Iterable[Threshold], why: str) -> tuple[Judgement, ...]:
    """Return the judgements of a run that cannot be judged."""
    return tuple(_not_judged(threshold, why) for threshold in thresholds)


def judge_all(
    thresholds: Iterable[Threshold], scopes: Scopes, *, broken: Judgement | None = None
) -> tuple[Judgement, ...]:
    """Judge all thresholds, and find out whose a failure is; ``broken`` is the one that ended the run."""
    cleared: Scopes | None = None
    judgements = []
    for threshold in thresholds:
        ended_it = broken is not None and broken.expression == threshold.expression
        judgement = broken if broken is not None and ended_it else judge(threshold, scopes)
        if not (judgement.passed or ended_it):
            cleared = cleared or scopes_without_delay(scopes)
            judgement = _attributed(judgement, judge(threshold, cleared))
            if judgement.judged and not judgement.ours and threshold.metric.counts_failures:
                answered = judge(threshold, scopes_of_answers(cleared))
                judgement = replace(judgement, answered=answered.judged and not answered.passed)
        judgements.append(judgement)
    return tuple(judgements)


def exercised(scopes: Scopes) -> Judgement | None:
    """Return a failure for a run without a single exchange, which has tested nothing; else None."""
    scopes_of_all = (scopes.run, *(phase.run for phase in scopes.phases.values()))  # a warm-up is in its phase only
    if any(scope.tally.requests or scope.tally.enrolment_tally.begun for scope in scopes_of_all):
        return None
    return Judgement("requests > 0", 0, passed=False, why="actual 0: no device sent a request, so nothing was tested")


def _attributed(failed: Judgement, without_delay: Judgement) -> Judgement:
    """Return a failure, marked as the generator's if it would pass without the generator's own delay."""
    if failed.judged and not without_delay.judged:
        more = "nothing to judge"  # the whole sample has failed by that delay
    elif without_delay.passed:
        more = without_delay.why.removeprefix(_ACTUAL)
    else:
        return failed
    return replace(failed, why=f"{failed.why}; {more} without the generator's own delay", ours=True)


@dataclass(frozen=True, slots=True)
class AbortWatch:
    """The thresholds that end a run when they fail, each with the time of its first check."""

    thresholds: tuple[tuple[Threshold, float], ...]

    def broken(self, scopes: Scopes) -> Judgement | None:
        """Return the first that fails now; one that is not judged yet has not failed.

        Nor has one that fails because of the generator's own delay, which may still change.
        """
        at_s = scopes.run.ended_ns / _NS
        for threshold, after_s in self.thresholds:
            if at_s >= after_s:
                (judgement,) = judge_all([threshold], scopes)
                if _ends_a_run(judgement, threshold):
                    return replace(judgement, why=f"{judgement.why} after {at_s:.0f} s; this ended the run")
        return None


def _ends_a_run(judgement: Judgement, threshold: Threshold) -> bool:
    """Return whether a failure ends a run; a thin one of a percentile does not, because more samples may reverse it."""
    failed = judgement.judged and not judgement.passed and not judgement.ours and not judgement.too_thin
    return failed and not (judgement.thin and threshold.metric.unit in _TIMES)


def _sample(support: Support) -> str:
    """Return the size of a sample, its effective size if smaller, and the size needed.

    Devices of a herd, and enrolments of which some were open at the end, carry less information than independent ones.
    """
    samples, needed, effective = support.samples, support.needed, round(support.effective)
    independent = f", which count as {effective} independent" if effective < samples else ""
    return f"{counted(samples, 'sample')}{independent}" + (f", {needed} needed" if needed and needed > samples else "")


def _judge_open(threshold: Threshold, longer_than: float) -> Judgement:
    """Judge a time that was not reached, by its lower bound."""
    known_longer = longer_than * threshold.metric.unit.seconds
    passed = threshold.limit.comparison in (">", ">=") and known_longer >= threshold.limit.bound
    return _judged(threshold, None, passed=passed, why=f"{_ACTUAL}> {known_longer:.0f} s")


def _comparable(metric: Metric, value: float) -> float:
    return value * metric.unit.seconds if metric.unit in _TIMES else value


def _shown(threshold: Threshold, value: float) -> str:
    """Return a value in four digits, or in as many as keep it on its side of the limit."""
    unit, compared = threshold.metric.unit, partial(_comparable, threshold.metric)
    shown = next(
        (
            rounded
            for digits in range(_DIGITS, _ALL_DIGITS)
            if threshold.limit.holds(compared(rounded := float(f"{value:.{digits}g}")))
            is threshold.limit.holds(compared(value))
            and (rounded in _WHOLE) is (value in _WHOLE)
        ),
        value,
    )
    if unit in _TIMES:
        return format_duration(shown * unit.seconds)
    if unit is Unit.SHARE:
        return format_share(shown)
    return f"{value:.0f}" if float(value).is_integer() else f"{shown:.15g}"
