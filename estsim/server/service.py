"""The sandbox's EST service: routes requests to trust centers, and records every exchange before its answer is sent.

Knows EST and no sockets: the listener passes it complete requests with their peers. What an answer promises is
committed first; where the store cannot be written, the answer is 503 and nothing was promised.
"""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import trio

from estsim import __version__
from estsim.errors import StoreError
from estsim.est.messages import EstRequest, EstResponse
from estsim.server.admission import header_of
from estsim.server.answer import SHOWN, Answer, Call, ClientLeft, Outcome, Refused, text_response
from estsim.server.center import TrustCenter
from estsim.server.changes import UNWRITTEN
from estsim.server.clock import SandboxClock
from estsim.server.faults import Delivery
from estsim.server.forwarded import PeersBehind
from estsim.server.peer import Peer
from estsim.server.routing import HEALTH, Route, expect_method, path_of, route
from estsim.server.store import Exchange, Store, StoreBusy
from estsim.units import harmless

_LOG: Final = logging.getLogger(__name__)
_PATIENCE_S: Final = 1.0  # waiting for a store that another process has locked
_RETRY_S: Final = 0.01
_TROUBLE_S: Final = 5.0  # how long one failure to write counts as the state of the store
_WARN_EVERY_S: Final = 1.0
_COME_AGAIN: Final = (("retry-after", "5"),)
# The statuses of `bodies: empty`: one widely used client misses Retry-After and the challenge if there is a body.
_EMPTIED: Final = frozenset({202, 206, 401})
_Written = TypeVar("_Written")


async def patiently(write: Callable[[], _Written]) -> _Written:
    """Write to the store; while another process has it locked, retry for a moment without blocking."""
    until_s = trio.current_time() + _PATIENCE_S
    while True:
        try:
            return write()
        except StoreBusy:
            if trio.current_time() > until_s:
                raise
        await trio.sleep(_RETRY_S)


class EstService:
    """The EST service of all trust centers (RFC 7030), without the wire."""

    def __init__(
        self,
        centers: Mapping[str, TrustCenter],
        store: Store,
        clock: SandboxClock,
        on_exchange: Callable[[Exchange], None] | None = None,
        *,
        empty_bodies: bool = False,
        peers_behind: PeersBehind | None = None,
    ) -> None:
        self.centers = centers
        self._empty_bodies = empty_bodies
        self._peers_behind = peers_behind
        self._store = store
        self._clock = clock
        self._on_exchange = on_exchange
        self._failed_s = float("-inf")
        self._warned_s = float("-inf")
        self._why = ""

    @property
    def trouble(self) -> str | None:
        """Why the store could not be written a moment ago, or None."""
        return self._why if self._clock.now_s() - self._failed_s < _TROUBLE_S else None

    def open_exchange(self, request: EstRequest, peer: Peer) -> Exchange:
        """Begin the record of a request whose head has come; ``peer`` is the connected client or proxy."""
        with suppress(Refused):  # reported when the request is answered
            peer = self._sender(request, peer)
        identifier = header_of(request, "x-request-id")
        to = self._route(request)
        return Exchange(
            at_unix=self._clock.now_s(),
            request_id=harmless(identifier[:SHOWN]) if identifier else None,
            center=to.label if to else None,
            operation=to.operation.value if to else None,
            peer_subject=peer.subject,
            peer_serial=peer.serial,
            method=harmless(request.method[:SHOWN]),
            path=harmless(request.path[:SHOWN]),
            fault=peer.fault,
        )

    def _sender(self, request: EstRequest, connected: Peer) -> Peer:
        return connected if self._peers_behind is None else self._peers_behind.of(request, connected)

    def _route(self, request: EstRequest) -> Route | None:
        try:
            return route(request, self.centers)
        except Refused:  # reported when the request is answered
            return None

    async def answer(self, call: Call) -> Answer:
        """Answer a complete request; if cancelled in a wait, it leaves a record without a status."""
        answer = await self._answer(call)
        response = answer.response
        if self._empty_bodies and response is not None and response.status in _EMPTIED:
            headers = tuple(header for header in response.headers if header[0] != "content-type")
            return replace(answer, response=EstResponse(response.status, headers, b""))
        return answer

    async def _answer(self, call: Call) -> Answer:
        if path_of(call.request) == HEALTH:
            return Answer(self._health(call.request), 0)
        exchange = call.exchange
        if (call.request.method, call.request.path) == ("OPTIONS", "*"):  # RFC 9110 §9.3.7: about the server in general
            exchange.status = 204
            return Answer(EstResponse(204, (("allow", "GET, POST"),), b""), self._log(exchange))
        try:
            call = replace(call, peer=self._sender(call.request, call.peer))
            to = route(call.request, self.centers)
            expect_method(call.request, to.operation)
            center = self.centers[to.label]
            with center.hold() as hold:
                outcome = await center.answer(to.operation, call, hold)
                answer = await self._committed(outcome, exchange)
                hold.done(outcome)
        except Refused as refusal:
            return self.refuse(exchange, refusal)
        except StoreError as error:
            return self._not_on_record(exchange, error)
        except ClientLeft:
            self.give_up(exchange, "the client disconnected before the response")
            raise
        except trio.Cancelled:
            self.give_up(exchange, "the sandbox stopped before the response")
            raise
        except Exception:  # noqa: BLE001 - a bug of ours, which must not leave a request without answer and record
            _LOG.exception("internal error of the sandbox while handling a request")
            exchange.serial = exchange.retry_after = None  # of an answer that is not sent
            return self.refuse(exchange, Refused(500, "internal error of the sandbox; see its log"))
        self._tell(exchange)
        if outcome.add_s > 0:
            await call.wait(outcome.add_s)
        return answer

    def refuse(self, exchange: Exchange, refusal: Refused) -> Answer:
        """Put a refusal on record and make its response."""
        exchange.status, exchange.detail = refusal.status, str(refusal)
        return Answer(refusal.response(), self._log(exchange))

    def give_up(self, exchange: Exchange, why: str) -> None:
        """Record that a request got no answer."""
        exchange.status = exchange.serial = exchange.retry_after = None
        exchange.detail = why
        self._log(exchange)

    def handled(self, answer: Answer, handling_ns: int) -> None:
        """Note the time from the request's last byte, by the kernel's timestamp, until the kernel has its answer."""
        if answer.row:
            self._store.handled(answer.row, handling_ns // 1000)

    async def _committed(self, outcome: Outcome, exchange: Exchange) -> Answer:
        response = outcome.response
        exchange.detail = outcome.detail
        exchange.serial = outcome.issued.serial if outcome.issued else None
        if outcome.injected:
            exchange.fault = ",".join(filter(None, (exchange.fault, *outcome.injected)))
        if response is not None and outcome.delivery is not Delivery.RESET:
            exchange.status, exchange.retry_after = response.status, response.header("retry-after")
        issued, settled, pending = outcome.issued, outcome.settled, outcome.pending
        row = await patiently(partial(self._store.commit, exchange, issued=issued, settled=settled, pending=pending))
        return Answer(response, row, outcome.delivery, outcome.silent_s)

    def _not_on_record(self, exchange: Exchange, error: StoreError) -> Answer:
        """Answer 503 for what could not be recorded: nothing was issued or promised."""
        self._warn(error)
        exchange.serial = exchange.retry_after = None
        exchange.status, exchange.detail = 503, f"nothing was issued: {error}"
        self._tell(exchange)
        return Answer(text_response(503, "nothing was issued: the store cannot be written", _COME_AGAIN), 0)

    def _log(self, exchange: Exchange) -> int:
        try:
            row = self._store.commit(exchange)
        except StoreError as error:
            self._warn(error)
            exchange.detail = f"{exchange.detail}; not recorded: {error}"
            row = 0
        self._tell(exchange)
        return row

    def _warn(self, error: StoreError) -> None:
        """Log a failure once a second at most: with a full disk every request fails."""
        now_s = self._clock.now_s()
        self._failed_s, self._why = now_s, str(error)
        if now_s - self._warned_s >= _WARN_EVERY_S:
            self._warned_s = now_s
            _LOG.warning("%s: %s", UNWRITTEN, error)

    def _health(self, request: EstRequest) -> EstResponse:
        """Report to a monitor whether certificates can be issued; such exchanges have no record."""
        if request.method not in ("GET", "HEAD"):
            return text_response(405, f"expected GET for {HEALTH}", (("allow", "GET, HEAD"),))
        trouble = self.trouble
        health = {
            "status": "trouble" if trouble else "ok",
            "version": __version__,
            "pending": sum(len(center.policy) for center in self.centers.values()),
        } | ({"trouble": trouble} if trouble else {})
        body = json.dumps(health).encode() + b"\n"
        return EstResponse(503 if trouble else 200, (("content-type", "application/json"),), body)

    def _tell(self, exchange: Exchange) -> None:
        if self._on_exchange is not None:
            self._on_exchange(exchange)
