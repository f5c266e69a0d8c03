"""The way to the server under trio, and a device's line for the length of one exchange."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from estsim.device.identity import LoadedCredential
from estsim.est.messages import EstRequest, EstResponse
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun
from estsim.fleet.host import Host
from estsim.fleet.way import LineState, Way
from estsim.measure.sample import Stamps
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.link import Link
from estsim.net.opening import open_connection
from estsim.net.tls import Resumable
from estsim.net.transport import Client, exchange, new_client


@dataclass(frozen=True)
class Wire(Way):
    """One run's server, and the client that all its devices share."""

    @cached_property
    def client(self) -> Client:
        """The one HTTP client of all devices."""
        return new_client()

    def line(
        self,
        cohort: CohortRun,
        credential: LoadedCredential | None,
        *,
        session: Resumable | None = None,
        link: Callable[[], Link] | None = None,
    ) -> "Line":
        """Return a way to the server for a device that presents this credential; nothing is opened yet.

        ``session`` is offered for resumption where it fits; ``link`` makes the shaped network of each connection.
        """
        return Line(self, cohort, credential, session=session, link=link)


def wire_to(host: Host, groups: tuple[str, ...], clock: RunClock) -> Wire:
    """Return the way to a server, on which devices offer these groups."""
    return Wire.to(host, groups, clock)


class Line(LineState[TlsConnection]):
    """One device's connection: opened when first needed, used again while the server keeps it, dropped at the end."""

    def __init__(
        self,
        wire: Wire,
        cohort: CohortRun,
        credential: LoadedCredential | None,
        *,
        session: Resumable | None = None,
        link: Callable[[], Link] | None = None,
    ) -> None:
        super().__init__(wire, cohort, credential, session=session)
        self._wire = wire
        self._link = link

    async def ask(self, make_request: Callable[[], EstRequest], stamps: Stamps) -> EstResponse:
        """Send a request, made once the session stands, and return the whole answer.

        Fills ``stamps`` as far as it came. Raises TransportFailed by phase.
        """
        wire, wire_stamps = self._wire, WireStamps()
        clock = wire.clock
        try:
            connection = await self._open(wire_stamps)
            before_ns = clock.now_ns()
            request = make_request()
            stamps.client_work_ns = clock.now_ns() - before_ns
            answer = await exchange(
                wire.client, connection, wire.question(request), clock=clock.now_ns, stamps=wire_stamps
            )
            self._answered(connection)
            return EstResponse(answer.status, answer.headers, answer.body)
        finally:
            self._fill(stamps, wire_stamps)

    async def knock(self, stamps: Stamps) -> None:
        """Only open the connection; fills ``stamps`` as far as it came. Raises TransportFailed by phase."""
        wire_stamps = WireStamps()
        try:
            await self._open(wire_stamps)
        finally:
            self._fill(stamps, wire_stamps)

    async def _open(self, stamps: WireStamps) -> TlsConnection:
        standing = self._standing()
        if standing is not None:
            return standing
        wire = self._wire
        context, credential = wire.context(self._cohort, self._held), self._presented()
        session = self._offered(context, credential)
        connection = await open_connection(
            wire.endpoint,
            context,
            credential,
            deadlines=wire.deadlines,
            clock=wire.clock.now_ns,
            stamps=stamps,
            resume=session,
            link=self._link() if self._link else None,
            source=wire.next_source(),
            leaves=self._leaves,
            device_wall_s=self._device_wall_s,
        )
        return self._opened(connection, session)
