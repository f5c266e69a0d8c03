"""The table of outcomes, row by row and column by column, and that nothing a server sends raises."""

import base64
from http import HTTPStatus
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID
from est_pki import (
    DAY,
    NOW,
    NOW_S,
    certs_only_body,
    device_certificate,
    device_key,
    intermediate,
    make_intermediate,
    make_root,
    name,
    root,
)
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.certificate import read_certificate
from estsim.est.login import Login
from estsim.est.messages import EstResponse
from estsim.est.operations import CERTS_ONLY, CSRATTRS_TYPE, PKCS7_MIME, Operation
from estsim.est.outcome import (
    CACertificates,
    Challenged,
    CSRAttributes,
    Deferred,
    Issued,
    Malformed,
    NoCSRAttributes,
    NonConformance,
    Outcome,
    OutcomeClass,
    Overloaded,
    Rejected,
    RetryAfter,
    RetryAfterForm,
    ServerError,
    Unauthorized,
)
from estsim.est.reading import Reading, read_response

ENROLLS: Final = (Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL)
READS: Final = (Operation.CACERTS, Operation.CSRATTRS)
BOTH: Final = frozenset({202, 206})
RFC_CSR_ATTRIBUTES: Final = (
    b"MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw=="
)

EMPTY_CERTS_ONLY: Final = bytes.fromhex(
    "302506092a864886f70d010702a01830160201013100300b06092a864886f70d010701a0003100"
)


def read(
    operation: Operation,
    status: int,
    *,
    body: bytes = b"",
    statuses: frozenset[int] = frozenset({202}),
    can_answer: frozenset[str] = frozenset(),
    headers: dict[str, str] | None = None,
    **named: str,
) -> Reading:
    """Read a response; headers may be given by name, with underscores."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in ((headers or {}) | named).items())
    response = EstResponse(status, pairs, body)
    return read_response(
        operation, response, deferral_statuses=statuses, wall_now_s=NOW_S, login=Login(can_answer=can_answer)
    )


def rules(reading: Reading) -> dict[str, str]:
    """Return the broken rules with their sections."""
    return {note.rule: note.rfc_section for note in reading.non_conformances}


ALL_SAME: Final[list[tuple[int, type[Outcome]]]] = [
    *((status, Rejected) for status in (300, 301, 302, 303, 304, 307, 308, 399)),
    *((status, Unauthorized) for status in (401,)),
    *((status, Rejected) for status in (400, 402, 403, 405, 406, 409, 410, 415, 418, 422, 499)),
    *((status, Overloaded) for status in (429, 503)),
    *((status, ServerError) for status in (500, 502, 504, 505, 507, 599)),
    *((status, Malformed) for status in (201, 203, 205, 207, 226, 299)),
    *((status, Malformed) for status in (100, 101, 103, 199)),
    *((status, ServerError) for status in (600, 700, 999)),
]
BY_COLUMN: Final[list[tuple[int, type[Outcome], type[Outcome], type[Outcome]]]] = [
    # status, enroll, cacerts, csrattrs
    (202, Deferred, Malformed, Malformed),
    (204, Rejected, Rejected, NoCSRAttributes),
    (206, Malformed, Malformed, Malformed),
    (404, Rejected, Rejected, NoCSRAttributes),
    (501, Rejected, Rejected, NoCSRAttributes),
]


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(("status", "expected"), ALL_SAME)
def test_rows_that_are_the_same_in_every_column(operation: Operation, status: int, expected: type[Outcome]) -> None:
    """Most statuses mean the same whatever was asked."""
    outcome = read(operation, status, body=b"said so").outcome
    assert type(outcome) is expected
    assert getattr(outcome, "status", status) == status


@pytest.mark.parametrize(("status", "enroll", "cacerts", "csrattrs"), BY_COLUMN)
def test_rows_that_differ_by_column(
    status: int, enroll: type[Outcome], cacerts: type[Outcome], csrattrs: type[Outcome]
) -> None:
    """Deferral is for certificates, and csrattrs may have none."""
    columns = {Operation.CACERTS: cacerts, Operation.CSRATTRS: csrattrs}
    for operation in Operation:
        outcome = read(operation, status, retry_after="5").outcome
        assert type(outcome) is columns.get(operation, enroll), operation


def test_the_row_of_200() -> None:
    """What each operation is asked for, or Malformed."""
    issued = certs_only_body(device_certificate())
    authorities = certs_only_body(intermediate().certificate, root().certificate)
    for operation in ENROLLS:
        assert read(operation, 200, body=issued).outcome == Issued(device_certificate())
        assert isinstance(read(operation, 200, body=b"<html>").outcome, Malformed)
    ca_certificates = CACertificates((root().certificate, intermediate().certificate))
    assert read(Operation.CACERTS, 200, body=authorities).outcome == ca_certificates
    assert isinstance(read(Operation.CACERTS, 200, body=b"<html>").outcome, Malformed)
    attributes = CSRAttributes(base64.b64decode(RFC_CSR_ATTRIBUTES))
    assert read(Operation.CSRATTRS, 200, body=RFC_CSR_ATTRIBUTES).outcome == attributes
    assert isinstance(read(Operation.CSRATTRS, 200, body=b"<html>").outcome, Malformed)
    assert isinstance(read(Operation.SERVERKEYGEN, 200, body=b"--x").outcome, Malformed)


@pytest.mark.parametrize("operation", ENROLLS)
@pytest.mark.parametrize(
    ("header", "told", "broken"),
    [
        ("7", RetryAfter(7, RetryAfterForm.SECONDS), {}),
        (None, RetryAfter(None, RetryAfterForm.MISSING), {"no Retry-After": "RFC 7030 §4.2.3"}),
        ("soon", RetryAfter(None, RetryAfterForm.UNREADABLE), {"unreadable Retry-After": "RFC 9110 §10.2.3"}),
    ],
)
def test_202_defers_whatever_its_retry_after(
    operation: Operation, header: str | None, told: RetryAfter, broken: dict[str, str]
) -> None:
    """Without a usable Retry-After it is still a deferral, and noted."""
    headers = {} if header is None else {"retry_after": header}
    reading = read(operation, 202, statuses=frozenset(), headers=headers)
    assert reading.outcome == Deferred(told, 202)
    assert rules(reading) == broken


def test_206_defers_only_where_listed_with_retry_after_and_whole() -> None:
    """One portal's deferral, counted apart; a partial answer is none."""
    enroll = Operation.SIMPLEENROLL
    reading = read(enroll, 206, statuses=BOTH, retry_after="9")
    assert reading.outcome == Deferred(RetryAfter(9, RetryAfterForm.SECONDS), 206)
    assert rules(reading) == {"206 used": "RFC 7030 §4.2.3"}
    for wrong in (
        read(enroll, 206, retry_after="9"),
        read(enroll, 206, statuses=BOTH),
        read(enroll, 206, statuses=BOTH, retry_after="9", content_range="bytes 0-1/2"),
        *(read(operation, 206, statuses=BOTH, retry_after="9") for operation in READS),
    ):
        assert isinstance(wrong.outcome, Malformed)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("status", [429, 503])
def test_load_shedding_is_told_apart_from_deferral(operation: Operation, status: int) -> None:
    """Its Retry-After is read, and may be missing."""
    told = RetryAfter(3, RetryAfterForm.SECONDS)
    assert read(operation, status, retry_after="3") == Reading(Overloaded(told, status, HTTPStatus(status).phrase))
    assert read(operation, status) == Reading(Overloaded(status=status, detail=HTTPStatus(status).phrase))
    assert rules(read(operation, status, retry_after="?")) == {"unreadable Retry-After": "RFC 9110 §10.2.3"}


@pytest.mark.parametrize("operation", Operation)
def test_401_challenges_who_can_answer(operation: Operation) -> None:
    """The same answer challenges one device and turns another away."""
    headers = {"www_authenticate": 'Negotiate, Basic realm="est"'}
    can = frozenset({"basic"})
    assert read(operation, 401, can_answer=can, headers=headers) == Reading(Challenged("basic", "est"))
    none = "the server requires a password (negotiate, Basic), and the device has none: see http_auth: go away"
    assert read(operation, 401, body=b"go away", headers=headers) == Reading(Unauthorized(none))
    mismatch = read(operation, 401, can_answer=can)
    assert mismatch.outcome == Unauthorized(
        "no WWW-Authenticate header: the server may require a different client certificate"
    )
    assert rules(mismatch) == {"401 without a challenge": "RFC 9110 §15.5.2"}


def test_a_date_is_read_against_the_servers_own() -> None:
    """The answer's Date counts, not our clock."""
    date, later = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:50:37 GMT"
    outcome = read(Operation.SIMPLEENROLL, 202, date=date, retry_after=later).outcome
    assert outcome == Deferred(RetryAfter(60, RetryAfterForm.HTTP_DATE))


def test_a_redirect_says_where_to() -> None:
    """Rejected here; whether it is followed is the device's question."""
    outcome = read(Operation.SIMPLEENROLL, 307, location="https://b.example/\x1b[2J").outcome
    assert outcome == Rejected(307, "redirect to https://b.example/\ufffd[2J")
    assert read(Operation.SIMPLEENROLL, 302).outcome == Rejected(302, "redirect to nowhere: no Location header")
    assert read(Operation.CACERTS, 304, location="/x").outcome == Rejected(304, "Not Modified")


def test_501_says_not_implemented() -> None:
    """And what the server said beside it."""
    assert read(Operation.FULLCMC, 501).outcome == Rejected(501, "not implemented")
    assert read(Operation.FULLCMC, 501, body=b"no CMC").outcome == Rejected(501, "not implemented: no CMC")


def test_an_invalid_status_counts_as_a_server_error() -> None:
    """RFC 9110 §15: as if it had a 5xx."""
    assert rules(read(Operation.CACERTS, 742)) == {"invalid status": "RFC 9110 §15"}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "Bad Request"),
        (b" no\r\n\tsuch   device \n", "no such device"),
        (b"\x1b[31mred\x07\x00\x9b", "\ufffd[31mred\ufffd\ufffd\ufffd"),
        ("\u202etxt.exe".encode(), "\ufffdtxt.exe"),
        ("ü".encode() * 300, "ü" * 200),
        ("ü".encode("latin-1") * 3, "\ufffd" * 3),
        (b"x" * 10**6, "x" * 200),
    ],
)
def test_error_bodies_are_kept_short_and_harmless(body: bytes, detail: str) -> None:
    """The first 200 characters, on one line, without what a terminal would obey."""
    assert read(Operation.SIMPLEENROLL, 400, body=body).outcome == Rejected(400, detail)


@pytest.mark.parametrize(
    ("operation", "content_type", "broken"),
    [
        (Operation.SIMPLEENROLL, CERTS_ONLY, {}),
        (Operation.SIMPLEENROLL, 'Application/PKCS7-MIME;Smime-Type="Certs-Only" ; name=x.p7c', {}),
        (Operation.SIMPLEENROLL, PKCS7_MIME, {"no smime-type": "RFC 7030 §4.2.3"}),
        (Operation.SIMPLEENROLL, "text/plain", {"wrong content type": "RFC 7030 §4.2.3"}),
        (Operation.SIMPLEENROLL, None, {"wrong content type": "RFC 7030 §4.2.3"}),
        (Operation.CACERTS, PKCS7_MIME, {}),
        (Operation.CACERTS, CERTS_ONLY, {}),
        (Operation.CACERTS, "application/x-pkcs7-certificates", {"wrong content type": "RFC 7030 §4.1.3"}),
        (Operation.CSRATTRS, CSRATTRS_TYPE, {}),
        (Operation.CSRATTRS, PKCS7_MIME, {"wrong content type": "RFC 7030 §4.5.2"}),
    ],
)
def test_a_wrong_content_type_is_noted_and_changes_nothing(
    operation: Operation, content_type: str | None, broken: dict[str, str]
) -> None:
    """Judged by status, never by content type."""
    bodies = {
        Operation.CACERTS: certs_only_body(root().certificate),
        Operation.CSRATTRS: RFC_CSR_ATTRIBUTES,
    }
    body = bodies.get(operation, certs_only_body(device_certificate()))
    headers = {} if content_type is None else {"content_type": content_type}
    reading = read(operation, 200, body=body, headers=headers)
    assert reading.outcome.kind is OutcomeClass.OK
    assert rules(reading) == broken


def test_extra_certificates_are_noted_and_the_issued_one_is_found() -> None:
    """The answer should hold "only the certificate that was issued", but which one that is can be seen."""
    body = certs_only_body(device_certificate(), intermediate().certificate, root().certificate)
    reading = read(Operation.SIMPLEENROLL, 200, body=body, content_type=CERTS_ONLY)
    assert isinstance(reading.outcome, Issued)
    assert reading.outcome.certificate == device_certificate()
    assert set(reading.outcome.others) == {intermediate().certificate, root().certificate}
    assert rules(reading) == {"extra certificates": "RFC 7030 §4.2.3"}


@pytest.mark.parametrize("operation", [Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL])
def test_a_201_with_a_certificate_is_used_and_noted(operation: Operation) -> None:
    """As a server was seen to answer; its status stays what it was. Without one it means nothing."""
    reading = read(operation, 201, body=certs_only_body(device_certificate()), content_type=CERTS_ONLY)
    assert reading == Reading(Issued(device_certificate()), (NonConformance("201 used", "RFC 7030 §4.2.3"),))
    assert isinstance(reading.outcome, Issued)
    assert reading.outcome.status == 201
    for body in (b"", b"created", certs_only_body()):
        outcome = read(operation, 201, body=body, content_type=CERTS_ONLY).outcome
        assert outcome == Malformed(f"status 201 is not defined for {operation.value}", "RFC 7030 §4.2.3")


def test_the_requests_key_tells_the_issued_certificate() -> None:
    """Of two certificates that issued nothing, the one for our key."""
    other = make_intermediate(root(), "Other", ca=False).certificate
    body = certs_only_body(other, device_certificate())
    for wanted in (other, device_certificate()):
        response = EstResponse(200, (), body)
        key_der = wanted.spki
        outcome = read_response(Operation.SIMPLEENROLL, response, wall_now_s=NOW_S, public_key_der=key_der).outcome
        assert isinstance(outcome, Issued)
        assert outcome.certificate == wanted


def test_pem_armour_is_noted() -> None:
    """Armoured answers can be used (RFC 8951 §3)."""
    body = b"-----BEGIN PKCS7-----\n" + certs_only_body(device_certificate()) + b"-----END PKCS7-----\n"
    reading = read(Operation.SIMPLEENROLL, 200, body=body, content_type=CERTS_ONLY)
    assert reading == Reading(Issued(device_certificate()), (NonConformance("PEM armour", "RFC 8951 §3"),))


def test_ca_certificates_without_root_or_chain_are_noted() -> None:
    """The answer must hold the root and all that a path to it needs."""

    def broken(*names: str) -> dict[str, str]:
        stranger = make_intermediate(make_root("Stranger"), "Stray")
        sets = {
            "root": root().certificate,
            "intermediate": intermediate().certificate,
            "stray": stranger.certificate,
        }
        body = certs_only_body(*(sets[one] for one in names))
        return rules(read(Operation.CACERTS, 200, body=body, content_type=PKCS7_MIME))

    assert broken("root", "intermediate") == {}
    assert broken("intermediate") == {"root missing": "RFC 7030 §4.1.3"}
    assert broken("root", "stray") == {"chain missing": "RFC 7030 §4.1.3"}


def test_a_ca_certificate_that_the_library_cannot_read_to_the_end_is_used() -> None:
    """An x400Address is nothing that anybody here compares: the certificate is as good as any."""
    x400_address = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3004a3020500"))
    subject = name("Odd")
    odd = (
        x509.CertificateBuilder(subject, subject, device_key().public_key(), 7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .add_extension(x400_address, critical=False)
        .sign(device_key(), hashes.SHA256())
    )
    ours = read_certificate(odd.public_bytes(Encoding.DER))
    reading = read(Operation.CACERTS, 200, body=certs_only_body(ours), content_type=PKCS7_MIME)
    assert reading == Reading(CACertificates((ours,)))


def test_ca_certificates_are_parsed_once_for_the_whole_fleet() -> None:
    """The same bytes give the same objects."""
    body = certs_only_body(root().certificate)
    first, again = (read(Operation.CACERTS, 200, body=bytes(bytearray(body))) for _ in range(2))
    assert first.outcome is again.outcome


@pytest.mark.parametrize("operation", [*ENROLLS, Operation.CACERTS])
def test_an_answer_without_certificates_is_malformed(operation: Operation) -> None:
    """A well-formed message that holds none says nothing."""
    outcome = read(operation, 200, body=base64.b64encode(EMPTY_CERTS_ONLY)).outcome
    assert isinstance(outcome, Malformed)
    assert outcome.reason == "expected certificates, got none"


@pytest.mark.parametrize(
    ("der", "expected"),
    [
        (b"\x30\x00", NoCSRAttributes),
        (b"\x30\x80\x00\x00", NoCSRAttributes),
        (b"\x30\x03\x06\x01\x2a", CSRAttributes),
        (b"\x30\x03\x02\x01\x2a", Malformed),
        (b"\x04\x00", Malformed),
        (b"\x30\x03\x06\x01", Malformed),
        (b"\x30\x00\x00", Malformed),
    ],
)
def test_csr_attributes_must_be_a_sequence_of_oids_and_attributes(der: bytes, expected: type[Outcome]) -> None:
    """An empty sequence asks for nothing, BER or not."""
    assert type(read(Operation.CSRATTRS, 200, body=base64.b64encode(der)).outcome) is expected


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["retry-after", "date", "content-type", "www-authenticate", "location", "content-range", "server"]
        ),
        st.text() | st.sampled_from(["5", "Basic realm=x", CERTS_ONLY, "Sun, 06 Nov 1994 08:49:37 GMT"]),
    ),
    max_size=6,
).map(tuple)
BODIES = st.binary() | st.binary().map(base64.b64encode)


@given(
    operation=st.sampled_from(Operation),
    status=st.sampled_from([200, 202, 206, 401]) | st.integers(100, 999),
    headers=HEADERS,
    body=BODIES,
    statuses=st.sampled_from([frozenset({202}), BOTH]),
)
def test_whatever_a_server_sends_gives_a_reading(
    operation: Operation,
    status: int,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    statuses: frozenset[int],
) -> None:
    """Total: any status, headers and body have an outcome of the table's classes, and no exception."""
    response = EstResponse(status, headers, body)
    reading = read_response(
        operation,
        response,
        deferral_statuses=statuses,
        wall_now_s=NOW_S,
        login=Login(can_answer=frozenset({"basic", "digest"})),
    )
    assert reading.outcome.kind in set(OutcomeClass) - {OutcomeClass.FAILED, OutcomeClass.ABANDONED}
    assert all(note.rule and note.rfc_section.startswith("RFC ") for note in reading.non_conformances)
    if reading.outcome.kind is OutcomeClass.OK:
        assert status == 200 or operation is Operation.CSRATTRS


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            403,
            "No & never nginx; an HTML page, possibly from a proxy; check the path (target.url) and the client cert",
        ),
        (404, "No & never nginx; an HTML page, possibly from a proxy; check the path (target.url)"),
        (413, "No & never nginx"),
        (502, "No & never nginx"),
    ],
)
def test_of_a_page_the_text_is_kept(status: int, said: str) -> None:
    """Without its markup, and with advice on some."""
    page = b"<html><head><title>No</title></head><body><h1>No &amp; never</h1><hr>nginx</body></html>"
    outcome = read(Operation.SIMPLEENROLL, status, body=page).outcome
    assert isinstance(outcome, Rejected | ServerError)
    assert outcome.detail.startswith(said)


@pytest.mark.parametrize("coding", ["gzip", "GZIP, br", "\xff"])
def test_a_content_coding_that_nobody_asked_for_is_named(coding: str) -> None:
    """What is truly coded cannot be used, what only says so can; words for people are left out of both."""
    named = coding.encode("latin-1").decode("utf-8", "replace")
    note = {"unrequested content coding": "RFC 9110 §12.5.3"}
    coded = read(Operation.SIMPLEENROLL, 200, body=b"\x1f\x8b\x08", headers={"content-encoding": coding})
    assert coded.outcome == Malformed(f"the content has an unrequested coding ({named})", "RFC 9110 §12.5.3")
    said = read(Operation.CACERTS, 200, body=certs_only_body(root().certificate), headers={"content-encoding": coding})
    assert isinstance(said.outcome, CACertificates)
    error = read(Operation.CACERTS, 404, body=b"\x1f\x8b\x08", headers={"content-encoding": coding})
    assert error.outcome == Rejected(404, "Not Found")
    assert rules(coded).items() >= note.items() <= rules(said).items()
    assert rules(error) == note


@pytest.mark.parametrize("coding", ["identity", "", " Identity "])
def test_no_coding_may_be_said(coding: str) -> None:
    """A server that says that it coded nothing is right."""
    said = read(Operation.CACERTS, 404, body=b"no", headers={"content-encoding": coding})
    assert said == Reading(Rejected(404, "no"))


@given(st.data())
def test_damaged_answers_give_a_reading(data: st.DataObject) -> None:
    """Bytes changed in a sound answer of certificates: used or Malformed, nothing raised."""
    operation = data.draw(st.sampled_from([Operation.SIMPLEENROLL, Operation.CACERTS]))
    der = bytearray(base64.b64decode(certs_only_body(root().certificate, intermediate().certificate)))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    outcome = read(operation, 200, body=base64.b64encode(der)).outcome
    assert isinstance(outcome, Issued | CACertificates | Malformed)
