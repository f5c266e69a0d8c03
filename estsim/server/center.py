"""One trust center's EST service, without wire and store: from a call to its outcome.

The order is always: check, draw the faults, decide, wait for capacity, sign. The service commits the outcome before it
is answered.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from math import ceil
from typing import Final, assert_never

import trio

from estsim.est.certificate import Certificate, serial_text
from estsim.est.certs_only import encode_certs_only
from estsim.est.messages import EstResponse
from estsim.est.operations import CERTS_ONLY, CSRATTRS_TYPE, PKCS7_MIME, Operation
from estsim.est.transfer import encode_body
from estsim.pki.authority import Issuer
from estsim.pki.keys import KeyKind, make_key, spki_of
from estsim.server import faults as faulty
from estsim.server.admission import Admission, Application, device_named
from estsim.server.answer import Call, Hold, Outcome, Refused, text_response
from estsim.server.clock import SandboxClock
from estsim.server.draws import DrawKey, Ordinals, who_draws
from estsim.server.fault_config import FaultKind
from estsim.server.faults import Delivery, Fault, FaultPlan
from estsim.server.policy import (
    ComeAgain,
    Decision,
    Denied,
    IssueAt,
    IssueNow,
    IssuePolicy,
    Overloaded,
    Pending,
    Request,
    TooEarly,
    Verdict,
)
from estsim.server.store import IssuedRow, PendingRow

_NOT_IMPLEMENTED: Final = frozenset({Operation.SERVERKEYGEN, Operation.FULLCMC})
_ON_CERTIFICATES: Final = (FaultKind.WRONG_KEY, FaultKind.EXPIRED_CERTIFICATE)
_IN_HAND_WAIT_S: Final = 1


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """The form of a trust center's answers."""

    columns: int | None  # of base64, None for one line
    deferral_status: int
    http_dates: bool


class TrustCenter:
    """A CA with its admission, issuing policy and faults. ``decision`` asks the store."""

    def __init__(
        self,
        label: str,
        *,
        admission: Admission,
        policy: IssuePolicy,
        issuer: Issuer,
        faults: FaultPlan,
        ca_certificates: tuple[Certificate, ...],
        form: AnswerForm,
        clock: SandboxClock,
        csr_attributes: bytes | None,
        decision: Callable[[str, Request], Decision | None],
    ) -> None:
        self.label = label
        self.policy = policy
        self._admission = admission
        self._issuer = issuer
        self._faults = faults
        self._ordinals = Ordinals()
        self._form = form
        self._clock = clock
        self._decision = decision
        self._csr_attributes = csr_attributes
        self._in_hand: set[tuple[bytes, bytes]] = set()
        self._chain = tuple(each.der for each in ca_certificates)
        self._ca_certificates = self._certificates(PKCS7_MIME, self._chain)
        self._root_alone = self._certificates(PKCS7_MIME, self._chain[:1])
        self._has_chain = len(ca_certificates) > 1

    def change(self, faults: FaultPlan, form: AnswerForm) -> None:
        """Apply other faults and form; the policy has a ``change`` of its own."""
        self._faults = faults
        self._form = form
        self._ca_certificates = self._certificates(PKCS7_MIME, self._chain)
        self._root_alone = self._certificates(PKCS7_MIME, self._chain[:1])

    @property
    def _attributes(self) -> EstResponse:
        """The answer to csrattrs: 204 where nothing is wished (RFC 7030 §4.5.2)."""
        if self._csr_attributes is None:
            return EstResponse(204, (), b"")
        body = encode_body(self._csr_attributes, columns=self._form.columns)
        return EstResponse(200, (("content-type", CSRATTRS_TYPE),), body)

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        """Hold a call from its decision until its outcome is on record; without :meth:`Hold.done` it is undone."""
        hold = Hold(self._in_hand, self.policy)
        try:
            yield hold
        finally:
            hold.end()

    async def answer(self, operation: Operation, call: Call, hold: Hold) -> Outcome:
        """Answer a call; raises ``ClientLeft`` and StoreError."""
        application: Application | None = None
        refusal: Refused | None = None
        try:
            application = self._admit(operation, call)
        except Refused as refused:
            refusal = refused
        draws = self._draws_of(operation, call, application)
        if application is not None:
            application = replace(application, request=replace(application.request, draws=draws))
        faults = self._faults_of(operation, call, application, draws)
        if (silence := _unanswered(faults)) is not None:
            return silence
        if refusal is None:
            try:
                outcome = await self._serve(operation, call, application, faults, hold)
            except Refused as refused:
                refusal = refused
        if refusal is not None:
            outcome = Outcome(refusal.response(), detail=str(refusal))
        return _with_faults(outcome, faults)

    def _admit(self, operation: Operation, call: Call) -> Application | None:
        """Check the client and its request; None where no certificate is requested."""
        user = self._admission.user_of(call.request) if operation.seeks_certificate else None
        call.exchange.user = user
        self._admission.authorize(operation, call.peer, user)
        if operation in _NOT_IMPLEMENTED:
            raise Refused(501, f"{operation.value} is not implemented by this server")
        if not operation.seeks_certificate:
            return None
        return self._admission.apply(operation, call.request, call.peer, user)

    def _draws_of(self, operation: Operation, call: Call, application: Application | None) -> DrawKey:
        """Count a request; requests before the run's beginning do not count."""
        who = who_draws(self.label, device_named(operation, call.request, call.peer, application), operation)
        if not self._clock.has_begun:
            return DrawKey(who)
        return self._ordinals.next(who, application.request.key if application else b"")

    def _faults_of(
        self, operation: Operation, call: Call, application: Application | None, draws: DrawKey
    ) -> tuple[Fault, ...]:
        certificate = call.peer.certificate
        name = application.names.subject_der if application else certificate.subject_der if certificate else None
        return self._faults.drawn(faulty.Request(draws, operation, lambda: name), self._clock.age_s())

    async def _serve(
        self,
        operation: Operation,
        call: Call,
        application: Application | None,
        faults: tuple[Fault, ...],
        hold: Hold,
    ) -> Outcome:
        if application is None:
            if operation is Operation.CSRATTRS:
                return Outcome(self._attributes)
            if self._has_chain and faulty.find(faults, FaultKind.CHAIN_MISSING):
                return Outcome(self._root_alone, injected=(FaultKind.CHAIN_MISSING,))
            return Outcome(self._ca_certificates)
        first = hold.take(application.request)
        verdict = self._decide(application.request) if first else ComeAgain(_IN_HAND_WAIT_S, None)
        return await self._carry_out(verdict, application, call, faults)

    def _decide(self, request: Request) -> Verdict:
        decision = self._decision_on(request)
        if decision is not None:
            self.policy.decided(request, decision)
        return self.policy.decide(request, self._clock.now_s())

    def _decision_on(self, request: Request) -> Decision | None:
        """Return a person's decision, which may change until the certificate is made."""
        return self._decision(self.label, request) if self.policy.awaits_decision(request) else None

    async def _carry_out(
        self, verdict: Verdict, application: Application, call: Call, faults: tuple[Fault, ...]
    ) -> Outcome:
        call.exchange.early = int(verdict.early)
        match verdict:
            case IssueNow():
                return await self._issue(application, faults)
            case IssueAt(slot_s):
                await call.wait(slot_s - self._clock.now_s())
                decision = self._decision_on(application.request)
                if decision is not None and not decision.approved:
                    return self._still_pending(_denied(decision.reason), application, call)
                return await self._issue(application, faults)
            case ComeAgain():
                return self._defer(verdict, application, call)
            case TooEarly(status, wait_s):
                text = "expected the request to be repeated after the Retry-After had elapsed"
                return self._still_pending(Refused(status, text, self._retry_after(wait_s)), application, call)
            case Overloaded(status, told_s):
                headers = () if told_s is None else self._retry_after(told_s)
                raise Refused(status, "the CA is at capacity", headers)
            case Denied(reason):
                return self._still_pending(_denied(reason), application, call)
        assert_never(verdict)

    async def _issue(self, application: Application, faults: tuple[Fault, ...]) -> Outcome:
        spki, expired, injected = _faulty_parts(application, faults)
        wall_now_s = self._clock.now_s()
        names = application.names
        sign = partial(self._issuer.issue, spki, names, wall_now_s, expired=expired)
        certificate = await trio.to_thread.run_sync(sign) if self._issuer.is_slow else sign()
        request = application.request
        issued = IssuedRow(
            serial=serial_text(certificate.serial),
            at_unix=wall_now_s,
            center=self.label,
            identity=request.identity,
            key_hash=request.key,
            subject=names.subject,
            not_after=certificate.not_after_s,
            certificate=certificate.der,
        )
        settled = request if self.policy.pending(request) else None
        return Outcome(
            self._certificates(CERTS_ONLY, (certificate.der,)), injected=injected, issued=issued, settled=settled
        )

    def _defer(self, verdict: ComeAgain, application: Application, call: Call) -> Outcome:
        """RFC 7030 §4.2.3: "the server responds with 202 [...] MUST include a Retry-After header"."""
        line = f"deferred: retry after {verdict.wait_s} s"
        response = text_response(self._form.deferral_status, line, self._retry_after(verdict.wait_s))
        return Outcome(response, pending=self._row(verdict.pending, application, call))

    def _still_pending(self, refusal: Refused, application: Application, call: Call) -> Outcome:
        """Refuse a repeat of a request that stays pending, and record the repeat."""
        pending = self.policy.pending(application.request)
        return Outcome(refusal.response(), detail=str(refusal), pending=self._row(pending, application, call))

    def _row(self, pending: Pending | None, application: Application, call: Call) -> PendingRow | None:
        if pending is None:
            return None
        subject = application.names.subject
        return PendingRow(self.label, pending, subject, application.csr_der, call.exchange.at_unix, pending.for_person)

    def _retry_after(self, wait_s: int) -> tuple[tuple[str, str], ...]:
        if not self._form.http_dates:
            return (("retry-after", str(wait_s)),)
        # Whole seconds, rounded up: a client that waits as told is never early.
        return (("retry-after", formatdate(ceil(self._clock.now_s() + wait_s), usegmt=True)),)

    def _certificates(self, content_type: str, certificates: tuple[bytes, ...]) -> EstResponse:
        body = encode_body(encode_certs_only(certificates), columns=self._form.columns)
        headers = (("content-type", content_type), ("content-transfer-encoding", "base64"))
        return EstResponse(200, headers, body)


def _unanswered(faults: tuple[Fault, ...]) -> Outcome | None:
    """Return the outcome of a call that is answered with a reset or silence."""
    for fault in faults:
        if fault.kind is FaultKind.STALL:
            return Outcome(None, Delivery.SILENCE, silent_s=fault.config.for_, injected=(FaultKind.STALL,))
        if fault.kind is FaultKind.RESET and fault.config.when == "before":
            return Outcome(None, Delivery.RESET, injected=(FaultKind.RESET,))
    return None


def _faulty_parts(application: Application, faults: tuple[Fault, ...]) -> tuple[bytes, bool, tuple[FaultKind, ...]]:
    """Return the key to certify, whether the certificate is expired, and the injected faults."""
    injected = tuple(kind for kind in _ON_CERTIFICATES if faulty.find(faults, kind))
    wrong_key = FaultKind.WRONG_KEY in injected
    spki = spki_of(make_key(KeyKind.EC_P256)) if wrong_key else application.spki
    return spki, FaultKind.EXPIRED_CERTIFICATE in injected, injected


def _denied(reason: str) -> Refused:
    return Refused(403, f"the request was rejected: {reason or 'no reason given'}")


def _with_faults(outcome: Outcome, faults: tuple[Fault, ...]) -> Outcome:
    if outcome.response is None or not faults:
        return outcome
    faulty_answer = faulty.apply_faults(outcome.response, faults)
    return replace(
        outcome,
        response=faulty_answer.response,
        delivery=faulty_answer.delivery,
        add_s=faulty_answer.add_s,
        injected=(*outcome.injected, *faulty_answer.injected),
    )
