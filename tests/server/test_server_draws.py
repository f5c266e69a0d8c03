"""What the sandbox's draws are keyed by: names and counts that are the same in every run."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.certificate import Certificate, read_certificate
from estsim.est.csr import build_csr, read_csr, subject_asked_for
from estsim.est.messages import EstRequest
from estsim.est.operations import Operation
from estsim.est.transfer import encode_body
from estsim.pki.authority import Issuer, make_authority
from estsim.pki.keys import KeyKind, make_key, spki_of
from estsim.pki.names import Names, common_name
from estsim.server.admission import Application, device_named
from estsim.server.draws import DrawKey, Ordinals, who_draws
from estsim.server.peer import Peer
from estsim.server.policy import Request

METER, OTHER, EMPTY = common_name("meter-1"), common_name("other"), b"\x30\x00"
SAN = bytes.fromhex("30098207612e6d65746572")  # dNSName a.meter
KEY = ec.generate_private_key(ec.SECP256R1())


def shown(subject: bytes, san: bytes | None = None, maker: str = "maker 3f") -> Peer:
    """Return who shows a certificate with these names, by a CA of that name."""
    now = datetime.now(UTC)
    issued = Issuer(make_authority(maker, KeyKind.EC_P256, now=now), 3600.0).issue(
        spki_of(make_key(KeyKind.EC_P256)), Names(subject, san), now.timestamp()
    )
    certificate: Certificate = read_certificate(issued.der)
    return Peer(certificate.subject, certificate.serial_hex, certificate)


def asking(subject: bytes) -> EstRequest:
    """Return a request with a CSR for a Subject."""
    return EstRequest("POST", "/", (), encode_body(build_csr(KEY, subject), columns=None))


def applied(subject: bytes, san: bytes | None = None) -> Application:
    """Return a request that is in order."""
    return Application(Request(b"i", b"k", b"n"), b"", b"", Names(subject, san))


ENROLL, RENEW, CACERTS = Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL, Operation.CACERTS
NOBODY = EstRequest("GET", "/", (), b"")


@pytest.mark.parametrize(
    ("operation", "request_", "peer", "application", "name"),
    [
        (CACERTS, NOBODY, shown(METER), None, METER),
        (CACERTS, NOBODY, shown(EMPTY, SAN), None, SAN),
        (CACERTS, NOBODY, Peer(), None, b""),
        (ENROLL, asking(METER), shown(OTHER), applied(METER), METER),
        (ENROLL, asking(METER), Peer(), None, METER),
        (ENROLL, NOBODY, shown(OTHER), None, OTHER),
        (ENROLL, asking(EMPTY), Peer(), applied(EMPTY, SAN), SAN),
        (RENEW, asking(OTHER), shown(METER), None, METER),
        (RENEW, asking(METER), shown(METER), applied(METER), METER),
    ],
    ids=[
        "cacerts: the certificate shown",
        "cacerts: its alternative name where it has no other",
        "cacerts: nobody",
        "enrolling: the CSR, many may share a certificate",
        "enrolling, refused: the CSR all the same",
        "enrolling without a CSR that can be read: the certificate",
        "enrolling without a Subject: the alternative name",
        "renewing: the certificate, whatever is asked for",
        "renewing",
    ],
)
def test_a_device_is_known_by_the_name_that_it_has_in_every_run(
    operation: Operation, request_: EstRequest, peer: Peer, application: Application | None, name: bytes
) -> None:
    """By its Subject, or what stands for it."""
    assert device_named(operation, request_, peer, application) == name


def test_neither_the_maker_nor_the_key_of_a_certificate_counts() -> None:
    """Both are made anew in each run."""
    makers = ("maker 3f", "maker a0")
    first, second = (device_named(CACERTS, NOBODY, shown(METER, maker=maker), None) for maker in makers)
    assert who_draws("default", first, CACERTS) == who_draws("default", second, CACERTS)


def test_trust_center_subject_and_operation_are_draws_apart() -> None:
    """Each of them alone gives another number."""
    keys = [
        ("default", METER, ENROLL),
        ("meters", METER, ENROLL),
        ("default", OTHER, ENROLL),
        ("default", METER, RENEW),
    ]
    assert len({who_draws(*key) for key in keys}) == len(keys)


def test_the_subject_of_a_request_is_read_without_looking_at_its_signature() -> None:
    """As :func:`read_csr` has it, of a request that this refuses too; of what is none, nothing."""
    der = build_csr(KEY, METER)
    spoilt = der[:-4] + bytes(4)
    assert subject_asked_for(der) == subject_asked_for(spoilt) == read_csr(der).subject_der == METER
    assert subject_asked_for(b"") is None
    assert subject_asked_for(EMPTY) is None
    assert subject_asked_for(METER) is None


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.sampled_from([b"x", b"y"])), max_size=50))
def test_requests_are_counted_from_zero_for_each_device_and_a_repeat_knows_its_first(
    asked: list[tuple[int, bytes]],
) -> None:
    """Whatever the others do; the first is that of the run of requests with the same key."""
    ordinals = Ordinals()
    counted = [ordinals.next(*one) for one in asked]
    for who in (1, 2):
        keys = [key for each, key in asked if each == who]
        first_certificates = [at for at, key in enumerate(keys) if at == 0 or keys[at - 1] != key]
        expected = [
            DrawKey(who, at, max(first for first in first_certificates if first <= at)) for at in range(len(keys))
        ]
        assert [key for key in counted if key.who == who] == expected


def test_of_too_many_those_not_seen_for_long_begin_anew() -> None:
    """Between as many as are to be remembered and twice as many are."""
    ordinals = Ordinals(remembered=2)
    assert [ordinals.next(who).ordinal for who in (1, 2, 1, 3, 1, 4, 1, 2)] == [0, 0, 1, 0, 2, 0, 3, 0]
