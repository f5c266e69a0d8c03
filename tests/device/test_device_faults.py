"""Faulty devices and wrong clocks, without a network: what they send, how they behave, where a fault shows."""

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from math import inf
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from device_pki import DAY, NOW_S, WALL_NOW, WALL_NOW_S, certs_only, cn, csr_of, issuing, new_key, ours, stored, trust

from estsim.device.commands import Exchange, WaitUntil
from estsim.device.events import Answered, Started
from estsim.device.exchange import Conversation
from estsim.device.faults import SHORTEST_RETRY_S, DeviceFault, policy_of_fault, shows
from estsim.device.identity import Identity, RequestedNames
from estsim.device.policy import DeferralPolicy, EnrollPolicy, Fetch, Policy
from estsim.device.profile import Profile
from estsim.device.spoilt import with_bad_signature
from estsim.device.states import CredentialChoice, KeyChoice
from estsim.errors import EstsimError
from estsim.est.csr import build_csr, read_csr
from estsim.est.enrolment import Cause, Goal
from estsim.est.messages import EstRequest, EstResponse
from estsim.est.operations import WELL_KNOWN, Operation
from estsim.est.outcome import Deferred, Issued, Malformed, Outcome, Overloaded, Rejected, RetryAfter, RetryAfterForm
from estsim.est.signing import PrivateKey
from estsim.est.transfer import TransferError, decode_body
from estsim.est.url import Origin
from estsim.testing import ScriptedDevice, deferred
from estsim.units import Constant

PROFILE: Final = Profile(
    origin=Origin("est.example"),
    base=WELL_KNOWN,
    label=None,
    deferral_statuses=frozenset({202}),
    requested=RequestedNames(lambda device: cn(f"meter-{device}"), lambda _: None),
    authorities=trust(),
)
ENROLL: Final = Exchange(
    turn=1,
    operation=Operation.SIMPLEENROLL,
    key=KeyChoice.NEW,
    credential=CredentialChoice.BOOTSTRAP,
    goal=Goal.ENROLL,
    intended_s=NOW_S,
    cause=Cause.PLAN,
    enrolment=1,
    attempt=1,
)
RENEW: Final = replace(
    ENROLL, operation=Operation.SIMPLEREENROLL, credential=CredentialChoice.ISSUED, goal=Goal.RENEW, enrolment=2
)
FETCH: Final = replace(ENROLL, operation=Operation.CACERTS, key=KeyChoice.NONE)
PLAIN: Final = EnrollPolicy(cacerts=Fetch.NEVER, deadline_s=600.0)


def talk(command: Exchange, fault: DeviceFault | None = None, *, ahead_s: float | None = None) -> Conversation:
    """Return a conversation of device 7, which owns a certificate."""
    key = new_key()
    issued = stored(issuing().issue(key.public_key(), cn("meter-7")), key)
    profile = replace(PROFILE, fault=fault, ahead_s=None if ahead_s is None else lambda _: ahead_s)
    return Conversation(command, 7, Identity(bootstrap=issued, issued=issued), profile)


def asked(command: Exchange, fault: DeviceFault | None) -> EstRequest:
    """Return what a device with a fault sends."""
    return talk(command, fault).request(None if command.key is KeyChoice.NONE else new_key(), None)


# -- what they send


@pytest.mark.parametrize(
    "key", [new_key(), rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()]
)
def test_a_bad_signature_is_a_request_that_can_be_read(key: PrivateKey) -> None:
    """And does not verify, whatever the kind of key."""
    sound = build_csr(key, cn("meter-7").public_bytes())
    bad = x509.load_der_x509_csr(with_bad_signature(sound))
    assert (bad.subject, bad.is_signature_valid) == (cn("meter-7"), False)
    assert bad.tbs_certrequest_bytes == x509.load_der_x509_csr(sound).tbs_certrequest_bytes


@pytest.mark.parametrize("command", [ENROLL, RENEW])
def test_a_device_sends_its_bad_signature_each_time(command: Exchange) -> None:
    """At the first enrolment and on renewal."""
    with pytest.raises(EstsimError, match="signature"):
        read_csr(decode_body(asked(command, DeviceFault.BAD_CSR_SIGNATURE).body)[0])


def test_another_subject_is_asked_for_on_renewal_only() -> None:
    """Nothing else is wrong with that request."""
    assert csr_of(asked(ENROLL, DeviceFault.WRONG_SUBJECT_ON_RENEW)).subject == cn("meter-7")
    renewal = csr_of(asked(RENEW, DeviceFault.WRONG_SUBJECT_ON_RENEW))
    assert renewal.subject != cn("meter-7")
    assert renewal.is_signature_valid


def test_garbage_is_neither_base64_nor_der() -> None:
    """The same for a device each time, and no body where none belongs."""
    body = asked(ENROLL, DeviceFault.GARBAGE_BODY).body
    with pytest.raises(TransferError):
        decode_body(body)
    assert asked(RENEW, DeviceFault.GARBAGE_BODY).body == body
    assert asked(FETCH, DeviceFault.GARBAGE_BODY).body == b""


def test_an_oversized_body_is_base64_of_a_mebibyte_and_there_once() -> None:
    """A fleet of such devices shares it."""
    body = asked(ENROLL, DeviceFault.OVERSIZED_BODY).body
    assert len(body) > 1 << 20
    assert len(decode_body(body)[0]) == 768 * 1024
    assert asked(ENROLL, DeviceFault.OVERSIZED_BODY).body is body


def test_a_certificate_given_to_a_faulty_device_is_remembered_whatever_it_is_worth() -> None:
    """It is for another key here, so that the device cannot use it; the server gave it all the same."""
    conversation = talk(ENROLL, DeviceFault.GARBAGE_BODY)
    conversation.request(new_key(), None)
    other = issuing().issue(new_key().public_key(), cn("meter-7"))
    answer = conversation.answered(certs_only(other), now_s=NOW_S, wall_now_s=WALL_NOW_S)
    assert isinstance(answer.outcome, Malformed)
    assert conversation.given == ours(other)


# -- where a fault shows


@pytest.mark.parametrize(
    ("fault", "enrolling", "fetching", "renewing"),
    [
        (DeviceFault.EXPIRED_BOOTSTRAP, True, True, False),
        (DeviceFault.UNKNOWN_CA, True, True, False),
        (DeviceFault.WRONG_EKU, True, True, False),
        (DeviceFault.BAD_CSR_SIGNATURE, True, False, True),
        (DeviceFault.GARBAGE_BODY, True, False, True),
        (DeviceFault.OVERSIZED_BODY, True, False, True),
        (DeviceFault.WRONG_SUBJECT_ON_RENEW, False, False, True),
        (DeviceFault.RETRIES_AT_ONCE, False, False, False),
        (DeviceFault.IMPATIENT, False, False, False),
        (None, False, False, False),
    ],
)
def test_where_a_fault_shows(
    fault: DeviceFault | None,
    enrolling: bool,  # noqa: FBT001 - a row of the table
    fetching: bool,  # noqa: FBT001
    renewing: bool,  # noqa: FBT001
) -> None:
    """In the handshake of who speaks as it was born, or in the request; never in behaviour alone."""
    assert shows(fault, Goal.ENROLL) is enrolling
    assert shows(fault, Goal.ENROLL, asks_for_certificate=False) is fetching
    assert shows(fault, Goal.RENEW) is renewing
    assert shows(fault, Goal.RENEW, asks_for_certificate=False) is False
    assert shows(fault, None, asks_for_certificate=False) is False


# -- how they behave


def test_most_faults_leave_the_behaviour_alone() -> None:
    """Such devices share the policy of their cohort."""
    policy = Policy()
    assert all(policy_of_fault(policy, fault) is policy for fault in DeviceFault if fault.to_be_refused)
    assert policy_of_fault(policy, None) is policy


def test_a_device_that_retries_at_once_takes_nothing_for_final() -> None:
    """A refusal, an overload with its Retry-After, for ever; but a millisecond apart, or our loop would spin."""
    told = Overloaded(RetryAfter(60.0, RetryAfterForm.SECONDS))
    script: list[Outcome] = [Rejected(403, ""), told, Rejected(403, "")] * 50
    device = ScriptedDevice(policy_of_fault(Policy(enroll=PLAIN), DeviceFault.RETRIES_AT_ONCE), [*script, Issued(None)])
    device.run()
    waits = [command for command in device.commands if isinstance(command, WaitUntil)]
    assert [wait.backoff_s for wait in waits[:150]] == [SHORTEST_RETRY_S] * 150
    assert device.machine.lifetime is not None


def test_an_impatient_device_polls_at_once_and_does_not_tire() -> None:
    """Until its patience with the whole wait is over, which is its cohort's."""
    policy = policy_of_fault(Policy(enroll=PLAIN, deferral=DeferralPolicy(spread=Constant(0.1))), DeviceFault.IMPATIENT)
    device = ScriptedDevice(policy, [deferred(60), Deferred()] * 100, service_s=0.01)
    device.run()
    assert len(device.exchanges()) == 201
    assert device.now_s == pytest.approx(2.0)


def test_faulty_behaviour_knows_no_deadline_of_its_own() -> None:
    """Firmware that retries for ever does not give up."""
    policy = policy_of_fault(Policy(enroll=PLAIN), DeviceFault.RETRIES_AT_ONCE)
    assert policy.enroll.deadline_s == inf
    device = ScriptedDevice(policy, [])
    first = device.tell(Started(0.0))
    assert isinstance(first, Exchange)
    device.now_s = 1e6
    assert isinstance(device.tell(Answered(first.turn, Rejected(403, ""))), WaitUntil)


# -- clocks


@pytest.mark.parametrize("ahead_s", [-3600.0, 0.0, 600.0])
def test_a_lifetime_is_what_the_device_s_clock_makes_of_it(ahead_s: float) -> None:
    """A clock that is ahead reaches notAfter earlier: the renewal is decided by that."""
    conversation, key = talk(ENROLL, ahead_s=ahead_s), new_key()
    conversation.request(key, None)
    certificate = issuing().issue(key.public_key(), cn("meter-7"))  # a day to either side
    answer = conversation.answered(certs_only(certificate), now_s=NOW_S, wall_now_s=WALL_NOW_S)
    assert answer.lifetime is not None
    assert answer.lifetime.not_before_s == pytest.approx(NOW_S - DAY.total_seconds() - ahead_s)
    assert answer.lifetime.not_after_s == pytest.approx(NOW_S + DAY.total_seconds() - ahead_s)


@pytest.mark.parametrize(("ahead_s", "wait_s"), [(None, 90.0), (0.0, 60.0), (20.0, 40.0), (-20.0, 80.0), (300.0, 0.0)])
def test_a_date_is_read_against_the_device_s_own_clock(ahead_s: float | None, wait_s: float) -> None:
    """Of devices with a clock of their own; the others go by the server's Date, which is half a minute late here."""
    headers = (
        ("date", format_datetime(WALL_NOW - timedelta(seconds=30), usegmt=True)),
        ("retry-after", format_datetime(WALL_NOW + timedelta(seconds=60), usegmt=True)),
    )
    conversation = talk(ENROLL, ahead_s=ahead_s)
    answer = conversation.answered(EstResponse(202, headers, b""), now_s=NOW_S, wall_now_s=WALL_NOW_S)
    assert isinstance(answer.outcome, Deferred)
    assert answer.outcome.retry_after.wait_s == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("ahead_s", "usable"),
    [(-86460.0, True), (-86461.0, False), (-3e5, False), (3e5, False)],
)
def test_what_is_not_valid_by_its_clock_is_no_use_to_a_device(ahead_s: float, *, usable: bool) -> None:
    """Nor is what begins more than a minute after it; by the true time the certificate is sound."""
    conversation, key = talk(ENROLL, ahead_s=ahead_s), new_key()
    conversation.request(key, None)
    certificate = issuing().issue(key.public_key(), cn("meter-7"))
    answer = conversation.answered(certs_only(certificate), now_s=NOW_S, wall_now_s=WALL_NOW_S)
    assert isinstance(answer.outcome, Issued) is usable
