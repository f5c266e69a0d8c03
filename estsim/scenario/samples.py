"""How many samples a plan will give its thresholds, reckoned before the run from arrivals, renewals and events.

An estimate of what is planned: as if every server answered at once, and every enrolment but those of faulty devices
ended in a certificate. Of each cohort a hundred devices are reckoned, spread evenly over its draws. What another server
decides (its certificates' validity, whom it defers) is not known here, and None.
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

_RECKONED: Final = 100
_KINDS: Final = ("response", "service")


@dataclass(frozen=True, slots=True)
class Span:
    """A time of the run, in seconds: a phase, or all of it."""

    from_s: float
    to_s: float

    def holds(self, at_s: float) -> bool:
        """Tell whether something at that time lies within."""
        return self.from_s <= at_s < self.to_s


def samples_of(scenario: Scenario, metric: str, cohort: str | None, span: Span) -> float | None:
    """Return how many samples a metric will have, None where nobody can tell."""
    reckon = _reckoning(metric)
    if reckon is None:
        return None
    cohorts = [each for each in scenario.cohorts if cohort in (None, each.name)]
    found = [reckon(scenario, each, span) for each in cohorts]
    known = [each for each in found if each is not None]
    return sum(known) if len(known) == len(found) else None


_Reckon = Callable[[Scenario, Cohort, Span], float | None]


def _reckoning(metric: str) -> _Reckon | None:
    """Return how the samples of a metric are reckoned."""
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
    """Return the first enrolments: of devices that begin without a certificate and are not to be refused."""
    if cohort.start is not None:
        return 0.0
    boots = [at_s for at_s in _boots(scenario, cohort) if span.holds(at_s) and at_s < scenario.duration_s]
    return _sound(cohort, Goal.ENROLL) * len(boots) / _RECKONED


def _sound(cohort: Cohort, goal: Goal) -> int:
    """Return how many devices of a cohort no server has reason to refuse."""
    faulty = (count_of(share, cohort.devices) for fault, share in cohort.faults.items() if shows(fault, goal))
    return max(0, cohort.devices - sum(faulty))


def _boots(scenario: Scenario, cohort: Cohort) -> Iterator[float]:
    """Yield when each of the reckoned devices boots, on the run's clock; infinity for a cohort that never joins."""
    begins_s = 0.0
    if cohort.joins:
        joins = (each.at_s for each in scenario.events if each.what == CohortJoin(cohort.name))
        begins_s = next(joins, inf)
    for number in range(_RECKONED):
        yield begins_s + boot_time_at(cohort.arrivals, cohort.devices, (number + 0.5) / _RECKONED)


def _renewals(scenario: Scenario, cohort: Cohort, span: Span) -> float | None:
    """Return the renewals: those due by age, those ordered, and those of devices that boot with an old certificate."""
    due = _due(scenario, cohort, span)
    if due is None:
        return None
    return (
        due * _sound(cohort, Goal.RENEW) / _RECKONED
        + _ordered(scenario, cohort, span)
        + _at_boot(scenario, cohort, span)
    )


def _due(scenario: Scenario, cohort: Cohort, span: Span) -> float | None:
    """Return the renewals by age of the reckoned devices."""
    renew, validity_s = cohort.policy.renew, _validity_s(scenario)
    if renew is None or renew.times == 0:
        return 0.0
    if validity_s is None:  # another server's: what is known is that so many renewals are the most
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
            issued_s = -cohort.start.age.at((number + 0.5) / _RECKONED) * life_s
        by = [min(times, max(0, floor((at_s - issued_s) / every_s))) for at_s in (span.from_s, until_s) if at_s < inf]
        if len(by) == 2:  # noqa: PLR2004 - from and until
            total += max(0.0, by[1] - by[0])
    return total


def _validity_s(scenario: Scenario) -> float | None:
    """Return how long the sandbox's certificates live, None with another server."""
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
    """Yield when the power of a cohort's devices is back, about, and of how many."""
    for each in scenario.events:
        if isinstance(each.what, PowerCut) and cohort.name in each.what.touched.cohorts:
            struck = count_of(each.what.touched.share, cohort.devices)
            back_s = each.at_s + each.what.off_s.at(0.5) + boot_time_at(each.what.back, struck, 0.5)
            if span.holds(back_s) and back_s < scenario.duration_s:
                yield back_s, struck


def _at_boot(scenario: Scenario, cohort: Cohort, span: Span) -> float:
    """Return the renewals of devices whose power came back to a certificate of some age (``on_boot: renew_if``)."""
    renew_if, validity_s = cohort.policy.boot.renew_if, _validity_s(scenario)
    if renew_if is None or cohort.start is None or validity_s is None:
        return 0.0
    total = 0.0
    for back_s, struck in _cuts(scenario, cohort, span):
        ages = (cohort.start.age.at((number + 0.5) / _RECKONED) + back_s / validity_s for number in range(_RECKONED))
        total += struck * sum(renew_if <= age < 1 for age in ages) / _RECKONED
    return total


def _recoveries(scenario: Scenario, cohort: Cohort, span: Span) -> float:
    return float(sum(struck for _, struck in _cuts(scenario, cohort, span)))


_FAMILIES: Final[dict[str, _Reckon]] = {
    "enrolled_within": _first_certificates,
    "renewed_within": _renewals,
    "recovered_within": _recoveries,
    "replaced_within": _ordered,
}
