"""Certificates as strangers write them: each is read into a value, with what is odd, or refused with the part."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from der_writer import (
    CA_CONSTRAINTS,
    CERTIFICATE_POLICIES,
    COMMON_NAME,
    COUNTRY,
    IS_CA,
    SUBJECT_ALT_NAME,
    StringTag,
    attribute,
    bit_string,
    boolean,
    common_name,
    dns_name,
    explicit,
    extension,
    generalized_time,
    integer,
    ip_address,
    name,
    octet_string,
    oid,
    policy_with_text,
    sequence,
    string,
    time_of,
    tlv,
    utc_time,
    validity,
)
from foreign_pki import ECDSA_SHA1, ECDSA_SHA256, ForeignCA, certificate, make_key, signed, spki_of
from hypothesis import given, settings
from hypothesis import strategies as st

from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import Certificate, CertificateUnreadable, read_certificate
from estsim.est.der import element
from estsim.net.server_checks import check_host

KEY_USAGE = extension("2.5.29.15", bytes.fromhex("03020780"), critical=True)
NOW = datetime.now(UTC)


@cache
def key() -> ec.EllipticCurvePrivateKey:
    """Return the one key of these tests."""
    return make_key()


@cache
def authority() -> ForeignCA:
    """Return the CA of these tests."""
    return ForeignCA()


def written(
    *,
    issuer: bytes | None = None,
    subject: bytes | None = None,
    spki: bytes | None = None,
    extensions: Sequence[bytes] = (),
    serial: int | bytes = 7,
    valid: bytes | None = None,
    version: bytes | None = None,
    outer: bytes | None = None,
) -> bytes:
    """Return a certificate of the CA with something odd about it."""
    return certificate(
        issuer=authority().name if issuer is None else issuer,
        subject=subject or common_name("device"),
        spki=spki or spki_of(key()),
        key=authority().key,
        extensions=extensions,
        serial=serial,
        valid=valid,
        outer=outer,
        version=explicit(0, integer(2)) if version is None else version,
    )


def rules(der: bytes) -> dict[str, str]:
    """Return what is odd about a certificate that can be used."""
    return {odd.rule: odd.rfc_section for odd in read_certificate(der).oddities}


def is_trusted(der: bytes) -> bool:
    """Whether the CA is found to have issued a certificate."""
    return CertificateAuthorities([read_certificate(authority().der)]).chain_of(read_certificate(der)) is not None


def test_a_usual_certificate_is_read_whole() -> None:
    """Names, key, serial, times, alternative names and constraints; nothing is odd about it."""
    san = sequence(dns_name(b"meter-1.example"))
    read = read_certificate(written(extensions=(extension(SUBJECT_ALT_NAME, san), IS_CA), valid=validity()))
    assert (read.subject, read.issuer, read.serial_hex) == ("CN=device", "CN=Foreign Root", "07")
    assert (read.subject_der, read.issuer_der) == (common_name("device"), authority().name)
    assert (read.spki, read.san_der, read.is_ca, read.oddities) == (spki_of(key()), san, True, ())
    assert read.not_after_s - read.not_before_s == pytest.approx(timedelta(days=30, hours=1).total_seconds(), abs=1)
    assert is_trusted(read.der)


ODD = [
    ({"serial": 0}, "serial number not positive", "RFC 5280 §4.1.2.2"),
    ({"serial": -1}, "serial number not positive", "RFC 5280 §4.1.2.2"),
    ({"serial": 1 << 160}, "serial number longer than 20 octets", "RFC 5280 §4.1.2.2"),
    (
        {"version": b"", "extensions": (KEY_USAGE,)},
        "extensions in a v1 or v2 certificate",
        "RFC 5280 §4.1.2.1",
    ),
    ({"version": explicit(0, integer(4))}, "unknown certificate version", "RFC 5280 §4.1.2.1"),
    (
        {"subject": name(attribute(COUNTRY, string("DEU", StringTag.PRINTABLE)))},
        "country not two letters",
        "RFC 5280 Appendix A.1",
    ),
    (
        {"subject": name(attribute(COMMON_NAME, tlv(StringTag.UTF8, b"Z\xe4hler")))},
        "name text invalid for its string type",
        "RFC 5280 §4.1.2.4",
    ),
    (
        {"subject": name(attribute(COMMON_NAME, tlv(StringTag.PRINTABLE, b"a@b")))},
        "name text invalid for its string type",
        "RFC 5280 §4.1.2.4",
    ),
    ({"extensions": (KEY_USAGE, KEY_USAGE)}, "duplicate extension", "RFC 5280 §4.2"),
    (
        {"extensions": (policy_with_text("raíz".encode("latin-1")),)},
        "extension text invalid for its string type",
        "RFC 5280 §4.2",
    ),
    (
        {"extensions": (extension(CERTIFICATE_POLICIES, b"\x30\x09"),)},
        "unreadable extension",
        "RFC 5280 §4.2",
    ),
    ({"extensions": (extension(CA_CONSTRAINTS, b"junk"),)}, "unreadable extension", "RFC 5280 §4.2"),
    ({"extensions": (sequence(oid("2.5.29.15")),)}, "unreadable extension", "RFC 5280 §4.2"),
    (
        {"extensions": (extension(CA_CONSTRAINTS, sequence(integer(3))),)},
        "path length in a non-CA certificate",
        "RFC 5280 §4.2.1.9",
    ),
    (
        {"extensions": (extension(SUBJECT_ALT_NAME, sequence(dns_name(b""), dns_name(b"good"))),)},
        "unreadable subjectAltName",
        "RFC 5280 §4.2.1.6",
    ),
    (
        {"valid": sequence(generalized_time("20200101000000Z"), generalized_time("20600101000000Z"))},
        "GeneralizedTime before 2050",
        "RFC 5280 §4.1.2.5",
    ),
    (
        {"valid": sequence(utc_time("2001010000Z"), time_of(NOW))},
        "time without seconds or Z",
        "RFC 5280 §4.1.2.5",
    ),
    (
        {"valid": sequence(utc_time("200101000000+0100"), time_of(NOW))},
        "time without seconds or Z",
        "RFC 5280 §4.1.2.5",
    ),
]


@pytest.mark.parametrize(("changes", "rule", "section"), ODD, ids=[f"{n} {rule}" for n, (_, rule, _) in enumerate(ODD)])
def test_what_breaks_a_rule_is_told_and_used(changes: dict[str, bytes], rule: str, section: str) -> None:
    """Every oddity by its rule and section; the signature is checked over what the CA signed."""
    der = written(**changes)  # type: ignore[arg-type]
    assert rules(der) == {rule: section}
    assert is_trusted(der)


def test_an_empty_issuer_is_told() -> None:
    """RFC 5280 §4.1.2.4; who has issued it cannot be looked up."""
    assert rules(written(issuer=name())) == {"empty issuer": "RFC 5280 §4.1.2.4"}


def test_two_signature_algorithms_make_no_chain() -> None:
    """As OpenSSL has it: the field "MUST contain the same algorithm identifier" (RFC 5280 §4.1.1.2)."""
    der = written(outer=ECDSA_SHA1.identifier)
    trust = CertificateAuthorities([read_certificate(authority().der)])
    assert rules(der) == {"signature algorithm fields differ": "RFC 5280 §4.1.1.2"}
    assert trust.chain_of(read_certificate(der)) is None
    assert "two signature algorithm fields" in trust.why_not(read_certificate(der))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"serial": octet_string(b"7")}, "serial number"),
        ({"serial": tlv(0x02, b"")}, "serial number"),
        ({"valid": sequence(utc_time("999999999999Z"), time_of(NOW))}, "notBefore"),
        ({"valid": sequence(time_of(NOW), utc_time("260230000000Z"))}, "notAfter"),
        ({"valid": sequence(time_of(NOW))}, "validity"),
        ({"valid": sequence(time_of(NOW), tlv(0x0C, b"tomorrow"))}, "notAfter"),
        ({"issuer": tlv(0x31)}, "issuer"),
        ({"subject": sequence(sequence())}, "subject"),
        ({"spki": sequence(bit_string(b"x"))}, "public key"),
        ({"extensions": (boolean(True),)}, "extensions"),
        ({"version": explicit(0)}, "version"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_part(changes: dict[str, bytes], part: str) -> None:
    """An error of ours, for what is needed and is not there."""
    with pytest.raises(CertificateUnreadable) as caught:
        read_certificate(written(**changes))  # type: ignore[arg-type]
    assert caught.value.part == part
    assert str(caught.value).startswith(f"{part} cannot be read: ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (string("Geräte", StringTag.TELETEX), "CN=Geräte"),
        (string("Geräte", StringTag.BMP), "CN=Geräte"),
        (string("Geräte", StringTag.UNIVERSAL), "CN=Geräte"),
        (string("a+b,c", StringTag.IA5), "CN=a\\+b\\,c"),
        (tlv(0x12, b"12 3"), "CN=12 3"),
        (tlv(0x1E, b"odd"), "CN=odd"),
        (tlv(0x0C, b"\x1b[2Jx\x00"), "CN=\\1B[2Jx\\00"),
        (tlv(0x0C, "\u202e".encode()), "CN=\\E2\\80\\AE"),
        (octet_string(b"\x01\x02"), "CN=#04020102"),
        (tlv(0x0C), "CN="),
        (tlv(0x0C, b" a#"), "CN=\\ a#"),
    ],
)
def test_a_name_of_any_string_type_has_a_text(value: bytes, text: str) -> None:
    """RFC 4514, safe for a terminal; what is no string is told in hexadecimal."""
    assert read_certificate(written(subject=name(attribute(COMMON_NAME, value)))).subject == text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (string("Meter 1"), string("Meter 1", StringTag.PRINTABLE), True),
        (string("Meter 1"), string("METER  1 ", StringTag.BMP), True),
        (string("Zähler"), string("ZÄHLER", StringTag.TELETEX), True),
        (string("Meter 1"), string("Meter1"), False),
        (octet_string(b"a"), string("a"), False),
        (string("ﬁ"), string("FI"), True),
    ],
)
def test_names_are_compared_by_value(one: bytes, other: bytes, *, same: bool) -> None:
    """RFC 5280 §7.1: not by string type, case or needless space."""
    ca = ForeignCA(name(attribute(COMMON_NAME, one)))
    der = certificate(
        issuer=name(attribute(COMMON_NAME, other)), subject=common_name("d"), spki=spki_of(key()), key=ca.key
    )
    trust = CertificateAuthorities([read_certificate(ca.der)])
    assert (trust.chain_of(read_certificate(der)) is not None) is same
    if not same:
        assert "is not among the CA certificates" in trust.why_not(read_certificate(der))


def test_a_certificate_in_ber_is_used_as_openssl_does() -> None:
    """A length longer than it must be, inside what was signed: the signature is over the bytes as they came."""
    sound = read_certificate(written())
    _, start, end = element(sound.tbs, 0)
    tbs = sequence(sound.tbs[start:end].replace(integer(7), b"\x02\x81\x01\x07", 1))
    der = signed(tbs, authority().key)
    assert "certificate in BER, not DER" in rules(der)
    assert is_trusted(der)


SANS = {
    "the name alone": sequence(dns_name(b"est.example.com")),
    "a stray Latin-1 name": sequence(dns_name(b"z\xe4hler"), dns_name(b"est.example.com")),
    "an empty name": sequence(dns_name(b""), dns_name(b"est.example.com")),
    "a pattern of nothing": sequence(dns_name(b"*"), dns_name(b"est.example.com")),
    "an address as a name": sequence(dns_name(b"192.0.2.1"), dns_name(b"est.example.com")),
    "an address of five octets": sequence(ip_address(b"12345"), dns_name(b"est.example.com")),
    "an address of none": sequence(ip_address(b""), dns_name(b"est.example.com")),
    "an x400Address": sequence(explicit(3), dns_name(b"est.example.com")),
    "a broken directoryName": sequence(explicit(4, b"\x05\x00"), dns_name(b"est.example.com")),
    "a NUL": sequence(dns_name(b"a\0b"), dns_name(b"est.example.com")),
}


@pytest.mark.parametrize("kind", SANS)
def test_an_odd_name_beside_the_right_one_is_in_nobodys_way(kind: str) -> None:
    """As curl and OpenSSL have it; and the odd one is no name of the host."""
    read = read_certificate(written(extensions=(extension(SUBJECT_ALT_NAME, SANS[kind]), policy_with_text(b"\xed"))))
    assert check_host(read, "est.example.com") is None
    wrong = check_host(read, "192.0.2.9")
    assert wrong is not None
    assert "est.example.com" in wrong
    assert wrong.isprintable()


@cache
def whole() -> bytes:
    """Return one certificate with everything in it; signatures differ in length, so it is made once."""
    return written(extensions=(extension(SUBJECT_ALT_NAME, SANS["an x400Address"]), IS_CA, KEY_USAGE))


@given(st.data())
@settings(max_examples=300)
def test_damaged_certificates_are_read_or_refused(data: st.DataObject) -> None:
    """Any bytes changed anywhere raise nothing but CertificateUnreadable, and what is read can be told."""
    der = bytearray(whole())
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CertificateUnreadable):
        read: Certificate = read_certificate(bytes(der))
        assert f"{read!r} {read.subject} {read.issuer}".isprintable()
        check_host(read, "est.example.com")
        CertificateAuthorities([read_certificate(authority().der)]).why_not(read)


def test_the_signing_algorithms_are_those_of_the_kit() -> None:
    """The plain one is accepted, the old one refused by name."""
    trust = CertificateAuthorities([read_certificate(authority().der)])
    old = read_certificate(authority().issue(common_name("d"), spki_of(key()), signing=ECDSA_SHA1))
    new = read_certificate(authority().issue(common_name("d"), spki_of(key()), signing=ECDSA_SHA256))
    assert trust.why_not(old) == "signed with SHA-1, which is not accepted"
    assert (trust.chain_of(old), trust.chain_of(new) is not None) == (None, True)
