"""The way to the server: what every connection of a run shares, and a device's line for the length of one exchange."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from estsim.device.identity import LoadedCredential
from estsim.engine.clock import RunClock
from estsim.engine.fleet import CohortRun
from estsim.est.messages import EstRequest, EstResponse
from estsim.measure.sample import Stamps
from estsim.net.connection import Close, Deadlines, TlsConnection, WireStamps, open_connection
from estsim.net.contexts import ContextKey, Role, TlsContext, TlsContexts, TlsVersion
from estsim.net.credential import Credential
from estsim.net.resolver import Endpoint
from estsim.net.transport import Client, exchange, new_client, reusable
from estsim.scenario.plan import KeyKind, Scenario

_CURVES: Final = {KeyKind.EC_P256: "p-256", KeyKind.EC_P384: "p-384"}
_CONTEXTS_KEPT: Final = 256  # one for each trust store, chain and policy in the fleet, 24 KiB each


@dataclass(frozen=True)
class Wire:
    """One run's server, deadlines, trust and offers.

    ``anchors`` are DER; ``explicit`` says that they are the EST CA's own and not the web's (RFC 7030 §3.6).
    """

    endpoint: Endpoint
    deadlines: Deadlines
    anchors: tuple[bytes, ...]
    explicit: bool
    groups: tuple[str, ...]
    clock: RunClock

    @cached_property
    def client(self) -> Client:
        """The one HTTP client of all devices."""
        return new_client()

    @cached_property
    def contexts(self) -> TlsContexts:
        """The TLS contexts in use."""
        return TlsContexts(limit=_CONTEXTS_KEPT)

    def line(self, cohort: CohortRun, credential: LoadedCredential | None) -> "Line":
        """Return a way to the server for a device that presents this credential; nothing is opened yet."""
        return Line(self, cohort, credential)

    def context(self, cohort: CohortRun, credential: LoadedCredential | None) -> TlsContext:
        """Return the TLS context of a cohort's devices that send this chain."""
        tls = cohort.plan.tls
        key = ContextKey(
            role=Role.CLIENT,
            anchors=self.anchors,
            chain=credential.chain if credential else (),
            versions=(TlsVersion(tls.oldest), TlsVersion(tls.newest)),
            groups=self.groups,
            cmc_ra=self.explicit,
        )
        return self.contexts.get(key)


def groups_offered(scenario: Scenario) -> tuple[str, ...]:
    """Return the scenario's groups and the curve of every key in it, without which TLS 1.2 fails (TLS.md, rule 4)."""
    kinds = {cohort.key for cohort in scenario.cohorts}
    if scenario.sandbox is not None:
        kinds |= {center.issuer.key for center in scenario.sandbox.centers.values()}
    curves = [_CURVES[kind] for kind in sorted(kinds) if kind in _CURVES]
    return tuple(dict.fromkeys([*scenario.generator.groups, *curves]))


class Line:
    """One device's connection: opened when first needed, used again while the server keeps it, dropped at the end."""

    def __init__(self, wire: Wire, cohort: CohortRun, credential: LoadedCredential | None) -> None:
        self._wire = wire
        self._cohort = cohort
        self._credential = credential
        self._connection: TlsConnection | None = None
        self.reused = False
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
        self.reused = self._connection is not None and reusable(self._connection)
        if self._connection is not None and self.reused:
            return self._connection
        self.drop()
        held = self._credential
        wire = self._wire
        self._connection = await open_connection(
            wire.endpoint,
            wire.context(self._cohort, held),
            Credential(held.certificate, held.key) if held else None,
            deadlines=wire.deadlines,
            clock=wire.clock.now_ns,
            stamps=stamps,
        )
        self.tls_version = self._connection.tls.version
        self.tls_group = self._connection.tls.group
        return self._connection
