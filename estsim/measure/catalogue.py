"""The catalogue: every metric's name, its unit, and how it is read from a scope.

Names are paths of summary.json without ``operations.``, ``deferral.`` and the unit suffix, such as
``simpleenroll.response.p99`` or ``cohorts.north.wasted_share``. Thresholds, schema and report take them from here.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import Enum
from typing import Final

from estsim.errors import EstsimError, UnitError
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.measure.deferral import Scope
from estsim.measure.histograms import Histogram, needed_samples
from estsim.measure.survival import Survival
from estsim.measure.tally import OperationTally
from estsim.units import format_duration, parse_duration

STATES: Final = (
    "off",
    "fetching_ca",
    "fetching_attrs",
    "enrolling",
    "deferred",
    "operational",
    "renewing",
    "backing_off",
    "expired",
    "gave_up",
    "retired",
)  # DESIGN.md §3; the device room itself is out of reach from here
_STATISTICS: Final = ("count", "mean", "p50", "p90", "p95", "p99", "p99_9", "max")
_PERCENTILE: Final = re.compile(r"p(\d{1,2})(?:[._](\d{1,3}))?")
_WITHIN: Final = "enrolled_within"


class ThresholdError(EstsimError):
    """A threshold that cannot be judged by any run: an unknown name, a unit that does not fit."""


class Unit(Enum):
    """What a metric is measured in, which decides how its bound is written."""

    MILLISECONDS = "milliseconds"
    SECONDS = "seconds"
    SHARE = "share"
    NUMBER = "number"

    @property
    def seconds(self) -> float:
        """How many seconds a unit of a time is."""
        return 0.001 if self is Unit.MILLISECONDS else 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric's value in its unit; None with the reason, or with what it is known to be longer than."""

    value: float | None
    why_none: str = ""
    longer_than: float | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that was asked for by its path; ``within_s`` is the D of an ``enrolled_within.D``."""

    path: str
    cohort: str | None
    unit: Unit
    read: Callable[[Scope], Reading]
    within_s: float | None = None
    phase: str | None = None


_Scalar = tuple[Unit, Callable[[Scope], float | None]]
_Spread = tuple[Unit, Callable[[Scope], Histogram | Survival]]

_NOTHING: Final = OperationTally()


def _operation(scope: Scope, operation: Operation) -> OperationTally:
    return scope.tally.operations.get(operation, _NOTHING)


def _count_of(operation: Operation, kind: OutcomeClass) -> Callable[[Scope], float | None]:
    return lambda scope: _operation(scope, operation).by_class[kind]


def _requests_of(operation: Operation) -> Callable[[Scope], float | None]:
    return lambda scope: _operation(scope, operation).requests


def _latency_of(operation: Operation, name: str) -> Callable[[Scope], Histogram]:
    def read(scope: Scope) -> Histogram:
        tally = _operation(scope, operation)
        return {"service": tally.service, "response": tally.response, "deferred": tally.deferred}.get(
            name, tally.failed
        )

    return read


def _state_of(state: str) -> Callable[[Scope], float | None]:
    return lambda scope: scope.states.get(state, 0) if scope.states else None


def _scalars() -> Iterator[tuple[str, _Scalar]]:
    yield "failures", (Unit.SHARE, lambda scope: scope.failures)
    yield "exchanges_per_certificate", (Unit.NUMBER, lambda scope: scope.exchanges_per_certificate)
    yield "polls", (Unit.NUMBER, lambda scope: scope.tally.polls.count)
    yield "wasted_share", (Unit.SHARE, lambda scope: scope.wasted_share)
    yield "hit_rate", (Unit.SHARE, lambda scope: scope.hit_rate)
    yield "early_polls", (Unit.NUMBER, lambda scope: scope.tally.polls.early)
    yield "period", (Unit.SECONDS, lambda scope: scope.period_s)
    yield "peak_to_mean", (Unit.NUMBER, lambda scope: scope.peak_to_mean)
    yield "synchronisation", (Unit.NUMBER, lambda scope: scope.synchrony.synchronisation)
    yield "lag_correlation", (Unit.NUMBER, lambda scope: scope.synchrony.lag_correlation)
    yield "burstiness", (Unit.NUMBER, lambda scope: scope.synchrony.burstiness)
    yield "fano", (Unit.NUMBER, lambda scope: scope.synchrony.fano)
    yield "drain", (Unit.SECONDS, lambda scope: scope.drain_s())
    yield "drain_p90", (Unit.SECONDS, lambda scope: scope.drain_s(0.9))
    yield "drain_p99", (Unit.SECONDS, lambda scope: scope.drain_s(0.99))
    yield "resync", (Unit.SECONDS, lambda scope: scope.resync_s)
    yield "fairness", (Unit.NUMBER, lambda scope: scope.fairness)
    yield "expired_while_waiting", (Unit.NUMBER, lambda scope: scope.expired_while_waiting)
    yield "non_conformance", (Unit.NUMBER, lambda scope: scope.tally.non_conformances.total())
    yield "certificates.issued", (Unit.NUMBER, lambda scope: scope.tally.issued)
    yield "certificates.verified", (Unit.NUMBER, lambda scope: scope.tally.certificates)
    yield "certificates.expected_refusals", (Unit.NUMBER, lambda scope: scope.expected_refusals)
    yield "fleet.devices", (Unit.NUMBER, lambda scope: scope.devices)
    for state in STATES:
        yield f"fleet.states.{state}", (Unit.NUMBER, _state_of(state))
    for operation in Operation:
        yield f"{operation}.requests", (Unit.NUMBER, _requests_of(operation))
        for kind in OutcomeClass:
            yield f"{operation}.{kind}", (Unit.NUMBER, _count_of(operation, kind))


def _spreads() -> Iterator[tuple[str, _Spread]]:
    for operation in Operation:
        for name in ("service", "response", "deferred", "failed"):
            yield f"{operation}.{name}", (Unit.MILLISECONDS, _latency_of(operation, name))
    yield "time_to_certificate", (Unit.SECONDS, lambda scope: scope.time_to_certificate)
    yield "retry_after", (Unit.SECONDS, lambda scope: scope.tally.told.histogram)
    yield "punctuality", (Unit.SECONDS, lambda scope: scope.tally.polls.punctuality)


SCALARS: Final = dict(_scalars())
SPREADS: Final = dict(_spreads())


def names() -> tuple[str, ...]:
    """Return every name that a threshold may use, with the usual statistics; any pNN and any D beside them."""
    spread = [f"{name}.{statistic}" for name in SPREADS for statistic in _STATISTICS]
    return (*SCALARS, *spread, f"{_WITHIN}.5m")


def parse_metric(path: str, *, cohorts: Collection[str] = (), phases: Collection[str] = ()) -> Metric:
    """Return the metric that a path names; raises ThresholdError with the nearest name for one that is not there.

    A path may begin with a phase: ``recovery.cohorts.north.failures``.
    """
    phase, dot, rest = path.partition(".")
    if dot and phase in phases:
        return replace(parse_metric(rest, cohorts=cohorts), path=path, phase=phase)
    cohort, name = _split_cohort(path, cohorts)
    if name.startswith("generator."):
        raise ThresholdError(f"{path}: the generator has its own verdict and no thresholds")
    if name in SCALARS:
        unit, read = SCALARS[name]
        return Metric(path, cohort, unit, _scalar_reader(name, read))
    if name.startswith(f"{_WITHIN}."):
        return _within_metric(path, cohort, name.removeprefix(f"{_WITHIN}."))
    for spread, (unit, histogram_of) in SPREADS.items():
        statistic = name.removeprefix(f"{spread}.")
        if statistic != name and (reader := _statistic_reader(statistic, unit, histogram_of)):
            return Metric(path, cohort, _unit_of(statistic, unit), reader)
    prefix = f"cohorts.{cohort}." if cohort else ""
    raise ThresholdError(f"unknown metric {path}{_suggestion(name, names(), prefix)}")


def _split_cohort(path: str, cohorts: Collection[str]) -> tuple[str | None, str]:
    if not path.startswith("cohorts."):
        return None, path
    rest = path.removeprefix("cohorts.")
    known = [cohort for cohort in cohorts if rest.startswith(f"{cohort}.")]
    if not known:
        cohort = rest.partition(".")[0]
        raise ThresholdError(f"{path}: there is no cohort {cohort}{_suggestion(cohort, cohorts)}")
    cohort = max(known, key=len)
    return cohort, rest.removeprefix(f"{cohort}.")


def _suggestion(name: str, candidates: Collection[str], prefix: str = "") -> str:
    nearest = get_close_matches(name, candidates, n=1, cutoff=0.5)
    return f" (did you mean {prefix}{nearest[0]}?)" if nearest else ""


def _unit_of(statistic: str, unit: Unit) -> Unit:
    return Unit.NUMBER if statistic == "count" else unit


def _scalar_reader(name: str, read: Callable[[Scope], float | None]) -> Callable[[Scope], Reading]:
    def reader(scope: Scope) -> Reading:
        value = read(scope)
        return Reading(value) if value is not None else Reading(None, f"the run has no value of {name}")

    return reader


def _within_metric(path: str, cohort: str | None, limit: str) -> Metric:
    try:
        limit_s = parse_duration(limit)
    except UnitError as error:
        raise ThresholdError(f"{path}: {error}") from error
    if limit_s <= 0:
        raise ThresholdError(f"{path}: the time must be greater than 0 (got {limit})")

    def reader(scope: Scope) -> Reading:
        share = scope.enrolled_within(limit_s)
        if share is None:
            return Reading(None, f"no enrolment was intended {format_duration(limit_s)} before the end")
        return Reading(share)

    return Metric(path, cohort, Unit.SHARE, reader, limit_s)


def percentile_share(statistic: str) -> float | None:
    """Return the share of ``p99``, ``p99.9`` or ``p99_9``; None of what is no percentile."""
    match = _PERCENTILE.fullmatch(statistic)
    return float(f"{match[1]}.{match[2] or 0}") / 100 if match else None


def _statistic_reader(
    statistic: str, unit: Unit, spread_of: Callable[[Scope], Histogram | Survival]
) -> Callable[[Scope], Reading] | None:
    share = percentile_share(statistic)
    if share is not None and share > 0:
        return lambda scope: _percentile(spread_of(scope), share, unit)
    if statistic not in ("count", "mean", "max"):
        return None

    def reader(scope: Scope) -> Reading:
        spread = spread_of(scope)
        histogram = spread.events if isinstance(spread, Survival) else spread
        if statistic == "count":
            return Reading(histogram.count)
        value = histogram.mean() if statistic == "mean" else histogram.max
        if value is None:
            return Reading(None, "needs 1 sample, had 0")
        if isinstance(spread, Survival) and spread.unfinished:
            if statistic == "max":
                return Reading(None, longer_than=histogram.scaled(spread.horizon, unit.seconds))
            return Reading(None, f"{spread.unfinished} enrolments have no certificate")
        return Reading(histogram.scaled(value, unit.seconds))

    return reader


def _percentile(spread: Histogram | Survival, share: float, unit: Unit) -> Reading:
    size = spread.size if isinstance(spread, Survival) else spread.count
    if not spread.supports(share):
        return Reading(None, f"needs {needed_samples(share)} samples, had {size}")
    value = spread.quantile(share)
    if isinstance(spread, Survival):
        if value is None:
            return Reading(None, longer_than=spread.events.scaled(spread.horizon, unit.seconds))
        return Reading(spread.events.scaled(value, unit.seconds))
    return Reading(spread.scaled(value, unit.seconds))
