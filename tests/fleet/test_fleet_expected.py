"""What is expected of an exchange: the pure rule behind expected rows and findings."""

from typing import Final

import pytest

from estsim.device.commands import Exchange
from estsim.device.faults import DeviceFault
from estsim.device.states import CredentialChoice, KeyChoice
from estsim.errors import Phase, Trouble
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import (
    Abandoned,
    Deferred,
    Failed,
    Issued,
    Malformed,
    Outcome,
    Overloaded,
    Rejected,
    ServerError,
    Unauthorized,
)
from estsim.fleet.expected import is_end_expected, is_expected, is_refusal
from estsim.scenario.plan import Expectation

ENROLL: Final = Exchange(
    turn=1,
    operation=Operation.SIMPLEENROLL,
    key=KeyChoice.NEW,
    credential=CredentialChoice.BOOTSTRAP,
    goal=Goal.ENROLL,
    intended_s=0.0,
    cause=Cause.PLAN,
    enrolment=1,
    attempt=1,
)


@pytest.mark.parametrize(
    ("outcome", "refused"),
    [
        (Rejected(403, ""), True),
        (Unauthorized(""), True),
        (Failed(Phase.HANDSHAKE, Trouble.TLS, "", "unknown_ca"), True),
        (Failed(Phase.SEND, Trouble.RESET, ""), True),
        (Failed(Phase.CONNECT, Trouble.RESET, ""), False),
        (Failed(Phase.CONNECT, Trouble.REFUSED, ""), False),
        (Failed(Phase.WAIT, Trouble.TIMEOUT, ""), False),
        (Failed(Phase.HANDSHAKE, Trouble.GENERATOR, ""), False),
        (ServerError(500, ""), False),
        (Overloaded(), False),
        (Malformed("", ""), False),
        (Deferred(), False),
        (Issued(None), False),
        (Abandoned(""), False),
    ],
)
def test_a_refusal_is_a_server_s_no(outcome: Outcome, *, refused: bool) -> None:
    """Not its silence, not its breaking, not its absence; expected of a device whose fault shows."""
    assert is_refusal(outcome) is refused
    assert is_expected(ENROLL, outcome, fault=DeviceFault.UNKNOWN_CA, at_s=1.0) is refused
    assert not is_expected(ENROLL, outcome, fault=DeviceFault.WRONG_SUBJECT_ON_RENEW, at_s=1.0)
    assert not is_expected(ENROLL, outcome, fault=None, at_s=1.0)


@pytest.mark.parametrize(("at_s", "expected"), [(9.9, False), (10.0, True), (19.9, True), (20.0, False)])
def test_an_announcement_holds_in_its_time(at_s: float, *, expected: bool) -> None:
    """From its beginning to before its end, for the outcomes that it names."""
    announced = Expectation(frozenset({"meters"}), frozenset({"overloaded"}), 10.0, 20.0)
    assert is_expected(ENROLL, Overloaded(), fault=None, announced=(announced,), at_s=at_s) is expected
    assert not is_expected(ENROLL, Rejected(403, ""), fault=None, announced=(announced,), at_s=at_s)


@pytest.mark.parametrize(
    ("end", "after_expected", "expected"),
    [
        (EnrolmentEnd.REFUSED, True, True),
        (EnrolmentEnd.EXHAUSTED, True, True),
        (EnrolmentEnd.REFUSED, False, False),
        (EnrolmentEnd.EXHAUSTED, False, False),  # the server was down
        (EnrolmentEnd.DEADLINE, False, True),
        (EnrolmentEnd.ISSUED, False, False),
        (EnrolmentEnd.CUT, True, False),
    ],
)
def test_a_search_was_bound_to_end_so(end: EnrolmentEnd, *, after_expected: bool, expected: bool) -> None:
    """By what its last exchange was, or by the time that it took a device that cannot succeed."""
    fault = DeviceFault.BAD_CSR_SIGNATURE
    assert is_end_expected(end, Goal.ENROLL, fault=fault, last_was_expected=after_expected) is expected
    assert not is_end_expected(EnrolmentEnd.DEADLINE, Goal.ENROLL, fault=None, last_was_expected=False)
