"""What a stored run's facts say of its plan: cohorts, phases, thresholds, limits of the generator.

Facts that are missing have defaults, for a run that was killed early; one that cannot be read is a StoreError.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from estsim.figures.catalogue import ThresholdError
from estsim.figures.thresholds import DEFAULT_THRESHOLDS, Threshold, parse_thresholds
from estsim.record.nested import Misfit, cohorts_of, phases_of, seconds_of, texts_of, whole_of
from estsim.record.phases import Stretch
from estsim.record.run_reader import RunReader

_DEFAULT_MAX_LAG_S: Final = 0.02
_DEFAULT_MAX_CPU: Final = 0.9

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """What a store says of its run's plan."""

    devices: Mapping[str, int]  # by cohort
    phases: tuple[Stretch, ...]
    thresholds: tuple[Threshold, ...]
    unknown_thresholds: Mapping[str, str]  # expression → why this estsim cannot judge it
    max_lag_s: float
    max_cpu: float
    duration_s: float | None
    seed: int
    workers: int


def plan_of(run: RunReader) -> StoredPlan:
    """Read the plan of a run from its facts, as far as they go. Raises StoreError."""
    facts = run.facts()

    def fact(key: str, read: Callable[[str], _T], missing: str) -> _T:
        try:
            return read(facts.get(key, missing))
        except Misfit as misfit:
            raise run.unreadable("run", f"'{key}'", misfit) from misfit

    run.require("series")
    cohorts = fact("cohorts", cohorts_of, "{}")
    for (name,) in run.select("SELECT DISTINCT cohort FROM series ORDER BY 1"):
        cohorts.setdefault(name, 0)
    phases = tuple(Stretch(*phase) for phase in fact("phases", phases_of, "[]"))
    strict = frozenset(fact("strict_thresholds", texts_of, "[]"))
    thresholds, unknown = _thresholds(fact("thresholds", texts_of, "[]"), cohorts, phases, strict)
    return StoredPlan(
        devices=cohorts or {"": 0},
        phases=phases,
        thresholds=thresholds,
        unknown_thresholds=unknown,
        max_lag_s=fact("max_lag_s", seconds_of, "None") or _DEFAULT_MAX_LAG_S,
        max_cpu=fact("max_cpu", seconds_of, "None") or _DEFAULT_MAX_CPU,
        duration_s=fact("duration_s", seconds_of, "None"),
        seed=fact("seed", whole_of, "0"),
        workers=fact("workers", whole_of, "1"),
    )


def _thresholds(
    expressions: Iterable[str], cohorts: Mapping[str, int], phases: Iterable[Stretch], strict: frozenset[str]
) -> tuple[tuple[Threshold, ...], Mapping[str, str]]:
    """Read the thresholds one by one: another estsim may have known names that this one does not."""
    known: list[Threshold] = []
    unknown: dict[str, str] = {}
    names = [phase.name for phase in phases]
    for expression in [*expressions] or DEFAULT_THRESHOLDS:
        try:
            known += parse_thresholds([expression], cohorts=cohorts, phases=names, strict=strict)
        except ThresholdError as error:
            unknown[expression] = str(error)
    return tuple(known), unknown
