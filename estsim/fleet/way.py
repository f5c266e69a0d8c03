"""The way to the server: what every connection of a run shares, and what a device's line to it remembers.

Opens nothing: the drivers' own ways do, on trio and in plain blocking calls.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import Final, Generic, Self, TypeVar

from estsim.device.identity import LoadedCredential
from estsim.est.messages import EstRequest
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun
from estsim.fleet.host import Host
from estsim.measure.sample import Stamps
from estsim.net.address import Endpoint
from estsim.net.contexts import ContextKey, Role, TlsContext, TlsContexts, TlsVersion
from estsim.net.credential import Credential
from estsim.net.deadlines import Deadlines
from estsim.net.http import Question, reusable
from estsim.net.sockets import Close
from estsim.net.source import Source
from estsim.net.stamps import WireStamps
from estsim.net.tls import Resumable
from estsim.net.tls_wire import TlsWire

_CONTEXTS_KEPT: Final = 256  # one for each trust store, chain and policy in the fleet, 24 KiB each


@dataclass(frozen=True)
class Way:
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

    @classmethod
    def to(cls, host: Host, groups: tuple[str, ...], clock: RunClock) -> Self:
        """Return the way to a server, on which devices offer these groups."""
        timeouts = host.scenario.timeouts
        return cls(
            endpoint=Endpoint(host.url.host, host.url.port),
            deadlines=Deadlines(timeouts.connect_s, timeouts.handshake_s, timeouts.answer_s),
            anchors=host.trust.anchors,
            explicit=host.trust.explicit,
            groups=groups,
            clock=clock,
            source_addresses=host.scenario.generator.source_addresses,
        )

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

    def question(self, request: EstRequest) -> Question:
        """Return a device's request as it goes to this server."""
        return Question(
            authority=str(self.endpoint),
            method=request.method,
            path=request.path,
            headers=request.headers,
            body=request.body,
            answer_s=self.deadlines.answer_s,
        )


C = TypeVar("C", bound=TlsWire)


class LineState(Generic[C]):
    """One device's connection, less its opening: what it presents, what it keeps, and what the last request was.

    ``reused`` and ``resumed`` are of the last request: whether it went on a connection that stood, and whether the
    handshake made for it resumed a session. ``session`` is what the next connection may offer.
    """

    def __init__(
        self,
        way: Way,
        cohort: CohortRun,
        credential: LoadedCredential | None,
        *,
        session: Resumable | None = None,
    ) -> None:
        self._way = way
        self._cohort = cohort
        self._held = credential
        self._connection: C | None = None
        self.session = session
        self.ahead_s: float | None = None  # of the device's clock, where it is wrong
        self.reused = False
        self.resumed = False
        self.tls_version: str | None = None
        self.tls_group: str | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the connection stands and may carry another request."""
        return self._connection is not None and reusable(self._connection)

    def presents(self, credential: LoadedCredential | None) -> bool:
        """Say whether this is a line of that credential."""
        mine = self._held
        if mine is None or credential is None:
            return mine is credential
        return (mine.certificate, mine.chain) == (credential.certificate, credential.chain)

    def drop(self) -> None:
        """Close what is open, in the cohort's way."""
        if self._connection is not None:
            self._connection.drop(self._leaves)
            self._connection = None

    @property
    def _leaves(self) -> Close:
        return Close(self._cohort.plan.tls.close)

    @property
    def _device_wall_s(self) -> float | None:
        """The time by the device's clock, None where that is right."""
        clock = self._way.clock
        return None if self.ahead_s is None else clock.wall_s(clock.now_s()) + self.ahead_s

    def _standing(self) -> C | None:
        """Return the connection if it can be used again; if not, it is dropped."""
        self.resumed = False
        self.reused = self.is_idle
        if not self.reused:
            self.drop()
        return self._connection

    def _presented(self) -> Credential | None:
        held = self._held
        return Credential(held.certificate, held.key) if held else None

    def _offered(self, context: TlsContext, credential: Credential | None) -> Resumable | None:
        """Take out the session to resume: of a failed handshake it is not offered again, nor one of another context."""
        session, self.session = self.session, None
        return session if session and session.fits(context, credential, self._way.endpoint.host) else None

    def _opened(self, connection: C, offered: Resumable | None) -> C:
        """Keep a new connection and write down what its handshake was."""
        self._connection = connection
        self.session = offered
        tls = connection.tls
        self.resumed = tls.resumed
        self.tls_version = tls.version
        self.tls_group = tls.group
        return connection

    def _answered(self, connection: C) -> None:
        """Take the session of a connection that an answer came on, where the cohort resumes.

        It is there now: with TLS 1.3 the ticket came before the answer (RFC 8446 §4.6.1).
        """
        if self._cohort.plan.tls.resume:
            self.session = connection.tls.session() or self.session

    def _fill(self, stamps: Stamps, wire_stamps: WireStamps) -> None:
        stamps.connected_ns = wire_stamps.connected_ns
        stamps.handshaken_ns = wire_stamps.handshaken_ns
        stamps.sent_ns = wire_stamps.sent_ns
        stamps.first_byte_ns = wire_stamps.first_byte_ns
        stamps.ended_ns = wire_stamps.ended_ns or self._way.clock.now_ns()
