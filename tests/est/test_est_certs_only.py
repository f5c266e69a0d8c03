"""certs-only messages: our own and everybody's, DER and BER, and which root is the newest."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from est_pki import DAY, NOW, device_certificate, intermediate, issue, make_root, root
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.authorities import newest_root_first
from estsim.est.certs_only import (
    BER,
    NOT_ONLY_CERTIFICATES,
    TRAILING_BYTES,
    CertsOnlyError,
    encode_certs_only,
    read_certs_only,
)
from estsim.est.der import DERError, encode, from_ber

SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
DATA = bytes.fromhex("06092a864886f70d010701")
VERSION_1 = b"\x02\x01\x01"


def definite(tag: int, *parts: bytes) -> bytes:
    """Encode an element as DER does."""
    return encode(tag, b"".join(parts))


def indefinite(tag: int, *parts: bytes) -> bytes:
    """Encode a constructed element as only BER may."""
    return bytes((tag, 0x80)) + b"".join(parts) + b"\x00\x00"


def long_form(tag: int, *parts: bytes) -> bytes:
    """Encode an element with a longer length than it needs."""
    content = b"".join(parts)
    return bytes((tag, 0x84)) + len(content).to_bytes(4, "big") + content


def message(
    *choices: bytes,
    form: Callable[..., bytes] = definite,
    kind: bytes = SIGNED_DATA,
    content: bytes = b"",
    signers: bytes = b"",
) -> bytes:
    """Write a ContentInfo by hand, its envelope in any form."""
    signed = form(0x30, VERSION_1, form(0x31), form(0x30, DATA, content), form(0xA0, *choices), form(0x31, signers))
    return form(0x30, kind, form(0xA0, signed))


def leaf_der() -> bytes:
    """Return the device's certificate as DER."""
    return device_certificate().der


def test_what_was_encoded_is_decoded() -> None:
    """A set comes back, in whatever order."""
    certificates = {root().certificate.der, intermediate().certificate.der, device_certificate().der}
    assert set(read_certs_only(encode_certs_only(certificates))[0]) == certificates


def test_the_library_reads_what_we_write_and_the_other_way_round() -> None:
    """Two readers of one message agree, order included."""
    der = encode_certs_only([root().certificate.der, intermediate().certificate.der])
    theirs = pkcs7.load_der_pkcs7_certificates(der)
    assert list(read_certs_only(der)[0]) == [each.public_bytes(Encoding.DER) for each in theirs]
    assert encode_certs_only(read_certs_only(der)[0]) == pkcs7.serialize_certificates(theirs, Encoding.DER) == der


def test_certificates_come_in_the_order_they_were_sent() -> None:
    """A SET has no order, but a server that sends one is kept to it."""
    ca_der = root().certificate.der
    for sent in ((leaf_der(), ca_der), (ca_der, leaf_der())):
        assert read_certs_only(message(*sent))[0] == sent


@pytest.mark.parametrize("form", [indefinite, long_form])
def test_ber_is_read_and_noted(form: Callable[..., bytes]) -> None:
    """Indefinite and overlong lengths are read without a warning, and counted."""
    assert read_certs_only(message(leaf_der(), form=form)) == ((leaf_der(),), (BER,))


def test_bytes_after_the_message_are_noted() -> None:
    """A server that pads its message breaks a rule but says what it must."""
    assert read_certs_only(message(leaf_der()) + b"\n") == ((leaf_der(),), (TRAILING_BYTES,))


@pytest.mark.parametrize(
    "der",
    [
        message(leaf_der(), signers=definite(0x30)),
        message(leaf_der(), content=definite(0xA0, definite(0x04, b"x"))),
        message(leaf_der(), definite(0xA1, b"")),
    ],
    ids=["signed", "with content", "with an attribute certificate"],
)
def test_more_than_certificates_is_noted(der: bytes) -> None:
    """certs-only has neither signers nor content nor other kinds of certificate (RFC 5272 §4.1)."""
    assert read_certs_only(der) == ((leaf_der(),), (NOT_ONLY_CERTIFICATES,))


def test_no_certificates_is_an_empty_answer() -> None:
    """Whether none is acceptable is for the operation to say."""
    assert read_certs_only(message())[0] == ()


@pytest.mark.parametrize(
    ("der", "reason"),
    [
        (b"", "message in DER"),
        (b"\x30", "message in DER"),
        (message(leaf_der())[:-1], "message in DER"),
        (message(leaf_der(), kind=DATA), "a different content type"),
        (leaf_der(), "a different structure"),
        (definite(0x30, SIGNED_DATA, definite(0xA0, definite(0x30, VERSION_1))), "a different structure"),
        (indefinite(0x30) * 40, "a different structure"),
        (b"\x30\x80" * 4000, "message in DER"),
        (b"\x30\xff" + b"\xff" * 130, "message in DER"),
        (b"\x04\x80\x00\x00", "message in DER"),
    ],
)
def test_what_is_no_certs_only_message_is_refused(der: bytes, reason: str) -> None:
    """The message says how far the reading came."""
    with pytest.raises(CertsOnlyError, match=reason):
        read_certs_only(der)[0]


@given(st.data())
def test_damaged_messages_are_read_or_refused(data: st.DataObject) -> None:
    """Any bytes changed anywhere raise nothing but CertsOnlyError."""
    der = bytearray(message(leaf_der(), form=data.draw(st.sampled_from([definite, indefinite]))))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CertsOnlyError):
        read_certs_only(bytes(der))[0]


@given(st.binary(max_size=60))
def test_der_made_from_ber_is_a_fixed_point(source: bytes) -> None:
    """Re-encoding again changes nothing more."""
    with suppress(DERError):
        once = from_ber(source)
        assert from_ber(once) == once


def test_the_newest_self_signed_root_comes_first() -> None:
    """Of two roots the one that is valid longer; the others keep their order."""
    old, new = make_root("CA", end=NOW + DAY), make_root("CA", end=NOW + 2 * DAY)
    given_order = (intermediate().certificate, old.certificate, new.certificate)
    assert newest_root_first(given_order) == (new.certificate, intermediate().certificate, old.certificate)


def test_link_certificates_are_no_roots_however_long_they_live() -> None:
    """OldWithNew and NewWithOld name themselves as issuer, but their own key did not sign them (RFC 4210 §4.4)."""
    old, new = make_root("CA", end=NOW + DAY), make_root("CA", end=NOW + 2 * DAY)
    subject, later = new.name, NOW + timedelta(days=9)
    old_with_new = issue(subject, old.key.public_key(), subject, new.key, ca=True, end=later)
    new_with_old = issue(subject, new.key.public_key(), subject, old.key, ca=True, end=later)
    first, *_ = newest_root_first([new_with_old, old.certificate, old_with_new, new.certificate])
    assert first == new.certificate


def test_without_a_root_nothing_moves() -> None:
    """A set of intermediates comes back as it was."""
    certificates = (device_certificate(), intermediate().certificate)
    assert newest_root_first(certificates) == certificates
