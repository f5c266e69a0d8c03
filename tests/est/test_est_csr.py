"""Certification requests: what is built is read back, proof of possession is checked, parts are compared raw."""

from contextlib import suppress
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from est_pki import DAY, NOW, Key, device_certificate, device_key, intermediate, issue, name
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.certificate import read_certificate
from estsim.est.csr import (
    CSRError,
    build_csr,
    read_csr,
)
from estsim.est.der import BIT_STRING, NULL, SEQUENCE, children, element, encode, encoded_oid

SAN = x509.SubjectAlternativeName([x509.DNSName("meter-1.example"), x509.RFC822Name("m@example.com")])
NAME_DER = name("meter-1").public_bytes()
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=30)


@cache
def key_of(kind: str) -> Key:
    """Make one key of a kind for all tests."""
    match kind:
        case "ec-p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ec-p521":
            return ec.generate_private_key(ec.SECP521R1())
        case "rsa-2048":
            return rsa.generate_private_key(65537, 2048)
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return device_key()


@cache
def whole_request() -> bytes:
    """Return one request with everything in it; signatures differ in length, so it is made once."""
    return build_csr(device_key(), NAME_DER, SAN.public_bytes(), challenge_password="secret")


HASHES = {
    "ec-p256": hashes.SHA256,
    "ec-p384": hashes.SHA384,
    "ec-p521": hashes.SHA512,
    "rsa-2048": hashes.SHA256,
    "ed25519": None,
}


@pytest.mark.parametrize("kind", HASHES)
def test_a_request_of_every_key_kind_comes_back(kind: str) -> None:
    """The facts are those that went in, and the hash fits the key."""
    key = key_of(kind)
    der = build_csr(key, NAME_DER, SAN.public_bytes(), challenge_password="bGluaw==")
    request, facts = x509.load_der_x509_csr(der), read_csr(der)
    assert request.is_signature_valid
    assert request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == SAN
    assert facts.subject_der == name("meter-1").public_bytes()
    assert facts.san_der == SAN.public_bytes()
    assert facts.public_key_der == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert (facts.challenge_password, facts.change_subject_name) == ("bGluaw==", None)
    expected = HASHES[kind]
    assert (
        request.signature_hash_algorithm is None
        if expected is None
        else isinstance(request.signature_hash_algorithm, expected)
    )


@given(
    common_name=TEXT,
    dns=st.lists(st.from_regex(r"[a-z]{1,20}(\.[a-z]{1,20}){0,3}", fullmatch=True), min_size=1, max_size=5) | st.none(),
    password=TEXT | st.none(),
)
def test_whatever_is_asked_for_comes_back(common_name: str, dns: list[str] | None, password: str | None) -> None:
    """Subject, names and challenge password survive the round trip over arbitrary text."""
    san = None if dns is None else x509.SubjectAlternativeName(map(x509.DNSName, dns))
    san_der = None if san is None else san.public_bytes()
    facts = read_csr(build_csr(device_key(), name(common_name).public_bytes(), san_der, challenge_password=password))
    assert facts.subject_der == name(common_name).public_bytes()
    assert facts.san_der == san_der
    assert facts.challenge_password == password


def test_change_subject_name_is_seen() -> None:
    """The attribute that allows a new Subject on re-enrolment (RFC 6402 §2.8)."""
    change = x509.ObjectIdentifier("1.3.6.1.5.5.7.7.36")
    builder = x509.CertificateSigningRequestBuilder(name("new")).add_attribute(change, b"x")
    der = builder.sign(device_key(), hashes.SHA256()).public_bytes(Encoding.DER)
    assert read_csr(der).change_subject_name == b"\x0c\x01x"


def test_a_request_signed_by_another_key_proves_nothing() -> None:
    """The last byte of the signature is changed; the rest is sound."""
    der = bytearray(build_csr(device_key(), NAME_DER))
    der[-1] ^= 1
    with pytest.raises(CSRError, match="no proof of possession"):
        read_csr(bytes(der))


def test_an_old_hash_is_named_and_no_missing_proof() -> None:
    """The signature is sound, and made over SHA-1: that is what is said."""
    key = key_of("rsa-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    der = build_csr(key, NAME_DER)
    _, start, end = element(der, 0)
    asked, algorithm, _ = children(der, start, end)
    old = encode(SEQUENCE, encoded_oid("1.2.840.113549.1.1.5") + encode(NULL, b""))
    signature = key.sign(der[asked[1] : asked[3]], padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the old one
    request = encode(SEQUENCE, der[asked[1] : asked[3]] + old + encode(BIT_STRING, b"\0" + signature))
    assert der[algorithm[1] : algorithm[3]] != old
    with pytest.raises(CSRError, match=r"^the request is signed with SHA-1, which is not accepted$"):
        read_csr(request)


def test_a_changed_subject_breaks_the_proof() -> None:
    """What the signature covers cannot be exchanged."""
    der = build_csr(device_key(), NAME_DER).replace(b"meter-1", b"meter-2")
    with pytest.raises(CSRError, match="no proof of possession"):
        read_csr(der)


@pytest.mark.parametrize("der", [b"", b"0", b"0\x00", b"not DER at all", build_csr(device_key(), NAME_DER)[:-1]])
def test_what_is_no_request_is_refused(der: bytes) -> None:
    """The message says what was expected."""
    with pytest.raises(CSRError, match="expected a certification request"):
        read_csr(der)


@given(st.data())
def test_damaged_requests_are_read_or_refused(data: st.DataObject) -> None:
    """Any byte changed anywhere raises nothing but CSRError."""
    der = bytearray(whole_request())
    der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CSRError):
        read_csr(bytes(der))


def test_certificate_and_request_give_the_same_parts() -> None:
    """What a CA copied compares equal as bytes."""
    san = x509.SubjectAlternativeName([x509.DNSName("meter-1.example")])
    facts = read_csr(build_csr(device_key(), NAME_DER, san.public_bytes()))
    certificate = device_certificate()
    assert certificate.subject_der == facts.subject_der
    assert certificate.san_der == facts.san_der
    assert certificate.spki == facts.public_key_der


def test_a_certificate_without_names_has_no_san() -> None:
    """No extension is None, not empty bytes."""
    assert intermediate().certificate.san_der is None


def test_a_critical_san_is_found() -> None:
    """An empty Subject needs its SubjectAltName critical (RFC 5280 §4.2.1.6): one element more before the value."""
    ca = intermediate()
    builder = x509.CertificateBuilder(ca.name, x509.Name([]), device_key().public_key(), 7).not_valid_before(NOW - DAY)
    builder = builder.not_valid_after(NOW + DAY).add_extension(SAN, critical=True)
    certificate = read_certificate(builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER))
    assert certificate.san_der == SAN.public_bytes()
    assert certificate.subject_der == b"\x30\x00"


def test_the_same_text_in_another_string_type_is_another_subject() -> None:
    """RFC 7030 §4.2.2 compares encodings: PrintableString is not UTF8String."""
    ca = intermediate()
    ders = set()
    for kind in (_ASN1Type.PrintableString, _ASN1Type.UTF8String):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meter-1", kind)])
        facts = read_csr(build_csr(device_key(), subject.public_bytes()))
        certificate = issue(subject, device_key().public_key(), ca.name, ca.key)
        assert certificate.subject_der == facts.subject_der
        ders.add(facts.subject_der)
    assert len(ders) == 2


def test_the_order_of_names_makes_another_san() -> None:
    """GeneralNames is a SEQUENCE: order is part of it."""
    backwards = x509.SubjectAlternativeName(list(SAN)[::-1])
    forth, back = (read_csr(build_csr(device_key(), NAME_DER, san.public_bytes())).san_der for san in (SAN, backwards))
    assert forth != back
