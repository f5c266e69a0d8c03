"""One device's life against servers that are drawn, and what has to hold of all that it left."""

import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import trio
from fuzz_answers import Question, answer_to
from fuzz_certificates import ROOT, Asked, self_signed, usual
from fuzz_draw import Draw
from fuzz_http import Answer, End, head
from fuzz_messages import certs_only
from fuzz_report import CpuWatch, Report, noting_warnings, text_problems, warning_problems
from hostile_tls import TlsServers
from memory_wire import HostileServer
from row_checks import enrolment_problems, sample_problems

from estsim.device.behaviour import Behaviour
from estsim.device.faults import DeviceFault
from estsim.device.policy import Attributes
from estsim.engine.exchange_task import ExchangeTask
from estsim.engine.shard import Shard
from estsim.est.csr import CSRError, read_csr
from estsim.est.transfer import TransferError, decode_body, encode_body
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, Device, Fleet, new_device
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.ledger import Ledger
from estsim.fleet.server_access import ServerAccess
from estsim.record.recorder import Recorder
from estsim.record.sample import Enrolment, GeneratorReading, Impact, Sample

_LIFE_S: Final = 86_400.0
_HANG_S: Final = 40 * 86_400.0
_SCRIPT: Final = (1, 1, 2, 3, 5, 8, 12)
_SOUND: Final = 0.45  # of the answers
_MORE_CONNECTIONS: Final = 8
_MORE_AFTER_THE_END: Final = 20  # a request under way may be challenged, redirected, and sent again
_FAULTS: Final = (
    None,
    None,
    None,
    None,
    None,
    DeviceFault.RETRIES_AT_ONCE,
    DeviceFault.IMPATIENT,
    DeviceFault.WRONG_SUBJECT_ON_RENEW,
)


@dataclass(slots=True)
class Witness:
    """Hands everything on to the run's recorder, and remembers what came of one life."""

    recorder: Recorder
    samples: list[Sample] = field(default_factory=list)
    ended: list[Enrolment] = field(default_factory=list)
    began: int = 0
    left_open: int = 0
    bugs: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def exchange(self, sample: Sample) -> None:
        """Record an exchange that ended."""
        self.samples.append(sample)
        self.recorder.exchange(sample)

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Record that a certificate is sought."""
        self.began += 1
        self.recorder.enrolment_began(enrolment)

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Record how a search ended."""
        self.ended.append(enrolment)
        self.recorder.enrolment_ended(enrolment)

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Record a search that is open at the end."""
        self.left_open += 1
        self.recorder.enrolment_open(enrolment)

    def impact_began(self, impact: Impact) -> None:
        """Record that an event struck the device."""
        self.recorder.impact_began(impact)

    def impact_ended(self, impact: Impact) -> None:
        """Record that the device has come through an event, or will not."""
        self.recorder.impact_ended(impact)

    def finding(self, at_ns: int, text: str) -> None:
        """Take note of a finding."""
        self.recorder.finding(at_ns, text)

    def notice(self, at_ns: int, text: str) -> None:
        """Take note of something that a reader has to know."""
        self.notices.append(text)
        self.recorder.notice(at_ns, text)

    def internal_error(
        self, error: BaseException, *, at_ns: int, device: int | None = None, cohort: str | None = None
    ) -> None:
        """Take note of a bug of ours, which is what is looked for."""
        self.bugs.append("".join(traceback.format_exception(error)))
        self.recorder.internal_error(error, at_ns=at_ns, device=device, cohort=cohort)

    def generator(self, reading: GeneratorReading) -> None:
        """Record what the generator says of itself."""
        self.recorder.generator(reading)


class Life:
    """A device, its servers and its books."""

    def __init__(
        self, draw: Draw, number: int, cohort: CohortRun, *, wire: ServerAccess, recorder: Recorder, servers: TlsServers
    ) -> None:
        self._draw = draw
        self._number = number
        self._wire = wire
        self._servers = servers
        self._answers = draw.one(_SCRIPT)
        self._connections: list[HostileServer] = []
        self._served: Counter[str] = Counter()
        self._cut: Counter[str] = Counter()  # requests whose connection ended with the answer, or without one
        self._last = ""
        self._watch = CpuWatch()
        self._witness = Witness(recorder)
        cohort = cohort.lived_in(draw.one(_FAULTS), seed=number)
        if draw.chance(0.2):
            policy, does = cohort.plan.policy, draw.one((Attributes.FETCH, Attributes.OBEY))
            decides = Behaviour(replace(policy, enroll=replace(policy.enroll, csrattrs=does)))
            cohort = replace(cohort, behaviour=decides, profile=replace(cohort.profile, csrattrs=does))
        self._device = new_device(cohort, number, seed=number)
        self._shard = self._shard_of(self._device, wire.clock)

    def _shard_of(self, device: Device, clock: RunClock) -> Shard:
        fleet, ledger = Fleet(), Ledger(self._witness, clock)
        fleet.devices.append(device)
        fleet.boots.append((clock.now_s(), device))
        exchanges = ExchangeTask(self._wire, ledger, clock, request_ids=request_ids(f"fuzz-{self._number}"))
        return Shard(fleet, exchanges, ledger, clock)

    @property
    def rows(self) -> int:
        """How many rows it left."""
        return len(self._witness.samples)

    async def live(self) -> Report:
        """Live until nothing is planned, the script is over, or a day has passed."""
        report = Report(self._number)
        with noting_warnings() as noted:
            try:
                await self._live()
            except trio.TooSlowError:
                report.problems.append("the device hangs: nothing happens any more, and no deadline passes")
            except Exception:  # noqa: BLE001 - whatever it is, nobody has declared it
                report.problems.append(f"undeclared exception: {traceback.format_exc()}")
            self._watch.step()
            report.problems += warning_problems(noted)
        report.steps = sum(self._served.values())
        report.cpu_s = self._watch.longest_s
        report.problems += self._problems()
        report.tags += self._tags()
        return report

    async def _live(self) -> None:
        with trio.fail_after(_HANG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_in, _LIFE_S)
                await self._shard.run(until_settled=True)
                nursery.cancel_scope.cancel()

    async def _stop_in(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._shard.stop()

    # -- the other side

    def connected(self) -> HostileServer:
        """Return the server of a new connection."""
        server = self._servers.server(self._draw, self._respond, self._watch)
        self._connections.append(server)
        if len(self._connections) > self._answers + _MORE_CONNECTIONS:  # of which many came to nothing
            self._shard.stop()
        return server

    def _respond(self, request: bytes) -> Answer:
        """Answer a request, and note where the connection ends with that: then it may come once more."""
        said = self._said(request)
        if said.end in {End.NOTIFY, End.ABRUPT, End.RESET}:
            self._cut[self._last] += 1
        return said

    def _said(self, request: bytes) -> Answer:
        """Answer by the script, and when that is over as a good server does."""
        first, _, body = request.partition(b"\r\n\r\n")
        lines = first.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        self._last = fields["x-request-id"]
        self._served[self._last] += 1
        operation = lines[0].split()[1].rpartition("/")[2]
        clock = self._wire.clock
        asked = _asked(body) if body else None
        question = Question(operation, asked, request, clock.wall_s(clock.now_s()))
        if sum(self._served.values()) >= self._answers:
            self._shard.stop()
            return _sound(question, self._number)
        if self._draw.chance(_SOUND):
            return _sound(question, self._draw.getrandbits(60))
        return answer_to(self._draw, question)

    # -- what has to hold

    def _problems(self) -> Iterator[str]:
        witness = self._witness
        for bug in witness.bugs:
            yield f"undeclared exception: {bug}"
        for text in witness.notices:
            yield from text_problems("a notice", text)
        yield from self._row_problems()
        for enrolment in witness.ended:
            yield from enrolment_problems(enrolment)
        if witness.began != len(witness.ended) + witness.left_open:
            yield f"{witness.began} enrolments began, {len(witness.ended)} ended, {witness.left_open} are open"
        for server in self._connections:
            if not server.socket.closed:
                yield "a connection was left open"

    def _row_problems(self) -> Iterator[str]:
        samples = self._witness.samples
        rows = Counter(sample.request_id for sample in samples)
        for identifier, times in self._served.items():
            if rows[identifier] != 1 or times > 1 + self._cut[identifier]:
                yield f"the request {identifier} was served {times} times and has {rows[identifier]} rows"
        if len(rows) != len(samples):
            yield "two rows have one request id"
        if self.rows > self._answers + len(self._connections) + _MORE_AFTER_THE_END:
            yield f"{self.rows} rows of {self._answers} answers"
        for sample in samples:
            yield from (f"{sample.operation} {sample.kind}: {problem}" for problem in sample_problems(sample))

    def _tags(self) -> Iterator[str]:
        for sample in self._witness.samples:
            yield f"outcome {sample.operation.value} {sample.kind.value}"
            if sample.trouble is not None and sample.phase is not None:
                yield f"failed {sample.phase.value} {sample.trouble.value}"
            for broken in sample.non_conformances:
                yield f"rule {broken.rule}"
        for enrolment in self._witness.ended:
            yield f"end {enrolment.end.value if enrolment.end else None}"
        yield f"state {self._device.machine.state.value}"


def _asked(body: bytes) -> Asked | None:
    """Read what a request asks for; None of what a faulty device sends."""
    try:
        facts = read_csr(decode_body(body)[0])
    except (TransferError, CSRError):
        return None
    return Asked(facts.subject_der, facts.public_key_der, facts.san_der)


def _sound(question: Question, serial: int) -> Answer:
    """Return what a good server answers."""
    now = datetime.fromtimestamp(question.wall_s, UTC)
    if question.operation == "csrattrs":
        return Answer((head(204, ()),))
    if question.operation == "cacerts" or question.asked is None:
        held = self_signed(ROOT, now)
    else:
        held = usual(question.asked, ROOT, now, serial=1 + serial).written()
    body = encode_body(certs_only([held]), columns=None)
    fields = (
        (b"Content-Type", b"application/pkcs7-mime; smime-type=certs-only"),
        (b"Content-Length", b"%d" % len(body)),
    )
    return Answer((head(200, fields) + body,))
