"""A device under way with one exchange, as every driver sees it: what goes into its row, and whether it goes out again.

A request that meets the end of a kept connection, with not a byte of an answer, is sent once more on a new one, as
clients do (RFC 7230 §6.3.1: a connection "can be closed at any time, with or without intention"). For an enrolment,
which is no idempotent request, that is a device's decision like any retry, and a row of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, Protocol, Self, TypeVar

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer, Conversation
from estsim.device.identity import LoadedCredential, PrivateKey
from estsim.errors import TransportFailed, Trouble
from estsim.est.enrolment import Cause
from estsim.est.outcome import Challenged, Deferred, Failed, Outcome, Overloaded
from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.fleet.devices import Device
from estsim.fleet.expected import finding, is_expected
from estsim.fleet.rows import detail_of, status_of
from estsim.fleet.settled import Settled
from estsim.measure.sample import Enrolment, Sample, Stamps


class LineFacts(Protocol):
    """What a row says of the connection that its request went on, and by how much the device's clock is wrong."""

    ahead_s: float | None
    reused: bool
    resumed: bool
    tls_version: str | None
    tls_group: str | None


class Books(Protocol):
    """Where exchanges are recorded."""

    def exchange(self, enrolment: Enrolment | None, sample: Sample) -> None:
        """Take the row of a request, whole or not."""


L = TypeVar("L", bound=LineFacts)


@dataclass(slots=True)
class Errand(Generic[L]):
    """A device under way with one exchange on a line of its driver's; the key is there once it is needed."""

    device: Device
    conversation: Conversation
    line: L
    key: PrivateKey | None = None
    expected: bool = False  # whether the last request was to end as it did
    once_more: Cause | None = None  # why the last request is sent again at once

    @classmethod
    def of(cls, device: Device, command: Exchange, take: Callable[[LoadedCredential | None], L]) -> Self:
        """Set out to do a command; ``take`` gives the line for the credential that it is done with."""
        conversation = Conversation(command, device.index, device.identity, device.cohort.profile)
        line = take(conversation.credential)
        line.ahead_s = conversation.ahead_s
        return cls(device, conversation, line)

    @property
    def known_key(self) -> PrivateKey | None:
        """The key that the request is about, as far as there is one yet."""
        return self.key or self.conversation.own_key()

    def ready(self, key: PrivateKey | None, stamps: Stamps, now_ns: int) -> None:
        """Go on with a key, had by now.

        Ready is when all was there, had we been on time: our lateness is lag, the making of a key is not.
        """
        if self.key is None:
            self.key = key
            stamps.ready_ns = stamps.intended_ns + now_ns - stamps.started_ns
            stamps.started_ns = now_ns

    def failed(self, failure: TransportFailed) -> Answer:
        """Return what a failure of the wire comes to; the key is kept for the next attempt."""
        self.conversation.keep_key()
        return Answer(Failed(failure.phase, failure.trouble, failure.reason, failure.alert))

    def settled(self, answer: Answer, stamps: Stamps, clock: RunClock) -> Settled:
        """Return how the exchange ended, with its last answer."""
        margin_s = self.device.machine.not_after_s - clock.now_s()
        return Settled(
            answer.outcome,
            stamps,
            clock.now_ns(),
            answer.lifetime,
            margin_s,
            expected=self.expected,
            finding=self.finding(),
        )

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


def _once_more(outcome: Outcome, line: LineFacts, stamps: Stamps) -> Cause | None:
    """Say why a request is sent again at once, None if it is not."""
    if isinstance(outcome, Challenged):
        return Cause.CHALLENGE
    ended = isinstance(outcome, Failed) and outcome.trouble is Trouble.RESET
    return Cause.RETRY if ended and line.reused and stamps.first_byte_ns is None else None


def request_ids(run_id: str) -> Iterator[str]:
    """Yield the request ids of a run, each once."""
    return (f"{run_id}-{number}" for number in count(1))
