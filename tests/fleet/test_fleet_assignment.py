"""Assignments: what a worker is told comes back whole, and no private key goes where it should not."""

import time
from pathlib import Path

import msgpack
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import crypto

from estsim.errors import UsageError
from estsim.fleet.assignment import Assignment, AssignmentError, Maker, assignments_of
from estsim.fleet.host import Host
from estsim.fleet.part import Part
from estsim.fleet.trust import Trust
from estsim.pki.credentials import load_credential
from estsim.pki.keys import dump_key, make_key
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import KeyKind
from estsim.scenario.portable import portable_text

QUICKSTART = load_scenario(found(Path("quickstart")))
MAKER = ManufacturerCA.made("maker")
ROOT = MAKER.certificate.der


def a_briefing(**makers: Maker) -> Assignment:
    """Return an assignment of the quickstart."""
    text, url = portable_text(QUICKSTART), "https://127.0.0.1:8443/.well-known/est/meters"
    return Assignment("r1", text, url, (ROOT,), explicit=True, makers=makers, part=Part(1, 3), wall_epoch_s=12.5)


def test_it_comes_back_whole() -> None:
    """Through msgpack, as between processes and machines."""
    assignment = a_briefing(mfg=Maker.whole(MAKER))
    assert Assignment.unpacked(msgpack.unpackb(msgpack.packb(assignment.packed()))) == assignment
    scenario = assignment.scenario(source=QUICKSTART.source, own=QUICKSTART)
    assert scenario.resolved == QUICKSTART.resolved
    host = assignment.host(scenario)
    assert (host.url.port, host.url.label, host.trust.anchors) == (8443, "meters", (ROOT,))
    assert host.factories["mfg"].certificate == MAKER.certificate


def test_a_worker_elsewhere_makes_devices_without_anybody_s_key() -> None:
    """Its own key, certified: a device's chain leads to the manufacturer that the server trusts."""
    own = make_key(KeyKind.EC_P256)
    public = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assignment = a_briefing(mfg=Maker.branch(MAKER, public, "estsim worker 1", ends_in_s=120.0))
    packed = msgpack.packb(assignment.packed())
    assert dump_key(MAKER.key) not in packed
    assert dump_key(own) not in packed
    factory = Assignment.unpacked(msgpack.unpackb(packed)).host(QUICKSTART, own_key=own).factories["mfg"]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "meter-1")])
    device = load_credential(factory.issue(make_key(KeyKind.EC_P256), name))
    branch = x509.load_der_x509_certificate(device.chain[0])
    x509.load_der_x509_certificate(device.certificate_der).verify_directly_issued_by(branch)
    branch.verify_directly_issued_by(x509.load_der_x509_certificate(ROOT))
    constraints = branch.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    usage = branch.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.public_bytes().hex() == "03020204"  # keyCertSign, and nothing else
    purposes = branch.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    left_s = branch.not_valid_after_utc.timestamp() - time.time()
    assert 110 < left_s <= 121
    assert openssl_verifies(device.certificate_der, device.chain)


def openssl_verifies(device: bytes, chain: tuple[bytes, ...]) -> bool:
    """Say whether OpenSSL takes a device's chain for a TLS client's, as a server does that trusts the manufacturer."""
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(x509.load_der_x509_certificate(ROOT)))
    above = [crypto.X509.from_cryptography(x509.load_der_x509_certificate(der)) for der in chain]
    leaf = crypto.X509.from_cryptography(x509.load_der_x509_certificate(device))
    crypto.X509StoreContext(store, leaf, above).verify_certificate()
    return True


def test_a_certificate_without_its_key_is_of_no_use() -> None:
    """Another worker's, say."""
    public = MAKER.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assignment = a_briefing(mfg=Maker.branch(MAKER, public, "estsim worker 1", ends_in_s=120.0))
    with pytest.raises(AssignmentError, match="without its key"):
        assignment.host(QUICKSTART, own_key=make_key(KeyKind.EC_P256))


def test_only_a_public_key_is_certified() -> None:
    """What a worker sends is looked at."""
    with pytest.raises(UsageError, match="worker 7: expected a public key"):
        MAKER.branch(b"\x30\x00", "worker 7", ends_in_s=1.0)
    rsa = make_key(KeyKind.RSA_2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UsageError, match="worker 7: expected an EC public key"):
        MAKER.branch(rsa, "worker 7", ends_in_s=1.0)


def test_workers_of_this_machine_are_the_fleet() -> None:
    """One assignment each, their parts the whole."""
    host = Host(
        QUICKSTART, a_briefing().host(QUICKSTART).url, Trust((ROOT,), explicit=True, authorities=None), {None: MAKER}
    )
    assignments = assignments_of(host, "r1", 3)
    assert [assignment.part for assignment in assignments] == [Part(0, 3), Part(1, 3), Part(2, 3)]
    assert assignments[0].host(QUICKSTART).factories[None].key.public_key() == MAKER.key.public_key()
    assert "key" not in repr(assignments[0].makers[""])


def test_a_text_that_was_changed_is_refused() -> None:
    """The hash that came with it is another."""
    packed = a_briefing().packed()
    packed["text"] = packed["text"].replace("500", "501")
    with pytest.raises(AssignmentError, match="modified in transit"):
        Assignment.unpacked(packed)


def test_another_version_says_so() -> None:
    """Before anything else is read."""
    with pytest.raises(AssignmentError, match=r"a briefing of version 7 \(expected 1\)"):
        Assignment.unpacked({"version": 7})


def test_an_authority_that_did_not_come_is_named(tmp_path: Path) -> None:
    """A made one can only come with the assignment."""
    file = tmp_path / "fleet.yaml"
    cohorts = "cohorts: {meters: {devices: 1, boot: {burst: 1s}}}"
    file.write_text(f"version: 1\nduration: 5s\nauthorities: {{mfg: {{made: true}}}}\n{cohorts}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"authorities.mfg: the briefing lacks this authority"):
        a_briefing().host(load_scenario(file))


@given(
    st.recursive(st.none() | st.integers() | st.text() | st.binary(), lambda inner: st.dictionaries(st.text(), inner))
)
def test_anything_else_is_refused(packed: object) -> None:
    """Whatever a worker hears in its place is a clear error."""
    with pytest.raises(AssignmentError):
        Assignment.unpacked(packed)


@given(st.sampled_from(sorted(a_briefing().packed())))
def test_each_part_is_needed(key: str) -> None:
    """One that is missing is told."""
    packed = a_briefing().packed()
    del packed[key]
    with pytest.raises(AssignmentError):
        Assignment.unpacked(packed)
