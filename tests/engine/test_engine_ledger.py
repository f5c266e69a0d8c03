"""The books: whatever a device lives through, the parts of a search add up to its time, and no search is lost."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from cryptography import x509
from engine_kit import NOWHERE, ONCE, Witness, closed_port, cohort, parts_ns, rig, subject
from hypothesis import given
from hypothesis import strategies as st

from estsim.device.commands import Command, Continue, Exchange, Stop, WaitUntil
from estsim.device.events import Answered, Event, Lifetime, Retire, Started, Woke
from estsim.device.policy import DeferralPolicy, EnrollPolicy, Fetch, Policy, RenewPolicy, RetryPolicy
from estsim.device.states import Why
from estsim.errors import Phase, Trouble
from estsim.est.certificate import read_certificate
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.outcome import (
    CACertificates,
    Deferred,
    Failed,
    Issued,
    Outcome,
    Overloaded,
    Rejected,
    RetryAfter,
    RetryAfterForm,
    ServerError,
)
from estsim.fleet.clock import NS_PER_S, to_ns
from estsim.fleet.ledger import Ledger, _book_wait
from estsim.fleet.settled import Settled
from estsim.pki.keys import make_key
from estsim.pki.manufacturer import ManufacturerCA
from estsim.record.sample import Enrolment, Sample, Stamps
from estsim.testing import deferred
from estsim.units import Constant, Uniform

VALIDITY_S: Final = 1000.0
MS: Final = 1_000_000
REFUSED: Final = Failed(Phase.CONNECT, Trouble.REFUSED, "nobody listens")
SILENT: Final = Overloaded(RetryAfter(None, RetryAfterForm.MISSING))


@dataclass(frozen=True)
class Took:
    """How long each part of an exchange takes, in nanoseconds."""

    lag_ns: int = 2 * MS
    key_ns: int = 3 * MS
    work_ns: int = 1 * MS
    service_ns: int = 40 * MS
    check_ns: int = 5 * MS


@dataclass
class Life:
    """A device with its machine and books, in a time of its own: stamps as the exchange task makes them."""

    policy: Policy
    took: Took = Took()
    now_ns: int = 0
    witness: Witness = field(default_factory=lambda: Witness({"meters": 1}))
    command: Command | None = None

    def __post_init__(self) -> None:
        made = rig(closed_port(), NOWHERE, ManufacturerCA.made("m"), cohort(1, self.policy))
        (self.device,) = made.fleet.devices
        self.ledger = Ledger(self.witness, made.clock)

    def live(self, script: Iterable[Outcome]) -> Enrolment | None:
        """Boot, and play the script until it is out; returns the last search that ended."""
        self.order(Started(self.now_ns / NS_PER_S))
        for outcome in script:
            while isinstance(self.command, WaitUntil) and self.command.at_s < inf:
                self.wake()
            if not isinstance(self.command, Exchange):
                break
            self.answer(self.command, outcome)
        return self.witness.ended[-1] if self.witness.ended else None

    def wake(self) -> None:
        """Sleep to the end of the wait, and be woken late."""
        assert isinstance(self.command, WaitUntil)
        self.now_ns = max(self.now_ns, to_ns(self.command.at_s)) + self.took.lag_ns
        self.order(Woke(self.command.turn))

    def order(self, event: Event) -> None:
        """Let the machine decide outside an exchange."""
        command = self.device.machine.step(event, self.now_ns / NS_PER_S)
        self.ledger.event(self.device, event)
        if isinstance(command, Continue):
            return
        self.ledger.command(self.device, command, None, self.now_ns)
        self.command = command

    def answer(self, command: Exchange, outcome: Outcome) -> None:
        """Carry out an exchange, and let the machine decide after it."""
        took = self.took
        woke_ns = self.now_ns
        self.now_ns += took.key_ns
        intended_ns = to_ns(command.intended_s)
        stamps = Stamps(intended_ns, intended_ns + took.key_ns, self.now_ns, client_work_ns=took.work_ns)
        self.now_ns += took.work_ns + took.service_ns
        stamps.ended_ns = self.now_ns
        assert stamps.schedule_lag_ns == woke_ns - intended_ns
        self.ledger.exchange(self.device.enrolment, self.row(command, outcome, stamps))
        lifetime = None
        if isinstance(outcome, Issued):
            issued_s = self.now_ns / NS_PER_S
            lifetime = Lifetime(issued_s, issued_s + VALIDITY_S)
        margin_s = self.device.machine.not_after_s - self.now_ns / NS_PER_S
        self.now_ns += took.check_ns
        settled = Settled(outcome, stamps, self.now_ns, lifetime, margin_s)
        following = self.device.machine.step(Answered(command.turn, outcome, lifetime), stamps.ended_ns / NS_PER_S)
        assert isinstance(following, Exchange | WaitUntil | Stop)
        self.ledger.command(self.device, following, settled, stamps.ended_ns)
        self.command = following

    def row(self, command: Exchange, outcome: Outcome, stamps: Stamps) -> Sample:
        """Return the row of an exchange."""
        return Sample(
            device=0,
            cohort="meters",
            operation=command.operation,
            cause=command.cause,
            enrolment=command.enrolment,
            attempt=command.attempt,
            request_id=None,
            kind=outcome.kind,
            stamps=stamps,
        )


def policy(**keys: object) -> Policy:
    """Return a policy of a first certificate and little patience for nothing."""
    base = {
        "enroll": EnrollPolicy(cacerts=Fetch.NEVER),
        "deferral": DeferralPolicy(spread=Constant(0.1), when_missing_s=7.0),
    }
    return Policy(**{**base, **keys})  # type: ignore[arg-type]  # a shorthand of the tests


ISSUED: Final = Issued(None)


def test_the_parts_of_a_chain_meet_without_gaps() -> None:
    """Two deferrals, an error and a backoff: each part has its own, and they add up to the nanosecond."""
    life = Life(policy(retry=RetryPolicy(base_s=2.0)))
    enrolment = life.live([deferred(10.0), REFUSED, deferred(20.0), ISSUED])
    assert enrolment is not None
    assert enrolment.ended_ns is not None
    assert enrolment.told_ns == to_ns(30.0)
    assert enrolment.device_ns == to_ns(3.0)
    assert 0 < enrolment.backoff_ns <= to_ns(2.0)
    assert enrolment.service_ns == 4 * 40 * MS
    assert enrolment.client_ns == 4 * (3 + 1) * MS + 5 * MS
    assert abs(parts_ns(enrolment) - (enrolment.ended_ns - enrolment.intended_ns)) <= 10
    assert (enrolment.exchanges, enrolment.polls, enrolment.deferrals) == (4, 2, 2)
    assert enrolment.end is EnrolmentEnd.ISSUED


def test_lateness_of_ours_is_the_generator_s() -> None:
    """Each late wake-up, and the time between an answer and the next step of the chain."""
    life = Life(policy(enroll=EnrollPolicy(cacerts=Fetch.ONCE)), Took(lag_ns=50 * MS))
    enrolment = life.live([CACertificates(()), deferred(1.0), ISSUED])
    assert enrolment is not None
    assert enrolment.generator_ns == (50 + 5) * MS  # one wake-up; the check of an answer that the chain waited for


OUTCOMES = st.sampled_from(
    [
        deferred(0.0),
        deferred(3.0),
        deferred(100.0),
        Deferred(RetryAfter(None, RetryAfterForm.MISSING)),
        REFUSED,
        SILENT,
        Overloaded(RetryAfter(5.0, RetryAfterForm.SECONDS)),
        ServerError(500, "oops"),
        Rejected(403, "no"),
        ISSUED,
    ]
)
TIMES = st.integers(min_value=0, max_value=2 * NS_PER_S)


@given(
    st.lists(OUTCOMES, min_size=1, max_size=25),
    st.builds(Took, TIMES, TIMES, TIMES, TIMES, TIMES),
    st.sampled_from([0.0, 0.5, 1.0, 1.2]),
    st.booleans(),
)
def test_the_parts_add_up_in_any_life(script: list[Outcome], took: Took, obedience: float, rekey: bool) -> None:  # noqa: FBT001 - a draw
    """Of every certificate in it, first or next, to 1 ms; and what begins has an end or is left open."""
    life = Life(
        policy(
            deferral=DeferralPolicy(obedience=obedience, spread=Uniform(0.0, 0.2), when_missing_s=1.0),
            renew=RenewPolicy(after_s=100.0, rekey=rekey),
            retry=RetryPolicy(attempts=3),
        ),
        took,
    )
    life.live(script)
    life.ledger.open_at_the_end(life.device)
    witness = life.witness
    for enrolment in witness.ended:
        assert enrolment.ended_ns is not None
        if enrolment.end is EnrolmentEnd.ISSUED:
            assert abs(parts_ns(enrolment) - (enrolment.ended_ns - enrolment.intended_ns)) < MS
    assert len(witness.began) == len(witness.ended) + len(witness.left_open)
    assert [each.number for each in witness.began] == list(range(1, len(witness.began) + 1))
    assert sum(each.exchanges for each in witness.began) == len(witness.samples)


def test_a_deadline_ends_a_search_within_its_parts() -> None:
    """Told to wait 100 s, cut short at 10: a row of ten seconds says nothing of a hundred."""
    life = Life(policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER, deadline_s=10.0)))
    life.live([deferred(100.0)])
    life.wake()
    (enrolment,) = life.witness.ended
    assert enrolment.end is EnrolmentEnd.DEADLINE
    assert enrolment.ended_ns is not None
    assert abs(parts_ns(enrolment) - (enrolment.ended_ns - enrolment.intended_ns)) < 5 * MS


def test_a_poll_is_judged_by_what_it_was_told() -> None:
    """From the first byte of the deferral: told and the device's own, which impatience does not make negative."""
    for obedience, own_s in ((1.0, 1.0), (0.5, 0.0)):
        life = Life(policy(deferral=DeferralPolicy(obedience=obedience, spread=Constant(0.1))))
        life.live([deferred(10.0)])
        plan = life.device.poll
        assert plan is not None
        assert (plan.told_s, plan.spread_s, plan.form) == (10.0, own_s, "seconds")
        assert plan.deferred_at_ns == life.witness.samples[0].stamps.ended_ns  # no first byte in this life


def test_a_wait_that_nobody_told_is_judged_by_nothing() -> None:
    """A deferral without Retry-After, an overload, a backoff: what follows has no punctuality."""
    for outcome in (Deferred(), Overloaded(RetryAfter(5.0, RetryAfterForm.SECONDS)), REFUSED):
        life = Life(policy())
        life.live([outcome])
        assert isinstance(life.command, WaitUntil)
        assert life.device.poll is None


def test_a_renewal_is_a_search_of_its_own() -> None:
    """Intended when the plan has it, counted as the device's second."""
    life = Life(policy(renew=RenewPolicy(at=0.5, times=1)))
    life.live([ISSUED, ISSUED])
    first, second = life.witness.ended
    assert (first.goal, second.goal) == (Goal.ENROLL, Goal.RENEW)
    assert (first.number, second.number) == (1, 2)
    assert life.witness.samples[1].cause is Cause.PLAN
    assert second.intended_ns == to_ns(life.witness.samples[0].stamps.ended_ns / NS_PER_S + VALIDITY_S / 2)


def test_a_search_that_is_retired_ends_so() -> None:
    """And nothing is left open."""
    life = Life(policy())
    life.live([deferred(10.0)])
    life.order(Retire())
    life.ledger.open_at_the_end(life.device)
    assert [each.end for each in life.witness.ended] == [EnrolmentEnd.RETIRED]
    assert life.witness.left_open == []


def test_a_certificate_is_described_and_never_its_key() -> None:
    """Serial, issuer, subject, end and the hash of the public key, for whoever holds a row against the CA's list."""
    factory = ManufacturerCA.made("m")
    credential = factory.issue(make_key(cohort().key), subject(3))
    issued = Issued(read_certificate(credential.certificate_der))
    theirs = x509.load_der_x509_certificate(credential.certificate_der)
    life = Life(ONCE)
    enrolment = life.live([issued])
    assert enrolment is not None
    assert enrolment.serial is not None
    assert int(enrolment.serial, 16) == theirs.serial_number
    assert (enrolment.subject, enrolment.issuer) == ("CN=meter-3", "CN=estsim manufacturer m")
    assert enrolment.not_after == theirs.not_valid_after_utc.isoformat()
    assert len(enrolment.key_sha256 or "") == 64
    assert enrolment.margin_s is None


@given(
    told_s=st.floats(0, 2**31),
    obedience=st.floats(0, 3),
    backoff_s=st.sampled_from([0.0, 1.5]),
    runs_s=st.floats(0, 2**32),
    at_s=st.floats(0, 1e6),
)
def test_the_parts_of_a_wait_make_what_it_runs(
    told_s: float, obedience: float, backoff_s: float, runs_s: float, at_s: float
) -> None:
    """Where a limit cuts it, and where an impatient device saves all of 2^31 s and a clock is a nanosecond late."""
    device_s = told_s * (obedience - 1)
    runs_s = min(runs_s, told_s + device_s + backoff_s)
    wait = WaitUntil(0, at_s + runs_s, Why.DEFERRAL, told_s, device_s, backoff_s)
    late_ns = to_ns(at_s) + 1
    enrolment = Enrolment(0, "meters", 1, Goal.ENROLL, 0)
    _book_wait(enrolment, wait, late_ns)
    made_ns = enrolment.told_ns + enrolment.device_ns + enrolment.backoff_ns
    assert abs(made_ns - max(0, to_ns(wait.at_s) - late_ns)) <= 1000
