"""A conversation without a network: requests from commands, identities from certificates of ``cryptography``."""

import base64
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from device_pki import (
    DAY,
    NOW_S,
    WALL_NOW,
    WALL_NOW_S,
    Authority,
    certs_only,
    challenge,
    cn,
    come_again,
    csr_of,
    issuing,
    make_authority,
    new_key,
    ours,
    pkcs8,
    root,
    san_of,
    stored,
    trust,
)

from estsim.device.commands import Exchange
from estsim.device.exchange import Answer, Conversation
from estsim.device.identity import Identity, RequestedNames
from estsim.device.password import HttpUser
from estsim.device.policy import Attributes, Names, Pop
from estsim.device.profile import Profile
from estsim.device.states import CredentialChoice, KeyChoice
from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import read_certificate
from estsim.est.challenge import read_challenges
from estsim.est.csr import read_csr
from estsim.est.digest import DigestChallenge, DigestCredentials, digest_response
from estsim.est.enrolment import Cause, Goal
from estsim.est.messages import EstRequest, EstResponse
from estsim.est.operations import WELL_KNOWN, Operation
from estsim.est.outcome import (
    CACertificates,
    Challenged,
    Deferred,
    Issued,
    Malformed,
    NoCSRAttributes,
    OutcomeClass,
    Rejected,
    RetryAfterForm,
    Unauthorized,
)
from estsim.est.url import Origin
from estsim.fleet.rows import detail_of
from estsim.pki.credentials import load_credential
from estsim.pki.keys import KeyKind, load_key, make_key
from estsim.server.csr_attributes import attributes_der, unfulfilled
from estsim.server.csr_attributes_config import CsrAttrsConfig

DEVICE: Final = 7
SECRET: Final = "opens every door"


def dns(name: str) -> x509.SubjectAlternativeName:
    """Return an alternative name."""
    return x509.SubjectAlternativeName([x509.DNSName(name)])


PROFILE: Final = Profile(
    origin=Origin("est.example"),
    base=WELL_KNOWN,
    label=None,
    deferral_statuses=frozenset({202}),
    requested=RequestedNames(lambda device: cn(f"meter-{device}"), lambda device: dns(f"meter-{device}.example")),
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
POLL: Final = replace(ENROLL, turn=3, key=KeyChoice.PENDING, cause=Cause.POLL, attempt=2)
FETCH_ATTRIBUTES: Final = replace(ENROLL, operation=Operation.CSRATTRS, key=KeyChoice.NONE)
FETCH: Final = replace(ENROLL, operation=Operation.CACERTS, key=KeyChoice.NONE)
RENEW: Final = replace(
    ENROLL, operation=Operation.SIMPLEREENROLL, credential=CredentialChoice.ISSUED, goal=Goal.RENEW, enrolment=2
)


def conversation(command: Exchange, identity: Identity, profile: Profile = PROFILE) -> Conversation:
    """Return the conversation of the device."""
    return Conversation(command, DEVICE, identity, profile)


def asked(
    talk: Conversation, key: ec.EllipticCurvePrivateKey | None = None, request_id: str | None = None
) -> EstRequest:
    """Make the request as a driver does: with the device's own key, else the one it has made."""
    return talk.request(talk.own_key() or key, request_id)


def answered(talk: Conversation, response: EstResponse) -> Answer:
    """Hand an answer over, at the moment of all these tests."""
    return talk.answered(response, now_s=NOW_S, wall_now_s=WALL_NOW_S)


def headers_of(request: EstRequest) -> dict[str, str]:
    """Return the headers; none comes twice."""
    headers = {name.lower(): value for name, value in request.headers}
    assert len(headers) == len(request.headers)
    return headers


def enrolled(authority: Authority | None = None, *, subject: x509.Name | None = None, san: bool = True) -> Identity:
    """Return a device that holds a certificate."""
    key = new_key()
    names = dns(f"meter-{DEVICE}.example") if san else None
    certificate = (authority or issuing()).issue(key.public_key(), subject or cn(f"meter-{DEVICE}"), names)
    return Identity(issued=stored(certificate, key, [issuing().der]))


# -- the first request


def test_a_first_enrolment_asks_for_the_scenario_s_names() -> None:
    """POST of a PKCS#10 in base64, signed by the key, for Subject and SAN of this device."""
    key = new_key()
    request = asked(conversation(ENROLL, Identity()), key, "run-17")
    assert (request.method, request.path) == ("POST", "/.well-known/est/simpleenroll")
    headers = headers_of(request)
    assert headers["content-type"] == "application/pkcs10"
    assert headers["content-transfer-encoding"] == "base64"
    assert headers["x-request-id"] == "run-17"
    assert "authorization" not in headers
    csr = csr_of(request)
    assert csr.is_signature_valid
    assert csr.public_key() == key.public_key()
    assert csr.subject == cn("meter-7")
    assert san_of(csr) == x509.SubjectAlternativeName([x509.DNSName("meter-7.example")])


@pytest.mark.parametrize(
    ("base", "label", "path"),
    [
        (WELL_KNOWN, "meters", "/.well-known/est/meters/simpleenroll"),
        ("/pki/.well-known/est", None, "/pki/.well-known/est/simpleenroll"),
        ("/pki/.well-known/est", "meters", "/pki/.well-known/est/meters/simpleenroll"),
    ],
)
def test_the_path_has_base_and_label(base: str, label: str | None, path: str) -> None:
    """The arbitrary label stands between base and operation (RFC 7030 §3.2.2)."""
    assert asked(conversation(ENROLL, Identity(), replace(PROFILE, base=base, label=label)), new_key()).path == path


def test_a_device_without_alternative_names_asks_for_none() -> None:
    """No empty extension."""
    profile = replace(PROFILE, requested=replace(PROFILE.requested, sans=lambda _: None))
    assert san_of(csr_of(asked(conversation(ENROLL, Identity(), profile), new_key()))) is None


def test_fetching_ca_certificates_sends_no_body_and_no_key() -> None:
    """A GET; nothing is kept for later."""
    identity = Identity()
    talk = conversation(FETCH, identity)
    request = asked(talk)
    assert (request.method, request.path, request.body) == ("GET", "/.well-known/est/cacerts", b"")
    answered(talk, come_again())
    assert identity.pending_key_der is None


# -- authentication


def with_basic(*, preemptive: bool) -> Profile:
    """Return the profile of a cohort with a user."""
    return replace(PROFILE, user=HttpUser("alice", SECRET, preemptive))


AUTHORIZATION: Final = "Basic " + base64.b64encode(f"alice:{SECRET}".encode()).decode()


def test_preemptive_basic_comes_with_the_first_request() -> None:
    """And a 401 to it is final: there is nothing else to say."""
    talk = conversation(ENROLL, Identity(), with_basic(preemptive=True))
    assert headers_of(asked(talk, new_key()))["authorization"] == AUTHORIZATION
    assert isinstance(answered(talk, challenge()).outcome, Unauthorized)


def test_basic_waits_for_the_challenge() -> None:
    """One exchange, two requests; the second is the first with the authorization, and a second 401 is final."""
    talk = conversation(ENROLL, Identity(), with_basic(preemptive=False))
    first = asked(talk, new_key(), "a")
    assert "authorization" not in headers_of(first)
    assert answered(talk, challenge()).outcome == Challenged("basic", "est")
    second = asked(talk, new_key(), "b")
    assert headers_of(second) == {**headers_of(first), "authorization": AUTHORIZATION, "x-request-id": "b"}
    assert second.body == first.body
    assert isinstance(answered(talk, challenge()).outcome, Unauthorized)


def test_a_request_is_signed_once_however_often_it_is_sent() -> None:
    """The CSR of the second request is the first's to the bit, for its first key: ECDSA would sign differently."""
    talk = conversation(ENROLL, Identity(), with_basic(preemptive=False))
    key = new_key()
    bodies = [asked(talk, key if i == 0 else new_key()).body for i in range(3)]
    assert bodies[0] == bodies[1] == bodies[2]
    assert csr_of(asked(talk, new_key())).public_key() == key.public_key()


@pytest.mark.parametrize("preemptive", [True, False])
def test_a_password_is_given_beside_an_issued_certificate(*, preemptive: bool) -> None:
    """A server may ask for both, at a re-enrolment too: unasked or once it asks, as at the first; and once only."""
    talk = conversation(RENEW, enrolled(), with_basic(preemptive=preemptive))
    assert ("authorization" in headers_of(asked(talk, new_key()))) is preemptive
    if not preemptive:
        assert isinstance(answered(talk, challenge()).outcome, Challenged)
        assert headers_of(asked(talk, new_key()))["authorization"] == AUTHORIZATION
    assert isinstance(answered(talk, challenge()).outcome, Unauthorized)


@pytest.mark.parametrize("status", [401, 404, 500])
def test_credentials_that_a_server_repeats_are_taken_out(status: int) -> None:
    """A debug page that shows the request puts neither its Authorization header nor the password into a row."""
    talk = conversation(ENROLL, Identity(), with_basic(preemptive=True))
    sent = headers_of(asked(talk, new_key()))["authorization"]
    page = EstResponse(status, (), f"<pre>{sent}</pre> <b>{SECRET}</b>".encode())
    detail = detail_of(answered(talk, page).outcome)
    assert detail.startswith(f"{status} ")
    assert "Basic *** ***" in detail
    assert SECRET not in detail


def test_credentials_in_a_redirect_are_taken_out() -> None:
    """Where a Location shows them."""
    talk = conversation(ENROLL, Identity(), with_basic(preemptive=True))
    asked(talk, new_key())
    location = EstResponse(301, (("location", f"https://x/?{AUTHORIZATION}"),), b"")
    assert AUTHORIZATION.removeprefix("Basic ") not in detail_of(answered(talk, location).outcome)


def digest_of(request: EstRequest) -> dict[str, str]:
    """Return the parameters of a request's Digest credentials, whose response is checked against the password."""
    (given,) = read_challenges([headers_of(request)["authorization"]])
    assert given.scheme == "digest"
    asked_for = DigestChallenge(given.realm, given.parameter("nonce"), given.parameter("algorithm"))
    right = digest_response(
        asked_for,
        DigestCredentials("alice", SECRET),
        method=request.method,
        target=request.path,
        nc=given.parameter("nc"),
        cnonce=given.parameter("cnonce"),
    )
    assert given.parameter("response") == right
    return dict(given.parameters)


def with_digest(*, preemptive: bool = False, schemes: Iterable[str] = ("digest", "basic")) -> Profile:
    """Return the profile of a cohort with a user that may answer Digest."""
    return replace(PROFILE, user=HttpUser("alice", SECRET, preemptive, frozenset(schemes)))


def asks_digest(nonce: str, *, stale: bool = False) -> EstResponse:
    """Return a 401 that asks for Digest, and after it for Basic."""
    ending = ", stale=true" if stale else ""
    return challenge(f'Digest realm="r", qop="auth", algorithm=SHA-256, nonce="{nonce}"{ending}, Basic realm="r"')


def test_digest_is_answered_before_basic_and_once() -> None:
    """One exchange, two requests; a second 401 means that the password is wrong."""
    talk = conversation(ENROLL, Identity(), with_digest())
    assert "authorization" not in headers_of(asked(talk, new_key()))
    assert answered(talk, asks_digest("1")).outcome == Challenged("digest", "r")
    given = digest_of(asked(talk))
    assert (given["nonce"], given["nc"], given["uri"]) == ("1", "00000001", "/.well-known/est/simpleenroll")
    outcome = answered(talk, asks_digest("2")).outcome
    assert detail_of(outcome).startswith("401 the server rejected this user and password (Digest)")


def test_a_stale_nonce_is_replaced_but_not_without_end() -> None:
    """Three nonces in one exchange; a server that refuses each of its own is told as that."""
    talk = conversation(ENROLL, Identity(), with_digest())
    asked(talk, new_key())
    assert isinstance(answered(talk, asks_digest("0")).outcome, Challenged)
    for nonce in "12":
        assert digest_of(asked(talk))["nc"] == "00000001"
        assert isinstance(answered(talk, asks_digest(nonce, stale=True)).outcome, Challenged)
    assert digest_of(asked(talk))["nonce"] == "2"
    outcome = answered(talk, asks_digest("3", stale=True)).outcome
    assert detail_of(outcome).startswith("401 the server refuses every nonce of its own as stale")


def test_a_preemptive_device_goes_on_with_the_nonce_it_has() -> None:
    """Counted up from request to request, replaced where the server names the next one; Basic goes unasked before."""
    identity, profile = Identity(), with_digest(preemptive=True)
    talk = conversation(ENROLL, identity, profile)
    assert headers_of(asked(talk, new_key()))["authorization"] == AUTHORIZATION
    assert isinstance(answered(talk, asks_digest("1")).outcome, Challenged)
    assert digest_of(asked(talk))["nc"] == "00000001"
    named = EstResponse(202, (("retry-after", "1"), ("authentication-info", 'nextnonce="2"')), b"")
    for nonce, nc, response in (("1", "00000002", come_again()), ("1", "00000003", named), ("2", "00000001", named)):
        talk = conversation(ENROLL, identity, profile)
        given = digest_of(asked(talk, new_key()))
        assert (given["nonce"], given["nc"]) == (nonce, nc)
        assert isinstance(answered(talk, response).outcome, Deferred)


def test_a_device_that_waits_for_challenges_remembers_no_nonce() -> None:
    """Each exchange begins without credentials."""
    identity = Identity()
    for nonce in "12":
        talk = conversation(ENROLL, identity, with_digest())
        assert "authorization" not in headers_of(asked(talk, new_key()))
        answered(talk, asks_digest(nonce))
        assert digest_of(asked(talk))["nonce"] == nonce
    assert identity.digest is None


def test_a_scheme_that_is_not_allowed_is_not_answered() -> None:
    """``scheme: digest`` sends no password to a server that asks for Basic, preemptive or not."""
    for preemptive in (False, True):
        talk = conversation(ENROLL, Identity(), with_digest(preemptive=preemptive, schemes=["digest"]))
        assert "authorization" not in headers_of(asked(talk, new_key()))
        outcome = answered(talk, challenge()).outcome
        assert detail_of(outcome).startswith("401 the server requires Basic, and http_auth allows only Digest")


@pytest.mark.parametrize("scheme", ['Digest realm="x", nonce="n"', 'Bearer realm="x"'])
def test_a_challenge_of_another_kind_is_final(scheme: str) -> None:
    """A device with a Basic user cannot answer it, and does not send its password to it."""
    talk = conversation(ENROLL, Identity(), with_basic(preemptive=False))
    asked(talk, new_key())
    assert isinstance(answered(talk, challenge(scheme)).outcome, Unauthorized)
    assert "authorization" not in headers_of(asked(talk))


def test_without_a_user_a_challenge_is_final() -> None:
    """Nothing to answer it with."""
    talk = conversation(ENROLL, Identity())
    asked(talk, new_key())
    assert isinstance(answered(talk, challenge()).outcome, Unauthorized)


# -- CSR attributes

WISHES: Final = CsrAttrsConfig.model_validate({"key": "ec-p384", "hash": "sha512", "extensions": {"1.2.3": "0500"}})


def told(config: CsrAttrsConfig) -> EstResponse:
    """Return an answer to csrattrs."""
    return EstResponse(200, (("content-type", "application/csrattrs"),), base64.b64encode(attributes_der(config)))


def test_a_device_that_obeys_makes_its_request_as_the_server_wishes() -> None:
    """Key, hash and extensions; in every request from then on, of whatever conversation."""
    identity, profile = Identity(), replace(PROFILE, csrattrs=Attributes.OBEY)
    assert answered(conversation(FETCH_ATTRIBUTES, identity, profile), told(WISHES)).outcome.kind is OutcomeClass.OK
    talk = conversation(ENROLL, identity, profile)
    assert talk.key_kind is KeyKind.EC_P384
    key = make_key(talk.key_kind)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    request = asked(talk, key)
    facts = read_csr(base64.b64decode(request.body))
    assert unfulfilled(WISHES, facts) is None
    assert san_of(csr_of(request)) is not None
    nothing = answered(conversation(FETCH_ATTRIBUTES, identity, profile), EstResponse(204, (), b"")).outcome
    assert (nothing, identity.form) == (NoCSRAttributes(), None)


@pytest.mark.parametrize(
    ("does", "wishes", "kind", "detail"),
    [
        (Attributes.FETCH, WISHES, OutcomeClass.OK, "not obeyed: key ec-p384; hash sha512; extensions"),
        (Attributes.FETCH, CsrAttrsConfig.model_validate({"key": "ec-p256"}), OutcomeClass.OK, ""),
        (Attributes.OBEY, WISHES, OutcomeClass.OK, ""),
    ],
)
def test_what_is_not_obeyed_is_noted(does: Attributes, wishes: CsrAttrsConfig, kind: OutcomeClass, detail: str) -> None:
    """``fetch`` says what the request will not fulfil, and changes nothing of it."""
    identity = Identity()
    talk = conversation(FETCH_ATTRIBUTES, identity, replace(PROFILE, csrattrs=does))
    outcome = answered(talk, told(wishes)).outcome
    assert (outcome.kind, detail_of(outcome)) == (kind, detail)
    assert (identity.form is None) is (does is Attributes.FETCH)


EXAMPLE: Final = b"MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw=="
"""RFC 7030 §4.5.2's own, as servers send it: it lists challengePassword."""


@pytest.mark.parametrize(
    ("does", "kind", "detail"),
    [
        (Attributes.FETCH, OutcomeClass.OK, "not obeyed: challengePassword, and enroll.pop is never"),
        (Attributes.OBEY, OutcomeClass.REJECTED, "200 the CSR attributes require what the device cannot do: challenge"),
    ],
)
def test_what_cannot_be_obeyed_is_noted_or_ends_it(does: Attributes, kind: OutcomeClass, detail: str) -> None:
    """A proof that the scenario forbids."""
    response = EstResponse(200, (("content-type", "application/csrattrs"),), EXAMPLE)
    profile = replace(PROFILE, csrattrs=does, pop=Pop.NEVER)
    outcome = answered(conversation(FETCH_ATTRIBUTES, Identity(), profile), response).outcome
    assert outcome.kind is kind
    assert detail_of(outcome).startswith(detail)


def password_of(request: EstRequest) -> str | None:
    """Return the challengePassword of a request."""
    return read_csr(base64.b64decode(request.body)).challenge_password


@pytest.mark.parametrize("does", [Attributes.FETCH, Attributes.OBEY])
def test_a_request_is_linked_to_its_session_where_the_server_lists_it(does: Attributes) -> None:
    """RFC 7030 §3.5: the same key, a new CSR for each session, and the same CSR within one."""
    identity, profile = Identity(), replace(PROFILE, csrattrs=does)
    response = EstResponse(200, (("content-type", "application/csrattrs"),), EXAMPLE)
    assert answered(conversation(FETCH_ATTRIBUTES, identity, profile), response).outcome.kind is OutcomeClass.OK
    talk = conversation(ENROLL, identity, profile)
    key = make_key(KeyKind.EC_P384)
    requests = [talk.request(key, None, partial(bytes, value)) for value in (b"first", b"first", b"second")]
    assert [password_of(request) for request in requests] == ["Zmlyc3Q=", "Zmlyc3Q=", "c2Vjb25k"]
    assert requests[0].body == requests[1].body
    assert [csr_of(request).public_key() for request in requests] == [key.public_key()] * 3
    answered(conversation(FETCH_ATTRIBUTES, identity, profile), EstResponse(204, (), b""))
    assert password_of(conversation(ENROLL, identity, profile).request(key, None, lambda: b"third")) is None


@pytest.mark.parametrize(("pop", "password"), [(Pop.ALWAYS, "eA=="), (Pop.AUTO, None), (Pop.NEVER, None)])
def test_without_csr_attributes_only_always_links(pop: Pop, password: str | None) -> None:
    """And where there is nothing to link to, no password is made up."""
    talk = conversation(ENROLL, Identity(), replace(PROFILE, pop=pop))
    assert password_of(talk.request(new_key(), None, lambda: b"x")) == password
    assert password_of(conversation(ENROLL, Identity(), replace(PROFILE, pop=pop)).request(new_key(), None)) is None


# -- what is issued


def test_an_issued_certificate_becomes_the_identity() -> None:
    """With its key and intermediates (no root), its lifetime on the run's clock, and the pending key forgotten."""
    key, identity = new_key(), Identity(pending_key_der=b"of an earlier request")
    talk = conversation(ENROLL, identity)
    certificate = issuing().answer(asked(talk, key))
    answer = answered(talk, certs_only(certificate))
    assert isinstance(answer.outcome, Issued)
    assert answer.outcome.certificate == ours(certificate)
    assert answer.non_conformances == ()
    assert answer.lifetime is not None
    assert answer.lifetime.not_before_s == NOW_S - DAY.total_seconds()
    assert answer.lifetime.not_after_s == NOW_S + DAY.total_seconds()
    assert identity.issued == stored(certificate, key, [issuing().der])
    assert identity.pending_key_der is None
    assert load_credential(identity.issued).key.public_key() == certificate.public_key()


def test_a_certificate_of_the_root_needs_no_chain() -> None:
    """Nothing is sent beside the leaf."""
    identity = Identity()
    talk = conversation(ENROLL, identity)
    answered(talk, certs_only(root().answer(asked(talk, new_key()))))
    assert identity.issued is not None
    assert identity.issued.chain == ()


def test_the_bootstrap_credential_stays() -> None:
    """An expired device begins again with it."""
    key = new_key()
    bootstrap = stored(make_authority("Maker").issue(key.public_key(), cn("born")), key)
    identity = Identity(bootstrap=bootstrap)
    talk = conversation(ENROLL, identity)
    assert talk.credential is not None
    assert read_certificate(talk.credential.certificate_der).subject == "CN=born"
    answered(talk, certs_only(issuing().answer(asked(talk, new_key()))))
    assert identity.bootstrap == bootstrap


def wrong_key(request: EstRequest) -> x509.Certificate:
    """Issue for somebody else's key."""
    csr = csr_of(request)
    return issuing().issue(new_key().public_key(), csr.subject, san_of(csr))


def wrong_subject(request: EstRequest) -> x509.Certificate:
    """Issue for another name."""
    csr = csr_of(request)
    return issuing().issue(csr.public_key(), cn("meter-8"), san_of(csr))


def same_text_in_another_encoding(request: EstRequest) -> x509.Certificate:
    """Issue for the name's text as a PrintableString."""
    csr = csr_of(request)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meter-7", _ASN1Type.PrintableString)])
    return issuing().issue(csr.public_key(), name, san_of(csr))


def without_san(request: EstRequest) -> x509.Certificate:
    """Leave the alternative name out."""
    csr = csr_of(request)
    return issuing().issue(csr.public_key(), csr.subject)


def foreign(request: EstRequest) -> x509.Certificate:
    """Issue by a CA of the same name with another key."""
    return make_authority("Issuing").answer(request)


def expired(request: EstRequest) -> x509.Certificate:
    """Issue a certificate that was over a minute ago."""
    csr = csr_of(request)
    builder = (
        x509.CertificateBuilder()
        .subject_name(csr.subject)
        .public_key(csr.public_key())
        .serial_number(1)
        .not_valid_before(WALL_NOW - DAY)
        .not_valid_after(WALL_NOW - DAY / 1440)
    )
    san = san_of(csr)
    assert san is not None
    return issuing().sign(builder.add_extension(san, critical=False))


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (wrong_key, "is not the one in the request"),
        (wrong_subject, "Subject"),
        (without_san, "SubjectAltName"),
        (foreign, "chain"),
        (expired, "expired"),
    ],
)
def test_a_certificate_that_was_not_asked_for_is_refused(
    issue: Callable[[EstRequest], x509.Certificate], reason: str
) -> None:
    """It is malformed, the device does not become it, and the key is kept for another try."""
    key, identity = new_key(), Identity()
    talk = conversation(ENROLL, identity, replace(PROFILE, names=Names.REQUIRE))
    answer = answered(talk, certs_only(issue(asked(talk, key))))
    assert isinstance(answer.outcome, Malformed)
    assert reason in answer.outcome.reason
    assert answer.lifetime is None
    assert identity.issued is None
    assert identity.pending_key_der == pkcs8(key)


@pytest.mark.parametrize(
    ("issue", "rules"),
    [
        (same_text_in_another_encoding, []),
        (wrong_subject, ["names differ: Subject changed"]),
        (without_san, ["names differ: SubjectAltName dropped"]),
    ],
)
def test_names_that_a_ca_writes_its_own_way_are_used_and_renewed(
    issue: Callable[[EstRequest], x509.Certificate], rules: list[str]
) -> None:
    """Others than were asked for are told; the next request carries what the certificate has (RFC 7030 §4.2.2)."""
    identity = Identity()
    talk = conversation(ENROLL, identity)
    certificate = issue(asked(talk, new_key()))
    answer = answered(talk, certs_only(certificate))
    assert isinstance(answer.outcome, Issued)
    assert [each.rule for each in answer.non_conformances] == rules
    csr = csr_of(asked(conversation(RENEW, identity), new_key()))
    assert csr.subject.public_bytes() == certificate.subject.public_bytes()
    assert san_of(csr) == san_of(certificate)


def test_the_certificate_of_the_requests_key_is_the_issued_one() -> None:
    """A SET has no order, and other certificates may stand beside it: they are told."""
    talk, other = conversation(ENROLL, Identity()), issuing().issue(new_key().public_key(), cn("EST RA"))
    certificate = issuing().answer(asked(talk, new_key()))
    answer = answered(talk, certs_only(other, certificate))
    assert isinstance(answer.outcome, Issued)
    assert answer.outcome.certificate == ours(certificate)
    assert [(each.rule, each.detail) for each in answer.non_conformances] == [("extra certificates", "CN=EST RA")]


def test_without_ca_certificates_nothing_can_be_accepted() -> None:
    """A device that trusts the web's PKI and never fetched the EST CA's cannot verify what it got."""
    key, identity = new_key(), Identity()
    talk = conversation(ENROLL, identity, replace(PROFILE, authorities=None))
    answer = answered(talk, certs_only(issuing().answer(asked(talk, key))))
    assert isinstance(answer.outcome, Malformed)
    assert answer.outcome.rfc_section == "RFC 7030 §4.1.3"
    assert (identity.issued, identity.pending_key_der) == (None, pkcs8(key))


# -- deferral, and other answers without a certificate


def test_a_deferred_request_is_polled_with_its_key() -> None:
    """RFC 7030 §4.2.3: the same request; the poll of another conversation finds the key and accepts what comes."""
    key, identity = new_key(), Identity()
    talk = conversation(ENROLL, identity)
    first = asked(talk, key)
    outcome = answered(talk, come_again("17")).outcome
    assert isinstance(outcome, Deferred)
    assert (outcome.retry_after.wait_s, outcome.retry_after.form) == (17.0, RetryAfterForm.SECONDS)
    for poll in (POLL, replace(POLL, attempt=3)):
        talk = conversation(poll, identity)
        request = asked(talk)
        assert csr_of(request).public_key() == key.public_key() == csr_of(first).public_key()
        assert csr_of(request).subject == csr_of(first).subject
        assert isinstance(answered(talk, come_again()).outcome, Deferred)
        assert identity.pending_key_der == pkcs8(key)
    talk = conversation(POLL, identity)
    certificate = issuing().answer(asked(talk))
    assert isinstance(answered(talk, certs_only(certificate)).outcome, Issued)
    assert identity.issued == stored(certificate, key, [issuing().der])
    assert identity.pending_key_der is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, OutcomeClass.REJECTED),
        (500, OutcomeClass.SERVER_ERROR),
        (503, OutcomeClass.OVERLOADED),
        (429, OutcomeClass.OVERLOADED),
        (200, OutcomeClass.MALFORMED),
    ],
)
def test_a_refusal_keeps_the_key(status: int, kind: OutcomeClass) -> None:
    """A retry is the same request."""
    key, identity = new_key(), Identity()
    talk = conversation(ENROLL, identity)
    asked(talk, key)
    assert answered(talk, EstResponse(status, (), b"no")).outcome.kind is kind
    assert identity.pending_key_der == pkcs8(key)


def test_a_request_that_failed_on_the_way_keeps_its_key() -> None:
    """Nobody knows whether it came to the server: the retry is the same request."""
    key, identity = new_key(), Identity()
    talk = conversation(ENROLL, identity)
    asked(talk, key)
    talk.keep_key()
    assert identity.pending_key_der == pkcs8(key)
    assert conversation(POLL, identity).own_key() is not None


def test_a_status_that_the_scenario_lists_is_a_deferral() -> None:
    """206, as one portal has it, and noted as not the RFC's."""
    talk = conversation(ENROLL, Identity(), replace(PROFILE, deferral_statuses=frozenset({202, 206})))
    asked(talk, new_key())
    answer = answered(talk, EstResponse(206, (("retry-after", "3"),), b""))
    assert isinstance(answer.outcome, Deferred)
    assert [note.rfc_section for note in answer.non_conformances] == ["RFC 7030 §4.2.3"]


# -- renewal

ODD_NAME: Final = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Zähler & Söhne", _ASN1Type.BMPString),
        x509.NameAttribute(NameOID.COMMON_NAME, "meter 7", _ASN1Type.T61String),
        x509.NameAttribute(NameOID.COMMON_NAME, "meter-7", _ASN1Type.PrintableString),
    ]
)


def raw_san(san: x509.SubjectAlternativeName | None) -> bytes:
    """Return the encoding of alternative names."""
    assert san is not None
    return san.public_bytes()


@pytest.mark.parametrize("subject", [cn("meter-7"), ODD_NAME])
def test_a_renewal_copies_the_names_in_hand_byte_for_byte(subject: x509.Name) -> None:
    """RFC 7030 §4.2.2: identical to the current certificate's, whatever the scenario says now."""
    identity = enrolled(subject=subject)
    assert identity.issued is not None
    held = x509.load_der_x509_certificate(identity.issued.certificate_der)
    moved_on = replace(PROFILE, requested=RequestedNames(lambda _: cn("new"), lambda _: None))
    key = new_key()
    request = asked(conversation(RENEW, identity, moved_on), key)
    csr = csr_of(request)
    assert request.path == "/.well-known/est/simplereenroll"
    assert csr.subject.public_bytes() == held.subject.public_bytes()
    assert held.subject.public_bytes() in held.tbs_certificate_bytes
    assert raw_san(san_of(csr)) == raw_san(san_of(held))
    assert raw_san(san_of(csr)) in held.tbs_certificate_bytes
    assert csr.public_key() == key.public_key()


def test_a_renewal_adds_no_alternative_name() -> None:
    """What the certificate in hand does not have is not asked for."""
    assert san_of(csr_of(asked(conversation(RENEW, enrolled(san=False)), new_key()))) is None


def test_a_renewal_without_rekey_sends_the_key_in_hand() -> None:
    """And the new certificate goes with that key; it was never pending."""
    identity = enrolled()
    assert identity.issued is not None
    before = identity.issued
    talk = conversation(replace(RENEW, key=KeyChoice.HELD), identity)
    request = asked(talk)
    assert csr_of(request).public_key() == load_key(before.key_der).public_key()
    answered(talk, come_again())
    assert identity.pending_key_der is None
    certificate = issuing().answer(request)
    assert isinstance(answered(talk, certs_only(certificate)).outcome, Issued)
    assert identity.issued.key_der == before.key_der
    assert identity.issued.certificate_der == certificate.public_bytes(Encoding.DER) != before.certificate_der


def test_a_renewal_that_is_refused_leaves_the_certificate_in_hand() -> None:
    """The device goes on as it is; only the key of the request waits."""
    identity, key = enrolled(), new_key()
    before = identity.issued
    talk = conversation(RENEW, identity)
    asked(talk, key)
    assert isinstance(answered(talk, EstResponse(403, (), b"not yet")).outcome, Rejected)
    assert (identity.issued, identity.pending_key_der) == (before, pkcs8(key))


def test_a_renewal_speaks_as_what_was_issued() -> None:
    """The first enrolment as what the device was born with."""
    identity = enrolled()
    assert identity.issued is not None
    key = new_key()
    identity.bootstrap = stored(make_authority("Maker").issue(key.public_key(), cn("born")), key)
    credentials = [conversation(command, identity).credential for command in (RENEW, ENROLL)]
    held, born = (credential.certificate_der if credential else None for credential in credentials)
    assert held is not None
    assert born is not None
    assert [read_certificate(der).subject for der in (held, born)] == ["CN=meter-7", "CN=born"]


def test_a_device_with_nothing_speaks_as_nobody() -> None:
    """No credential, no key of its own."""
    talk = conversation(ENROLL, Identity())
    assert (talk.credential, talk.own_key()) == (None, None)


# -- CA certificates


def test_fetched_ca_certificates_replace_the_configured_trust() -> None:
    """What another CA issues is sound for the device that was told of it (RFC 7030 §4.1.3), and only for it."""
    other = make_authority("Other")
    identity = Identity()
    talk = conversation(FETCH, identity)
    asked(talk)
    answer = answered(talk, certs_only(other.certificate))
    assert answer.outcome == CACertificates((ours(other.certificate),))
    assert identity.authorities == CertificateAuthorities([ours(other.certificate)])
    talk = conversation(ENROLL, identity)
    assert isinstance(answered(talk, certs_only(other.answer(asked(talk, new_key())))).outcome, Issued)
    talk = conversation(ENROLL, identity)
    assert isinstance(answered(talk, certs_only(issuing().answer(asked(talk, new_key())))).outcome, Malformed)


def test_a_fleet_that_was_told_the_same_shares_one_trust() -> None:
    """One object for all, or ten thousand devices would keep ten thousand."""
    identities = [Identity() for _ in range(50)]
    for identity in identities:
        talk = conversation(FETCH, identity)
        asked(talk)
        answered(talk, certs_only(root().certificate, issuing().certificate))
    assert identities[0].authorities is not None
    assert len({id(identity.authorities) for identity in identities}) == 1


def test_devices_of_one_ca_share_one_chain() -> None:
    """So that one TLS context serves them all."""
    identities = [Identity() for _ in range(10)]
    for identity in identities:
        talk = conversation(ENROLL, identity)
        answered(talk, certs_only(issuing().answer(asked(talk, new_key()))))
    assert len({id(identity.issued.chain) for identity in identities if identity.issued}) == 1


# -- secrets


def test_no_secret_shows_in_a_repr() -> None:
    """Neither a private key, in any of its forms, nor a password: a traceback or a log line may print anything."""
    key, identity = new_key(), enrolled()
    talk = conversation(RENEW, identity, with_basic(preemptive=True))
    request = asked(talk, key)
    answer = answered(talk, come_again())
    assert identity.issued is not None
    shown = "".join(
        repr(each)
        for each in (
            talk,
            request,
            answer,
            identity,
            identity.issued,
            talk.credential,
            load_credential(identity.issued),
        )
    )
    for secret in (pkcs8(key), identity.issued.key_der):
        private = load_key(secret)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        number = private.private_numbers().private_value
        forms = (repr(secret)[2:-1], secret.hex(), base64.b64encode(secret).decode(), str(number), f"{number:x}")
        assert not any(form in shown for form in forms)
    assert SECRET not in repr(with_basic(preemptive=True))


def test_the_digest_fits_the_key() -> None:
    """A P-384 key signs with SHA-384."""
    request = asked(conversation(ENROLL, Identity()), ec.generate_private_key(ec.SECP384R1()))
    assert isinstance(csr_of(request).signature_hash_algorithm, hashes.SHA384)
