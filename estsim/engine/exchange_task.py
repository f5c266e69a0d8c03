"""The exchanges of a shard's devices under trio: :mod:`estsim.fleet.exchanges` on the lines that they keep."""

from collections.abc import Iterator

import trio

from estsim.device.commands import Exchange
from estsim.engine.kept_connections import KeptConnections
from estsim.fleet.clock import RunClock
from estsim.fleet.device_connection import DeviceConnection
from estsim.fleet.devices import Device
from estsim.fleet.exchange_context import Books
from estsim.fleet.exchanges import Exchanges
from estsim.fleet.server_access import ServerAccess
from estsim.fleet.settled import Settled
from estsim.record.sample import Sample


class ExchangeTask:
    """Performs exchanges for the devices of a shard."""

    def __init__(
        self, access: ServerAccess, books: Books, clock: RunClock, *, request_ids: Iterator[str] | None
    ) -> None:
        self.lines = KeptConnections(access, clock)
        self._books = books
        self._exchanges = Exchanges(clock, self._book, request_ids=request_ids, one_at_a_time=trio.Lock())

    async def perform(self, device: Device, command: Exchange) -> Settled:
        """Do one exchange and record a row for each of its requests.

        Never raises for what a server or a network does; a cancellation is recorded as abandoned and goes on.
        """
        kept = self.lines.of(device)
        try:
            return await self._exchanges.perform(device, command, kept)
        finally:
            self.lines.close_in_time(kept)

    def _book(self, device: Device, sample: Sample, _line: DeviceConnection) -> None:
        self._books.exchange(device.enrolment, sample)
