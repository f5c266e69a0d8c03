"""Carrying out one ``Exchange`` command over the network, in any driver: the loop around the pure conversation.

The order is that of docs/architecture.md: take a key → open the connection → make the request → send → judge the
answer → record. Whatever ends a wait before its time, a cancellation, the moment of a power cut or a greenlet's end,
cuts the exchange; a row says so before it goes on.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Final

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer
from estsim.device.states import KeyChoice
from estsim.errors import TransportFailed
from estsim.est.enrolment import Cause
from estsim.est.messages import EstResponse
from estsim.est.outcome import Abandoned, Issued
from estsim.est.signing import PrivateKey
from estsim.fleet.clock import RunClock, to_ns
from estsim.fleet.device_connection import DeviceConnection
from estsim.fleet.devices import Device
from estsim.fleet.exchange_context import ExchangeContext, cut_by
from estsim.fleet.kept_connection import KeptConnection
from estsim.fleet.keys import take_key
from estsim.fleet.own_delay import note_loop_delay
from estsim.fleet.settled import Settled
from estsim.record.sample import Sample, Stamps

Book = Callable[[Device, Sample, DeviceConnection], None]
_AT_ONCE: Final = nullcontext()


class Exchanges:
    """Performs exchanges, of any number of devices; ``book`` takes the row of each request, whole or not.

    Large answers are judged ``one_at_a_time`` where that is a lock: a fleet is told the same CA certificates, and those
    that wait find them remembered.
    """

    def __init__(
        self,
        clock: RunClock,
        book: Book,
        *,
        request_ids: Iterator[str] | None,
        one_at_a_time: AbstractAsyncContextManager[object] = _AT_ONCE,
    ) -> None:
        self._clock = clock
        self._book = book
        self._request_ids = request_ids
        self._one_at_a_time = one_at_a_time

    async def perform(self, device: Device, command: Exchange, kept: KeptConnection) -> Settled:
        """Do one exchange, challenges answered and redirects followed included, and record a row for each request.

        Never raises for what a server or a network does; what was under way when it is cut is recorded as abandoned.
        """
        now_ns, intended_ns = self._clock.now_ns(), to_ns(command.intended_s)
        stamps = Stamps(intended_ns, intended_ns, now_ns)
        context = ExchangeContext.of(device, command, kept.take)
        cause: Cause | None = command.cause
        whole = False
        try:
            while cause is not None:
                answer = await self._once(context, stamps, cause)
                cause = context.next_cause()
                if cause is not None:
                    stamps = Stamps(stamps.ended_ns, stamps.ended_ns, self._clock.now_ns())
            whole = True
        finally:
            kept.give_back(context.line, keep=whole)
        if isinstance(answer.outcome, Issued):
            kept.forget()  # connection and session are the old identity's
        return context.settled(answer, stamps, self._clock)

    async def _once(self, context: ExchangeContext, stamps: Stamps, cause: Cause) -> Answer:
        """Do one HTTP exchange and record it, whatever becomes of it."""
        conversation, line = context.conversation, context.line
        request_id = next(self._request_ids) if self._request_ids else None
        answer = Answer(Abandoned("cut by estsim"))
        try:
            key = await self._key(context, stamps)
            response = await context.line.ask(
                lambda: conversation.request(key, request_id, line.channel_binding), stamps
            )
            answer = await self._judged(context, response)
        except TransportFailed as failure:
            answer = context.failed(failure)
        except Exception as bug:
            answer = cut_by(bug)
            raise
        finally:
            stamps.ended_ns = stamps.ended_ns or self._clock.now_ns()
            note_loop_delay(stamps, self._clock)
            self._book(
                context.device,
                context.sample(answer, stamps, cause, request_id),
                context.line,
            )
        return answer

    async def _judged(self, context: ExchangeContext, response: EstResponse) -> Answer:
        """Return what a response came to; a large one is judged beside whatever else this process does."""
        now_s, conversation = self._clock.now_s(), context.conversation
        judge = partial(conversation.answered, response, now_s=now_s, wall_now_s=self._clock.wall_s(now_s))
        if conversation.takes_long(response):
            async with self._one_at_a_time:
                if conversation.takes_long(response):
                    return await context.line.io.run(judge)
        return judge()

    async def _key(self, context: ExchangeContext, stamps: Stamps) -> PrivateKey | None:
        """Return the key that the request is about, made now if it has to be."""
        key = context.known_key
        if key is None and context.conversation.command.key is not KeyChoice.NONE:
            key = await take_key(context.device.cohort.keys, context.line.io, context.conversation.key_kind)
        context.ready(key, stamps, self._clock.now_ns())
        return key
