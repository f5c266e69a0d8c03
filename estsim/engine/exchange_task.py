"""Carrying out one ``Exchange`` command over the network: the trio driver's loop around the pure conversation.

The order is DESIGN's: take a key → open the connection → make the request → send → judge the answer → record. The
caller's cancellation cuts the exchange; a row says so before the cancellation goes on.
"""

from collections.abc import Iterator
from functools import partial

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer
from estsim.device.identity import PrivateKey
from estsim.device.states import KeyChoice
from estsim.engine.keys import take
from estsim.engine.lines import Lines
from estsim.engine.wire import Line, Wire
from estsim.errors import TransportFailed
from estsim.est.enrolment import Cause
from estsim.est.outcome import Abandoned, Issued
from estsim.fleet.clock import RunClock, to_ns
from estsim.fleet.devices import Device
from estsim.fleet.errand import Books, Errand
from estsim.fleet.settled import Settled
from estsim.measure.sample import Stamps


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
        errand = Errand.of(device, command, partial(self.lines.take, device))
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
        return errand.settled(answer, stamps, self._clock)

    async def _once(self, errand: Errand[Line], stamps: Stamps, cause: Cause) -> Answer:
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
            answer = errand.failed(failure)
        finally:
            stamps.ended_ns = stamps.ended_ns or self._clock.now_ns()
            self._books.exchange(errand.device.enrolment, errand.sample(answer, stamps, cause, request_id))
        return answer

    async def _key(self, errand: Errand[Line], stamps: Stamps) -> PrivateKey | None:
        """Return the key that the request is about, made now if it has to be."""
        key = errand.known_key
        if key is None and errand.conversation.command.key is not KeyChoice.NONE:
            key = await take(errand.device.cohort.keys)
        errand.ready(key, stamps, self._clock.now_ns())
        return key
