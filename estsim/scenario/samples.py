"""The number of samples that a plan gives its thresholds, estimated from arrivals, renewals and events.

The estimate assumes that the server answers at once, and that every enrolment ends in a certificate except for those of
faulty devices. A hundred devices of each cohort are calculated, spread evenly over its draws. What another server
decides (validity, deferrals) is unknown, and gives None.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import floor, inf
from typing import Final

from estsim.device.faults import shows
from estsim.est.enrolment import Goal
from estsim.est.operations import Operation
from estsim.load.arrivals import boot_time_at
from estsim.load.choice import count_of
from estsim.scenario.happenings import CohortJoin, PowerCut, RenewNow
from estsim.scenario.plan import Cohort, Scenario
from estsim.server.config import DEFAULT

_CALCULATED: Final = 100
_KINDS: Final = ("response", "service")


@dataclass(frozen=True, slots=True)
class Span:
    """A time of the run, in seconds: a phase, or all of it."""

    from_s: float
    to_s: float

    def holds(self, at_s: float) -> bool:
        """Whether a time is within."""
        return self.from_s <= at_s < self.to_s


def samples_of(scenario: Scenario, metric: str, cohort: str | None, span: Span) -> float | None:
    """Return the number of samples of a metric, None where it is unknown."""
    estimate = _estimate_of(metric)
    if estimate is None:
        return None
    cohorts = [each for each in scenario.cohorts if cohort in (None, each.name)]
    found = [estimate(scenario, each, span) for each in cohorts]
    known = [each for each in found if each is not None]
    return sum(known) if len(known) == len(found) else None


_Estimate = Callable[[Scenario, Cohort, Span], float | None]


def _estimate_of(metric: str) -> _Estimate | None:
    """Return the function that estimates a metric's samples."""
    family, _, rest = metric.partition(".")
    if family in ("failures", "unfinished", "time_to_certificate"):
        return _enrolments
    if family in _FAMILIES:
        return _FAMILIES[family]
    if rest.partition(".")[0] not in _KINDS:
        return None
    if family == Operation.SIMPLEREENROLL.value:
        return _renewals
    if family in (Operation.SIMPLEENROLL.value, Operation.SERVERKEYGEN.value):
        return lambda scenario, cohort, span: (
            _first_certificates(scenario, cohort, span) if cohort.policy.enroll.operation.value == family else 0.0
        )
    return None


def _enrolments(scenario: Scenario, cohort: Cohort, span: Span) -> float | None:
    renewals = _renewals(scenario, cohort, span)
    return None if renewals is None else _first_certificates(scenario, cohort, span) + renewals


def _first_certificates(scenario: Scenario, cohort: Cohort, span: Span) -> float:
    """Return the first enrolments, of devices without a certificate and without a fault."""
    if cohort.start is not None:
        return 0.0
    boots = [at_s for at_s in _boots(scenario, cohort) if span.holds(at_s) and at_s < scenario.duration_s]
    return _sound(cohort, Goal.ENROLL) * len(boots) / _CALCULATED


def _sound(cohort: Cohort, goal: Goal) -> int:
    """Return the number of devices that a server has no reason to refuse."""
    faulty = (count_of(share, cohort.devices) for fault, share in cohort.faults.items() if shows(fault, goal))
    return max(0, cohort.devices - sum(faulty))


def _boots(scenario: Scenario, cohort: Cohort) -> Iterator[float]:
    """Yield the boot times of the calculated devices; infinity for a cohort that never joins."""
    begins_s = 0.0
    if cohort.joins:
        joins = (each.at_s for each in scenario.events if each.what == CohortJoin(cohort.name))
        begins_s = next(joins, inf)
    for number in range(_CALCULATED):
        yield begins_s + boot_time_at(cohort.arrivals, cohort.devices, (number + 0.5) / _CALCULATED)


def _renewals(scenario: Scenario, cohort: Cohort, span: Span) -> float | None:
    """Return the renewals: by age, by order, and at boot with an old certificate."""
    due = _due(scenario, cohort, span)
    if due is None:
        return None
    return (
        due * _sound(cohort, Goal.RENEW) / _CALCULATED
        + _ordered(scenario, cohort, span)
        + _at_boot(scenario, cohort, span)
    )


def _due(scenario: Scenario, cohort: Cohort, span: Span) -> float | None:
    """Return the renewals by age of the calculated devices."""
    renew, validity_s = cohort.policy.renew, _validity_s(scenario)
    if renew is None or renew.times == 0:
        return 0.0
    if validity_s is None:  # unknown for another server; only renewals after a fixed time can be counted
        return (
            None
            if renew.after_s is None or cohort.start is not None
            else _repeated(scenario, cohort, span, renew.after_s)
        )
    life_s = validity_s / renew.lifetime_scale
    every_s = renew.after_s if renew.after_s is not None else renew.at * life_s
    return _repeated(scenario, cohort, span, max(1.0, every_s), life_s)


def _repeated(scenario: Scenario, cohort: Cohort, span: Span, every_s: float, life_s: float = 0.0) -> float:
    renew, until_s = cohort.policy.renew, min(span.to_s, scenario.duration_s)
    times = inf if renew is None or renew.times is None else renew.times
    total = 0.0
    for number, boot_s in enumerate(_boots(scenario, cohort)):
        issued_s = boot_s
        if cohort.start is not None:
            issued_s = -cohort.start.age.at((number + 0.5) / _CALCULATED) * life_s
        by = [min(times, max(0, floor((at_s - issued_s) / every_s))) for at_s in (span.from_s, until_s) if at_s < inf]
        if len(by) == 2:  # noqa: PLR2004 - from and until
            total += max(0.0, by[1] - by[0])
    return total


def _validity_s(scenario: Scenario) -> float | None:
    """Return the validity of the sandbox's certificates, None with another server."""
    if scenario.sandbox is None:
        return None
    center = scenario.sandbox.centers.get(scenario.sandbox_label or DEFAULT)
    return None if center is None else center.issuer.validity


def _ordered(scenario: Scenario, cohort: Cohort, span: Span) -> float:
    return float(
        sum(
            count_of(each.what.touched.share, cohort.devices)
            for each in scenario.events
            if isinstance(each.what, RenewNow)
            and cohort.name in each.what.touched.cohorts
            and span.holds(each.at_s)
            and each.at_s < scenario.duration_s
        )
    )


def _cuts(scenario: Scenario, cohort: Cohort, span: Span) -> Iterator[tuple[float, int]]:
    """Yield the approximate times at which power returns to a cohort, with the number of devices."""
    for each in scenario.events:
        if isinstance(each.what, PowerCut) and cohort.name in each.what.touched.cohorts:
            affected = count_of(each.what.touched.share, cohort.devices)
            back_s = each.at_s + each.what.off_s.at(0.5) + boot_time_at(each.what.back, affected, 0.5)
            if span.holds(back_s) and back_s < scenario.duration_s:
                yield back_s, affected


def _at_boot(scenario: Scenario, cohort: Cohort, span: Span) -> float:
    """Return the renewals of devices that boot with a certificate of some age (``on_boot: renew_if``)."""
    renew_if, validity_s = cohort.policy.boot.renew_if, _validity_s(scenario)
    if renew_if is None or cohort.start is None or validity_s is None:
        return 0.0
    total = 0.0
    for back_s, affected in _cuts(scenario, cohort, span):
        ages = (
            cohort.start.age.at((number + 0.5) / _CALCULATED) + back_s / validity_s for number in range(_CALCULATED)
        )
        total += affected * sum(renew_if <= age < 1 for age in ages) / _CALCULATED
    return total


def _recoveries(scenario: Scenario, cohort: Cohort, span: Span) -> float:
    return float(sum(affected for _, affected in _cuts(scenario, cohort, span)))


_FAMILIES: Final[dict[str, _Estimate]] = {
    "enrolled_within": _first_certificates,
    "renewed_within": _renewals,
    "recovered_within": _recoveries,
    "replaced_within": _ordered,
}
