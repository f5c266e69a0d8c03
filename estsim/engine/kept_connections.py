"""The lines of a shard's devices, and the closing of idle connections when their time is over.

There is an entry for a device of a cohort that keeps something, or whose connections are drawn to fail; all others open
a connection for each exchange and leave nothing behind. All are closed at the end.
"""

from math import inf
from typing import Final

import trio

from estsim.engine.timer_queue import TimerQueue
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import Device
from estsim.fleet.kept_connection import KeptConnection
from estsim.fleet.paths import has_link_failures
from estsim.fleet.server_access import ServerAccess
from estsim.net.io_trio import TRIO
from estsim.scenario.plan import Cohort

_LONGEST_SLEEP_S: Final = 3600.0


class KeptConnections:
    """What the devices of a shard keep of their lines."""

    def __init__(self, access: ServerAccess, clock: RunClock) -> None:
        self._access = access
        self._clock = clock
        self._kept: dict[Device, KeptConnection] = {}
        self._ends: TimerQueue[KeptConnection] = TimerQueue()
        self._something_earlier = trio.Event()
        self._sleeping_until_s = inf

    @property
    def idle(self) -> int:
        """How many connections are kept open at the moment."""
        return sum(kept.is_idle for kept in self._kept.values())

    def of(self, device: Device) -> KeptConnection:
        """Return what a device keeps; of one that keeps nothing, for one exchange only."""
        kept = self._kept.get(device)
        if kept is None:
            kept = KeptConnection(self._access, TRIO, device)
            if _leaves_something(device.cohort.plan):
                self._kept[device] = kept
        return kept

    def close_in_time(self, kept: KeptConnection) -> None:
        """Plan the closing of a connection that became idle."""
        if not kept.is_idle:
            return
        self._ends.push(kept.until_s, kept, 0)
        if kept.until_s < self._sleeping_until_s:
            self._something_earlier.set()

    def forget(self, device: Device) -> None:
        """Drop a device's idle connection and its session: it has a new identity, or its power is gone."""
        kept = self._kept.get(device)
        if kept is not None:
            kept.forget()

    async def close_idle(self) -> None:
        """Close connections whose time is over, for ever."""
        while True:
            now_s = self._clock.now_s()
            while (due := self._ends.pop_due(now_s)) is not None:
                _, kept, _ = due
                if now_s >= kept.until_s:  # else it was used again meanwhile
                    kept.drop()
            self._something_earlier = trio.Event()
            self._sleeping_until_s = self._ends.next_s()
            with trio.move_on_after(min(max(0.0, self._sleeping_until_s - now_s), _LONGEST_SLEEP_S)):
                await self._something_earlier.wait()

    def close(self) -> None:
        """Drop everything that is kept."""
        for kept in self._kept.values():
            kept.drop()
        self._kept.clear()
        self._ends.clear()


def _leaves_something(plan: Cohort) -> bool:
    """Say whether anything is to be known of a device's connections after an exchange."""
    is_unlucky = plan.network is not None and has_link_failures(plan.network)
    return plan.tls.keep_alive_s > 0 or plan.tls.resume or is_unlucky
