"""What a blocking driver's devices need of the run: one such object for each process and scenario.

:class:`estsim.locust.users.process_fleet.LocustFleet` is that of Locust's users.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from estsim.fleet.clock import RunClock
from estsim.fleet.devices import Device
from estsim.fleet.ledger import Ledger
from estsim.fleet.orders import Order
from estsim.fleet.server_access import ServerAccess


class RunContext(Protocol):
    """A run as its devices see it, and which of its devices are still free.

    Marks, changes of the sandbox and the end of the run (settled, or out of time) are the driver's. The recorder behind
    ``ledger`` is the driver's as well.
    """

    @property
    def clock(self) -> RunClock:
        """The run's clock."""

    @property
    def ledger(self) -> Ledger:
        """The books of the devices' enrolments."""

    @property
    def access(self) -> ServerAccess:
        """The way to the server."""

    @property
    def request_ids(self) -> Iterator[str] | None:
        """The ids of requests, None where the scenario wants none."""

    def take(self, cohort: str | None) -> Device | None:
        """Give the next free device, of a cohort if one is named; None when this process has no more to give."""

    def give_back(self, device: Device) -> None:
        """Take note that nobody plays a device any more, for whatever reason; it is never played again."""

    def boots_s(self, device: Device) -> float:
        """Return when a device is meant to boot, in seconds of the run; infinity for one that an order boots.

        Not asked of one that is commissioned: it is in service already, and waits.
        """

    def orders_of(self, device: Device) -> Sequence[Order]:
        """Return what the scenario's events order of a device, in the order of their times."""
