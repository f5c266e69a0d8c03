"""A process's fleet: the devices of one process, made before the run and played in it, whoever leads.

The whole fleet in a run of one process, a part of it in a worker's.
"""

from collections.abc import Callable, Iterator
from typing import Final

import trio

from estsim.engine.exchange_task import ExchangeTask
from estsim.engine.keys import prepare_keys
from estsim.engine.loop_monitor import tune_process
from estsim.engine.shard import Shard
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, Fleet
from estsim.fleet.host import Host
from estsim.fleet.ledger import Ledger
from estsim.fleet.part import WHOLE, Part
from estsim.fleet.records import Records
from estsim.fleet.server_access import ServerAccess

_DEVICES_BETWEEN_YIELDS: Final = 16
_LEAD_S: Final = 0.2  # between setting up and the first boot, and for the timer queue to be filled
_LEAD_PER_DEVICE_S: Final = 5e-6
_LEAD_PER_OWNER_S: Final = 20e-6  # of a certificate from before the run


class ProcessFleet:
    """The devices of a part of the fleet; ``cohorts`` are what they share, of this part."""

    def __init__(self, host: Host, cohorts: list[CohortRun], part: Part = WHOLE) -> None:
        self.fleet = Fleet()
        self._host = host
        self.cohorts = cohorts
        self._part = part

    @classmethod
    def of(cls, host: Host, part: Part) -> "ProcessFleet":
        """Put together what the devices share; raises UsageError for files that cannot be used."""
        return cls(host, [host.cohort(plan, part) for plan in host.scenario.cohorts], part)

    @property
    def lead_s(self) -> float:
        """How long it takes from the start of the clock to the readiness for what is planned at zero."""
        return _LEAD_S + len(self.fleet.devices) * _LEAD_PER_DEVICE_S + len(self.fleet.owners) * _LEAD_PER_OWNER_S

    async def prepare(self, tell: Callable[[int], None]) -> None:
        """Make keys and devices, giving way to signals; tells now and then how many devices there are."""
        await prepare_keys(cohort.keys for cohort in self.cohorts)
        for cohort in self.cohorts:
            for _ in self.fleet.add(self._host.scenario, cohort, self._part):
                if len(self.fleet.devices) % _DEVICES_BETWEEN_YIELDS == 0:
                    await trio.lowlevel.checkpoint()
                    tell(len(self.fleet.devices))
        tune_process()

    def begin(
        self, clock: RunClock, records: Records, *, groups: tuple[str, ...], request_ids: Iterator[str] | None
    ) -> Shard:
        """Return the shard that plays them by this clock, which begins in :attr:`lead_s`."""
        self.fleet.commission(clock.wall_epoch_s)
        ledger = Ledger(records, clock)
        access = ServerAccess.to(self._host, groups, clock)
        return Shard(self.fleet, ExchangeTask(access, ledger, clock, request_ids=request_ids), ledger, clock)
