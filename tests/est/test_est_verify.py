"""Every issued certificate is held against what was asked for; authorities chain, over link certificates too."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
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

from estsim.est.authorities import CertificateAuthorities, authorities_of
from estsim.est.certificate import Certificate, CertificateUnreadable, read_certificate
from estsim.est.csr import CSRFacts, build_csr, read_csr
from estsim.est.der import SEQUENCE, element, encode
from estsim.est.outcome import Malformed, NonConformance
from estsim.est.verify import verify_issued

SAN = x509.SubjectAlternativeName([x509.DNSName("meter-1.example")])
TRUST = CertificateAuthorities([root().certificate], [intermediate().certificate])


def facts() -> CSRFacts:
    """Return what the device asked for."""
    return read_csr(build_csr(device_key(), name("meter-1").public_bytes(), SAN.public_bytes()))


def check(
    certificate: Certificate, asked: CSRFacts | None = None, *, trust: CertificateAuthorities = TRUST
) -> Malformed | None:
    """Verify a certificate against the device's request, whose names are required."""
    found = verify(certificate, asked, trust=trust, names_required=True)
    return found if isinstance(found, Malformed) else None


def verify(
    certificate: Certificate,
    asked: CSRFacts | None = None,
    *,
    trust: CertificateAuthorities = TRUST,
    names_required: bool = False,
) -> Malformed | tuple[NonConformance, ...]:
    """Verify a certificate against the device's request."""
    asked = asked or facts()
    return verify_issued(
        certificate,
        public_key_der=asked.public_key_der,
        subject_der=asked.subject_der,
        san_der=asked.san_der,
        authorities=trust,
        wall_now_s=NOW_S,
        names_required=names_required,
    )


def issued(**changes: Any) -> Certificate:  # noqa: ANN401 - whatever issue() takes
    """Issue the device's certificate with something changed."""
    ca = intermediate()
    wanted: dict[str, Any] = {
        "subject": name("meter-1"),
        "public_key": device_key().public_key(),
        "issuer": ca.name,
        "issuer_key": ca.key,
        "san": SAN,
    }
    return issue(**(wanted | changes))


def test_a_certificate_as_asked_for_is_sound() -> None:
    """Nothing to complain of."""
    assert verify(device_certificate()) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"public_key": intermediate().key.public_key()}, "is not the one in the request"),
        ({"subject": name("meter-2")}, "names differ: Subject requested CN=meter-1, issued CN=meter-2"),
        ({"san": None}, "names differ: SubjectAltName requested dns:meter-1.example, issued none"),
        (
            {"san": x509.SubjectAlternativeName([x509.DNSName("meter-2.example")])},
            "names differ: SubjectAltName requested",
        ),
        ({"begin": NOW - 2 * DAY, "end": NOW - DAY}, "had already expired"),
        ({"begin": NOW - DAY, "end": NOW}, "had already expired"),
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


@pytest.mark.parametrize(("later_s", "sound"), [(-1, True), (1, True), (60, True), (61, False), (3600, False)])
def test_a_certificate_may_begin_a_minute_after_the_devices_clock(later_s: int, *, sound: bool) -> None:
    """Clocks differ by so much; what begins later no device could use now."""
    wrong = check(issued(begin=NOW + timedelta(seconds=later_s)))
    assert (wrong is None) is sound
    assert wrong is None or "not valid yet: notBefore 2026-06-01 1" in wrong.reason


def with_compressed_point(certificate: Certificate, issuer_key: Key) -> Certificate:
    """Return a certificate with its key written in the compressed form, signed again."""
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    algorithm = encode(SEQUENCE, bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107"))
    point = device_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = encode(SEQUENCE, algorithm + encode(0x03, b"\x00" + point))
    old = certificate.tbs
    own = certificate.spki
    _, start, end = element(old, 0)
    tbs = encode(SEQUENCE, old[start:end].replace(own, compressed))
    signature = issuer_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    whole = encode(SEQUENCE, tbs + ecdsa_with_sha256 + encode(0x03, b"\x00" + signature))
    return read_certificate(whole)


def test_a_key_that_the_ca_encoded_its_own_way_is_the_same_key() -> None:
    """A point in compressed form is the same point."""
    certificate = with_compressed_point(device_certificate(), intermediate().key)
    assert certificate.spki != facts().public_key_der
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
    assert check(issued(issuer=ca.name, issuer_key=ca.key), trust=trust) is None
    forged = check(issued(issuer=ca.name, issuer_key=device_key()), trust=trust)
    assert forged is not None
    assert "does not chain" in forged.reason


@given(st.data())
def test_a_damaged_certificate_is_never_sound(data: st.DataObject) -> None:
    """One byte changed anywhere: it does not load, or it is complained of, and nothing is raised."""
    der = bytearray(device_certificate().der)
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        certificate = read_certificate(bytes(der))
    except CertificateUnreadable:
        return
    # A changed algorithm identifier outside the signed part may still name a verifiable signature.
    signed_part_changed = certificate.tbs != device_certificate().tbs
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
    assert trust.chain_of(issued(issuer=stranger.name, issuer_key=stranger.key)) is None


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
    leaf = issued(issuer=bottom.name, issuer_key=bottom.key)
    assert trust.chain_of(leaf) == (bottom.certificate, middle.certificate, root().certificate)


def test_a_certificate_that_is_no_ca_issues_nothing() -> None:
    """A device cannot mint devices (RFC 5280 §4.2.1.9)."""
    device = make_intermediate(root(), "Device", ca=False)
    trust = CertificateAuthorities([root().certificate], [device.certificate])
    assert trust.chain_of(issued(issuer=device.name, issuer_key=device.key)) is None


def test_a_path_length_is_obeyed() -> None:
    """PathLenConstraint 0: devices yes, another CA no."""
    last = make_intermediate(root(), "Last", path_length=0)
    beyond = make_intermediate(last, "Beyond")
    trust = CertificateAuthorities([root().certificate], [last.certificate, beyond.certificate])
    assert trust.chain_of(issued(issuer=last.name, issuer_key=last.key)) is not None
    assert trust.chain_of(issued(issuer=beyond.name, issuer_key=beyond.key)) is None


def rolled_over() -> tuple[Authority, Authority, Certificate]:
    """Return the old and the new root of one name, and OldWithNew."""
    old, new = make_root("CA", end=NOW + DAY), make_root("CA", end=NOW + 2 * DAY)
    subject = new.name
    return old, new, issue(subject, old.key.public_key(), subject, new.key, ca=True)


def test_an_older_root_of_the_same_answer_is_trusted_and_told() -> None:
    """Without a link certificate: several servers send several chains. A link, where there is one, comes first."""
    old, new, old_with_new = rolled_over()
    leaf = issued(issuer=old.name, issuer_key=old.key)
    told = verify(leaf, trust=authorities_of((old.certificate, new.certificate)))
    assert told == (NonConformance("issued under an older root than the newest", "RFC 7030 §4.1.3"),)
    assert not isinstance(told, Malformed)
    assert told[0].detail == "CN=CA"
    assert verify(leaf, trust=authorities_of((old.certificate, new.certificate, old_with_new))) == ()
    below = make_intermediate(old, "Below")
    trust = authorities_of((below.certificate, old.certificate, new.certificate))
    assert trust.unchained == ()
    assert verify(issued(issuer=below.name, issuer_key=below.key), trust=trust) == told


NAMED = x509.Name(
    [x509.NameAttribute(NameOID.COMMON_NAME, "Meter 1"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")]
)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([("CN", "Meter 1"), ("O", "Example")], None),
        ([("CN", "meter  1"), ("O", "EXAMPLE")], None),
        ([("CN", "Meter 1")], "dropped"),
        ([], "dropped"),
        ([("CN", "Meter 1"), ("O", "Example"), ("OU", "Meters")], "added"),
        ([("CN", "Meter 2"), ("O", "Example")], "changed"),
        ([("O", "Example"), ("CN", "Meter 1")], "in another order"),
    ],
)
def test_what_a_ca_does_to_a_subject_is_told_by_kind(parts: list[tuple[str, str]], kind: str | None) -> None:
    """Equality is by value (RFC 5280 §7.1); anything else is used, unless the names are required."""
    oids = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}
    got = x509.Name([x509.NameAttribute(oids[kind], text, _type=_ASN1Type.PrintableString) for kind, text in parts])
    asked = replace(facts(), subject_der=NAMED.public_bytes())
    told = verify(issued(subject=got), asked)
    assert not isinstance(told, Malformed)
    assert [each.rule for each in told] == ([] if kind is None else [f"names differ: Subject {kind}"])
    assert all(each.detail.startswith("names differ: Subject requested O=Example,CN=Meter 1, issued ") for each in told)
    assert (check(issued(subject=got), asked) is None) is (kind is None)


@pytest.mark.parametrize(
    ("asked", "got", "kind"),
    [
        (("a.example", "b.example"), ("b.example", "A.example"), None),
        (("a.example", "b.example"), ("a.example",), "dropped"),
        (("a.example",), ("a.example", "b.example"), "added"),
        (("a.example",), ("b.example",), "changed"),
        (("a.example",), (), "dropped"),
        ((), ("a.example",), "added"),
    ],
)
def test_what_a_ca_does_to_alternative_names_is_told_by_kind(
    asked: tuple[str, ...], got: tuple[str, ...], kind: str | None
) -> None:
    """They have no order, and DNS names no case."""

    def san(names: tuple[str, ...]) -> x509.SubjectAlternativeName | None:
        return x509.SubjectAlternativeName(map(x509.DNSName, names)) if names else None

    wanted = san(asked)
    told = verify(issued(san=san(got)), replace(facts(), san_der=wanted.public_bytes() if wanted else None))
    assert not isinstance(told, Malformed)
    assert [each.rule for each in told] == ([] if kind is None else [f"names differ: SubjectAltName {kind}"])


def test_old_with_new_carries_the_old_roots_certificates_to_the_new_one() -> None:
    """After a rollover only the new root is an anchor (RFC 4210 §4.4)."""
    old, new, old_with_new = rolled_over()
    trust = authorities_of((old.certificate, old_with_new, new.certificate))
    leaf = issued(issuer=old.name, issuer_key=old.key)
    assert trust.chain_of(leaf) == (old_with_new, new.certificate)
    anchored = CertificateAuthorities([new.certificate], [old.certificate])
    assert anchored.chain_of(leaf) is None


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
