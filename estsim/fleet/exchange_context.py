"""A device under way with one exchange, as every driver sees it: what goes into its row, and what request follows.

A challenge that is answered and a redirect that is followed make it send another request, with a row of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol, Self

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer, Conversation
from estsim.errors import TransportFailed, shortage
from estsim.est.enrolment import Cause
from estsim.est.outcome import (
    Abandoned,
    Challenged,
    Deferred,
    Failed,
    NonConformance,
    Outcome,
    Overloaded,
    Redirected,
)
from estsim.est.signing import PrivateKey
from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.fleet.device_connection import DeviceConnection
from estsim.fleet.devices import Device
from estsim.fleet.expected import finding, is_expected
from estsim.fleet.rows import detail_of, notes_of, status_of
from estsim.fleet.settled import Settled
from estsim.pki.credentials import LoadedCredential
from estsim.record.sample import Enrolment, PollPlan, Sample, Stamps

# "A server that does not support persistent connections MUST send the "close" connection option" (§9.3), and one that
# ends a connection SHOULD (§9.6). The request was sent again on a new connection, and this is the row of both.
UNANNOUNCED_END: Final = NonConformance("persistent connection closed without notice", "RFC 9112 §9.6")


class Books(Protocol):
    """Where exchanges are recorded."""

    def exchange(self, enrolment: Enrolment | None, sample: Sample) -> None:
        """Take the row of a request, whole or not."""


@dataclass(slots=True)
class ExchangeContext:
    """A device under way with one exchange on its line; the key is there once it is needed."""

    device: Device
    conversation: Conversation
    line: DeviceConnection
    key: PrivateKey | None = None
    expected: bool = False  # whether the last request was to end as it did
    bug: Exception | None = None  # of ours, met as the last row was made
    _follows: Cause | None = None  # why another request follows the last one at once

    @classmethod
    def of(cls, device: Device, command: Exchange, take: Callable[[LoadedCredential | None], DeviceConnection]) -> Self:
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
        return Answer(Failed(failure.phase, failure.trouble, failure.reason, failure.alert, failure.advice))

    def next_cause(self) -> Cause | None:
        """Return why another request follows at once, None if none does; the line goes where that is to go."""
        if self._follows is Cause.REDIRECT:
            self.line.go_to(self.conversation.origin)
        return self._follows

    def settled(self, answer: Answer, stamps: Stamps, clock: RunClock) -> Settled:
        """Return how the exchange ended, with its last answer; raises the bug that its row met."""
        if self.bug is not None:
            raise self.bug
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
        who = f"device {device.index} of {plan.name} ({device.requested_subject})"
        return finding(conversation.command, conversation.given, fault=device.cohort.fault, who=who)

    def sample(self, answer: Answer, stamps: Stamps, cause: Cause, request_id: str | None) -> Sample:
        """Return the row of a request that went out as this errand: there is one, also where a bug of ours meets it."""
        try:
            return self._sample(answer, stamps, cause, request_id)
        except Exception as bug:  # noqa: BLE001 - it stops the device once the row is booked
            self.bug, self._follows = bug, None
            return self._row(cut_by(bug), stamps, cause, request_id)

    def _sample(self, answer: Answer, stamps: Stamps, cause: Cause, request_id: str | None) -> Sample:
        """Judge the answer against the plan, and return its row.

        A poll is the row that has the answer: of one that is challenged or redirected, that is the last.
        """
        outcome, command, device = answer.outcome, self.conversation.command, self.device
        self._follows = _what_follows(outcome)
        poll = None
        if self._follows is None:
            poll, device.poll = device.poll, None
        self.expected = is_expected(
            command,
            outcome,
            fault=device.cohort.fault,
            announced=device.cohort.expects,
            at_s=stamps.ended_ns / NS_PER_S,
        )
        return self._row(answer, stamps, cause, request_id, poll if command.cause is Cause.POLL else None)

    def _row(
        self, answer: Answer, stamps: Stamps, cause: Cause, request_id: str | None, poll: PollPlan | None = None
    ) -> Sample:
        outcome, command, device = answer.outcome, self.conversation.command, self.device
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
            detail=self.conversation.without_password(detail_of(outcome) or notes_of(answer.non_conformances)),
            tls_version=self.line.tls_version,
            tls_group=self.line.tls_group,
            resumed=self.line.resumed,
            reused=self.line.reused,
            retry_after=outcome.retry_after if isinstance(outcome, Deferred | Overloaded) else None,
            poll=poll,
            non_conformances=answer.non_conformances + (UNANNOUNCED_END,) * self.line.lost,
            expected=self.expected,
        )


def _what_follows(outcome: Outcome) -> Cause | None:
    if isinstance(outcome, Challenged):
        return Cause.CHALLENGE
    return Cause.REDIRECT if isinstance(outcome, Redirected) else None


def request_ids(run_id: str) -> Iterator[str]:
    """Yield the request ids of a run, each once."""
    return (f"{run_id}-{number}" for number in count(1))


def cut_by(bug: Exception) -> Answer:
    """Return what stands in the row of an exchange that a bug of ours, or a shortage of this machine, has cut."""
    what = shortage(bug)
    return Answer(Abandoned(f"this machine ran out of {what}" if what else "internal error of estsim: see errors.log"))
