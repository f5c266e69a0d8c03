"""The scopes of a run without the generator's own delay, by which failed thresholds are judged again.

They only attribute a failure; none of their figures is shown.
"""

from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import replace

from estsim.est.enrolment import OUT_OF_TIME
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.figures.scopes import Scope, Scopes
from estsim.record.ages import Ages
from estsim.record.enrolment_tally import EnrolmentTally
from estsim.record.histograms import Histogram
from estsim.record.own_delay import OwnDelays, Shift
from estsim.record.tally import LATENCIES, OperationTally, Tally


def scopes_without_delay(scopes: Scopes) -> Scopes:
    """Return all scopes of a run without the generator's own delay."""
    return _each(scopes, _without_delay)


def scopes_of_answers(scopes: Scopes) -> Scopes:
    """Return all scopes without the enrolments that ran out of time, so only with failures by an answer."""
    return _each(scopes, _of_answers)


def _each(scopes: Scopes, change: Callable[[Scope], Scope]) -> Scopes:
    return Scopes(
        change(scopes.run),
        {name: change(scope) for name, scope in scopes.cohorts.items()},
        {name: _each(phase, change) for name, phase in scopes.phases.items()},
        scopes.lasted_s,
    )


def _of_answers(scope: Scope) -> Scope:
    tally, enrolment_tally = copy(scope.tally), copy(scope.tally.enrolment_tally)
    enrolment_tally.ended = Counter(
        {end: count for end, count in enrolment_tally.ended.items() if end not in OUT_OF_TIME}
    )
    tally.enrolment_tally = enrolment_tally
    return replace(scope, tally=tally)


def _without_delay(scope: Scope) -> Scope:
    return replace(scope, tally=tally_without_delay(scope.tally)) if scope.tally.own else scope


def tally_without_delay(tally: Tally) -> Tally:
    """Return a tally without the generator's own delay; unchanged parts are shared."""
    own, cleared = tally.own, copy(tally)
    cleared.operations = {
        operation: _operation(counts, operation, own) for operation, counts in tally.operations.items()
    }
    cleared.polls = copy(tally.polls)
    cleared.polls.punctuality = _shifted(tally.polls.punctuality, own.spreads.get(("", "punctuality")))
    cleared.enrolment_tally = _enrolment_tally(tally.enrolment_tally, own)
    return cleared


def _operation(counts: OperationTally, operation: Operation, own: OwnDelays) -> OperationTally:
    cleared = copy(counts)
    cleared.by_class = counts.by_class.copy()
    cleared.by_class[OutcomeClass.FAILED] -= own.failed[operation]
    for name in LATENCIES:
        setattr(cleared, name, _shifted(getattr(counts, name), own.spreads.get((operation, name))))
    return cleared


def _enrolment_tally(enrolment_tally: EnrolmentTally, own: OwnDelays) -> EnrolmentTally:
    cleared = copy(enrolment_tally)
    cleared.ages = {goal: _without(ages, own.ages.get(goal)) for goal, ages in enrolment_tally.ages.items()}
    cleared.first = copy(enrolment_tally.first)
    cleared.first.ended_ms = _shifted(enrolment_tally.first.ended_ms, own.spreads.get(("", "first")))
    cleared.ended = Counter({end: count - own.ends[end] for end, count in enrolment_tally.ended.items()})
    return cleared


def _without(ages: Ages, own: tuple[Ages, Ages] | None) -> Ages:
    if own is None:
        return ages
    measured, without = own
    cleared = ages.less(measured)
    cleared.merge(without)
    return cleared


def _shifted(spread: Histogram, shift: Shift | None) -> Histogram:
    if shift is None:
        return spread
    cleared = spread.less(shift.measured)
    cleared.merge(shift.without)
    return cleared
