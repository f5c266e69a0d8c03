"""What devices keep of their lines between two exchanges: an idle connection, a TLS session to resume.

There is an entry for a device of a cohort that keeps something, or whose connections are drawn to fail; all others open
a connection for each exchange and leave nothing behind. An idle connection is closed when its time is over, and all are
at the end. Of a device that gets a new identity nothing is kept: a session of the old one would silently present the
old certificate (DESIGN, "the device").
"""

from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final

import trio

from estsim.device.identity import LoadedCredential
from estsim.engine.agenda import Agenda
from estsim.engine.wire import Line, Wire
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import Device
from estsim.fleet.paths import has_mishaps, path_of
from estsim.net.link import Link
from estsim.net.tls import Resumable
from estsim.scenario.plan import Cohort, Network

_LONGEST_SLEEP_S: Final = 3600.0


@dataclass(slots=True, eq=False)
class _Kept:
    """What one device keeps; ``line`` is idle until ``until_s``, ``turn`` tells its waits apart."""

    line: Line | None = None
    until_s: float = -inf
    turn: int = 0
    session: Resumable | None = None
    connections: int = 0  # opened so far


class Lines:
    """The lines of a shard's devices, given out for an exchange and taken back after it."""

    def __init__(self, wire: Wire, clock: RunClock) -> None:
        self._wire = wire
        self._clock = clock
        self._kept: dict[Device, _Kept] = {}
        self._ends: Agenda[_Kept] = Agenda()
        self._something_earlier = trio.Event()
        self._sleeping_until_s = inf

    @property
    def idle(self) -> int:
        """How many connections are kept open at the moment."""
        return sum(kept.line is not None for kept in self._kept.values())

    def take(self, device: Device, credential: LoadedCredential | None) -> Line:
        """Give a device its way to the server: the one it kept, if it still is what is wanted, or a new one."""
        plan = device.cohort.plan
        if plan.network is None and not _keeps(plan):
            return self._wire.line(device.cohort, credential)
        kept = self._kept.get(device)
        if kept is None and (_keeps(plan) or (plan.network is not None and has_mishaps(plan.network))):
            kept = self._kept[device] = _Kept()
        line = None if kept is None else self._idle_line(kept)
        if line is not None and line.presents(credential):
            return line
        if line is not None:
            line.drop()
        dials = None if plan.network is None else partial(self._link, plan.network, device, kept)
        return self._wire.line(device.cohort, credential, session=kept.session if kept else None, link=dials)

    def give_back(self, device: Device, line: Line, *, keep: bool) -> None:
        """Take a line back: keep its connection if it may be used again, else drop it in the cohort's way.

        Of an exchange that was cut nothing new is kept: it may be the power that went.
        """
        kept = self._kept.get(device)
        if kept is not None and keep:
            kept.session = line.session
            keep_s = device.cohort.plan.tls.keep_alive_s
            if keep_s > 0 and line.is_idle:
                self._keep(kept, line, self._clock.now_s() + keep_s)
                return
        line.drop()

    def forget(self, device: Device) -> None:
        """Drop a device's idle connection and its session: it has a new identity, or its power is gone."""
        kept = self._kept.get(device)
        if kept is not None:
            kept.session = None
            _drop(kept)

    async def close_idle(self) -> None:
        """Close connections whose time is over, for ever."""
        while True:
            now_s = self._clock.now_s()
            while (due := self._ends.pop_due(now_s)) is not None:
                _, kept, turn = due
                if kept.turn == turn:
                    _drop(kept)
            self._something_earlier = trio.Event()
            self._sleeping_until_s = self._ends.next_s()
            with trio.move_on_after(min(max(0.0, self._sleeping_until_s - now_s), _LONGEST_SLEEP_S)):
                await self._something_earlier.wait()

    def close(self) -> None:
        """Drop everything that is kept."""
        for kept in self._kept.values():
            _drop(kept)
        self._kept.clear()
        self._ends.clear()

    def _idle_line(self, kept: _Kept) -> Line | None:
        """Take the idle line out, None where there is none or its time is over."""
        if self._clock.now_s() >= kept.until_s:
            _drop(kept)
        line, kept.line = kept.line, None
        kept.turn += 1
        return line

    def _keep(self, kept: _Kept, line: Line, until_s: float) -> None:
        _drop(kept)  # of an exchange that a newer one overtook
        kept.line, kept.until_s = line, until_s
        kept.turn += 1
        self._ends.push(until_s, kept, kept.turn)
        if until_s < self._sleeping_until_s:
            self._something_earlier.set()

    def _link(self, network: Network, device: Device, kept: _Kept | None) -> Link:
        """Return the network of a device's next connection."""
        connection = 0
        if kept is not None:
            connection = kept.connections = kept.connections + 1
        seed = device.machine.seed
        return Link(path_of(network, seed=seed, device=device.index, connection=connection), self._clock.now_ns)


def _keeps(plan: Cohort) -> bool:
    return plan.tls.keep_alive_s > 0 or plan.tls.resume


def _drop(kept: _Kept) -> None:
    line, kept.line = kept.line, None
    if line is not None:
        line.drop()
