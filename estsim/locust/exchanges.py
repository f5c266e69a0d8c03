"""Carrying out one ``Exchange`` command in plain blocking calls: the twin of :mod:`estsim.engine.exchange_task`.

The order is DESIGN's: take a key → open the connection → make the request → send → judge the answer → record. Whatever
ends a wait before its time, the moment of a power cut or a greenlet's end, cuts the exchange; a row says so before the
exception goes on.
"""

from collections.abc import Callable, Iterator
from math import inf

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer
from estsim.device.identity import PrivateKey
from estsim.device.states import KeyChoice
from estsim.errors import TransportFailed
from estsim.est.enrolment import Cause
from estsim.est.outcome import Abandoned, Issued
from estsim.fleet.clock import RunClock, to_ns
from estsim.fleet.devices import Device
from estsim.fleet.errand import Errand
from estsim.fleet.keys import KeyRing
from estsim.fleet.plain_keys import take_key
from estsim.fleet.settled import Settled
from estsim.locust.kept_line import KeptLine
from estsim.locust.wire import BlockingLine
from estsim.measure.sample import Sample, Stamps

Book = Callable[[Device, Sample, BlockingLine], None]
TakeKey = Callable[[KeyRing], PrivateKey]


class Exchanges:
    """Performs exchanges, of any number of devices; ``book`` takes the row of each request, whole or not."""

    def __init__(
        self,
        clock: RunClock,
        book: Book,
        *,
        request_ids: Iterator[str] | None,
        keys: TakeKey = take_key,
    ) -> None:
        self._clock = clock
        self._book = book
        self._request_ids = request_ids
        self._take_key = keys

    def perform(self, device: Device, command: Exchange, kept: KeptLine, *, cut_off_s: float = inf) -> Settled:
        """Do one exchange, a challenge answered included, and record a row for each request.

        Never raises for what a server or a network does. Raises CutOff at ``cut_off_s`` of the run: what was under way
        then is recorded as abandoned.
        """
        now_ns, intended_ns = self._clock.now_ns(), to_ns(command.intended_s)
        stamps = Stamps(intended_ns, intended_ns, now_ns)
        errand = Errand.of(device, command, kept.take)
        cause: Cause | None = command.cause
        whole = False
        try:
            while cause is not None:
                answer = self._once(errand, stamps, cause, cut_off_s)
                cause = errand.once_more
                if cause is not None:
                    stamps = Stamps(stamps.ended_ns, stamps.ended_ns, self._clock.now_ns())
            whole = True
        finally:
            kept.give_back(errand.line, keep=whole)
        if isinstance(answer.outcome, Issued):
            kept.forget()  # connection and session are the old identity's
        return errand.settled(answer, stamps, self._clock)

    def _once(self, errand: Errand[BlockingLine], stamps: Stamps, cause: Cause, cut_off_s: float) -> Answer:
        """Do one HTTP exchange and record it, whatever becomes of it."""
        conversation = errand.conversation
        request_id = next(self._request_ids) if self._request_ids else None
        answer = Answer(Abandoned("cut by estsim"))
        try:
            key = self._key(errand, stamps)
            response = errand.line.ask(lambda: conversation.request(key, request_id), stamps, cut_off_s=cut_off_s)
            now_s = self._clock.now_s()
            answer = conversation.answered(response, now_s=now_s, wall_now_s=self._clock.wall_s(now_s))
        except TransportFailed as failure:
            answer = errand.failed(failure)
        finally:
            stamps.ended_ns = stamps.ended_ns or self._clock.now_ns()
            self._book(errand.device, errand.sample(answer, stamps, cause, request_id), errand.line)
        return answer

    def _key(self, errand: Errand[BlockingLine], stamps: Stamps) -> PrivateKey | None:
        """Return the key that the request is about, made now if it has to be."""
        key = errand.known_key
        if key is None and errand.conversation.command.key is not KeyChoice.NONE:
            key = self._take_key(errand.device.cohort.keys)
        errand.ready(key, stamps, self._clock.now_ns())
        return key
