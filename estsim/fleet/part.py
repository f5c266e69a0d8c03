"""Which devices of a fleet one process plays: every ``of``-th, so that arrivals are spread over the processes evenly.

A pure function of the plan: together the parts of one fleet are the fleet, and no device is in two of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from estsim.scenario.plan import Cohort, Scenario


@dataclass(frozen=True, slots=True)
class Part:
    """The share of the process in slot ``slot`` (from 0) of ``of``.

    A slot beyond ``of`` is one that came late, when the fleet had been shared out: it has no device of the plan, and
    plays others like them (:meth:`extras`).
    """

    slot: int = 0
    of: int = 1

    def has(self, device: int, cohort: Cohort) -> bool:
        """Say whether a device of this cohort is in this part."""
        return device % self._sharing(cohort) == self.slot

    def devices(self, cohort: Cohort) -> int:
        """Return how many devices of a cohort are in this part."""
        return sum(self.has(device, cohort) for device in _numbers(cohort))

    def stations(self, cohort: Cohort) -> int:
        """Return how many of a closed loop's stations are in this part: together they are the cohort's."""
        return self.share(cohort.stations or 0, among=self._sharing(cohort))

    def share(self, whole: int, *, among: int | None = None) -> int:
        """Return this part's share of a number of things that are alike."""
        parts = among or self.of
        return whole // parts + (self.slot < whole % parts) if self.slot < parts else 0

    def extras(self, scenario: Scenario) -> Iterator[int]:
        """Yield numbers beyond the fleet's last one, nobody else's, for ever; each stands for one of the fleet.

        Number ``n`` is a device like ``n % scenario.devices``, of the same cohort, with another name and other draws.
        """
        first = scenario.devices * (1 + self.slot)
        for number in count():
            beyond, place = divmod(number, scenario.devices)
            yield first + beyond * scenario.devices * _LATE_SLOTS + place

    def _sharing(self, cohort: Cohort) -> int:
        """Return among how many processes a cohort is shared: a station is not cut in two."""
        return self.of if cohort.stations is None else min(self.of, cohort.stations)


_LATE_SLOTS = 1 << 16  # more than any master has workers

WHOLE = Part()


def _numbers(cohort: Cohort) -> range:
    return range(cohort.first_device, cohort.first_device + cohort.devices)


def cohort_of(scenario: Scenario, number: int) -> Cohort:
    """Return the cohort of a device's number; one beyond the fleet's last belongs where it would again."""
    place = number % scenario.devices
    return next(each for each in scenario.cohorts if place < each.first_device + each.devices)
