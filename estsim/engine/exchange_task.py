"""Carrying out one ``Exchange`` command over the network: the trio driver's loop around the pure conversation.

The order is DESIGN's: take a key → open the connection → make the request → send → judge the answer → record. The
caller's cancellation cuts the exchange; a row says so before the cancellation goes on.

A request that meets the end of a kept connection, with not a byte of an answer, is sent once more on a new one, as
clients do (RFC 7230 §6.3.1: a connection "can be closed at any time, with or without intention"). For an enrolment,
which is no idempotent request, that is a device's decision like any retry, and a row of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer, Conversation
from estsim.device.identity import PrivateKey
from estsim.device.states import KeyChoice
from estsim.engine.clock import NS_PER_S, RunClock, to_ns
from estsim.engine.expected import finding, is_expected
from estsim.engine.fleet import Device
from estsim.engine.lines import Lines
from estsim.engine.rows import detail_of, status_of
from estsim.engine.settled import Settled
from estsim.engine.wire import Line, Wire
from estsim.errors import TransportFailed, Trouble
from estsim.est.enrolment import Cause
from estsim.est.outcome import Abandoned, Challenged, Deferred, Failed, Issued, Outcome, Overloaded
from estsim.measure.sample import Enrolment, Sample, Stamps


class Books(Protocol):
    """Where exchanges are recorded."""

    def exchange(self, enrolment: Enrolment | None, sample: Sample) -> None:
        """Take the row of a request, whole or not."""


class ExchangeTask:
    """Performs exchanges for the devices of a shard."""

    def __init__(self, wire: Wire, books: Books, clock: RunClock, *, request_ids: Iterator[str] | None) -> None:
        self.lines = Lines(wire, clock)
        self._books = books
        self._clock = clock
        self._request_ids = request_ids

    async def perform(self, device: Device, command: Exchange) -> Settled:
        """Do one exchange, a challenge answered included, and record a row for each request.

        Never raises for what a server or a network does; a cancellation is recorded as abandoned and goes on.
        """
        now_ns, intended_ns = self._clock.now_ns(), to_ns(command.intended_s)
        stamps = Stamps(intended_ns, intended_ns, now_ns)
        conversation = Conversation(command, device.index, device.identity, device.cohort.profile)
        errand = Errand(device, conversation, self.lines.take(device, conversation.credential))
        errand.line.ahead_s = conversation.ahead_s
        cause: Cause | None = command.cause
        whole = False
        try:
            while cause is not None:
                answer = await self._once(errand, stamps, cause)
                cause = errand.once_more
                if cause is not None:
                    stamps = Stamps(stamps.ended_ns, stamps.ended_ns, self._clock.now_ns())
            whole = True
        finally:
            self.lines.give_back(device, errand.line, keep=whole)
        if isinstance(answer.outcome, Issued):
            self.lines.forget(device)  # connection and session are the old identity's
        margin_s = device.machine.not_after_s - self._clock.now_s()
        return Settled(
            answer.outcome,
            stamps,
            self._clock.now_ns(),
            answer.lifetime,
            margin_s,
            expected=errand.expected,
            finding=errand.finding(),
        )

    async def _once(self, errand: "Errand", stamps: Stamps, cause: Cause) -> Answer:
        """Do one HTTP exchange and record it, whatever becomes of it."""
        conversation = errand.conversation
        request_id = next(self._request_ids) if self._request_ids else None
        answer = Answer(Abandoned("cut by estsim"))
        try:
            key = await self._key(errand, stamps)
            response = await errand.line.ask(lambda: conversation.request(key, request_id), stamps)
            now_s = self._clock.now_s()
            answer = conversation.answered(response, now_s=now_s, wall_now_s=self._clock.wall_s(now_s))
        except TransportFailed as failure:
            conversation.keep_key()
            answer = Answer(Failed(failure.phase, failure.trouble, failure.reason, failure.alert))
        finally:
            stamps.ended_ns = stamps.ended_ns or self._clock.now_ns()
            self._books.exchange(errand.device.enrolment, errand.sample(answer, stamps, cause, request_id))
        return answer

    async def _key(self, errand: "Errand", stamps: Stamps) -> PrivateKey | None:
        """Return the key that the request is about, made now if it has to be.

        Ready is when all was there, had we been on time: our lateness is lag, the making of a key is not.
        """
        command = errand.conversation.command
        key = errand.key or errand.conversation.own_key()
        if key is None and command.key is not KeyChoice.NONE:
            key = await errand.device.cohort.keys.take()
        if errand.key is None:
            errand.key = key
            now_ns = self._clock.now_ns()
            stamps.ready_ns = stamps.intended_ns + now_ns - stamps.started_ns
            stamps.started_ns = now_ns
        return key


@dataclass(slots=True)
class Errand:
    """A device under way with one exchange; the key is there once it is needed."""

    device: Device
    conversation: Conversation
    line: Line
    key: PrivateKey | None = None
    expected: bool = False  # whether the last request was to end as it did
    once_more: Cause | None = None  # why the last request is sent again at once

    def finding(self) -> str | None:
        """Return what is to be told where a server certified a device in spite of its fault."""
        device, conversation = self.device, self.conversation
        if conversation.given is None or device.cohort.fault is None:
            return None
        plan = device.cohort.plan
        who = f"device {device.index} of {plan.name} ({plan.subject(device.index).rfc4514_string()})"
        return finding(conversation.command, conversation.given, fault=device.cohort.fault, who=who)

    def sample(self, answer: Answer, stamps: Stamps, cause: Cause, request_id: str | None) -> Sample:
        """Return the row of a request that went out as this errand.

        A poll is the row that has the answer: of one that is challenged, or sent once more, that is the last.
        """
        outcome, command, device = answer.outcome, self.conversation.command, self.device
        self.once_more = _once_more(outcome, self.line, stamps)
        poll = None
        if self.once_more is None:
            poll, device.poll = device.poll, None
        self.expected = is_expected(
            command,
            outcome,
            fault=device.cohort.fault,
            announced=device.cohort.expects,
            at_s=stamps.ended_ns / NS_PER_S,
        )
        return Sample(
            device=device.index,
            cohort=device.cohort.plan.name,
            operation=command.operation,
            cause=cause,
            enrolment=command.enrolment,
            attempt=command.attempt,
            request_id=request_id,
            kind=outcome.kind,
            stamps=stamps,
            status=status_of(outcome),
            phase=outcome.phase if isinstance(outcome, Failed) else None,
            trouble=outcome.trouble if isinstance(outcome, Failed) else None,
            detail=detail_of(outcome),
            tls_version=self.line.tls_version,
            tls_group=self.line.tls_group,
            resumed=self.line.resumed,
            reused=self.line.reused,
            retry_after=outcome.retry_after if isinstance(outcome, Deferred | Overloaded) else None,
            poll=poll if command.cause is Cause.POLL else None,
            non_conformances=answer.non_conformances,
            expected=self.expected,
        )


def _once_more(outcome: Outcome, line: Line, stamps: Stamps) -> Cause | None:
    """Say why a request is sent again at once, None if it is not."""
    if isinstance(outcome, Challenged):
        return Cause.CHALLENGE
    ended = isinstance(outcome, Failed) and outcome.trouble is Trouble.RESET
    return Cause.RETRY if ended and line.reused and stamps.first_byte_ns is None else None


def request_ids(run_id: str) -> Iterator[str]:
    """Yield the request ids of a run, each once."""
    return (f"{run_id}-{number}" for number in count(1))
