"""What a device obeys of a server's CSR attributes, and what it refuses by name."""

import re
from base64 import b64decode

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from estsim.device.request_form import OWN_FORM, CannotObey, RequestForm, names_in_form, request_form
from estsim.est.csr_attributes import (
    EC,
    ED25519,
    P256,
    P384,
    RSA,
    CSRWishes,
    ExtensionWish,
    KeyWish,
    read_csr_attributes,
)
from estsim.est.der import encode, oid
from estsim.est.names import name_text
from estsim.pki.keys import KeyKind

P521 = oid("1.3.132.0.35")
SAN, KEY_USAGE, EXTENDED, MAC = oid("2.5.29.17"), oid("2.5.29.15"), oid("2.5.29.37"), oid("1.3.6.1.1.1.1.22")
ECDSA_SHA384, RSA_SHA512 = oid("1.2.840.10045.4.3.3"), oid("1.2.840.113549.1.1.13")
SUBJECT = x509.Name(
    [x509.NameAttribute(NameOID.COMMON_NAME, "meter-7"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Mine")]
).public_bytes()


@pytest.mark.parametrize(
    ("wishes", "own", "form"),
    [
        (CSRWishes(), KeyKind.EC_P256, OWN_FORM),
        (CSRWishes((KeyWish(EC),)), KeyKind.EC_P384, OWN_FORM),
        (CSRWishes((KeyWish(EC, curve=P384),)), KeyKind.EC_P256, RequestForm(KeyKind.EC_P384)),
        (CSRWishes((KeyWish(RSA, bits=3072),)), KeyKind.EC_P256, RequestForm(KeyKind.RSA_3072)),
        (CSRWishes((KeyWish(RSA),)), KeyKind.ED25519, RequestForm(KeyKind.RSA_2048)),
        (CSRWishes((KeyWish(RSA), KeyWish(EC, curve=P256))), KeyKind.EC_P256, OWN_FORM),  # its own is one of them
        (CSRWishes((KeyWish(ED25519),), (ED25519,)), KeyKind.EC_P256, RequestForm(KeyKind.ED25519)),
        (CSRWishes(signatures=(RSA_SHA512, ECDSA_SHA384)), KeyKind.EC_P256, RequestForm(hash_name="sha384")),
        (CSRWishes((KeyWish(RSA),), (RSA_SHA512,)), KeyKind.RSA_2048, RequestForm(hash_name="sha512")),
        (CSRWishes(others=("2.5.4.5",)), KeyKind.EC_P256, OWN_FORM),
    ],
)
def test_a_wish_that_can_be_fulfilled_is(wishes: CSRWishes, own: KeyKind, form: RequestForm) -> None:
    """The device's own choice stays where it is among what is wished."""
    assert request_form(wishes, own) == form


def test_extensions_go_into_the_request_as_they_are_told_and_open_ones_filled() -> None:
    """Key usage and purpose are those of a client; a SubjectAltName is kept for the names."""
    wishes = CSRWishes(
        extensions=(
            ExtensionWish(MAC, b"\x0c\x01A", critical=True),
            ExtensionWish(KEY_USAGE, None),
            ExtensionWish(EXTENDED, None),
            ExtensionWish(SAN, b"\x30\x00"),
        )
    )
    form = request_form(wishes, KeyKind.EC_P256)
    assert [each.hex() for each in form.extensions] == [
        "301106072b0601010101160101ff04030c0141",
        "300e0603551d0f0101ff040403020780",
        "30130603551d25040c300a06082b06010505070302",
    ]
    assert form.alternative == ExtensionWish(SAN, b"\x30\x00")


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        (
            CSRWishes((KeyWish(RSA, bits=8192), KeyWish(EC, curve=P521))),
            "RSA, 8192 bits or 1.3.132.0.35",
        ),
        (CSRWishes(signatures=(RSA_SHA512,)), "a signature by 1.2.840.113549.1.1.13 with a key of ec-p256"),
        (CSRWishes(extensions=(ExtensionWish(MAC, None),)), "extension 1.3.6.1.1.1.1.22 is to be filled in"),
    ],
)
def test_what_cannot_be_fulfilled_is_named(wishes: CSRWishes, told: str) -> None:
    """In words for the row."""
    with pytest.raises(CannotObey, match=re.escape(told)):
        request_form(wishes, KeyKind.EC_P256)


def test_a_proof_can_be_forbidden() -> None:
    """``pop: never``; else it is no part of the form, as it changes with each TLS session."""
    assert request_form(CSRWishes(wants_proof=True), KeyKind.EC_P256) == OWN_FORM
    with pytest.raises(CannotObey, match=r"challengePassword, and enroll\.pop is never"):
        request_form(CSRWishes(wants_proof=True), KeyKind.EC_P256, proves=False)


def test_a_subject_s_open_values_are_the_device_s_own() -> None:
    """Those with a value are the server's, in its order; what the device lacks is named."""
    rdns = (((oid("2.5.4.11"), b"\x0c\x06Meters"),), ((oid("2.5.4.3"), None),))
    subject_der, san_der = names_in_form(RequestForm(subject=rdns), SUBJECT, b"\x30\x00")
    assert (name_text(subject_der), san_der) == ("CN=meter-7,OU=Meters", b"\x30\x00")
    with pytest.raises(CannotObey, match=re.escape("the subject's 2.5.4.5, which the device does not have")):
        names_in_form(RequestForm(subject=(((oid("2.5.4.5"), None),),)), SUBJECT, None)


def test_a_san_s_empty_entries_are_the_device_s_own() -> None:
    """RFC 9908 §3.4: an iPAddress of no octets, a directoryName without RDNs."""
    template = ExtensionWish(SAN, encode(0x30, encode(0x82, b"www.example") + encode(0x87, b"")))
    own = encode(0x30, encode(0x82, b"mine") + encode(0x87, bytes((192, 0, 2, 7))))
    _, san_der = names_in_form(RequestForm(alternative=template), SUBJECT, own)
    assert san_der == encode(0x30, encode(0x82, b"www.example") + encode(0x87, bytes((192, 0, 2, 7))))
    with pytest.raises(CannotObey, match=re.escape("a subjectAltName (tag 7), which the device does not have")):
        names_in_form(RequestForm(alternative=template), SUBJECT, None)


def test_the_example_of_the_rfc_s_template_is_obeyed() -> None:
    """RFC 9908 §3.4, by a device that has an address."""
    text = (
        "MIGpMIGmBgsqhkiG9w0BCRACPTGBljCBkwIBADAsMQcwBQYDVQQDMQ8wDQYDVQQLDAZteURlcHQxEDAOBgNVBAsMB215R3JvdXCgFTATBgcqhkjOPQIB"
        "BggqhkjOPQMBB6FJMEcGCyqGSIb3DQEJEAI+MTgwNjAdBgNVHREEFjAUghB3d3cubXlTZXJ2ZXIuY29thwAwDgYDVR0PAQH/BAQDAgOIMAUGA1UdJQ=="
    )
    form = request_form(read_csr_attributes(b64decode(text)), KeyKind.EC_P256)
    own = encode(0x30, encode(0x87, bytes((192, 0, 2, 7))))
    subject_der, san_der = names_in_form(form, SUBJECT, own)
    assert name_text(subject_der) == "OU=myGroup,OU=myDept,CN=meter-7"
    assert san_der is not None
    assert san_der.endswith(bytes.fromhex("8704c0000207"))
    assert len(form.extensions) == 2
