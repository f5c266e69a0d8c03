"""Names byte for byte, and the ChangeSubjectName attribute (RFC 6402 §2.8)."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from server_sandbox import csr_for, identity_file, new_key, running

from estsim.est.csr import build_csr, read_csr, san_der_of, subject_der_of
from estsim.est.der import INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, encode
from estsim.server.ca import common_name
from estsim.server.names import NamesError, requested_names

CHANGE_SUBJECT_NAME = bytes.fromhex("2b06010505070724")
ECDSA_SHA256 = bytes.fromhex("2a8648ce3d040302")
SAN = encode(SEQUENCE, encode(0x82, b"new.example"))


def changing(key: ec.EllipticCurvePrivateKey, name: str, *wanted: bytes) -> bytes:
    """Return a CSR for ``CN=name`` with ``wanted`` in a ChangeSubjectName attribute; the library cannot write one."""
    change = encode(SET, encode(SEQUENCE, b"".join(wanted)))
    attribute = encode(SEQUENCE, encode(OBJECT_IDENTIFIER, CHANGE_SUBJECT_NAME) + change)
    public_key = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    parts = encode(INTEGER, b"\0"), common_name(name).public_bytes(), public_key, encode(0xA0, attribute)
    asked = encode(SEQUENCE, b"".join(parts))
    signature = key.sign(asked, ec.ECDSA(hashes.SHA256()))
    algorithm = encode(SEQUENCE, encode(OBJECT_IDENTIFIER, ECDSA_SHA256))
    return encode(SEQUENCE, asked + algorithm + encode(0x03, b"\0" + signature))


@pytest.mark.parametrize(
    ("wanted", "subject", "san"),
    [
        ((common_name("new").public_bytes(),), "CN=new", None),
        ((SAN,), "CN=m", SAN),
        ((common_name("new").public_bytes(), SAN), "CN=new", SAN),
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
        assert san_der_of(response.certificate) == san


async def test_change_subject_name_means_nothing_on_a_first_enrolment(tmp_path: Path) -> None:
    """RFC 7030 §4.2.2 has it for re-enrolment only."""
    async with running(tmp_path) as sandbox:
        csr = changing(new_key(), "m", common_name("new").public_bytes())
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
        csr = build_csr(new_key(), subject, None)
        response = await sandbox.post(csr, identity=sandbox.here.bootstrap)
        assert subject_der_of(response.certificate) == read_csr(csr)[1].subject_der


def test_a_san_without_subject_is_critical() -> None:
    """RFC 5280 §4.2.1.6."""
    san = x509.SubjectAlternativeName([x509.DNSName("m.example")])
    for name, critical in ((x509.Name([]), True), (common_name("m"), False)):
        csr, facts = read_csr(build_csr(new_key(), name, san))
        extension = requested_names(csr, facts, renewing=False).san
        assert extension is not None
        assert extension.critical is critical


def test_a_request_without_any_name_is_refused() -> None:
    """A certificate must say whose it is."""
    csr, facts = read_csr(build_csr(new_key(), x509.Name([]), None))
    with pytest.raises(NamesError, match="expected a Subject or a SubjectAltName"):
        requested_names(csr, facts, renewing=False)


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
