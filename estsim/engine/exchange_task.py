"""Carrying out one ``Exchange`` command over the network: the trio driver's loop around the pure conversation.

The order is DESIGN's: take a key → open the connection → make the request → send → judge the answer → record. The
caller's cancellation cuts the exchange; a row says so before the cancellation goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer, Conversation
from estsim.device.identity import PrivateKey
from estsim.device.states import KeyChoice
from estsim.engine.clock import RunClock, to_ns
from estsim.engine.fleet import Device
from estsim.engine.keys import make_key_beside
from estsim.engine.rows import detail_of, status_of
from estsim.engine.settled import Settled
from estsim.engine.wire import Line, Wire
from estsim.errors import TransportFailed
from estsim.est.enrolment import Cause
from estsim.est.outcome import Abandoned, Challenged, Deferred, Failed, Overloaded
from estsim.measure.sample import Enrolment, Sample, Stamps


class Books(Protocol):
    """Where exchanges are recorded."""

    def exchange(self, enrolment: Enrolment | None, sample: Sample) -> None:
        """Take the row of a request, whole or not."""


class ExchangeTask:
    """Performs exchanges for the devices of a shard."""

    def __init__(self, wire: Wire, books: Books, clock: RunClock, *, request_ids: Iterator[str] | None) -> None:
        self._wire = wire
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
        errand = Errand(device, conversation, self._wire.line(device.cohort, conversation.credential))
        cause = command.cause
        try:
            while True:
                answer = await self._once(errand, stamps, cause)
                if not isinstance(answer.outcome, Challenged):
                    break
                stamps = Stamps(stamps.ended_ns, stamps.ended_ns, self._clock.now_ns())
                cause = Cause.CHALLENGE
        finally:
            errand.line.drop()
        margin_s = device.machine.not_after_s - self._clock.now_s()
        return Settled(answer.outcome, stamps, self._clock.now_ns(), answer.lifetime, margin_s)

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
            key = await make_key_beside(errand.device.cohort.plan.key)
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

    def sample(self, answer: Answer, stamps: Stamps, cause: Cause, request_id: str | None) -> Sample:
        """Return the row of a request that went out as this errand."""
        outcome, command, device = answer.outcome, self.conversation.command, self.device
        poll, device.poll = device.poll, None
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
            reused=self.line.reused,
            retry_after=outcome.retry_after if isinstance(outcome, Deferred | Overloaded) else None,
            poll=poll if cause is Cause.POLL else None,
            non_conformances=answer.non_conformances,
        )


def request_ids(run_id: str) -> Iterator[str]:
    """Yield the request ids of a run, each once."""
    return (f"{run_id}-{number}" for number in count(1))
