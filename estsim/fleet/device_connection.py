"""A device's line to the server: its connection from one request to the next, and what the last one was."""

from collections.abc import Callable

from estsim.errors import TransportFailed, Trouble
from estsim.est.messages import EstRequest, EstResponse
from estsim.est.url import Origin
from estsim.fleet.devices import CohortRun
from estsim.fleet.server_access import ServerAccess
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.contexts import TlsContext
from estsim.net.http import reusable
from estsim.net.io import Io
from estsim.net.opening import open_connection
from estsim.net.shaping import Link
from estsim.net.sockets import Close
from estsim.net.tls import Resumable
from estsim.net.transport import exchange
from estsim.pki.credentials import Credential, LoadedCredential
from estsim.record.sample import Stamps


class DeviceConnection:
    """One device's connection: opened when first needed, used again while the server keeps it, dropped at the end.

    ``link`` makes the shaped network of each connection. ``reused`` and ``resumed`` are of the last request: whether it
    went on a connection that stood, and whether the handshake made for it resumed a session; ``lost`` says that it went
    on a connection that stood first, which ended without a byte, and on a new one then; ``answer_bytes`` is the size of
    its answer's body. ``session`` is what the next connection to the run's server may offer.
    """

    def __init__(
        self,
        access: ServerAccess,
        io: Io,
        cohort: CohortRun,
        credential: LoadedCredential | None,
        *,
        session: Resumable | None = None,
        link: Callable[[], Link] | None = None,
    ) -> None:
        self.io = io
        self._access = access
        self._link = link
        self._cohort = cohort
        self._held = credential
        self._connection: TlsConnection | None = None
        self._endpoint = access.endpoint
        self.session = session
        self.ahead_s: float | None = None  # of the device's clock, where it is wrong
        self.reused = False
        self.resumed = False
        self.lost = False
        self.answer_bytes = 0
        self.tls_version: str | None = None
        self.tls_group: str | None = None

    async def ask(self, make_request: Callable[[], EstRequest], stamps: Stamps) -> EstResponse:
        """Send a request, made once the session stands, and return the whole answer.

        Fills ``stamps`` as far as it came. Raises TransportFailed by phase.
        """
        wire_stamps = WireStamps()
        self.answer_bytes = 0
        self.lost = False
        try:
            try:
                return await self._ask(make_request, stamps, wire_stamps)
            except TransportFailed as failed:
                if not self._may_go_again(failed, wire_stamps):
                    raise
            return await self._ask(make_request, stamps, wire_stamps)
        finally:
            self._fill(stamps, wire_stamps)

    async def knock(self, stamps: Stamps) -> None:
        """Only open the connection; fills ``stamps`` as far as it came. Raises TransportFailed by phase."""
        wire_stamps = WireStamps()
        try:
            await self._open(wire_stamps)
        finally:
            self._fill(stamps, wire_stamps)

    def channel_binding(self) -> bytes | None:
        """Return what links a request to the TLS session that stands (RFC 7030 §3.5)."""
        return None if self._connection is None else self._connection.tls.channel_binding()

    @property
    def is_idle(self) -> bool:
        """Whether the connection to the run's server stands and may carry another request."""
        return self._is_home and self._stands

    def go_to(self, origin: Origin) -> None:
        """Let the next request go to a server, this or another: there on a new connection, with all checks again."""
        endpoint = Origin(origin.host, origin.port)
        if endpoint != self._endpoint:
            self.drop()
            self._endpoint = endpoint

    def presents(self, credential: LoadedCredential | None) -> bool:
        """Say whether this is a line of that credential."""
        mine = self._held
        if mine is None or credential is None:
            return mine is credential
        return (mine.certificate_der, mine.chain) == (credential.certificate_der, credential.chain)

    def drop(self) -> None:
        """Close what is open, in the cohort's way."""
        if self._connection is not None:
            self._connection.drop(self._leaves)
            self._connection = None

    async def _ask(
        self, make_request: Callable[[], EstRequest], stamps: Stamps, wire_stamps: WireStamps
    ) -> EstResponse:
        clock = self._access.clock
        connection = await self._open(wire_stamps)
        before_ns = clock.now_ns()
        request = make_request()
        stamps.client_work_ns = clock.now_ns() - before_ns
        question = self._access.question(request, self._endpoint)
        answer = await exchange(connection, question, clock=clock.now_ns, stamps=wire_stamps)
        self._answered(connection)
        self.answer_bytes = len(answer.body)
        return EstResponse(answer.status, answer.headers, answer.body)

    async def _open(self, stamps: WireStamps) -> TlsConnection:
        standing = self._standing()
        if standing is not None:
            return standing
        access = self._access
        context, credential = access.context(self._cohort, self._held), self._presented()
        session = self._offered(context, credential)
        connection = await open_connection(
            self.io,
            self._endpoint,
            context,
            credential,
            deadlines=access.deadlines,
            clock=access.clock.now_ns,
            stamps=stamps,
            resume=session,
            link=self._link() if self._link else None,
            source=access.next_source(),
            leaves=self._leaves,
            device_wall_s=self._device_wall_s,
        )
        self._opened(connection, session)
        return connection

    @property
    def _is_home(self) -> bool:
        return self._endpoint == self._access.endpoint

    @property
    def _stands(self) -> bool:
        return self._connection is not None and reusable(self._connection)

    def _may_go_again(self, failed: TransportFailed, stamps: WireStamps) -> bool:
        """Say whether a request goes again, as clients do: it met the end of a connection that had stood before it.

        RFC 9112 §9.3: a connection "can be closed at any time". With not a byte of an answer, nothing says that the
        server has seen the request, and one that has knows it again by its key. On the new connection it is no more.
        """
        if not self.reused or failed.trouble is not Trouble.RESET or stamps.first_byte_ns is not None:
            return False
        stamps.sent_ns = None
        self.lost = True
        self.drop()
        return True

    @property
    def _leaves(self) -> Close:
        return Close(self._cohort.plan.tls.close)

    @property
    def _device_wall_s(self) -> float | None:
        """The time by the device's clock, None where that is right."""
        clock = self._access.clock
        return None if self.ahead_s is None else clock.wall_s(clock.now_s()) + self.ahead_s

    def _standing(self) -> TlsConnection | None:
        """Return the connection if it can be used again; if not, it is dropped."""
        self.resumed = False
        self.reused = self._stands
        if not self.reused:
            self.drop()
        return self._connection

    def _presented(self) -> Credential | None:
        held = self._held
        return Credential(held.certificate_der, held.key) if held else None

    def _offered(self, context: TlsContext, credential: Credential | None) -> Resumable | None:
        """Take out the session to resume: of a failed handshake it is not offered again, nor one of another context."""
        if not self._is_home:
            return None
        session, self.session = self.session, None
        return session if session and session.fits(context, credential, self._access.endpoint.host) else None

    def _opened(self, connection: TlsConnection, offered: Resumable | None) -> None:
        """Keep a new connection and write down what its handshake was."""
        self._connection = connection
        if self._is_home:
            self.session = offered
        tls = connection.tls
        self.resumed = tls.resumed
        self.tls_version = tls.version
        self.tls_group = tls.group

    def _answered(self, connection: TlsConnection) -> None:
        """Take the session of a connection that an answer came on, where the cohort resumes.

        It is there now: with TLS 1.3 the ticket came before the answer (RFC 8446 §4.6.1).
        """
        if self._cohort.plan.tls.resume and self._is_home:
            self.session = connection.tls.session() or self.session

    def _fill(self, stamps: Stamps, wire_stamps: WireStamps) -> None:
        stamps.connected_ns = wire_stamps.connected_ns
        stamps.handshaken_ns = wire_stamps.handshaken_ns
        stamps.sent_ns = wire_stamps.sent_ns
        stamps.first_byte_ns = wire_stamps.first_byte_ns
        stamps.ended_ns = wire_stamps.ended_ns or self._access.clock.now_ns()
        stamps.loop_delay_ns = 0 if self._connection is None else self._connection.take_unread_ns()
