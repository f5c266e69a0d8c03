"""What one process of Locust's plays: its part of the fleet, made beforehand, and handed to users one by one.

Users take devices in the order in which the plan has them boot. Where Locust spawns a user just before that moment, as
:mod:`estsim.locust.shape` has it, the device begins at its own; else at once.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import isfinite
from typing import Final
from weakref import WeakKeyDictionary

import gevent
from locust.env import Environment

from estsim.device.states import State
from estsim.errors import UsageError
from estsim.fleet.boots import boots_of, is_timely
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import Device, Fleet, spare_device
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.host import Host
from estsim.fleet.ledger import Ledger
from estsim.fleet.offer import groups_offered
from estsim.fleet.orders import Order, orders_of
from estsim.fleet.part import Part, cohort_of
from estsim.fleet.plain_keys import prepare_keys
from estsim.fleet.records import Records
from estsim.fleet.server_access import ServerAccess
from estsim.locust.users.playable import check_playable
from estsim.record.sample import RADAR_S, FleetReading
from estsim.scenario.happenings import CohortJoin

_DEVICES_BETWEEN_YIELDS: Final = 16
_EXCHANGING: Final = frozenset({State.FETCHING_CA, State.FETCHING_ATTRS, State.ENROLLING, State.RENEWING})
_FLEETS: Final[WeakKeyDictionary[Environment, "LocustFleet"]] = WeakKeyDictionary()


class LocustFleet:
    """The part of the fleet that this process runs (:class:`estsim.fleet.run_context.RunContext`)."""

    def __init__(self, host: Host, part: Part, records: Records, clock: RunClock, *, run_id: str) -> None:
        scenario = self._scenario = host.scenario
        check_playable(scenario)
        self.clock = clock
        self.ledger = Ledger(records, clock)
        self.access = ServerAccess.to(host, groups_offered(scenario), clock)
        self.request_ids: Iterator[str] | None = request_ids(run_id) if scenario.generator.request_ids else None
        self._part = part
        self._cohorts = [host.cohort(plan, part) for plan in scenario.cohorts]
        self._fleet = Fleet()
        self._extras = part.extras(scenario)

    def make(self) -> int:
        """Make the devices of this part, giving way to other greenlets, and return how many there are."""
        prepare_keys(cohort.keys for cohort in self._cohorts)
        for cohort in self._cohorts:
            for _ in self._fleet.add(self._scenario, cohort, self._part):
                if len(self._fleet.devices) % _DEVICES_BETWEEN_YIELDS == 0:
                    gevent.sleep(0)
        self._fleet.commission(self.clock.wall_epoch_s)
        return len(self._fleet.devices)

    # -- what users ask

    def take(self, cohort: str | None) -> Device | None:
        """Give the next free device, of a cohort if one is named; one beyond the plan's where Locust has more users."""
        free = next((each for each in self._free if cohort in (None, each.cohort.plan.name)), None)
        if free is not None:
            self._free.remove(free)
            return free
        return self._extra(cohort)

    def give_back(self, device: Device) -> None:
        """Take note that nobody plays a device any more; it is never played again."""

    def boots_s(self, device: Device) -> float:
        """Return when a device is meant to boot: by the plan, or now."""
        now_s = self.clock.now_s()
        planned_s = self._planned.get(device.index, now_s)
        return planned_s if is_timely(planned_s, now_s) else max(0.0, now_s)

    def orders_of(self, device: Device) -> Sequence[Order]:
        """Return what the scenario's events order of a device that are still to come; Locust spawns those that join."""
        now_s = self.clock.now_s()
        return [order for order in self._orders.get(device.index, ()) if order.at_s > now_s]

    # -- what the run asks

    def reading(self) -> FleetReading:
        """Say where this part of the fleet stands, and who is about to wake."""
        now_s = self.clock.now_s()
        states: Counter[str] = Counter()
        cohorts: dict[str, Counter[str]] = {}
        wakeups = [0] * RADAR_S
        planned = 0
        for device in self._fleet.devices:
            state, shown = device.machine.state, str(device.state)
            states[shown] += 1
            cohorts.setdefault(device.cohort.plan.name, Counter())[shown] += 1
            wakes_s = self._boots_yet_s(device, now_s) if state is State.OFF else device.wakes_s
            if wakes_s is not None and isfinite(wakes_s):
                planned += 1
                ahead = int(wakes_s) - int(max(0.0, now_s))
                if 0 <= ahead < RADAR_S:
                    wakeups[ahead] += 1
            elif state in _EXCHANGING:
                planned += 1
        planned += sum(orders[-1].at_s > now_s for orders in self._orders.values())
        return FleetReading(
            at_ns=self.clock.now_ns(),
            states=dict(states),
            wakeups=tuple(wakeups),
            waiting_deferred=states[State.DEFERRED.value],
            cohorts={name: dict(counts) for name, counts in cohorts.items()},
            planned=planned,
        )

    def _boots_yet_s(self, device: Device, now_s: float) -> float | None:
        """Return when a device that is off is meant to boot, None if that is over or never to be."""
        planned_s = self._planned.get(device.index)
        return planned_s if planned_s is not None and planned_s >= now_s else None

    @property
    def in_flight(self) -> int:
        """How many exchanges are on the wire."""
        return sum(device.machine.state in _EXCHANGING for device in self._fleet.devices)

    # -- the parts

    @cached_property
    def _planned(self) -> dict[int, float]:
        return {number: at_s for at_s, number in boots_of(self._scenario, self._part)}

    @cached_property
    def _free(self) -> deque[Device]:
        devices = {device.index: device for device in self._fleet.devices}
        return deque(devices[number] for number in sorted(self._planned, key=lambda n: (self._planned[n], n)))

    @cached_property
    def _orders(self) -> dict[int, list[Order]]:
        found: dict[int, list[Order]] = {}
        for number, event in enumerate(self._scenario.events):
            if isinstance(event.what, CohortJoin):
                continue
            for order in orders_of(self._scenario, number, event.at_s):
                if order.device in self._planned:
                    found.setdefault(order.device, []).append(order)
        for orders in found.values():
            orders.sort(key=lambda order: order.at_s)
        return found

    def _extra(self, wanted: str | None) -> Device | None:
        """Make a device beyond the plan's; None of a cohort that there is not."""
        if wanted is not None and wanted not in {each.plan.name for each in self._cohorts}:
            return None
        numbers = (number for number in self._extras if wanted in (None, cohort_of(self._scenario, number).name))
        device = spare_device(self._cohorts, self._scenario, next(numbers))
        self._fleet.devices.append(device)
        return device


def put_on(environment: Environment, play: LocustFleet | None) -> None:
    """Set what the users of this process play; None: nothing any more."""
    if play is None:
        _FLEETS.pop(environment, None)
    else:
        _FLEETS[environment] = play


def fleet_for(environment: Environment, scenario: str | None) -> LocustFleet:  # noqa: ARG001 - all users play one scenario
    """Return what the users of this process play. Raises UsageError where no test is under way."""
    play = _FLEETS.get(environment)
    if play is None:
        raise UsageError("no estsim test is running: the master has not started one")
    return play
