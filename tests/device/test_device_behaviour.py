"""A user's behaviour class: the machine asks it, its answers are checked, and it is blamed for its own errors."""

# Overrides with other types than the protocol's, and without using every fact: that is the test.
# mypy: disable-error-code="assignment, override, no-untyped-call, no-untyped-def"
# ruff: noqa: ANN001, ANN201, ANN202, ARG002, D101, D102

from math import inf, nan

import pytest

from estsim.device.behaviour import Behaviour
from estsim.device.commands import Exchange, Stop, WaitUntil
from estsim.device.custom_behaviour import behaviour_of, flaw_of
from estsim.device.faults import DeviceFault
from estsim.device.policy import AfterExpiry, DeferralPolicy, EnrollPolicy, Fetch, Policy, RenewPolicy, RetryPolicy
from estsim.errors import BehaviourFailed
from estsim.est.enrolment import EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import (
    CACertificates,
    Issued,
    Outcome,
    Overloaded,
    Rejected,
    RetryAfter,
    RetryAfterForm,
    ServerError,
)
from estsim.testing import ScriptedDevice, deferred

PLAIN = EnrollPolicy(cacerts=Fetch.NEVER)
POLICY = Policy(PLAIN, renew=None, deferral=DeferralPolicy(max_polls=2), retry=RetryPolicy(attempts=3))
BUSY = Overloaded(RetryAfter(7.0, RetryAfterForm.SECONDS))


def waits(kind: type[Behaviour], *script: Outcome, policy: Policy = POLICY) -> list[float]:
    """Return the waits of a device after each answer."""
    commands = ScriptedDevice(policy, script, behaviour=kind).run()
    return [
        each.told_s + each.device_s + each.backoff_s
        for each in commands
        if isinstance(each, WaitUntil) and each.at_s < inf
    ]


class Thoughtful(Behaviour):
    """Adds a minute for each deferral, and counts what it is told."""

    def deferral_wait(self, retry_after_s, deferrals, draw):
        return (retry_after_s or 5.0) + 60.0 * deferrals

    def backoff_wait(self, failures, status, retry_after_s, draw):
        return failures * 100 + (status or 0) + (retry_after_s or 0.25)


def test_waits_are_those_of_the_class() -> None:
    """With the facts of each: Retry-After, the number of deferrals and failures in a row, the status."""
    assert waits(Thoughtful, deferred(10.0), deferred(20.0)) == [70.0, 140.0]
    assert waits(Thoughtful, BUSY, ServerError(500, ""), Issued(None)) == [100 + 503 + 7.0, 200 + 500 + 0.25]


def test_what_a_class_does_not_override_is_the_policy_s() -> None:
    """Here: the number of polls and of attempts."""
    device = ScriptedDevice(POLICY, [deferred(1.0)] * 3, behaviour=Thoughtful)
    assert device.run()[-1].ends is EnrolmentEnd.IMPATIENT  # type: ignore[union-attr]
    device = ScriptedDevice(POLICY, [BUSY] * 3, behaviour=Thoughtful)
    assert device.run()[-1].ends is EnrolmentEnd.EXHAUSTED  # type: ignore[union-attr]


class Stubborn(Behaviour):
    def retries(self, status, reasons):
        return status == 403 or super().retries(status, reasons)

    def gives_up_polling(self, deferrals, waited_s):
        return waited_s > 25

    def gives_up_retrying(self, failures):
        return failures > 4


def test_giving_up_is_the_class_s_decision() -> None:
    """After what time, after how many failures, and after which."""
    device = ScriptedDevice(POLICY, [deferred(10.0)] * 9, behaviour=Stubborn)
    assert device.run()[-1].ends is EnrolmentEnd.IMPATIENT  # type: ignore[union-attr]
    assert len(device.exchanges()) == 4
    device = ScriptedDevice(POLICY, [Rejected(403, "")] * 9, behaviour=Stubborn)
    assert device.run()[-1].ends is EnrolmentEnd.EXHAUSTED  # type: ignore[union-attr]
    assert len(device.exchanges()) == 5
    device = ScriptedDevice(POLICY, [Rejected(400, "")], behaviour=Stubborn)
    assert device.run()[-1].ends is EnrolmentEnd.REFUSED  # type: ignore[union-attr]


class Renewing(Behaviour):
    def renewal_time(self, lifetime, received_s, renewals, draw):
        return inf if renewals == 2 else lifetime.not_after_s - 100 * (renewals + 1)

    def leaves_service(self, renewals):
        return renewals == 2

    def rekeys(self, renewals):
        return renewals == 1


def test_renewal_is_the_class_s_decision() -> None:
    """When, with which key, and what follows the last."""
    device = ScriptedDevice(Policy(PLAIN), [Issued(None)] * 3, behaviour=Renewing, validity_s=1000.0)
    commands = device.run()
    assert [each.at_s for each in commands if isinstance(each, WaitUntil)] == [900.0, 900.0 + 800.0]
    asked = [each for each in commands if isinstance(each, Exchange)]
    assert [each.operation for each in asked] == [Operation.SIMPLEENROLL, *[Operation.SIMPLEREENROLL] * 2]
    assert [each.key.value for each in asked] == ["new", "held", "new"]
    assert isinstance(commands[-1], Stop)


class Drawing(Behaviour):
    def deferral_wait(self, retry_after_s, deferrals, draw):
        return draw()


def test_draws_come_from_the_device_s_own_stream() -> None:
    """The same for a seed and a device, another for another."""
    script = [deferred(1.0)] * 2

    def drawn(seed: int, device: int) -> list[float]:
        commands = ScriptedDevice(POLICY, script, seed=seed, device=device, behaviour=Drawing).run()
        return [each.at_s for each in commands if isinstance(each, WaitUntil)]

    assert drawn(1, 0) == drawn(1, 0)
    assert len({*drawn(1, 0), *drawn(1, 1), *drawn(2, 0)}) == 6


def test_the_base_class_is_the_policy() -> None:
    """A class that overrides nothing, or only calls up, changes nothing."""

    class Nothing(Behaviour):
        pass

    class Up(Behaviour):
        def deferral_wait(self, retry_after_s, deferrals, draw):
            return super().deferral_wait(retry_after_s, deferrals, draw)

        def fetches_cacerts(self, *, has_ca):
            return super().fetches_cacerts(has_ca=has_ca)

        def after_expiry(self):
            return str(super().after_expiry())

    policy = Policy(renew=RenewPolicy(times=2))
    script: list[Outcome] = [CACertificates(()), deferred(3.0), BUSY, Issued(None), deferred(2.0), Issued(None)]
    plain = ScriptedDevice(policy, script).run()
    assert plain == ScriptedDevice(policy, script, behaviour=Nothing).run()
    assert plain == ScriptedDevice(policy, script, behaviour=Up).run()
    assert behaviour_of(policy, Up).after_expiry() is AfterExpiry.ENROLL


def _answering(answer: object) -> type[Behaviour]:
    class Answering(Behaviour):
        def deferral_wait(self, retry_after_s, deferrals, draw):
            return answer

        def renewal_time(self, lifetime, received_s, renewals, draw):
            return answer

        def gives_up_polling(self, deferrals, waited_s):
            return answer

        def after_expiry(self):
            return answer

    return Answering


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (-0.5, "returned a negative number"),
        (nan, "returned nan"),
        (inf, "returned inf"),
        (1e30, "returned a number that is too large"),
        (10**400, "returned nan"),
        (None, "returned NoneType"),
        (True, "returned bool"),
        ("3", "returned str"),
    ],
)
def test_a_wait_that_is_none_is_told_with_class_and_line(answer: object, told: str) -> None:
    """A number of seconds, finite and not negative; the line is that of the method."""
    behaviour = behaviour_of(POLICY, _answering(answer))
    with pytest.raises(BehaviourFailed, match=rf"^behaviour test_device_behaviour:Answering: {told}, expected ") as met:
        behaviour.deferral_wait(1.0, 1, lambda _=None: 0.5)
    assert met.value.place.startswith("device/test_device_behaviour.py:")
    assert met.value.place.endswith(" in deferral_wait")


def test_other_answers_are_checked_as_well() -> None:
    """A time may be infinite, and may have passed; yes or no is no number."""
    lifetime, draw = None, None
    assert behaviour_of(POLICY, _answering(inf)).renewal_time(lifetime, 0.0, 0, draw) == inf  # type: ignore[arg-type]
    assert behaviour_of(POLICY, _answering(-3)).renewal_time(lifetime, 0.0, 0, draw) == -3.0  # type: ignore[arg-type]
    with pytest.raises(BehaviourFailed, match="returned -inf"):
        behaviour_of(POLICY, _answering(-inf)).renewal_time(lifetime, 0.0, 0, draw)  # type: ignore[arg-type]
    with pytest.raises(BehaviourFailed, match="returned int, expected True or False"):
        behaviour_of(POLICY, _answering(1)).gives_up_polling(1, 0.0)
    with pytest.raises(BehaviourFailed, match="returned str, expected one of enroll, wait, give_up"):
        behaviour_of(POLICY, _answering("leave")).after_expiry()


class Broken(Behaviour):
    def backoff_wait(self, failures, status, retry_after_s, draw):
        return self._deeper(failures)

    def _deeper(self, failures):
        return failures / 0

    def gives_up_retrying(self, failures):
        raise SystemExit(3)

    def rekeys(self, renewals):
        raise KeyboardInterrupt

    def enroll_deadline(self):
        return OddNumber()


class OddNumber(float):
    """A number with code of its own."""

    def __float__(self) -> float:
        raise LookupError


def test_an_exception_is_told_with_its_line_in_the_class_s_file() -> None:
    """The innermost; an exit of the process is none of the class's business either."""
    behaviour = behaviour_of(POLICY, Broken)
    with pytest.raises(BehaviourFailed, match=r"Broken: ZeroDivisionError at .* in _deeper$") as met:
        behaviour.backoff_wait(1, None, None, lambda _=None: 0.5)
    assert isinstance(met.value.__cause__, ZeroDivisionError)
    with pytest.raises(BehaviourFailed, match=r"Broken: SystemExit at .* in gives_up_retrying$"):
        behaviour.gives_up_retrying(1)


def test_whatever_a_class_raises_is_its_own() -> None:
    """No interrupt of the user's, who is heard as a signal; and the answer's own code is the class's too."""
    behaviour = behaviour_of(POLICY, Broken)
    with pytest.raises(BehaviourFailed, match=r"Broken: KeyboardInterrupt at .* in rekeys$"):
        behaviour.rekeys(1)
    with pytest.raises(BehaviourFailed, match=r"Broken: LookupError at .* in __float__$"):
        behaviour.enroll_deadline()


def test_a_device_whose_fault_is_its_behaviour_has_that() -> None:
    """A class of the user's is for the others."""
    kept = behaviour_of(POLICY, Thoughtful, DeviceFault.BAD_CSR_SIGNATURE)
    impatient = behaviour_of(POLICY, Thoughtful, DeviceFault.IMPATIENT)
    draw = lambda _=None: 0.5  # noqa: E731 - a draw
    assert kept.deferral_wait(10.0, 1, draw) == 70.0
    assert impatient.deferral_wait(10.0, 1, draw) == 0.0


def test_flaws_of_a_class_are_told_before_a_run() -> None:
    """Something else than a subclass, and methods that cannot be asked."""

    class Short(Behaviour):
        def deferral_wait(self, retry_after_s):
            return 1.0

    class Value(Behaviour):
        deferral_wait = 5.0

    class Slip(Behaviour):
        def defferal_wait(self, retry_after_s, deferrals, draw):
            return 1.0

    assert flaw_of(Thoughtful, "m:T") is None
    assert flaw_of(Slip, "m:T") == (
        "m:T.defferal_wait is no decision of estsim.Behaviour (did you mean 'deferral_wait'?)"
    )
    assert flaw_of(Behaviour, "m:T") == "m:T must be a subclass of estsim.Behaviour (got the class Behaviour)"
    assert flaw_of(str, "m:T") == "m:T must be a subclass of estsim.Behaviour (got the class str)"
    assert flaw_of(3, "m:T") == "m:T must be a subclass of estsim.Behaviour (got an object of int)"
    assert flaw_of(Short, "m:T") == (
        "m:T.deferral_wait must have the parameters (self, retry_after_s, deferrals, draw)"
    )
    assert flaw_of(Value, "m:T") == "m:T.deferral_wait must be a method"
