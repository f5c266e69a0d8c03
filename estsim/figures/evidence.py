"""What a threshold rests on: the samples of its metric, and the share of them beyond its limit.

A percentile allows 1 - p of its samples beyond the limit, a share its bound. What is a claim about the run alone (a
count, a maximum, ``failures == 0%``) rests on no sample, and is neither supported nor thin.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from estsim.figures.deferral import Scope
from estsim.figures.incidence import Incidence
from estsim.figures.support import Evidence
from estsim.record.blocks import Blocks, effective_samples
from estsim.record.histograms import Histogram

COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Limit:
    """The comparison and the bound of a threshold, in seconds or as a part of one."""

    comparison: str
    bound: float

    @property
    def is_upper(self) -> bool:
        """Whether values must stay below it."""
        return self.comparison in ("<", "<=")

    def holds(self, value: float) -> bool:
        """Tell whether a value is within it."""
        return COMPARISONS[self.comparison](value, self.bound)

    def allowed(self, share: float | None = None) -> float | None:
        """Return which share of the samples may lie beyond it, of a percentile at ``share`` or of a share itself.

        None where the threshold makes a claim about the run alone.
        """
        if self.comparison == "==":
            return None
        within = self.bound if share is None else share  # the share that is to lie within an upper, a lower limit
        allowed = 1 - within if self.is_upper == (share is not None) else within
        return allowed if 0 < allowed < 1 else None


Rest = tuple[Evidence, float]  # and the share that is allowed beyond the limit
Resting = Callable[[Scope, Limit], Rest | None]
Spread = Histogram | Incidence


def of_percentile(
    spread_of: Callable[[Scope], Spread], share: float, unit_s: float, blocks_of: Callable[[Scope], Blocks | None]
) -> Resting:
    """Return what a threshold on a percentile rests on; blocks of time tell how samples depend on each other."""

    def rests_on(scope: Scope, limit: Limit) -> Rest | None:
        spread, allowed = spread_of(scope), limit.allowed(share)
        if allowed is None:
            return None
        if isinstance(spread, Incidence):
            return _of_incidence(spread, limit, allowed)
        beyond = spread.share_of(lambda value: not limit.holds((spread.scaled(value, unit_s) or 0.0) * unit_s))
        blocks, value = blocks_of(scope), spread.quantile(share)
        effective = None if blocks is None or value is None else effective_samples(blocks.of(scope.period_s), value)
        return Evidence(spread.count, spread.count if effective is None else effective, beyond), allowed

    return rests_on


def _of_incidence(incidence: Incidence, limit: Limit, allowed: float) -> Rest | None:
    had = incidence.at(incidence.events.layout.units(limit.bound))
    if had is None:
        return None
    if limit.is_upper:
        return had.evidence(allowed), allowed
    return Evidence(had.samples, had.effective, had.high), allowed


def of_failures(scope: Scope, limit: Limit) -> Rest | None:
    """Return what a threshold on the share of failures rests on."""
    allowed, share = limit.allowed(), scope.failures
    if allowed is None or share is None or not scope.tally.enrolment_tally.concluded:
        return None
    ended = scope.tally.enrolment_tally.concluded
    effective = effective_samples(scope.ends.of(scope.period_s), 0)
    return Evidence(ended, ended if effective is None else effective, _beyond(share, limit)), allowed


def of_unfinished(scope: Scope, limit: Limit) -> Rest | None:
    """Return what a threshold on the share of unfinished enrolments rests on."""
    allowed, begun = limit.allowed(), scope.tally.enrolment_tally.sought
    if allowed is None or not begun:
        return None
    return Evidence(begun, begun, _beyond(scope.unfinished, limit)), allowed


def of_within(family: str, limit_s: float) -> Resting:
    """Return what a threshold on a ``..._within.D`` rests on."""

    def rests_on(scope: Scope, limit: Limit) -> Rest | None:
        allowed, had = limit.allowed(), scope.within(family, limit_s)
        if allowed is None or had is None:
            return None
        if limit.is_upper:
            return Evidence(had.samples, had.effective, had.high, unsupported=not had.is_known), allowed
        return had.evidence(allowed), allowed

    return rests_on


def _beyond(share: float, limit: Limit) -> float:
    return share if limit.is_upper else 1 - share
