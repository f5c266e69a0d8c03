"""Access to the server: what all connections of a run share. A device's own: :mod:`estsim.fleet.device_connection`."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import Final, Self

from estsim.est.messages import EstRequest
from estsim.est.url import Origin
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun
from estsim.fleet.host import Host
from estsim.net.contexts import ContextKey, Role, TlsContext, TlsContexts, TlsVersion
from estsim.net.http import Question
from estsim.net.opening import Deadlines
from estsim.net.sockets import Source
from estsim.pki.credentials import LoadedCredential

_CONTEXTS_KEPT: Final = 256  # one for each trust store, chain and policy in the fleet, 24 KiB each


@dataclass(frozen=True)
class ServerAccess:
    """One run's server, deadlines, trust and offers.

    ``anchors`` are DER; ``explicit`` says that they are the EST CA's own and not the web's (RFC 7030 §3.6).
    ``source_addresses`` are what connections leave from, in turn.
    """

    endpoint: Origin
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
            endpoint=Origin(host.url.host, host.url.port),
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

    def question(self, request: EstRequest, endpoint: Origin) -> Question:
        """Return a device's request as it goes to a server, which is another one only after a redirect."""
        return Question(
            authority=str(endpoint),
            method=request.method,
            path=request.path,
            headers=request.headers,
            body=request.body,
            answer_s=self.deadlines.answer_s,
        )
