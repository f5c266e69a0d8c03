"""What the sandbox answers: requests in, responses out, every exchange on record before its answer leaves.

Ties admission, policy, issuer and store together. Knows EST and no sockets: the listener hands it whole requests with
the peer of their connection. The order is always: check, decide, wait where the capacity says so, sign, commit, answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from math import ceil
from typing import Final, assert_never

import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from estsim.errors import StoreError
from estsim.est.certs_only import encode_certs_only
from estsim.est.messages import EstRequest, EstResponse
from estsim.est.operations import CERTS_ONLY, PKCS7_MIME, WELL_KNOWN, Operation
from estsim.est.transfer import encode_body
from estsim.server.admission import Admission, Application, Peer, Refused, header_of
from estsim.server.ca import Issuer
from estsim.server.policy import ComeAgain, IssueAt, IssueNow, IssuePolicy, Overloaded, TooEarly, Verdict
from estsim.server.store import Exchange, IssuedRow, PendingRow, Store

_WRAPPED_COLUMNS: Final = 64
_SHOWN_ID: Final = 200  # of a request id or path, which a client may make as long as it likes
_NOT_IMPLEMENTED: Final = frozenset({Operation.SERVERKEYGEN, Operation.FULLCMC})


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose exchange is on record as ``row``."""

    response: EstResponse
    row: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A response and what the store has to take down with it."""

    response: EstResponse
    issued: IssuedRow | None = None
    settled: Application | None = None
    pending: PendingRow | None = None


class EstService:
    """One trust center's EST service (RFC 7030), without the wire."""

    def __init__(
        self,
        *,
        admission: Admission,
        policy: IssuePolicy,
        issuer: Issuer,
        ca_certificates: tuple[x509.Certificate, ...],
        store: Store,
        wrapped: bool,
        deferral_status: int,
        http_dates: bool,
        clock: Callable[[], float],
        on_exchange: Callable[[Exchange], None] | None = None,
    ) -> None:
        self._admission = admission
        self._policy = policy
        self._issuer = issuer
        self._store = store
        self._columns = _WRAPPED_COLUMNS if wrapped else None
        self._deferral_status = deferral_status
        self._http_dates = http_dates
        self._clock = clock
        self._on_exchange = on_exchange
        self._ca_certificates = self._certificates(PKCS7_MIME, ca_certificates)

    def open_exchange(self, request: EstRequest, peer: Peer) -> Exchange:
        """Begin the record of a request whose head has come."""
        identifier = header_of(request, "x-request-id")
        return Exchange(
            at_unix=self._clock(),
            request_id=identifier[:_SHOWN_ID] if identifier else None,
            peer_subject=peer.subject,
            peer_serial=peer.serial,
            method=request.method[:_SHOWN_ID],
            path=request.path[:_SHOWN_ID],
        )

    async def answer(self, request: EstRequest, peer: Peer, exchange: Exchange) -> Answer:
        """Answer a whole request; cancelled while it waits for its slot, it leaves a record without a status."""
        try:
            outcome = await self._outcome(request, peer, exchange)
        except Refused as refusal:
            return self.refuse(exchange, refusal)
        except trio.Cancelled:
            self.give_up(exchange, "the sandbox stopped before it answered")
            raise
        exchange.status = outcome.response.status
        try:
            row = self._store.commit(
                exchange,
                issued=outcome.issued,
                settled=outcome.settled.request if outcome.settled else None,
                pending=outcome.pending,
            )
        except StoreError as error:
            exchange.serial = exchange.retry_after = None
            exchange.status, exchange.detail = 500, f"nothing was issued: {error}"
            self._tell(exchange)
            return Answer(_text(500, exchange.detail), 0)
        self._tell(exchange)
        return Answer(outcome.response, row)

    def refuse(self, exchange: Exchange, refusal: Refused) -> Answer:
        """Put a refusal on record and make its response."""
        exchange.status, exchange.detail = refusal.status, str(refusal)
        row = self._log(exchange)
        return Answer(refusal_response(refusal), row)

    def give_up(self, exchange: Exchange, why: str) -> None:
        """Put on record that a request got no answer."""
        exchange.detail = why
        self._log(exchange)

    def handled(self, answer: Answer, handling_ns: int) -> None:
        """Note the time from the request's last byte, by the kernel's stamp, to its answer in the kernel's hands."""
        if answer.row:
            self._store.handled(answer.row, handling_ns // 1000)

    async def _outcome(self, request: EstRequest, peer: Peer, exchange: Exchange) -> _Outcome:
        operation = _operation(request)
        exchange.operation = operation.value
        if request.method != operation.method:
            text = f"expected {operation.method} for {operation.value} (got {request.method[:20]})"
            raise Refused(405, text, (("allow", operation.method),))
        if operation is Operation.CACERTS:
            return _Outcome(self._ca_certificates)
        if operation is Operation.CSRATTRS:
            return _Outcome(EstResponse(204, (), b""))
        user = self._admission.user_of(request)
        exchange.user = user
        self._admission.authorize(operation, peer, user)
        if operation in _NOT_IMPLEMENTED:
            raise Refused(501, f"{operation.value} is not implemented by this server")
        application = self._admission.apply(operation, request, peer, user)
        verdict = self._policy.decide(application.request, self._clock())
        return await self._carry_out(verdict, application, exchange)

    async def _carry_out(self, verdict: Verdict, application: Application, exchange: Exchange) -> _Outcome:
        exchange.early = int(verdict.early)
        match verdict:
            case IssueNow():
                return await self._issue(application, exchange)
            case IssueAt(slot_s):
                await trio.sleep(max(0.0, slot_s - self._clock()))
                return await self._issue(application, exchange)
            case ComeAgain():
                return self._defer(verdict, application, exchange)
            case TooEarly(status, wait_s):
                text = "expected the request to be repeated when the Retry-After had passed"
                raise Refused(status, text, self._retry_after(wait_s, exchange))
            case Overloaded(status, wait_s):
                text = "the certification authority has no capacity left"
                raise Refused(status, text, self._retry_after(wait_s, exchange))
        assert_never(verdict)

    async def _issue(self, application: Application, exchange: Exchange) -> _Outcome:
        wall_now_s = time.time()
        names = application.names
        sign = self._issuer.issue
        if self._issuer.is_slow:
            certificate = await trio.to_thread.run_sync(sign, application.public_key, names, wall_now_s)
        else:
            certificate = sign(application.public_key, names, wall_now_s)
        serial = exchange.serial = f"{certificate.serial_number:x}"
        request = application.request
        issued = IssuedRow(
            serial=serial,
            at_unix=wall_now_s,
            identity=request.identity,
            key_hash=request.key,
            subject=names.subject.rfc4514_string(),
            not_after=certificate.not_valid_after_utc.timestamp(),
            certificate=certificate.public_bytes(Encoding.DER),
        )
        settled = application if self._policy.issued(request) else None
        return _Outcome(self._certificates(CERTS_ONLY, (certificate,)), issued=issued, settled=settled)

    def _defer(self, verdict: ComeAgain, application: Application, exchange: Exchange) -> _Outcome:
        """RFC 7030 §4.2.3: "the server responds with 202 [...] MUST include a Retry-After header"."""
        headers = self._retry_after(verdict.wait_s, exchange)
        response = _text(self._deferral_status, f"deferred: come again in {verdict.wait_s} s", headers)
        if verdict.pending is None:
            return _Outcome(response)
        subject = application.names.subject.rfc4514_string()
        return _Outcome(response, pending=PendingRow(verdict.pending, subject, application.csr_der, exchange.at_unix))

    def _retry_after(self, wait_s: int, exchange: Exchange) -> tuple[tuple[str, str], ...]:
        value = str(wait_s)
        if self._http_dates:  # whole seconds: rounded up, a client that obeys is never early
            value = formatdate(ceil(time.time() + wait_s), usegmt=True)
        exchange.retry_after = value
        return (("retry-after", value),)

    def _certificates(self, content_type: str, certificates: tuple[x509.Certificate, ...]) -> EstResponse:
        body = encode_body(encode_certs_only(certificates), columns=self._columns)
        headers = (("content-type", content_type), ("content-transfer-encoding", "base64"))
        return EstResponse(200, headers, body)

    def _log(self, exchange: Exchange) -> int:
        try:
            row = self._store.commit(exchange)
        except StoreError as error:
            exchange.detail = f"{exchange.detail}; not on record: {error}"
            row = 0
        self._tell(exchange)
        return row

    def _tell(self, exchange: Exchange) -> None:
        if self._on_exchange is not None:
            self._on_exchange(exchange)


def refusal_response(refusal: Refused) -> EstResponse:
    """Return the response to a refused request: its status, and one line for people."""
    return _text(refusal.status, str(refusal), refusal.headers)


def _operation(request: EstRequest) -> Operation:
    path = request.path.partition("?")[0]
    if path.startswith(("https://", "http://")):  # a server MUST accept the absolute form (RFC 9112 §3.2.2)
        path = "/" + path.partition("://")[2].partition("/")[2]
    tail = path.removeprefix(f"{WELL_KNOWN}/")
    if tail == path:
        raise Refused(404, f"expected a path under {WELL_KNOWN}/ (got {path[:_SHOWN_ID]})")
    try:
        return Operation(tail)
    except ValueError:
        known = ", ".join(operation.value for operation in Operation)
        label, slash, _ = tail.partition("/")
        got = f"label {label[:40]}, and this sandbox has no labels" if slash else tail[:40] or "nothing"
        raise Refused(404, f"expected one of {known} (got {got})") from None


def _text(status: int, line: str, headers: tuple[tuple[str, str], ...] = ()) -> EstResponse:
    harmless = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return EstResponse(status, (("content-type", "text/plain; charset=utf-8"), *headers), f"{harmless}\n".encode())
