"""Samples and enrolments for the tests of this room: by hand, and drawn by hypothesis."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from estsim.errors import Phase
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass, RetryAfter, RetryAfterForm
from estsim.figures.live import LiveFigures
from estsim.figures.scopes import Scope
from estsim.record.phases import Stretch
from estsim.record.recorder import Recorder
from estsim.record.run_record import RunRecord
from estsim.record.sample import Enrolment, PollPlan, Sample, Stamps

MS = 1_000_000
S = 1_000_000_000
COHORTS = {"north": 40, "south": 40}


def a_sample(
    kind: OutcomeClass = OutcomeClass.OK,
    *,
    device: int = 0,
    cohort: str = "north",
    operation: Operation = Operation.SIMPLEENROLL,
    cause: Cause = Cause.PLAN,
    at_ns: int = 0,
    lag_ns: int = 0,
    service_ns: int = 10 * MS,
    retry_after: RetryAfter | None = None,
    poll: PollPlan | None = None,
    detail: str = "",
    non_conformances: tuple[NonConformance, ...] = (),
) -> Sample:
    """Return an exchange that was meant to start at ``at_ns``, and did so ``lag_ns`` later."""
    started_ns = at_ns + lag_ns
    failed = kind is OutcomeClass.FAILED
    return Sample(
        device=device,
        cohort=cohort,
        operation=operation,
        cause=cause,
        enrolment=1,
        attempt=1,
        request_id=f"{cohort}-{device}-{at_ns}",
        kind=kind,
        stamps=Stamps(
            intended_ns=at_ns,
            ready_ns=at_ns,
            started_ns=started_ns,
            connected_ns=None if failed else started_ns + service_ns // 10,
            handshaken_ns=None if failed else started_ns + service_ns // 4,
            sent_ns=None if failed else started_ns + service_ns // 3,
            first_byte_ns=None if failed else started_ns + service_ns // 2,
            ended_ns=started_ns + service_ns,
        ),
        status=200 if kind is OutcomeClass.OK else None,
        phase=Phase.CONNECT if failed else None,
        detail=detail,
        retry_after=retry_after,
        poll=poll,
        non_conformances=non_conformances,
    )


def an_enrolment(
    *,
    device: int = 0,
    cohort: str = "north",
    number: int = 1,
    goal: Goal = Goal.ENROLL,
    at_ns: int = 0,
    took_ns: int | None = None,
    end: EnrolmentEnd | None = None,
    to_be_refused: bool = False,
) -> Enrolment:
    """Return an enrolment; open unless ``took_ns`` is given, then issued unless said otherwise."""
    enrolment = Enrolment(device=device, cohort=cohort, number=number, goal=goal, intended_ns=at_ns)
    enrolment.to_be_refused = to_be_refused
    if took_ns is not None:
        enrolment.ended_ns = at_ns + took_ns
        enrolment.end = end or EnrolmentEnd.ISSUED
        enrolment.service_ns = took_ns
    return enrolment


retry_afters = st.builds(
    RetryAfter,
    wait_s=st.one_of(st.none(), st.sampled_from([0.0, 2.0, 3.0, 6.0, 1e6]), st.floats(0, 100)),
    form=st.sampled_from(RetryAfterForm),
    past=st.booleans(),
)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Draw any exchange of a small fleet."""
    kind = draw(st.sampled_from(OutcomeClass))
    poll = draw(st.booleans())
    at_ns = draw(st.integers(0, 200 * S))
    return a_sample(
        kind,
        device=draw(st.integers(0, 39)),
        cohort=draw(st.sampled_from([*COHORTS])),
        operation=draw(st.sampled_from(Operation)),
        at_ns=at_ns,
        lag_ns=draw(st.sampled_from([0, MS, 30 * MS, S])),
        service_ns=draw(st.integers(0, 5 * S)),
        retry_after=draw(retry_afters) if kind is OutcomeClass.DEFERRED else None,
        poll=PollPlan(at_ns - 3 * S, draw(st.sampled_from([2.0, 3.0, 3.5])), 0.0, "seconds") if poll else None,
        detail=draw(st.sampled_from(["", "refused", "unknown_ca"])),
        non_conformances=draw(
            st.sampled_from([(), (NonConformance("PEM armour", "RFC 8951 §3"),)]),
        ),
    )


@st.composite
def enrolments(draw: st.DrawFn) -> Sequence[Enrolment]:
    """Draw the enrolments of a small fleet, at most one a device, open and ended."""
    devices = draw(st.lists(st.integers(0, 39), unique=True, max_size=40))
    return [
        an_enrolment(
            device=device,
            cohort="north" if device % 2 else "south",
            at_ns=draw(st.integers(0, 100 * S)),
            took_ns=draw(st.one_of(st.none(), st.integers(0, 90 * S))),
            end=draw(st.sampled_from(EnrolmentEnd)),
            goal=draw(st.sampled_from(Goal)),
            to_be_refused=draw(st.booleans()),
        )
        for device in devices
    ]


class OneProcess(Recorder):
    """The recorder of a run's one process, with the record and the figures of that run as attributes of its own."""

    def __init__(self, *, cohorts: Mapping[str, int], phases: Sequence[Stretch] = ()) -> None:
        super().__init__(phases=phases)
        self.record = RunRecord(cohorts, self)
        self.figures = LiveFigures(self.record)
        self.scopes, self.snapshot = self.figures.scopes, self.figures.snapshot

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the record has
        record = self.__dict__["record"]
        if not hasattr(RunRecord, name):  # what a method of the record returns is of now, and so is an attribute
            record.collect()
        return getattr(record, name)

    def scope(self, ended_ns: int) -> Scope:
        """Return the whole run as it stands."""
        return self.scopes(ended_ns).run


def a_recorder(exchanges: Sequence[Sample] = (), searches: Sequence[Enrolment] = (), **cohorts: int) -> OneProcess:
    """Return a recorder that was told of the given exchanges and enrolments."""
    recorder = OneProcess(cohorts=cohorts or COHORTS)
    for sample in exchanges:
        recorder.exchange(sample)
    for enrolment in searches:
        recorder.enrolment_began(enrolment)
        if enrolment.end is not None:
            recorder.enrolment_ended(enrolment)
    return recorder
