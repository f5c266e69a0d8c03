"""The way to the server in plain blocking calls, and a device's line for the length of one exchange.

Imports no gevent: where Locust has patched the sockets, each wait is a switch to another greenlet.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf

from estsim.device.identity import LoadedCredential
from estsim.est.messages import EstRequest, EstResponse
from estsim.fleet.devices import CohortRun
from estsim.fleet.way import LineState, Way
from estsim.measure.sample import Stamps
from estsim.net.blocking import BlockingConnection, open_blocking
from estsim.net.blocking_transport import BlockingClient, exchange_blocking, new_blocking_client
from estsim.net.stamps import WireStamps
from estsim.net.tls import Resumable


@dataclass(frozen=True)
class BlockingWire(Way):
    """One run's server, and the client that all its devices share."""

    @cached_property
    def client(self) -> BlockingClient:
        """The one HTTP client of all devices."""
        return new_blocking_client()

    def line(
        self, cohort: CohortRun, credential: LoadedCredential | None, *, session: Resumable | None = None
    ) -> "BlockingLine":
        """Return a way to the server for a device that presents this credential; nothing is opened yet."""
        return BlockingLine(self, cohort, credential, session=session)


class BlockingLine(LineState[BlockingConnection]):
    """One device's connection: opened when first needed, used again while the server keeps it, dropped at the end.

    ``answer_bytes`` is the size of the last answer's body.
    """

    def __init__(
        self,
        wire: BlockingWire,
        cohort: CohortRun,
        credential: LoadedCredential | None,
        *,
        session: Resumable | None = None,
    ) -> None:
        super().__init__(wire, cohort, credential, session=session)
        self._wire = wire
        self.answer_bytes = 0

    def ask(self, make_request: Callable[[], EstRequest], stamps: Stamps, *, cut_off_s: float = inf) -> EstResponse:
        """Send a request, made once the session stands, and return the whole answer.

        Fills ``stamps`` as far as it came. Raises TransportFailed by phase, and CutOff at ``cut_off_s`` of the run.
        """
        wire, wire_stamps = self._wire, WireStamps()
        clock = wire.clock
        cut_off_mono_s = time.monotonic() + cut_off_s - clock.now_s()
        self.answer_bytes = 0
        try:
            connection = self._open(wire_stamps, cut_off_mono_s)
            before_ns = clock.now_ns()
            request = make_request()
            stamps.client_work_ns = clock.now_ns() - before_ns
            answer = exchange_blocking(
                wire.client,
                connection,
                wire.question(request),
                clock=clock.now_ns,
                stamps=wire_stamps,
                cut_off_s=cut_off_mono_s,
            )
            self._answered(connection)
            self.answer_bytes = len(answer.body)
            return EstResponse(answer.status, answer.headers, answer.body)
        finally:
            self._fill(stamps, wire_stamps)

    def knock(self, stamps: Stamps) -> None:
        """Only open the connection; fills ``stamps`` as far as it came. Raises TransportFailed by phase."""
        wire_stamps = WireStamps()
        try:
            self._open(wire_stamps, inf)
        finally:
            self._fill(stamps, wire_stamps)

    def _open(self, stamps: WireStamps, cut_off_mono_s: float) -> BlockingConnection:
        standing = self._standing()
        if standing is not None:
            return standing
        wire = self._wire
        context, credential = wire.context(self._cohort, self._held), self._presented()
        session = self._offered(context, credential)
        connection = open_blocking(
            wire.endpoint,
            context,
            credential,
            deadlines=wire.deadlines,
            clock=wire.clock.now_ns,
            stamps=stamps,
            resume=session,
            source=wire.next_source(),
            leaves=self._leaves,
            device_wall_s=self._device_wall_s,
            cut_off_s=cut_off_mono_s,
        )
        return self._opened(connection, session)
