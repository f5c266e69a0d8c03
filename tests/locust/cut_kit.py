"""Exchanges that are cut at one of their waits, and what is compared of their rows in each driver. Imports no trio."""

import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from locust_kit import Place, fleet_of

from estsim.device.commands import Exchange
from estsim.device.events import Started
from estsim.est.url import Origin
from estsim.fleet.clock import RunClock
from estsim.fleet.device_connection import DeviceConnection
from estsim.fleet.devices import Device
from estsim.fleet.exchanges import Exchanges
from estsim.fleet.kept_connection import KeptConnection
from estsim.fleet.offer import groups_offered
from estsim.fleet.server_access import ServerAccess
from estsim.net.address import Address, KnownAddresses
from estsim.net.io import Deadline, Io
from estsim.record.sample import Sample

T = TypeVar("T")
Cut = Callable[[], Awaitable[None]]
Told = list[object]  # what is compared of a row
STAMPS: Final = ("ready_ns", "connected_ns", "handshaken_ns", "sent_ns", "first_byte_ns")


class CuttingIo:
    """A runtime's own io, of which one wait, counted from 1, is cut before it begins."""

    def __init__(self, io: Io, at: int, cut: Cut) -> None:
        self.waits: list[str] = []
        self._io = io
        self._at = at
        self._cut = cut

    @property
    def resolver(self) -> KnownAddresses:
        """The io's."""
        return self._io.resolver

    def deadline(self, within_s: float) -> Deadline:
        """Return the io's."""
        return self._io.deadline(within_s)

    async def resolve(self, endpoint: Origin) -> tuple[Address, ...]:
        """Wait, or be cut."""
        await self._begin("resolve")
        return await self._io.resolve(endpoint)

    async def wait_writable(self, sock: socket.socket) -> None:
        """Wait, or be cut."""
        await self._begin("wait_writable")
        await self._io.wait_writable(sock)

    async def receive(self, sock: socket.socket) -> tuple[bytes, int]:
        """Wait, or be cut."""
        await self._begin("receive")
        return await self._io.receive(sock)

    async def sleep(self, seconds: float) -> None:
        """Wait, or be cut."""
        await self._begin("sleep")
        await self._io.sleep(seconds)

    async def run(self, work: Callable[[], T]) -> T:
        """Wait, or be cut."""
        await self._begin("run")
        return await self._io.run(work)

    async def _begin(self, wait: str) -> None:
        self.waits.append(wait)
        if len(self.waits) == self._at:
            await self._cut()
            raise AssertionError("it was to be cut here")


@dataclass
class Cuts:
    """A fleet of which the first device is cut at its first wait, the second at its second, until one is not cut."""

    place: Place
    rows: dict[int, list[Told]] = field(default_factory=dict)  # by the number of the wait that was cut
    waits: list[str] = field(default_factory=list)  # of the exchange that was whole

    def __post_init__(self) -> None:
        host = self.place.host(self.place.plan())
        self._clock = RunClock.start()
        self._access = ServerAccess.to(host, groups_offered(host.scenario), self._clock)
        self._devices = fleet_of(host).devices
        self._lines: list[DeviceConnection] = []
        self._exchanges = Exchanges(self._clock, self._book, request_ids=None)

    def ios(self, io: Callable[[], Io], cut: Cut) -> Iterator[tuple[CuttingIo, Device]]:
        """Yield what each device in turn waits with; :meth:`exchange` is to follow each."""
        for at, device in enumerate(self._devices, start=1):
            cutting = CuttingIo(io(), at, cut)
            yield cutting, device
            assert all(line._connection is None for line in self._lines), "a connection was left open"
            if len(cutting.waits) < at:
                self.waits = cutting.waits
                return
        raise AssertionError("there are more waits than devices")

    async def exchange(self, io: CuttingIo, device: Device) -> None:
        """Do the first exchange of a device."""
        command = device.machine.step(Started(0.0), self._clock.now_s())
        assert isinstance(command, Exchange)
        await self._exchanges.perform(device, command, KeptConnection(self._access, io, device))

    def _book(self, device: Device, sample: Sample, line: DeviceConnection) -> None:
        self._lines.append(line)
        self.rows.setdefault(device.index + 1, []).append(
            [
                sample.kind.value,
                sample.detail,
                sample.cause.value,
                sample.status,
                sample.tls_version,
                sample.tls_group,
                sample.resumed,
                sample.reused,
                [name for name in STAMPS if getattr(sample.stamps, name) is not None],
            ]
        )
