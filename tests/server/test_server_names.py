"""Names byte for byte, and the ChangeSubjectName attribute (RFC 6402 §2.8)."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from server_sandbox import csr_for, identity_file, new_key, ours, running

from estsim.est.certificate import read_certificate
from estsim.est.csr import build_csr, read_csr
from estsim.est.der import INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, encode
from estsim.pki.authority import Issuer, make_authority
from estsim.pki.keys import KeyKind, spki_of
from estsim.pki.names import Names, common_name
from estsim.server.names import NamesError, requested_names

CHANGE_SUBJECT_NAME = bytes.fromhex("2b06010505070724")
ECDSA_SHA256 = bytes.fromhex("2a8648ce3d040302")
EMPTY_NAME = encode(SEQUENCE, b"")
SAN = encode(SEQUENCE, encode(0x82, b"new.example"))


def changing(key: ec.EllipticCurvePrivateKey, name: str, *wanted: bytes) -> bytes:
    """Return a CSR for ``CN=name`` with ``wanted`` in a ChangeSubjectName attribute; the library cannot write one."""
    change = encode(SET, encode(SEQUENCE, b"".join(wanted)))
    attribute = encode(SEQUENCE, encode(OBJECT_IDENTIFIER, CHANGE_SUBJECT_NAME) + change)
    public_key = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    parts = encode(INTEGER, b"\0"), common_name(name), public_key, encode(0xA0, attribute)
    asked = encode(SEQUENCE, b"".join(parts))
    signature = key.sign(asked, ec.ECDSA(hashes.SHA256()))
    algorithm = encode(SEQUENCE, encode(OBJECT_IDENTIFIER, ECDSA_SHA256))
    return encode(SEQUENCE, asked + algorithm + encode(0x03, b"\0" + signature))


@pytest.mark.parametrize(
    ("wanted", "subject", "san"),
    [
        ((common_name("new"),), "CN=new", None),
        ((SAN,), "CN=m", SAN),
        ((common_name("new"), SAN), "CN=new", SAN),
        ((), "CN=m", None),
    ],
    ids=["subject", "san", "both", "neither"],
)
async def test_change_subject_name_changes_what_it_names(
    tmp_path: Path, wanted: tuple[bytes, ...], subject: str, san: bytes | None
) -> None:
    """On re-enrolment; what it does not name stays."""
    async with running(tmp_path) as sandbox:
        first, key = await sandbox.enroll("m")
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        identity = identity_file(tmp_path, first.certificate, key)
        response = await sandbox.post(changing(key, "m", *wanted), operation="simplereenroll", identity=identity)
        assert response.certificate.subject.rfc4514_string() == subject
        assert ours(response.certificate).san_der == san


async def test_change_subject_name_means_nothing_on_a_first_enrolment(tmp_path: Path) -> None:
    """RFC 7030 §4.2.2 has it for re-enrolment only."""
    async with running(tmp_path) as sandbox:
        csr = changing(new_key(), "m", common_name("new"))
        response = await sandbox.post(csr, identity=sandbox.here.bootstrap)
        assert response.certificate.subject.rfc4514_string() == "CN=m"


async def test_string_types_and_order_of_a_subject_are_kept(tmp_path: Path) -> None:
    """A PrintableString stays one, so that the next re-enrolment compares equal."""
    kinds = x509.name._ASN1Type
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "m", _type=kinds.PrintableString),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ö", _type=kinds.BMPString),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        ]
    )
    async with running(tmp_path) as sandbox:
        csr = build_csr(new_key(), subject.public_bytes())
        response = await sandbox.post(csr, identity=sandbox.here.bootstrap)
        assert ours(response.certificate).subject_der == subject.public_bytes() == read_csr(csr).subject_der


def test_a_san_without_subject_is_critical() -> None:
    """RFC 5280 §4.2.1.6."""
    san = x509.SubjectAlternativeName([x509.DNSName("m.example")])
    authority = make_authority("acme", KeyKind.EC_P256, now=datetime.now(UTC))
    for name, critical in ((EMPTY_NAME, True), (common_name("m"), False)):
        facts = read_csr(build_csr(new_key(), name, san.public_bytes()))
        names = requested_names(facts, renewing=False)
        issued = Issuer(authority, 60).issue(facts.public_key_der, names, datetime.now(UTC).timestamp())
        extensions = x509.load_der_x509_certificate(issued.der).extensions
        extension = extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert (extension.value, extension.critical) == (san, critical)


@pytest.mark.parametrize(("now_s", "start_s"), [(1e9, 1e9 - 1), (1e9 + 0.012, 1e9 - 1), (1e9 + 0.5, 1e9)])
def test_a_certificate_is_valid_for_a_client_that_asks_for_whole_seconds(now_s: float, start_s: float) -> None:
    """C's time() lags by up to one tick of the kernel: it may still give the second before (RFC 5280 §4.1.2.5)."""
    authority = make_authority("acme", KeyKind.EC_P256, now=datetime.now(UTC))
    names = Names(common_name("m"), None)
    issued = Issuer(authority, 60).issue(spki_of(new_key()), names, now_s)
    certificate = read_certificate(issued.der)
    assert (certificate.not_before_s, certificate.not_after_s) == (start_s, start_s + 60)


def test_a_request_without_any_name_is_refused() -> None:
    """A certificate must say whose it is."""
    facts = read_csr(build_csr(new_key(), EMPTY_NAME))
    with pytest.raises(NamesError, match="expected a Subject or a SubjectAltName"):
        requested_names(facts, renewing=False)


async def test_names_that_cannot_be_read_are_a_bad_request(tmp_path: Path) -> None:
    """No name in the SubjectAltName: 400 with a line, and the sandbox serves on."""
    async with running(tmp_path) as sandbox:
        first, key = await sandbox.enroll("m")
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        identity = identity_file(tmp_path, first.certificate, key)
        for wanted in (encode(INTEGER, b"\1"), encode(SEQUENCE, encode(0x82, b"a") + b"\x82")):
            response = await sandbox.post(changing(key, "m", wanted), operation="simplereenroll", identity=identity)
            assert response.status == 400
            assert "names of the request cannot be read" in response.text
        assert (await sandbox.post(csr_for(new_key(), "n"), identity=sandbox.here.bootstrap)).status == 200


def named(kind: bytes, tag: int, content: bytes) -> bytes:
    """Return a Name of one attribute."""
    return encode(SEQUENCE, encode(SET, encode(SEQUENCE, encode(OBJECT_IDENTIFIER, kind) + encode(tag, content))))


COMMON_NAME = bytes.fromhex("550403")
NOBODY_CAN_READ = {
    "a NULL for a text": named(COMMON_NAME, 0x05, b""),
    "an OCTET STRING for a text": named(COMMON_NAME, 0x04, b"m"),
    "a VisibleString": named(COMMON_NAME, 0x1A, b"m"),
    "a GeneralString": named(COMMON_NAME, 0x1B, b"m"),
    "a SEQUENCE for a text": named(COMMON_NAME, SEQUENCE, b""),
    "bits without their count": named(bytes.fromhex("55042d"), 0x03, b""),
    "nine unused bits": named(bytes.fromhex("55042d"), 0x03, b"\x09\x00"),
    "half a character": named(COMMON_NAME, 0x1E, b"\x00m\x00"),
    "a type that is cut off": named(b"\x55\x84", 0x0C, b"m"),
    "an attribute without a value": encode(
        SEQUENCE, encode(SET, encode(SEQUENCE, encode(OBJECT_IDENTIFIER, COMMON_NAME)))
    ),
}


@pytest.mark.parametrize("name", NOBODY_CAN_READ.values(), ids=NOBODY_CAN_READ)
def test_a_name_that_openssl_cannot_load_is_not_certified(name: bytes) -> None:
    """As a Subject, and as a directoryName beside one that is sound: a certificate with it would be of no use."""
    for subject, san in ((name, None), (common_name("m"), encode(SEQUENCE, encode(0xA4, name)))):
        facts = read_csr(build_csr(new_key(), subject, san))
        with pytest.raises(NamesError, match="names of the request cannot be read"):
            requested_names(facts, renewing=False)


@pytest.mark.parametrize(
    "entry",
    [
        encode(0x89, b"x"),
        encode(0x0C, b"x"),
        encode(0xA3, b""),
        encode(0xA5, b"x"),
        encode(0xA4, b"\x0c\x01m"),
        encode(0x88, b"\x80"),
    ],
    ids=["no kind", "a string", "x400Address", "ediPartyName", "no Name", "no object identifier"],
)
def test_an_alternative_name_that_nobody_reads_is_not_certified(entry: bytes) -> None:
    """Even where others that are sound stand beside it."""
    facts = read_csr(build_csr(new_key(), common_name("m"), encode(SEQUENCE, encode(0x82, b"m.example") + entry)))
    with pytest.raises(NamesError, match="names of the request cannot be read"):
        requested_names(facts, renewing=False)


def test_old_string_types_are_certified() -> None:
    """What OpenSSL takes, and CAs of the field write, stays possible."""
    for tag, content in (
        (0x13, b"m"),
        (0x14, b"m"),
        (0x16, b"m@x"),
        (0x12, b"12"),
        (0x1E, b"\x00m"),
        (0x1C, b"\0\0\0m"),
    ):
        name = named(COMMON_NAME, tag, content)
        assert requested_names(read_csr(build_csr(new_key(), name)), renewing=False).subject_der == name
