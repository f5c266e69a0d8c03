"""The sample behind a threshold, and the share of it beyond the limit.

A percentile allows 1 - p of its samples beyond the limit, a share its bound. A claim about this run only (a count, a
maximum, ``failures == 0%``) has no sample, and is neither supported nor thin.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from estsim.figures.incidence import Incidence
from estsim.figures.scopes import Scope
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
        """Return whether a value is within the limit."""
        return COMPARISONS[self.comparison](value, self.bound)

    def allowed(self, share: float | None = None) -> float | None:
        """Return the share of samples allowed beyond the limit of a percentile at ``share``, or of a share.

        None for a claim about this run only.
        """
        if self.comparison == "==":
            return None
        within = self.bound if share is None else share  # the share that must lie within an upper, or a lower limit
        allowed = 1 - within if self.is_upper == (share is not None) else within
        return allowed if 0 < allowed < 1 else None


Rest = tuple[Evidence, float]  # the sample, and the share allowed beyond the limit
Resting = Callable[[Scope, Limit], Rest | None]
Spread = Histogram | Incidence


def of_percentile(
    spread_of: Callable[[Scope], Spread], share: float, unit_s: float, blocks_of: Callable[[Scope], Blocks | None]
) -> Resting:
    """Return the sample behind a percentile; blocks of time show how far its members depend on each other."""

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
    """Return the sample behind the share of failures."""
    allowed, share = limit.allowed(), scope.failures
    if allowed is None or share is None or not scope.tally.enrolment_tally.concluded:
        return None
    ended = scope.tally.enrolment_tally.concluded
    effective = effective_samples(scope.ends.of(scope.period_s), 0)
    return Evidence(ended, ended if effective is None else effective, _beyond(share, limit)), allowed


def of_unfinished(scope: Scope, limit: Limit) -> Rest | None:
    """Return the sample behind the share of unfinished enrolments."""
    allowed, begun = limit.allowed(), scope.tally.enrolment_tally.sought
    if allowed is None or not begun:
        return None
    return Evidence(begun, begun, _beyond(scope.unfinished, limit)), allowed


def of_within(family: str, limit_s: float) -> Resting:
    """Return the sample behind a ``..._within.D``."""

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
