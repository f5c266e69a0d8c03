"""Devices in service from before the run, and what a device with a certificate does as it powers up."""

from dataclasses import replace
from math import inf
from typing import Final

import pytest

from estsim.device.commands import Command, Exchange, WaitUntil
from estsim.device.events import (
    Answered,
    Commissioned,
    Lifetime,
    PowerCut,
    PowerRestored,
    RenewNow,
    Started,
    Woke,
)
from estsim.device.policy import (
    AfterExpiry,
    AfterRenewals,
    BootPolicy,
    EnrollPolicy,
    Fetch,
    Jitter,
    Policy,
    RenewPolicy,
    RetryPolicy,
)
from estsim.device.states import CredentialChoice, KeyChoice, State, Why
from estsim.errors import IllegalTransition, Phase, Trouble
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import CACertificates, Failed, Issued, Rejected
from estsim.testing import ScriptedDevice

CAS: Final = CACertificates(())
RESET: Final = Failed(Phase.WAIT, Trouble.RESET, "connection reset")
LIFETIME: Final = Lifetime(-30.0, 70.0)  # a hundred seconds, of which thirty are over
FETCHING: Final = Policy(
    enroll=EnrollPolicy(cacerts=Fetch.ONCE),
    boot=BootPolicy(cacerts=True),
    retry=RetryPolicy(jitter=Jitter.NONE, attempts=2),
)


def commissioned(policy: Policy, lifetime: Lifetime = LIFETIME) -> tuple[ScriptedDevice, WaitUntil]:
    """Return a device that is in service as the run begins, and its first wait."""
    device = ScriptedDevice(policy, [])
    wait = device.tell(Commissioned(lifetime))
    assert isinstance(wait, WaitUntil)
    assert device.machine.state is State.OPERATIONAL
    return device, wait


def rebooted(policy: Policy, at_s: float = 5.0) -> tuple[ScriptedDevice, Command]:
    """Return a device in service that lost its power and has it back, and what it does."""
    device, _ = commissioned(policy)
    device.tell(PowerCut())
    device.now_s = at_s
    return device, device.tell(PowerRestored(at_s))


# -- in service from the start


@pytest.mark.parametrize(
    ("renew", "due_s"),
    [
        (RenewPolicy(at=0.5), 20.0),
        (RenewPolicy(at=0.2), 0.0),  # overdue: at once
        (RenewPolicy(after_s=45.0), 15.0),  # from the issue
        (RenewPolicy(at=0.5, lifetime_scale=10.0), 2.0),
        (RenewPolicy(times=0), inf),
        (None, inf),
    ],
)
def test_the_renewal_is_due_as_if_it_had_been_planned_then(renew: RenewPolicy | None, due_s: float) -> None:
    """No enrolment is opened by it, and no exchange."""
    device, wait = commissioned(Policy(renew=renew))
    assert wait.at_s == pytest.approx(due_s)
    assert (wait.opens_s, wait.ends, device.exchanges()) == (None, None, [])
    assert wait.why is (Why.NOTHING if due_s == inf else Why.RENEWAL)


def test_it_renews_as_what_it_owns_and_knows_the_authorities() -> None:
    """Its first exchange is the renewal, planned, with the certificate from before."""
    device, wait = commissioned(Policy(renew=RenewPolicy(at=0.5)))
    device.now_s = 20.0
    command = device.tell(Woke(wait.turn))
    assert isinstance(command, Exchange)
    assert (command.operation, command.credential) == (Operation.SIMPLEREENROLL, CredentialChoice.ISSUED)
    assert (command.goal, command.cause, command.enrolment) == (Goal.RENEW, Cause.PLAN, 1)
    assert command.intended_s == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("then", "state"),
    [
        (AfterExpiry.ENROLL, State.FETCHING_CA),
        (AfterExpiry.WAIT, State.EXPIRED),
        (AfterExpiry.GIVE_UP, State.GAVE_UP),
    ],
)
def test_one_whose_life_is_over_finds_out_at_once(then: AfterExpiry, state: State) -> None:
    """An age of 100 %."""
    policy = Policy(enroll=EnrollPolicy(cacerts=Fetch.ALWAYS), renew=RenewPolicy(expired=then))
    device, wait = commissioned(policy, Lifetime(-100.0, 0.0))
    assert wait.at_s == 0.0
    device.tell(Woke(wait.turn))
    assert device.machine.state is state


def test_it_is_started_once_one_way_or_the_other() -> None:
    """Nor can one be commissioned that was started, or that is without power."""
    device, _ = commissioned(Policy())
    with pytest.raises(IllegalTransition):
        device.tell(Started(0.0))
    dark = ScriptedDevice(Policy(), [])
    dark.tell(PowerCut())
    with pytest.raises(IllegalTransition):
        dark.tell(Commissioned(LIFETIME))


def test_the_number_of_renewals_counts_from_the_start() -> None:
    """One renewal, and then it leaves."""
    device, wait = commissioned(Policy(renew=RenewPolicy(at=0.5, times=1, then=AfterRenewals.LEAVE)))
    device.now_s = 20.0
    command = device.tell(Woke(wait.turn))
    assert isinstance(command, Exchange)
    device.tell(Answered(command.turn, Issued(None), Lifetime(20.0, 120.0)))
    assert device.machine.state is State.RETIRED


# -- on_boot: cacerts


def test_a_boot_with_a_certificate_fetches_the_authorities_and_goes_on() -> None:
    """Nothing is sought: no enrolment is opened, the renewal stays where it was."""
    device, command = rebooted(FETCHING)
    assert isinstance(command, Exchange)
    assert (command.operation, command.key, command.goal) == (Operation.CACERTS, KeyChoice.NONE, None)
    assert (command.credential, command.cause) == (CredentialChoice.ISSUED, Cause.PLAN)
    assert (command.opens_s, command.intended_s) == (None, 5.0)
    wait = device.tell(Answered(command.turn, CAS))
    assert isinstance(wait, WaitUntil)
    assert wait.at_s == pytest.approx(36.0)
    assert (wait.why, wait.ends) == (Why.RENEWAL, None)
    assert device.machine.has_ca


def test_a_renewal_at_the_boot_fetches_them_first() -> None:
    """As steps of one enrolment."""
    policy = replace(FETCHING, boot=BootPolicy(cacerts=True, renew_if=0.3))
    device, command = rebooted(policy)
    assert isinstance(command, Exchange)
    assert (command.operation, command.goal, command.opens_s) == (Operation.CACERTS, Goal.RENEW, 5.0)
    following = device.tell(Answered(command.turn, CAS))
    assert isinstance(following, Exchange)
    assert following.operation is Operation.SIMPLEREENROLL


def test_a_fetch_that_fails_is_tried_again_and_then_left_for_the_next_enrolment() -> None:
    """The certificate still holds; the renewal asks for the authorities first."""
    device, command = rebooted(FETCHING)
    assert isinstance(command, Exchange)
    wait = device.tell(Answered(command.turn, RESET))
    assert isinstance(wait, WaitUntil)
    assert (wait.why, wait.at_s, device.machine.state) == (Why.BACKOFF, 6.0, State.BACKING_OFF)
    device.now_s = 6.0
    again = device.tell(Woke(wait.turn))
    assert isinstance(again, Exchange)
    assert (again.operation, again.cause, again.goal) == (Operation.CACERTS, Cause.RETRY, None)
    rest = device.tell(Answered(again.turn, RESET))
    assert isinstance(rest, WaitUntil)
    assert (rest.why, rest.ends, device.machine.state) == (Why.RENEWAL, None, State.OPERATIONAL)
    device.now_s = rest.at_s
    renewal = device.tell(Woke(rest.turn))
    assert isinstance(renewal, Exchange)
    assert renewal.operation is Operation.CACERTS


def test_a_refused_fetch_is_not_tried_again() -> None:
    """Nor does it end anything."""
    device, command = rebooted(FETCHING)
    assert isinstance(command, Exchange)
    rest = device.tell(Answered(command.turn, Rejected(403, "")))
    assert isinstance(rest, WaitUntil)
    assert (rest.why, rest.ends) == (Why.RENEWAL, None)


def test_a_certificate_that_expires_meanwhile_is_sought_anew() -> None:
    """With the bootstrap credential, from the answer on."""
    device, command = rebooted(FETCHING)
    assert isinstance(command, Exchange)
    device.now_s = 80.0
    following = device.tell(Answered(command.turn, RESET))
    assert isinstance(following, Exchange)
    assert (following.goal, following.credential) == (Goal.ENROLL, CredentialChoice.BOOTSTRAP)


def test_an_order_to_renew_meanwhile_is_carried_out_after() -> None:
    """It is not forgotten until the next boot."""
    device, command = rebooted(FETCHING)
    assert isinstance(command, Exchange)
    device.tell(RenewNow(5.0))
    following = device.tell(Answered(command.turn, CAS))
    assert isinstance(following, Exchange)
    assert following.operation is Operation.SIMPLEREENROLL
    assert not device.machine.renew_asked


def test_a_power_cut_meanwhile_ends_no_enrolment() -> None:
    """There is none; the next boot begins again."""
    device, _ = rebooted(FETCHING)
    wait = device.tell(PowerCut())
    assert isinstance(wait, WaitUntil)
    assert (wait.why, wait.ends) == (Why.POWER, None)
    command = device.tell(PowerRestored(9.0))
    assert isinstance(command, Exchange)
    assert command.operation is Operation.CACERTS


def test_a_device_without_a_certificate_fetches_them_at_every_boot() -> None:
    """Though it knows them since the first."""
    device = ScriptedDevice(FETCHING, [])
    first = device.tell(Started(0.0))
    assert isinstance(first, Exchange)
    enroll = device.tell(Answered(first.turn, CAS))
    assert isinstance(enroll, Exchange)
    assert enroll.operation is Operation.SIMPLEENROLL
    cut = device.tell(PowerCut())
    assert isinstance(cut, WaitUntil)
    assert cut.ends is EnrolmentEnd.CUT
    again = device.tell(PowerRestored(9.0))
    assert isinstance(again, Exchange)
    assert (again.operation, again.goal) == (Operation.CACERTS, Goal.ENROLL)
