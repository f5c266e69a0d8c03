"""The names that a threshold may use, and how the value of each is read from a scope.

Names are paths of summary.json without ``operations.``, ``deferral.`` and the unit suffix, such as
``simpleenroll.response.p99`` or ``cohorts.north.wasted_share``. The metrics are in :mod:`estsim.figures.metrics`.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from estsim.errors import EstsimError, UnitError
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.figures import metrics
from estsim.figures.evidence import Resting, of_failures, of_percentile, of_unfinished, of_within
from estsim.figures.incidence import Incidence
from estsim.figures.metric_advice import Known, unknown_metric
from estsim.figures.metric_kinds import Unit
from estsim.figures.metrics import METRICS
from estsim.figures.scopes import FAMILIES, Scope
from estsim.nearness import suggestion
from estsim.record.blocks import Blocks
from estsim.record.histograms import Histogram
from estsim.record.tally import LATENCIES, OperationTally
from estsim.units import harmless, parse_duration

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
)  # of docs/architecture.md: this room may not import device
_STATISTICS: Final = ("count", "mean", "p50", "p90", "p95", "p99", "p99_9", "max")
_PERCENTILE: Final = re.compile(r"p(\d{1,2})(?:[._](\d{1,3}))?")


class ThresholdError(EstsimError):
    """A threshold that no run can be judged by: an unknown name, or a wrong unit."""

    def __init__(self, text: str) -> None:
        super().__init__(harmless(text))


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric's value in its unit; None with the reason, a lower bound, or both bounds."""

    value: float | None
    why_none: str = ""
    longer_than: float | None = None
    between: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by its path; ``within_s`` is the D of a ``..._within.D``, ``share`` that of a percentile (p99: 0.99).

    ``rests_on`` returns the sample behind a threshold; None for a claim about this run only.
    """

    path: str
    cohort: str | None
    unit: Unit
    read: Callable[[Scope], Reading]
    within_s: float | None = None
    phase: str | None = None
    rests_on: Resting | None = None
    share: float | None = None

    @property
    def counts_failures(self) -> bool:
        """Whether it is the share of failed enrolments, of the run, a cohort or a phase."""
        return self.path.rpartition(".")[2] == "failures"


_Scalar = tuple[Unit, Callable[[Scope], float | None]]
_Spread = tuple[Unit, Callable[[Scope], Histogram | Incidence]]

_NOTHING: Final = OperationTally()


def _operation(scope: Scope, operation: Operation) -> OperationTally:
    return scope.tally.operations.get(operation, _NOTHING)


def _count_of(operation: Operation, kind: OutcomeClass) -> Callable[[Scope], float | None]:
    return lambda scope: _operation(scope, operation).by_class[kind]


def _requests_of(operation: Operation) -> Callable[[Scope], float | None]:
    return lambda scope: _operation(scope, operation).requests


def _latency_of(operation: Operation, name: str) -> Callable[[Scope], Histogram]:
    def read(scope: Scope) -> Histogram:
        histogram: Histogram = getattr(_operation(scope, operation), name)
        return histogram

    return read


def _state_of(state: str) -> Callable[[Scope], float | None]:
    return lambda scope: scope.states.get(state, 0) if scope.states else None


def _scalars() -> Iterator[tuple[str, _Scalar]]:
    yield from ((metric.name, (metric.unit, metric.of_scope)) for metric in METRICS)
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
        for name in LATENCIES:
            yield f"{operation}.{name}", (Unit.MILLISECONDS, _latency_of(operation, name))
    yield from ((spread.name, (spread.unit, spread.of_scope)) for spread in metrics.SPREADS)


def _blocks_of(name: str) -> Callable[[Scope], Blocks | None]:
    """Return the reader of a distribution's blocks, which service and response times of operations have."""
    operation, _, time = name.partition(".")

    def blocks(scope: Scope) -> Blocks | None:
        found = scope.blocks.get(Operation(operation))
        return None if found is None else found.service if time == "service" else found.response

    return blocks if time in ("service", "response") else lambda _: None


_RESTING: Final[dict[str, Resting]] = {"failures": of_failures, "unfinished": of_unfinished}
SCALARS: Final = dict(_scalars())
SPREADS: Final = dict(_spreads())


def names() -> tuple[str, ...]:
    """Return every name that a threshold may use, with common statistics; any pNN and any D is allowed as well."""
    spread = [f"{name}.{statistic}" for name in SPREADS for statistic in _STATISTICS]
    return (*SCALARS, *spread, *(f"{family}.5m" for family in FAMILIES))


def parse_metric(path: str, *, cohorts: Collection[str] = (), phases: Collection[str] = ()) -> Metric:
    """Return the metric of a path; raises ThresholdError with the nearest name if there is none.

    A path may begin with a phase: ``recovery.cohorts.north.failures``.
    """
    phase, dot, rest = path.partition(".")
    if dot and phase in phases:
        return replace(_metric_of(rest, cohorts, phases=(), prefix=f"{phase}."), path=path, phase=phase)
    return _metric_of(path, cohorts, phases=phases, prefix="")


def _metric_of(path: str, cohorts: Collection[str], *, phases: Collection[str], prefix: str) -> Metric:
    """Return the metric of a path without its phase; messages repeat the ``prefix``."""
    cohort, name = _split_cohort(path, cohorts)
    if name.startswith("generator."):
        raise ThresholdError(
            f"{path}: thresholds on generator figures are not supported: the generator has its own verdict"
        )
    metric = _metric(name, path, cohort)
    if metric is None:
        prefix += f"cohorts.{cohort}." if cohort else ""
        known = Known(names(), _roots(), cohorts, phases, partial(_is_metric, cohorts=cohorts), prefix)
        raise ThresholdError(unknown_metric(name, known))
    return metric


def _metric(name: str, path: str, cohort: str | None) -> Metric | None:
    if name in SCALARS:
        unit, read = SCALARS[name]
        return Metric(path, cohort, unit, _scalar_reader(name, read), rests_on=_RESTING.get(name))
    family, dot, limit = name.partition(".")
    if dot and family in FAMILIES:
        return _within_metric(path, cohort, family, limit)
    for spread, (unit, histogram_of) in SPREADS.items():
        statistic = name.removeprefix(f"{spread}.")
        if statistic != name and (reader := _statistic_reader(statistic, unit, histogram_of)):
            share = percentile_share(statistic)
            rests_on = of_percentile(histogram_of, share, unit.seconds, _blocks_of(spread)) if share else None
            return Metric(path, cohort, _unit_of(statistic, unit), reader, rests_on=rests_on, share=share)
    return None


def _is_metric(path: str, cohorts: Collection[str]) -> bool:
    try:
        cohort, name = _split_cohort(path, cohorts)
        return _metric(name, path, cohort) is not None
    except ThresholdError:
        return False


def _roots() -> Iterator[str]:
    """Yield the patterns of names, with one for the metrics that all operations have."""
    of_operations = tuple(f"{operation}." for operation in Operation)
    yield from (name for name in SCALARS if not name.startswith((*of_operations, "fleet.states.")))
    yield "fleet.states.STATE"
    yield from (f"{family}.D" for family in FAMILIES)
    yield from (f"{name}.pNN" for name in SPREADS if not name.startswith(of_operations))
    yield f"OPERATION.{{{', '.join(kind.value for kind in OutcomeClass)}, requests}}"
    yield "OPERATION.{service, response, deferred, failed}.pNN"


def _split_cohort(path: str, cohorts: Collection[str]) -> tuple[str | None, str]:
    if not path.startswith("cohorts."):
        return None, path
    cohort, _, name = path.removeprefix("cohorts.").partition(".")
    if cohort not in cohorts:
        raise ThresholdError(f"{path}: there is no cohort '{cohort}'{suggestion(cohort, tuple(cohorts))}")
    return cohort, name


def _unit_of(statistic: str, unit: Unit) -> Unit:
    return Unit.NUMBER if statistic == "count" else unit


def _scalar_reader(name: str, read: Callable[[Scope], float | None]) -> Callable[[Scope], Reading]:
    def reader(scope: Scope) -> Reading:
        value = read(scope)
        return Reading(value) if value is not None else Reading(None, _why_none(name, scope))

    return reader


def _why_none(name: str, scope: Scope) -> str:
    if name == "failures":
        return f"{scope.tally.enrolment_tally.sought} enrolments began, and none ended"
    return f"the run has no value for {name}"


def _within_metric(path: str, cohort: str | None, family: str, limit: str) -> Metric:
    try:
        limit_s = parse_duration(limit)
    except UnitError as error:
        raise ThresholdError(f"{path}: {error}") from error
    if limit_s <= 0:
        raise ThresholdError(f"{path}: the time must be greater than 0 (got {limit})")

    def reader(scope: Scope) -> Reading:
        share = scope.within(family, limit_s)
        if share is None:
            return Reading(None, "no sample")
        if not share.is_known:
            open_before = f"{share.censored} of {share.samples} enrolments were open or abandoned before {limit}"
            return Reading(None, open_before, between=(share.low, share.high))
        return Reading(share.low)

    return Metric(path, cohort, Unit.SHARE, reader, limit_s, rests_on=of_within(family, limit_s))


def percentile_share(statistic: str) -> float | None:
    """Return the share of ``p99``, ``p99.9`` or ``p99_9``; None for anything else."""
    match = _PERCENTILE.fullmatch(statistic)
    return float(f"{match[1]}.{match[2] or 0}") / 100 if match else None


def _statistic_reader(
    statistic: str, unit: Unit, spread_of: Callable[[Scope], Histogram | Incidence]
) -> Callable[[Scope], Reading] | None:
    share = percentile_share(statistic)
    if share is not None and share > 0:
        return lambda scope: _percentile(spread_of(scope), share, unit)
    if statistic not in ("count", "mean", "max"):
        return None

    def reader(scope: Scope) -> Reading:
        spread = spread_of(scope)
        histogram = spread.events if isinstance(spread, Incidence) else spread
        if statistic == "count":
            return Reading(histogram.count)
        value = histogram.mean() if statistic == "mean" else histogram.max
        if value is None:
            return Reading(None, "no sample")
        if isinstance(spread, Incidence) and spread.unfinished:
            if statistic == "max":
                return Reading(None, longer_than=histogram.scaled(spread.horizon, unit.seconds))
            return Reading(None, f"{spread.unfinished} enrolments have no certificate")
        return Reading(histogram.scaled(value, unit.seconds))

    return reader


def _percentile(spread: Histogram | Incidence, share: float, unit: Unit) -> Reading:
    """Return a percentile by nearest rank, from one sample on."""
    value = spread.quantile(share)
    histogram = spread.events if isinstance(spread, Incidence) else spread
    if value is not None:
        return Reading(histogram.scaled(value, unit.seconds))
    if isinstance(spread, Incidence) and spread.size:
        return Reading(None, longer_than=histogram.scaled(spread.horizon, unit.seconds))
    return Reading(None, "no sample")
