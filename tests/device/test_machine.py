"""The device: what it does with every answer, limit and event."""

from contextlib import suppress
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estsim.device.behaviour import Behaviour
from estsim.device.commands import CONTINUE, Command, Continue, Exchange, Stop, WaitUntil
from estsim.device.events import (
    Answered,
    Commissioned,
    Event,
    Lifetime,
    PowerCut,
    PowerRestored,
    RenewNow,
    Retire,
    Started,
    StopAsked,
    Woke,
)
from estsim.device.machine import Machine
from estsim.device.memory import Memory
from estsim.device.policy import (
    AfterExpiry,
    AfterFailure,
    AfterRenewals,
    Attributes,
    BootPolicy,
    DeferralPolicy,
    EnrollPolicy,
    Fetch,
    Jitter,
    Policy,
    RenewPolicy,
    RetryOn,
    RetryPolicy,
)
from estsim.device.states import CredentialChoice, KeyChoice, State, StopReason, Why
from estsim.device.transitions import TRANSITIONS
from estsim.errors import IllegalTransition, Phase, Trouble
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import (
    Abandoned,
    CACertificates,
    Challenged,
    Deferred,
    Failed,
    Issued,
    Malformed,
    NoCSRAttributes,
    Outcome,
    Overloaded,
    Rejected,
    RetryAfter,
    RetryAfterForm,
    ServerError,
    Unauthorized,
)
from estsim.testing import ScriptedDevice, deferred
from estsim.units import Constant, Uniform

ISSUED = Issued(None)
CAS = CACertificates(())
RESET = Failed(Phase.WAIT, Trouble.RESET, "connection reset")
PLAIN = EnrollPolicy(cacerts=Fetch.NEVER)
STEADY = RetryPolicy(jitter=Jitter.NONE)


def wait_of(command: Command) -> WaitUntil:
    """Return the command as the wait that it must be."""
    assert isinstance(command, WaitUntil), command
    return command


def exchange_of(command: Command) -> Exchange:
    """Return the command as the exchange that it must be."""
    assert isinstance(command, Exchange), command
    return command


def enrolled(policy: Policy, *, validity_s: float = 100.0) -> ScriptedDevice:
    """Return a device that has its first certificate at time 0."""
    device = ScriptedDevice(policy, [], validity_s=validity_s)
    first = exchange_of(device.tell(Started(0.0)))
    device.tell(Answered(first.turn, ISSUED, Lifetime(0.0, validity_s)))
    assert device.machine.state is State.OPERATIONAL
    return device


def test_a_first_enrolment_fetches_the_authorities_then_enrolls_with_a_new_key() -> None:
    """The chain is cacerts, csrattrs, certificate; the second step is born of the first's answer."""
    policy = Policy(enroll=EnrollPolicy(csrattrs=Attributes.FETCH))
    device = ScriptedDevice(policy, [CAS, NoCSRAttributes(), ISSUED], service_s=0.5)
    device.run()
    ca, attributes, enroll = device.exchanges()[:3]
    assert [e.operation for e in (ca, attributes, enroll)] == [
        Operation.CACERTS,
        Operation.CSRATTRS,
        Operation.SIMPLEENROLL,
    ]
    assert (ca.cause, ca.intended_s, ca.opens_s, ca.key) == (Cause.PLAN, 0.0, 0.0, KeyChoice.NONE)
    assert (enroll.cause, enroll.intended_s, enroll.opens_s) == (Cause.CHAIN, 1.0, None)
    assert (enroll.key, enroll.credential, enroll.attempt) == (KeyChoice.NEW, CredentialChoice.BOOTSTRAP, 3)


def test_a_renewal_speaks_as_the_certificate_it_renews() -> None:
    """Due at its share of the lifetime, born of the plan, with the issued credential and a new key."""
    device = ScriptedDevice(Policy(enroll=PLAIN, renew=RenewPolicy(at=0.5, times=1)), [ISSUED, ISSUED], validity_s=100)
    commands = device.run()
    assert wait_of(commands[1]).at_s == 50.0
    renewal = device.exchanges()[1]
    assert (renewal.operation, renewal.credential) == (Operation.SIMPLEREENROLL, CredentialChoice.ISSUED)
    assert (renewal.cause, renewal.intended_s, renewal.goal, renewal.enrolment) == (Cause.PLAN, 50.0, Goal.RENEW, 2)
    last = wait_of(commands[-1])
    assert (last.why, last.at_s, last.ends) == (Why.NOTHING, inf, EnrolmentEnd.ISSUED)


def test_a_renewal_without_rekey_keeps_the_key() -> None:
    """Renew and rekey differ in the key alone."""
    policy = Policy(enroll=PLAIN, renew=RenewPolicy(rekey=False, times=1))
    device = ScriptedDevice(policy, [ISSUED, ISSUED])
    device.run()
    assert device.exchanges()[1].key is KeyChoice.HELD


def test_a_device_that_has_renewed_enough_leaves_if_told_so() -> None:
    """``times: 2, then: leave`` is two renewals, then retirement."""
    renew = RenewPolicy(at=0.5, times=2, then=AfterRenewals.LEAVE)
    device = ScriptedDevice(Policy(enroll=PLAIN, renew=renew), [ISSUED] * 9)
    last = device.run()[-1]
    assert isinstance(last, Stop)
    assert (last.reason, last.ends, len(device.exchanges())) == (StopReason.RETIRED, EnrolmentEnd.ISSUED, 3)
    assert device.machine.state is State.RETIRED


def test_a_deferral_is_obeyed_to_the_told_second_and_repeats_the_same_request() -> None:
    """RFC 7030 §4.2.3: wait at least as told, then the same request, with the same key."""
    device = ScriptedDevice(Policy(enroll=PLAIN), [deferred(7), ISSUED], service_s=0.25)
    commands = device.run()
    wait = wait_of(commands[1])
    assert (wait.at_s, wait.told_s, wait.device_s, wait.why) == (7.25, 7.0, 0.0, Why.DEFERRAL)
    poll = device.exchanges()[1]
    assert (poll.cause, poll.intended_s, poll.key, poll.attempt) == (Cause.POLL, 7.25, KeyChoice.PENDING, 2)


@given(st.floats(0, 1e6), st.floats(0, 1), st.integers(0, 2**31))
def test_an_obedient_device_is_never_early(told_s: float, spread: float, seed: int) -> None:
    """Its spread is only ever added, and the two parts are the whole wait."""
    policy = Policy(enroll=PLAIN, deferral=DeferralPolicy(spread=Uniform(0.0, spread), max_wait_s=inf))
    device = ScriptedDevice(policy, [deferred(told_s)], seed=seed)
    wait = wait_of(device.run()[1])
    assert wait.at_s >= told_s
    assert wait.at_s == pytest.approx(wait.told_s + wait.device_s)


@pytest.mark.parametrize(("obedience", "polls_at_s"), [(0.0, 0.0), (0.5, 5.0), (1.2, 12.0)])
def test_disobedience_is_the_devices_own_part_of_the_wait(obedience: float, polls_at_s: float) -> None:
    """Ignoring, impatient and late devices wait a share of what they were told."""
    device = ScriptedDevice(Policy(enroll=PLAIN, deferral=DeferralPolicy(obedience=obedience)), [deferred(10)])
    wait = wait_of(device.run()[1])
    assert wait.at_s == pytest.approx(polls_at_s)
    assert wait.told_s == 10.0


def test_a_deferral_without_retry_after_waits_as_the_scenario_says() -> None:
    """The wait is then the device's own, not told."""
    device = ScriptedDevice(Policy(enroll=PLAIN, deferral=DeferralPolicy(when_missing_s=9)), [Deferred()])
    wait = wait_of(device.run()[1])
    assert (wait.at_s, wait.told_s, wait.device_s) == (9.0, 0.0, 9.0)


def test_patience_ends_with_max_polls_and_with_max_wait() -> None:
    """Both end the enrolment as impatient, and the device gives up."""
    by_polls = ScriptedDevice(Policy(enroll=PLAIN, deferral=DeferralPolicy(max_polls=3)), [deferred(1)] * 9)
    by_wait = ScriptedDevice(Policy(enroll=PLAIN, deferral=DeferralPolicy(max_wait_s=2.5)), [deferred(1)] * 9)
    for device, at_s in ((by_polls, 3.0), (by_wait, 2.5)):
        last = wait_of(device.run()[-1])
        assert (last.ends, last.why, device.now_s) == (EnrolmentEnd.IMPATIENT, Why.HELP, at_s)
        assert device.machine.state is State.GAVE_UP


def test_the_enrolment_deadline_cuts_a_wait_short() -> None:
    """The wake-up is at the deadline, not at the next poll."""
    device = ScriptedDevice(Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER, deadline_s=5)), [deferred(60)])
    commands = device.run()
    assert wait_of(commands[1]).at_s == 5.0
    assert wait_of(commands[2]).ends is EnrolmentEnd.DEADLINE


def test_backoff_doubles_up_to_its_cap_and_ends_exhausted() -> None:
    """Five failures in a row are the end; a failure's retry keeps the key of the request."""
    policy = Policy(enroll=PLAIN, retry=RetryPolicy(base_s=1, cap_s=3, jitter=Jitter.NONE, attempts=5))
    device = ScriptedDevice(policy, [RESET] * 9)
    commands = device.run()
    assert [w.backoff_s for w in commands if isinstance(w, WaitUntil)] == [1.0, 2.0, 3.0, 3.0, 0.0]
    assert [e.cause for e in device.exchanges()] == [Cause.PLAN] + [Cause.RETRY] * 4
    assert [e.key for e in device.exchanges()] == [KeyChoice.NEW] + [KeyChoice.PENDING] * 4
    assert wait_of(commands[-1]).ends is EnrolmentEnd.EXHAUSTED


def test_a_deferral_resets_the_count_of_failures() -> None:
    """Consecutive means consecutive."""
    script: list[Outcome] = [RESET, RESET, deferred(1), RESET, RESET, ISSUED]
    device = ScriptedDevice(Policy(enroll=PLAIN, retry=RetryPolicy(attempts=3, jitter=Jitter.NONE)), script)
    device.run()
    assert wait_of(device.commands[len(script) * 2 - 1]).ends is EnrolmentEnd.ISSUED


def test_an_overloaded_server_is_backed_off_as_it_says() -> None:
    """503 with Retry-After: its wait, booked as backoff and not as told."""
    told = Overloaded(RetryAfter(17.0, RetryAfterForm.SECONDS))
    wait = wait_of(ScriptedDevice(Policy(enroll=PLAIN), [told]).run()[1])
    assert (wait.at_s, wait.backoff_s, wait.told_s, wait.why) == (17.0, 17.0, 0.0, Why.BACKOFF)


@pytest.mark.parametrize(
    "outcome",
    [Rejected(403, ""), Unauthorized(""), Malformed("", "RFC 7030 §4.2.3")],
    ids=lambda o: type(o).__name__,
)
def test_a_refused_first_enrolment_gives_up(outcome: Outcome) -> None:
    """And plans nothing more: the run may settle."""
    last = wait_of(ScriptedDevice(Policy(enroll=PLAIN), [outcome]).run()[-1])
    assert (last.ends, last.at_s, last.why) == (EnrolmentEnd.REFUSED, inf, Why.HELP)


@pytest.mark.parametrize(
    ("outcome", "listed"),
    [
        (ServerError(500, ""), RetryOn.SERVER_ERROR),
        (Overloaded(status=503), RetryOn.SERVER_ERROR),
        (Overloaded(status=429), RetryOn.THROTTLED),
        (Failed(Phase.RESOLVE, Trouble.REFUSED, ""), RetryOn.CONNECT),
        (Failed(Phase.CONNECT, Trouble.TIMEOUT, ""), RetryOn.CONNECT),
        (Failed(Phase.CONNECT, Trouble.TIMEOUT, ""), RetryOn.TIMEOUT),
        (Failed(Phase.HANDSHAKE, Trouble.TLS, ""), RetryOn.HANDSHAKE),
        (Failed(Phase.WAIT, Trouble.TIMEOUT, ""), RetryOn.TIMEOUT),
        (Failed(Phase.RECEIVE, Trouble.RESET, ""), RetryOn.RESET),
    ],
)
def test_only_listed_failures_are_tried_again(outcome: Outcome, listed: RetryOn) -> None:
    """A failure that the scenario does not list is a refusal."""
    tries = Policy(enroll=PLAIN, retry=RetryPolicy(on=frozenset({listed})))
    refuses = Policy(enroll=PLAIN, retry=RetryPolicy(on=frozenset(RetryOn) - {listed} - _also_named(outcome)))
    assert wait_of(ScriptedDevice(tries, [outcome]).run()[1]).why is Why.BACKOFF
    assert wait_of(ScriptedDevice(refuses, [outcome]).run()[1]).ends is EnrolmentEnd.REFUSED


def _also_named(outcome: Outcome) -> set[RetryOn]:
    """Return both names of a connection that timed out."""
    timed_out = isinstance(outcome, Failed) and outcome.phase is Phase.CONNECT and outcome.trouble is Trouble.TIMEOUT
    return {RetryOn.CONNECT, RetryOn.TIMEOUT} if timed_out else set()


def test_a_refused_renewal_goes_on_with_the_old_certificate_and_tries_again() -> None:
    """Every ``retry_every`` of the lifetime, from its refusal on, as a new enrolment."""
    device = enrolled(Policy(enroll=PLAIN, renew=RenewPolicy(at=0.5, retry_every=0.1)))
    wait = wait_of(device.commands[-1])
    device.now_s = wait.at_s
    renewal = exchange_of(device.tell(Woke(wait.turn)))
    back = wait_of(device.tell(Answered(renewal.turn, Rejected(403, "no"))))
    assert (device.machine.state, back.ends, back.at_s) == (State.OPERATIONAL, EnrolmentEnd.REFUSED, 60.0)
    device.now_s = back.at_s
    again = exchange_of(device.tell(Woke(back.turn)))
    assert (again.enrolment, again.cause, again.intended_s) == (3, Cause.PLAN, 60.0)


def test_an_ordered_renewal_that_fails_leaves_a_device_that_never_renews_as_it_was() -> None:
    """With ``renew: off`` there is no next time, until somebody gives the order again."""
    device = enrolled(Policy(enroll=PLAIN, renew=None))
    renewal = exchange_of(device.tell(RenewNow(1.0)))
    back = wait_of(device.tell(Answered(renewal.turn, Rejected(403, "no"))))
    assert (device.machine.state, back.ends, back.at_s) == (State.OPERATIONAL, EnrolmentEnd.REFUSED, inf)


@pytest.mark.parametrize(
    ("then", "state"),
    [
        (AfterExpiry.ENROLL, State.ENROLLING),
        (AfterExpiry.WAIT, State.EXPIRED),
        (AfterExpiry.GIVE_UP, State.GAVE_UP),
    ],
)
def test_a_certificate_that_expires_while_its_renewal_is_deferred(then: AfterExpiry, state: State) -> None:
    """The wait ends at notAfter, the renewal as expired, and the policy says what then."""
    device = enrolled(Policy(enroll=PLAIN, renew=RenewPolicy(at=0.5, expired=then)))
    wait = wait_of(device.commands[-1])
    device.now_s = wait.at_s
    renewal = exchange_of(device.tell(Woke(wait.turn)))
    told = wait_of(device.tell(Answered(renewal.turn, deferred(3600))))
    assert told.at_s == 100.0
    device.now_s = told.at_s
    command = device.tell(Woke(told.turn))
    assert isinstance(command, Exchange | WaitUntil)
    assert (command.ends, device.machine.state) == (EnrolmentEnd.EXPIRED, state)
    if isinstance(command, Exchange):
        assert (command.credential, command.goal) == (CredentialChoice.BOOTSTRAP, Goal.ENROLL)


def test_a_certificate_that_comes_after_the_deadline_is_still_taken() -> None:
    """Nobody throws away what it was given."""
    policy = Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER, deadline_s=1))
    device = ScriptedDevice(policy, [ISSUED], service_s=5)
    assert wait_of(device.run()[1]).ends is EnrolmentEnd.ISSUED


def test_lifetime_scale_makes_a_certificate_age_faster() -> None:
    """A day at sixty times the speed is 24 minutes."""
    renew = RenewPolicy(at=0.5, lifetime_scale=60)
    device = enrolled(Policy(enroll=PLAIN, renew=renew), validity_s=86_400)
    assert wait_of(device.commands[-1]).at_s == pytest.approx(720.0)
    assert device.machine.not_after_s == pytest.approx(1440.0)


@given(st.integers(0, 2**31), st.floats(0, 0.3))
def test_renewals_spread_around_their_share_of_the_lifetime(seed: int, spread: float) -> None:
    """Within the spread, never in the past."""
    policy = Policy(enroll=PLAIN, renew=RenewPolicy(at=0.5, spread=Uniform(-spread, spread)))
    device = ScriptedDevice(policy, [ISSUED], seed=seed, validity_s=100.0)
    at_s = wait_of(device.run()[1]).at_s
    assert 50 - 100 * spread - 1e-6 <= at_s <= 50 + 100 * spread + 1e-6


def test_a_power_cut_in_an_exchange_cuts_it_and_boots_anew() -> None:
    """The late answer is dropped; the device enrolls again when the power is back."""
    device = ScriptedDevice(Policy(enroll=PLAIN), [])
    first = exchange_of(device.tell(Started(0.0)))
    off = wait_of(device.tell(PowerCut()))
    assert (off.why, off.at_s, off.ends, device.machine.state) == (Why.POWER, inf, EnrolmentEnd.CUT, State.OFF)
    assert device.tell(Answered(first.turn, ISSUED, Lifetime(0, 100))) is CONTINUE
    device.now_s = 9.0
    again = exchange_of(device.tell(PowerRestored(8.5)))
    assert (again.enrolment, again.intended_s, again.cause, again.key) == (2, 8.5, Cause.PLAN, KeyChoice.NEW)


def test_two_overlapping_cuts_need_two_returns() -> None:
    """Cuts are counted."""
    device = enrolled(Policy(enroll=PLAIN))
    device.tell(PowerCut())
    assert device.tell(PowerCut()) is CONTINUE
    assert device.tell(PowerRestored(1.0)) is CONTINUE
    assert isinstance(device.tell(PowerRestored(2.0)), WaitUntil)
    assert device.machine.state is State.OPERATIONAL


def test_a_device_switched_on_in_a_power_cut_boots_when_it_is_over() -> None:
    """Started and powered are both needed."""
    device = ScriptedDevice(Policy(enroll=PLAIN), [])
    assert device.tell(PowerCut()) is CONTINUE
    assert device.tell(Started(1.0)) is CONTINUE
    assert exchange_of(device.tell(PowerRestored(5.0))).intended_s == 5.0


@pytest.mark.parametrize(
    ("cut", "state", "key"),
    [
        (PowerCut(keeps_key=True, keeps_pending=True), State.DEFERRED, None),
        (PowerCut(keeps_key=True), State.ENROLLING, KeyChoice.PENDING),
        (PowerCut(), State.ENROLLING, KeyChoice.NEW),
        (PowerCut(keeps_pending=True), State.ENROLLING, KeyChoice.NEW),
    ],
)
def test_what_a_power_cut_leaves_of_a_deferred_request(cut: PowerCut, state: State, key: KeyChoice | None) -> None:
    """With key and request kept it waits on as told, as a new enrolment; else it asks again."""
    device = ScriptedDevice(Policy(enroll=PLAIN), [])
    first = exchange_of(device.tell(Started(0.0)))
    device.tell(Answered(first.turn, deferred(30)))
    assert wait_of(device.tell(cut)).ends is EnrolmentEnd.CUT
    device.now_s = 10.0
    command = device.tell(PowerRestored(10.0))
    assert device.machine.state is state
    assert isinstance(command, Exchange | WaitUntil)
    assert command.opens_s == 10.0
    if isinstance(command, WaitUntil):
        assert (command.at_s, command.told_s, device.machine.enrolment) == (30.0, 20.0, 2)
        device.now_s = 30.0
        assert exchange_of(device.tell(Woke(command.turn))).key is KeyChoice.PENDING
    else:
        assert command.key is key


@pytest.mark.parametrize(("age_s", "renews"), [(40.0, False), (60.0, True)])
def test_a_boot_renews_a_certificate_past_its_share(age_s: float, *, renews: bool) -> None:
    """``on_boot: {renew_if: 50%}``."""
    policy = Policy(enroll=PLAIN, renew=RenewPolicy(at=0.9), boot=BootPolicy(renew_if=0.5))
    device = enrolled(policy)
    device.tell(PowerCut())
    device.now_s = age_s
    command = device.tell(PowerRestored(age_s))
    assert isinstance(command, Exchange) is renews


def test_a_certificate_that_expired_in_the_dark_is_sought_anew() -> None:
    """With the bootstrap credential."""
    device = enrolled(Policy(enroll=PLAIN))
    device.tell(PowerCut())
    device.now_s = 500.0
    assert exchange_of(device.tell(PowerRestored(500.0))).credential is CredentialChoice.BOOTSTRAP


@pytest.mark.parametrize(
    ("then", "state"), [(AfterFailure.GIVE_UP, State.GAVE_UP), (AfterFailure.UNTIL_POWER_UP, State.ENROLLING)]
)
def test_a_device_that_gave_up_may_try_again_after_a_power_up(then: AfterFailure, state: State) -> None:
    """Only where the policy says so."""
    device = ScriptedDevice(Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER, then=then)), [])
    first = exchange_of(device.tell(Started(0.0)))
    device.tell(Answered(first.turn, Rejected(403, "")))
    device.tell(PowerCut())
    device.tell(PowerRestored(9.0))
    assert device.machine.state is state


def test_an_order_to_renew_acts_at_once_or_is_remembered() -> None:
    """At once when operational; an enrolment under way satisfies it; in the dark it waits for the boot."""
    device = enrolled(Policy(enroll=PLAIN))
    device.now_s = 3.0
    renewal = exchange_of(device.tell(RenewNow(2.5)))
    assert (renewal.intended_s, renewal.cause) == (2.5, Cause.PLAN)
    assert device.tell(RenewNow(3.0)) is CONTINUE
    device.tell(Answered(renewal.turn, ISSUED, Lifetime(3.0, 103.0)))
    assert not device.machine.renew_asked
    device.tell(PowerCut())
    assert device.tell(RenewNow(4.0)) is CONTINUE
    assert exchange_of(device.tell(PowerRestored(5.0))).operation is Operation.SIMPLEREENROLL


@pytest.mark.parametrize(("event", "reason"), [(StopAsked(), StopReason.ASKED), (Retire(), StopReason.RETIRED)])
def test_a_certificate_under_way_is_taken_before_the_device_stops(event: Event, reason: StopReason) -> None:
    """A stop in an exchange waits for its answer."""
    device = ScriptedDevice(Policy(enroll=PLAIN), [])
    first = exchange_of(device.tell(Started(0.0)))
    assert device.tell(event) is CONTINUE
    stop = device.tell(Answered(first.turn, ISSUED, Lifetime(0, 100)))
    assert isinstance(stop, Stop)
    assert (stop.reason, stop.ends) == (reason, EnrolmentEnd.ISSUED)


def test_a_stop_leaves_a_deferred_enrolment_open() -> None:
    """It is not ended but cut off by the end of the run: censored, no failure."""
    device = ScriptedDevice(Policy(enroll=PLAIN), [])
    first = exchange_of(device.tell(Started(0.0)))
    device.tell(Answered(first.turn, deferred(60)))
    stop = device.tell(StopAsked())
    assert isinstance(stop, Stop)
    assert (stop.reason, stop.ends, device.machine.state) == (StopReason.ASKED, None, State.DEFERRED)
    with pytest.raises(IllegalTransition):
        device.tell(StopAsked())


def test_no_new_exchange_follows_a_stop() -> None:
    """After cacerts the chain would go on; a stop ends it there."""
    device = ScriptedDevice(Policy(), [])
    first = exchange_of(device.tell(Started(0.0)))
    device.tell(StopAsked())
    assert isinstance(device.tell(Answered(first.turn, CAS)), Stop)


@pytest.mark.parametrize("outcome", [Abandoned("stop"), Challenged("basic", "est")])
def test_what_belongs_inside_an_exchange_never_reaches_the_machine(outcome: Outcome) -> None:
    """The driver's business, and nothing changes."""
    device = ScriptedDevice(Policy(enroll=PLAIN), [])
    first = exchange_of(device.tell(Started(0.0)))
    with pytest.raises(IllegalTransition):
        device.tell(Answered(first.turn, outcome))
    assert device.machine.state is State.ENROLLING


OUTCOMES = st.sampled_from(
    [
        ISSUED,
        CAS,
        deferred(2),
        Deferred(),
        RESET,
        ServerError(500, ""),
        Overloaded(),
        Rejected(403, ""),
        NoCSRAttributes(),
    ]
)
POLICIES = st.builds(
    Policy,
    enroll=st.builds(
        EnrollPolicy,
        cacerts=st.sampled_from(Fetch),
        csrattrs=st.sampled_from(Attributes),
        deadline_s=st.sampled_from([5.0, inf]),
        then=st.sampled_from(AfterFailure),
    ),
    renew=st.none()
    | st.builds(
        RenewPolicy,
        at=st.sampled_from([0.0, 0.5, 1.5]),
        rekey=st.booleans(),
        times=st.sampled_from([None, 0, 1]),
        then=st.sampled_from(AfterRenewals),
        expired=st.sampled_from(AfterExpiry),
        lifetime_scale=st.sampled_from([1.0, 60.0]),
    ),
    deferral=st.builds(DeferralPolicy, obedience=st.sampled_from([0.0, 1.0, 1.2]), max_polls=st.integers(1, 3)),
    retry=st.builds(RetryPolicy, attempts=st.integers(1, 3), stubborn=st.booleans()),
    boot=st.builds(BootPolicy, renew_if=st.sampled_from([None, 0.5]), cacerts=st.booleans()),
)
OTHER_EVENTS = st.sampled_from(
    [
        Started(0.0),
        Commissioned(Lifetime(-5.0, 20.0)),
        PowerCut(),
        PowerCut(keeps_key=True, keeps_pending=True),
        PowerRestored(0.0),
        RenewNow(0.0),
        Retire(),
        StopAsked(),
        "late answer",
        "late wake-up",
    ]
)


def _event(choice: object, outstanding: Command | None, outcome: Outcome, now_s: float) -> Event:
    """Return a plausible or an odd event: the answer to what is outstanding, a late one, or anything else."""
    turn = outstanding.turn if isinstance(outstanding, Exchange | WaitUntil) else 0
    if choice == "late answer":
        return Answered(turn - 1, outcome, Lifetime(now_s, now_s + 10))
    if choice == "late wake-up":
        return Woke(turn - 1)
    if choice == "result":
        if isinstance(outstanding, Exchange):
            return Answered(turn, outcome, Lifetime(now_s, now_s + 10) if outcome is ISSUED else None)
        return Woke(turn)
    assert isinstance(choice, Event)
    return choice


@settings(max_examples=300, deadline=None)
@given(
    POLICIES,
    st.lists(st.tuples(st.just("result") | OTHER_EVENTS, OUTCOMES, st.floats(0, 6)), min_size=1, max_size=40),
)
def test_any_sequence_of_events_is_answered_by_the_table_or_refused_whole(
    policy: Policy, events: list[tuple[object, Outcome, float]]
) -> None:
    """No pair is passed over in silence, a refusal changes nothing, one command is outstanding."""
    machine = Machine(Behaviour(policy), seed=7, device=3)
    outstanding: Command | None = None
    opened = ended = 0
    now_s = 0.0
    for choice, outcome, pause_s in events:
        now_s += pause_s
        event = _event(choice, outstanding, outcome, now_s)
        before = {name: getattr(machine, name) for name in Memory.__slots__}
        late = isinstance(event, Woke | Answered) and event.turn != machine.turn
        known = not machine.stopped and type(event) in TRANSITIONS[machine.state]
        try:
            command = machine.step(event, now_s)
        except IllegalTransition:
            assert not late
            assert {name: getattr(machine, name) for name in Memory.__slots__} == before
            continue
        assert late or known
        assert machine.now_s >= before["now_s"]
        if isinstance(command, Continue):
            assert machine.turn == before["turn"]
            continue
        assert command.turn > before["turn"]
        ended += command.ends is not None
        opened += not isinstance(command, Stop) and command.opens_s is not None
        assert opened - ended in {0, 1}
        if not isinstance(command, Stop):
            assert (opened - ended == 1) is (machine.goal is not None)
        if isinstance(command, WaitUntil):
            assert command.at_s >= 0
        outstanding = command


@given(POLICIES, st.lists(OUTCOMES, max_size=20), st.integers(0, 2**63 - 1))
def test_the_same_seed_and_outcomes_give_the_same_commands(policy: Policy, script: list[Outcome], seed: int) -> None:
    """Nothing but seed, device, policy and answers goes into a command."""
    runs = [ScriptedDevice(policy, script, seed=seed, device=5, validity_s=50, service_s=0.1) for _ in range(2)]
    for run in runs:
        with suppress(IllegalTransition):  # the script may answer another operation than was asked
            run.run()
    assert runs[0].commands == runs[1].commands


def test_every_state_of_the_table_can_be_reached_and_every_target_exists() -> None:
    """The table has no island and no dead reference."""
    reached, frontier = {State.OFF}, [State.OFF]
    while frontier:
        for targets in TRANSITIONS[frontier.pop()].values():
            new = targets - reached
            reached |= new
            frontier.extend(new)
    assert reached == set(State) == set(TRANSITIONS)


def test_spread_is_a_constant_zero_by_default() -> None:
    """A device without a spread acts on the second."""
    assert DeferralPolicy().spread == RenewPolicy().spread == Constant(0.0)
