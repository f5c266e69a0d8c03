"""Every issued certificate is held against what was asked for; authorities chain, over link certificates too."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from est_pki import (
    DAY,
    NOW,
    NOW_S,
    Authority,
    Key,
    device_certificate,
    device_key,
    intermediate,
    issue,
    make_intermediate,
    make_root,
    name,
    root,
)
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.csr import CSRFacts, build_csr, public_key_der_of, read_csr
from estsim.est.der import SEQUENCE, element, encode
from estsim.est.outcome import Malformed
from estsim.est.verify import CertificateAuthorities, authorities_of, verify_issued

SAN = x509.SubjectAlternativeName([x509.DNSName("meter-1.example")])
TRUST = CertificateAuthorities([root().certificate], [intermediate().certificate])


def facts() -> CSRFacts:
    """Return what the device asked for."""
    return read_csr(build_csr(device_key(), name("meter-1"), SAN))[1]


def check(
    certificate: x509.Certificate, asked: CSRFacts | None = None, *, trust: CertificateAuthorities = TRUST
) -> Malformed | None:
    """Verify a certificate against the device's request."""
    asked = asked or facts()
    return verify_issued(
        certificate,
        public_key_der=asked.public_key_der,
        subject_der=asked.subject_der,
        san_der=asked.san_der,
        authorities=trust,
        wall_now_s=NOW_S,
    )


def issued(**changes: Any) -> x509.Certificate:  # noqa: ANN401 - whatever issue() takes
    """Issue the device's certificate with something changed."""
    ca = intermediate()
    wanted: dict[str, Any] = {
        "subject": name("meter-1"),
        "public_key": device_key().public_key(),
        "issuer": ca.certificate.subject,
        "issuer_key": ca.key,
        "san": SAN,
    }
    return issue(**(wanted | changes))


def test_a_certificate_as_asked_for_is_sound() -> None:
    """Nothing to complain of."""
    assert check(device_certificate()) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"public_key": intermediate().key.public_key()}, "another key"),
        ({"subject": name("meter-2")}, "Subject is not"),
        ({"san": None}, "SubjectAltName is not"),
        ({"san": x509.SubjectAlternativeName([x509.DNSName("meter-2.example")])}, "SubjectAltName is not"),
        ({"begin": NOW - 2 * DAY, "end": NOW - DAY}, "had expired"),
        ({"begin": NOW - DAY, "end": NOW}, "had expired"),
        ({"begin": NOW + DAY, "end": NOW + DAY}, "ends before it begins"),
        ({"issuer_key": device_key()}, "does not chain"),
        ({"issuer": name("Nobody")}, "does not chain"),
    ],
)
def test_every_departure_is_named(changes: dict[str, Any], reason: str) -> None:
    """One thing is changed in the certificate, and it is the one complained of."""
    wrong = check(issued(**changes))
    assert wrong is not None
    assert reason in wrong.reason
    assert wrong.rfc_section.startswith("RFC ")


def test_a_san_that_was_not_asked_for_is_a_departure() -> None:
    """As asked means no more and no less."""
    wrong = check(device_certificate(), replace(facts(), san_der=None))
    assert wrong is not None
    assert "SubjectAltName" in wrong.reason


def test_a_certificate_of_the_future_is_left_to_the_device() -> None:
    """Clocks differ; a validity that begins later is no server's fault yet."""
    assert check(issued(begin=NOW + timedelta(hours=1))) is None


def with_compressed_point(certificate: x509.Certificate, issuer_key: Key) -> x509.Certificate:
    """Return a certificate with its key written in the compressed form, signed again."""
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    algorithm = encode(SEQUENCE, bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107"))
    point = device_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = encode(SEQUENCE, algorithm + encode(0x03, b"\x00" + point))
    old = certificate.tbs_certificate_bytes
    own = public_key_der_of(certificate)
    _, start, end = element(old, 0)
    tbs = encode(SEQUENCE, old[start:end].replace(own, compressed))
    signature = issuer_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    whole = encode(SEQUENCE, tbs + ecdsa_with_sha256 + encode(0x03, b"\x00" + signature))
    return x509.load_der_x509_certificate(whole)


def test_a_key_that_the_ca_encoded_its_own_way_is_the_same_key() -> None:
    """A point in compressed form is the same point."""
    certificate = with_compressed_point(device_certificate(), intermediate().key)
    assert public_key_der_of(certificate) != facts().public_key_der
    assert check(certificate) is None


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "p-384"])
def test_authorities_of_every_key_kind_verify(kind: str) -> None:
    """The fast path for curves is not the only one."""
    keys: dict[str, Key] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "rsa": rsa.generate_private_key(65537, 2048),
        "p-384": ec.generate_private_key(ec.SECP384R1()),
    }
    ca = make_root("Other", key=keys[kind])
    trust = CertificateAuthorities([ca.certificate])
    assert check(issued(issuer=ca.certificate.subject, issuer_key=ca.key), trust=trust) is None
    forged = check(issued(issuer=ca.certificate.subject, issuer_key=device_key()), trust=trust)
    assert forged is not None
    assert "does not chain" in forged.reason


@given(st.data())
def test_a_damaged_certificate_is_never_sound(data: st.DataObject) -> None:
    """One byte changed anywhere: it does not load, or it is complained of, and nothing is raised."""
    der = bytearray(device_certificate().public_bytes(Encoding.DER))
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        certificate = x509.load_der_x509_certificate(bytes(der))
    except (ValueError, x509.InvalidVersion, Warning):
        return
    # A changed algorithm identifier outside the signed part may still name a verifiable signature.
    signed_part_changed = certificate.tbs_certificate_bytes != device_certificate().tbs_certificate_bytes
    signature_changed = certificate.signature != device_certificate().signature
    if signed_part_changed or signature_changed:
        assert check(certificate) is not None


def test_a_chain_runs_from_the_issuer_to_the_root() -> None:
    """What a device sends with its certificate, and what it trusts, in order."""
    assert TRUST.chain_of(device_certificate()) == (intermediate().certificate, root().certificate)
    assert TRUST.chain_of(intermediate().certificate) == (root().certificate,)


def test_path_material_is_trusted_only_through_an_anchor() -> None:
    """A self-signed root among the path material is nobody's anchor."""
    stranger = make_root("Stranger")
    trust = CertificateAuthorities([root().certificate], [stranger.certificate])
    assert trust.chain_of(issued(issuer=stranger.certificate.subject, issuer_key=stranger.key)) is None


def test_a_missing_intermediate_breaks_the_chain() -> None:
    """The root alone did not sign the device's certificate."""
    assert CertificateAuthorities([root().certificate]).chain_of(device_certificate()) is None


def test_an_intermediate_given_as_anchor_ends_the_chain() -> None:
    """Who trusts an intermediate explicitly needs no root."""
    trust = CertificateAuthorities([intermediate().certificate])
    assert trust.chain_of(device_certificate()) == (intermediate().certificate,)


def test_material_may_come_in_any_order() -> None:
    """Three levels, given bottom first."""
    middle = make_intermediate(root(), "Middle")
    bottom = make_intermediate(middle, "Bottom")
    trust = CertificateAuthorities([root().certificate], [bottom.certificate, middle.certificate])
    leaf = issued(issuer=bottom.certificate.subject, issuer_key=bottom.key)
    assert trust.chain_of(leaf) == (bottom.certificate, middle.certificate, root().certificate)


def test_a_certificate_that_is_no_ca_issues_nothing() -> None:
    """A device cannot mint devices (RFC 5280 §4.2.1.9)."""
    device = make_intermediate(root(), "Device", ca=False)
    trust = CertificateAuthorities([root().certificate], [device.certificate])
    assert trust.chain_of(issued(issuer=device.certificate.subject, issuer_key=device.key)) is None


def test_a_path_length_is_obeyed() -> None:
    """PathLenConstraint 0: devices yes, another CA no."""
    last = make_intermediate(root(), "Last", path_length=0)
    beyond = make_intermediate(last, "Beyond")
    trust = CertificateAuthorities([root().certificate], [last.certificate, beyond.certificate])
    assert trust.chain_of(issued(issuer=last.certificate.subject, issuer_key=last.key)) is not None
    assert trust.chain_of(issued(issuer=beyond.certificate.subject, issuer_key=beyond.key)) is None


def rolled_over() -> tuple[Authority, Authority, x509.Certificate]:
    """Return the old and the new root of one name, and OldWithNew."""
    old, new = make_root("CA", end=NOW + DAY), make_root("CA", end=NOW + 2 * DAY)
    subject = new.certificate.subject
    return old, new, issue(subject, old.key.public_key(), subject, new.key, ca=True)


def test_old_with_new_carries_the_old_roots_certificates_to_the_new_one() -> None:
    """After a rollover only the new root is an anchor (RFC 4210 §4.4)."""
    old, new, old_with_new = rolled_over()
    trust = authorities_of((old.certificate, old_with_new, new.certificate))
    leaf = issued(issuer=old.certificate.subject, issuer_key=old.key)
    assert trust.chain_of(leaf) == (old_with_new, new.certificate)
    assert authorities_of((old.certificate, new.certificate)).chain_of(leaf) is None


def test_sets_of_the_same_certificates_are_equal() -> None:
    """Order does not matter, the part they play does."""
    certificates = (root().certificate, intermediate().certificate)
    same = CertificateAuthorities([certificates[0], certificates[0]], [certificates[1]])
    assert (same, hash(same)) == (TRUST, hash(TRUST))
    assert same != CertificateAuthorities(certificates)
    assert CertificateAuthorities(certificates) == CertificateAuthorities(reversed(certificates))
    assert authorities_of(certificates) is authorities_of(certificates)


def test_no_certificates_trust_nothing() -> None:
    """An empty set is a set."""
    assert authorities_of(()).chain_of(device_certificate()) is None
    assert repr(authorities_of(())) == "<CertificateAuthorities 0 anchors, 0 for paths>"
