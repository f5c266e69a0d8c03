"""The way to the server: what every connection of a run shares, and a device's line for the length of one exchange."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import Final

from estsim.device.identity import LoadedCredential
from estsim.est.messages import EstRequest, EstResponse
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun
from estsim.fleet.host import Host
from estsim.measure.sample import Stamps
from estsim.net.connection import Close, TlsConnection, WireStamps
from estsim.net.contexts import ContextKey, Role, TlsContext, TlsContexts, TlsVersion
from estsim.net.credential import Credential
from estsim.net.link import Link
from estsim.net.opening import Deadlines, open_connection
from estsim.net.resolver import Endpoint
from estsim.net.source import Source
from estsim.net.tls import Resumable
from estsim.net.transport import Client, exchange, new_client, reusable

_CONTEXTS_KEPT: Final = 256  # one for each trust store, chain and policy in the fleet, 24 KiB each


@dataclass(frozen=True)
class Wire:
    """One run's server, deadlines, trust and offers.

    ``anchors`` are DER; ``explicit`` says that they are the EST CA's own and not the web's (RFC 7030 §3.6).
    ``source_addresses`` are what connections leave from, in turn.
    """

    endpoint: Endpoint
    deadlines: Deadlines
    anchors: tuple[bytes, ...]
    explicit: bool
    groups: tuple[str, ...]
    clock: RunClock
    source_addresses: tuple[str, ...] = ()

    @cached_property
    def client(self) -> Client:
        """The one HTTP client of all devices."""
        return new_client()

    @cached_property
    def contexts(self) -> TlsContexts:
        """The TLS contexts in use."""
        return TlsContexts(limit=_CONTEXTS_KEPT)

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The local addresses that connections leave from; empty where the kernel is to choose."""
        return tuple(Source(address) for address in self.source_addresses)

    @cached_property
    def _turns(self) -> Iterator[Source | None]:
        return cycle(self.sources or (None,))

    def next_source(self) -> Source | None:
        """Return the local address whose turn it is."""
        return next(self._turns)

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

    def context(self, cohort: CohortRun, credential: LoadedCredential | None) -> TlsContext:
        """Return the TLS context of a cohort's devices that send this chain, or their certificate alone."""
        tls = cohort.plan.tls
        key = ContextKey(
            role=Role.CLIENT,
            anchors=self.anchors,
            chain=credential.chain if credential and tls.send_chain else (),
            versions=(TlsVersion(tls.oldest), TlsVersion(tls.newest)),
            groups=self.groups,
            cmc_ra=self.explicit,
            leaf_alone=not tls.send_chain,
        )
        return self.contexts.get(key)


def wire_to(host: Host, groups: tuple[str, ...], clock: RunClock) -> Wire:
    """Return the way to a server, on which devices offer these groups."""
    timeouts = host.scenario.timeouts
    return Wire(
        endpoint=Endpoint(host.url.host, host.url.port),
        deadlines=Deadlines(timeouts.connect_s, timeouts.handshake_s, timeouts.answer_s),
        anchors=host.trust.anchors,
        explicit=host.trust.explicit,
        groups=groups,
        clock=clock,
        source_addresses=host.scenario.generator.source_addresses,
    )


class Line:
    """One device's connection: opened when first needed, used again while the server keeps it, dropped at the end.

    ``reused`` and ``resumed`` are of the last request: whether it went on a connection that stood, and whether the
    handshake made for it resumed a session. ``session`` is what the next connection may offer.
    """

    def __init__(
        self,
        wire: Wire,
        cohort: CohortRun,
        credential: LoadedCredential | None,
        *,
        session: Resumable | None = None,
        link: Callable[[], Link] | None = None,
    ) -> None:
        self._wire = wire
        self._cohort = cohort
        self._credential = credential
        self._link = link
        self._connection: TlsConnection | None = None
        self.session = session
        self.ahead_s: float | None = None  # of the device's clock, where it is wrong
        self.reused = False
        self.resumed = False
        self.tls_version: str | None = None
        self.tls_group: str | None = None

    async def ask(self, make_request: Callable[[], EstRequest], stamps: Stamps) -> EstResponse:
        """Send a request, made once the session stands, and return the whole answer.

        Fills ``stamps`` as far as it came. Raises TransportFailed by phase.
        """
        wire_stamps = WireStamps()
        clock = self._wire.clock
        try:
            connection = await self._open(wire_stamps)
            before_ns = clock.now_ns()
            request = make_request()
            stamps.client_work_ns = clock.now_ns() - before_ns
            answer = await exchange(
                self._wire.client,
                connection,
                authority=str(self._wire.endpoint),
                method=request.method,
                path=request.path,
                headers=request.headers,
                body=request.body,
                answer_s=self._wire.deadlines.answer_s,
                clock=clock.now_ns,
                stamps=wire_stamps,
            )
            if self._cohort.plan.tls.resume:  # now: with TLS 1.3 the ticket came before the answer (RFC 8446 §4.6.1)
                self.session = connection.tls.session() or self.session
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

    @property
    def is_idle(self) -> bool:
        """Whether the connection stands and may carry another request."""
        return self._connection is not None and reusable(self._connection)

    def presents(self, credential: LoadedCredential | None) -> bool:
        """Say whether this is a line of that credential."""
        mine = self._credential
        if mine is None or credential is None:
            return mine is credential
        return (mine.certificate, mine.chain) == (credential.certificate, credential.chain)

    def drop(self) -> None:
        """Close what is open, in the cohort's way."""
        if self._connection is not None:
            self._connection.drop(Close(self._cohort.plan.tls.close))
            self._connection = None

    def _fill(self, stamps: Stamps, wire_stamps: WireStamps) -> None:
        stamps.connected_ns = wire_stamps.connected_ns
        stamps.handshaken_ns = wire_stamps.handshaken_ns
        stamps.sent_ns = wire_stamps.sent_ns
        stamps.first_byte_ns = wire_stamps.first_byte_ns
        stamps.ended_ns = wire_stamps.ended_ns or self._wire.clock.now_ns()

    async def _open(self, stamps: WireStamps) -> TlsConnection:
        self.resumed = False
        self.reused = self.is_idle
        if self._connection is not None and self.reused:
            return self._connection
        self.drop()
        held = self._credential
        wire = self._wire
        context = wire.context(self._cohort, held)
        credential = Credential(held.certificate, held.key) if held else None
        session, self.session = self.session, None  # of a failed handshake it is not offered again
        if session is not None and not session.fits(context, credential, wire.endpoint.host):
            session = None  # also of a context that was built anew since
        self._connection = await open_connection(
            wire.endpoint,
            context,
            credential,
            deadlines=wire.deadlines,
            clock=wire.clock.now_ns,
            stamps=stamps,
            resume=session,
            link=self._link() if self._link else None,
            source=wire.next_source(),
            leaves=Close(self._cohort.plan.tls.close),
            device_wall_s=None if self.ahead_s is None else wire.clock.wall_s(wire.clock.now_s()) + self.ahead_s,
        )
        self.session = session
        tls = self._connection.tls
        self.resumed = tls.resumed
        self.tls_version = tls.version
        self.tls_group = tls.group
        return self._connection
