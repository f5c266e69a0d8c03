"""What the engine reads and writes by the user's word: authorities, trust, the results folder. Errors name the file."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from engine_kit import subject

from estsim.errors import UsageError
from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import read_certificate
from estsim.est.signing import PrivateKey
from estsim.figures.summary import read_summary
from estsim.fleet.results import make_folder, write_scenario, write_summary
from estsim.fleet.trust import system_trust, trust_file
from estsim.pki.credentials import load_credential
from estsim.pki.keys import make_key
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.plan import KeyKind

STARTED: Final = datetime(2026, 6, 1, 12, 30, 15, tzinfo=UTC)


def pem_of(key: PrivateKey | x25519.X25519PrivateKey | dsa.DSAPrivateKey, password: bytes = b"") -> bytes:
    """Return a key in PEM."""
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.fixture(name="maker", scope="module")
def made() -> ManufacturerCA:
    """Return a manufacturer."""
    return ManufacturerCA.made("acme")


# -- the factory


@pytest.mark.parametrize("kind", [KeyKind.EC_P256, KeyKind.EC_P384, KeyKind.ED25519, KeyKind.RSA_2048])
def test_a_minted_certificate_verifies_against_its_maker(maker: ManufacturerCA, kind: KeyKind) -> None:
    """For its name and key, for TLS clients, valid now; issuer and signature are the maker's."""
    key = make_key(kind)
    credential = load_credential(maker.issue(key, subject(7)))
    certificate = x509.load_der_x509_certificate(credential.certificate_der)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(maker.certificate_pem))
    ours = read_certificate(credential.certificate_der)
    assert CertificateAuthorities([maker.certificate]).chain_of(ours) == (maker.certificate,)
    assert certificate.subject == subject(7)
    assert certificate.public_key() == credential.key.public_key() == key.public_key()
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_before_utc < datetime.now(UTC) < certificate.not_valid_after_utc


def test_no_two_minted_certificates_have_one_serial(maker: ManufacturerCA) -> None:
    """Servers tell devices by it."""
    key = make_key(KeyKind.EC_P256)
    minted = [read_certificate(maker.issue(key, subject(0)).certificate_der).serial for _ in range(20)]
    assert len(set(minted)) == 20


def test_a_made_authority_is_a_ca_that_names_itself(maker: ManufacturerCA) -> None:
    """Self-signed, at most one CA below it, its certificate to be given to a server; each is its own."""
    (certificate,) = x509.load_pem_x509_certificates(maker.certificate_pem)
    certificate.verify_directly_issued_by(certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 1)
    assert "acme" in certificate.subject.rfc4514_string()
    assert ManufacturerCA.made("acme").certificate.spki != maker.certificate.spki


def test_a_manufacturer_is_read_from_two_files_or_one(maker: ManufacturerCA, tmp_path: Path) -> None:
    """What it mints is the same authority's; a self-signed one is sent beside no device certificate."""
    cert, key, both = (tmp_path / name for name in ("ca.pem", "ca.key", "both.pem"))
    cert.write_bytes(maker.certificate_pem)
    key.write_bytes(pem_of(maker.key))
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    for read in (ManufacturerCA.read(cert, key), ManufacturerCA.read(both)):
        assert read.certificate == maker.certificate
        minted = read.issue(make_key(KeyKind.EC_P256), subject(1))
        assert minted.chain == ()
        issuer = x509.load_pem_x509_certificate(maker.certificate_pem)
        x509.load_der_x509_certificate(minted.certificate_der).verify_directly_issued_by(issuer)


def test_an_intermediate_manufacturer_is_sent_along(maker: ManufacturerCA, tmp_path: Path) -> None:
    """A server that trusts the root must be shown the way: the issuer, but not the root."""
    key = ec.generate_private_key(ec.SECP256R1())
    intermediate = maker.issue(key, subject(99)).certificate_der
    both = tmp_path / "chain.pem"
    pem = x509.load_der_x509_certificate(intermediate).public_bytes(Encoding.PEM)
    both.write_bytes(pem + maker.certificate_pem + pem_of(key))
    assert ManufacturerCA.read(both).issue(make_key(KeyKind.EC_P256), subject(1)).chain == (intermediate,)


def test_a_missing_file_is_named(maker: ManufacturerCA, tmp_path: Path) -> None:
    """Whichever of the two it is."""
    cert = tmp_path / "ca.pem"
    with pytest.raises(UsageError, match=r"ca\.pem: cannot be read: No such file"):
        ManufacturerCA.read(cert, tmp_path / "ca.key")
    cert.write_bytes(maker.certificate_pem)
    with pytest.raises(UsageError, match=r"ca\.key: cannot be read: No such file"):
        ManufacturerCA.read(cert, tmp_path / "ca.key")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        ManufacturerCA.read(tmp_path)


def test_a_certificate_file_that_holds_none_is_named(maker: ManufacturerCA, tmp_path: Path) -> None:
    """It, and not the sound key beside it."""
    cert, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    cert.write_text("no PEM")
    key.write_bytes(pem_of(maker.key))
    with pytest.raises(UsageError) as caught:
        ManufacturerCA.read(cert, key)
    assert str(caught.value).startswith(f"{cert}: expected")


def other_key() -> bytes:
    """Return the key of somebody else."""
    return pem_of(ec.generate_private_key(ec.SECP256R1()))


def locked_key() -> bytes:
    """Return a key behind a password."""
    return pem_of(ec.generate_private_key(ec.SECP256R1()), b"secret")


def agreement_key() -> bytes:
    """Return a key that cannot sign."""
    return pem_of(x25519.X25519PrivateKey.generate())


def old_key() -> bytes:
    """Return a key of a kind that no device has."""
    return pem_of(dsa.generate_private_key(1024))  # noqa: S505 - quickly made, and refused


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: b"", "expected an unencrypted key in PEM"),
        (
            lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "expected an unen",
        ),
        (locked_key, "expected an unencrypted key in PEM"),
        (agreement_key, "expected an EC, RSA or Ed25519 key (got X25519PrivateKey)"),
        (old_key, "expected an EC, RSA or Ed25519 key (got DSAPrivateKey)"),
        (other_key, "the key does not match the certificate in"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(
    maker: ManufacturerCA, tmp_path: Path, content: Callable[[], bytes], reason: str
) -> None:
    """With what was expected and what came, and nothing of the key."""
    cert, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    cert.write_bytes(maker.certificate_pem)
    key.write_bytes(content())
    with pytest.raises(UsageError) as caught:
        ManufacturerCA.read(cert, key)
    assert str(caught.value).startswith(f"{key}: {reason}")


def test_a_key_on_a_curve_that_nobody_supports_is_named(maker: ManufacturerCA, tmp_path: Path) -> None:
    """A manufacturer of long ago may have one; it is the user's to mend, not a bug of ours."""
    cert, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    cert.write_bytes(maker.certificate_pem)
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp112r1"]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("this machine's openssl makes no such key")
    key.write_bytes(made.stdout)
    with pytest.raises(UsageError) as caught:
        ManufacturerCA.read(cert, key)
    assert str(caught.value).startswith(f"{key}: ")


def test_a_private_key_shows_in_no_repr(maker: ManufacturerCA) -> None:
    """Neither the maker's nor the device's."""
    credential = maker.issue(make_key(KeyKind.EC_P256), subject(1))
    assert "key_der" not in repr(credential)
    assert "PRIVATE" not in repr(maker)


# -- trust


def test_trust_is_read_from_pem(maker: ManufacturerCA, tmp_path: Path) -> None:
    """Each certificate an anchor, explicit, and the authorities for what is issued."""
    other = ManufacturerCA.made("other")
    path = tmp_path / "ca.pem"
    path.write_bytes(maker.certificate_pem + other.certificate_pem)
    trust = trust_file(path)
    assert trust.explicit
    assert trust.anchors == tuple(each.certificate.der for each in (maker, other))
    assert trust.authorities == CertificateAuthorities([maker.certificate, other.certificate])


@pytest.mark.parametrize("content", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_trust_that_holds_no_certificate_is_named(tmp_path: Path, content: bytes) -> None:
    """With what was expected."""
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        trust_file(path)
    assert str(caught.value).startswith(f"{path}: expected certificates in PEM: ")


def test_trust_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, a folder."""
    for path, why in ((tmp_path / "ca.pem", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError) as caught:
            trust_file(path)
        assert str(caught.value) == f"{path}: cannot be read: {why}"


def test_the_system_s_trust_is_the_web_s(
    monkeypatch: pytest.MonkeyPatch, maker: ManufacturerCA, tmp_path: Path
) -> None:
    """Implicit: it says nothing about who may issue device certificates. A machine without any says what to do."""
    path = tmp_path / "web.pem"
    path.write_bytes(maker.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    trust = system_trust()
    assert trust.anchors == (maker.certificate.der,)
    assert (trust.explicit, trust.authorities) == (False, None)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    with pytest.raises(UsageError, match=r"target\.trust"):
        system_trust()


def test_what_the_library_warns_of_in_the_system_s_trust_is_trusted_without_a_word(
    monkeypatch: pytest.MonkeyPatch, maker: ManufacturerCA, tmp_path: Path
) -> None:
    """A root with a negative serial number, as old ones have: OpenSSL takes it, and no warning of Python's is seen."""
    der = maker.certificate.der
    serial = maker.certificate.serial
    octets = serial.to_bytes(serial.bit_length() // 8 + 1)
    odd = der.replace(octets, b"\x80" + octets[1:], 1)
    with pytest.warns(UserWarning, match="serial number"):
        x509.load_der_x509_certificate(odd)
    path = tmp_path / "web.pem"
    path.write_text(DER_cert_to_PEM_cert(odd) + DER_cert_to_PEM_cert(der), encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    assert set(system_trust().anchors) == {odd, der}


# -- the results folder


def test_a_folder_is_named_by_scenario_and_time(tmp_path: Path) -> None:
    """Folders on the way are made; runs of one second get numbers."""
    results = tmp_path / "deep" / "results"
    names = [make_folder(results, "power-cut", STARTED).name for _ in range(3)]
    assert names == [f"power-cut-20260601T123015Z{suffix}" for suffix in ("", "-2", "-3")]
    assert all((results / name).is_dir() for name in names)


def test_a_file_in_the_way_is_a_name_taken(tmp_path: Path) -> None:
    """It is left alone."""
    (tmp_path / "x-20260601T123015Z").write_text("mine")
    assert make_folder(tmp_path, "x", STARTED).name == "x-20260601T123015Z-2"
    assert (tmp_path / "x-20260601T123015Z").read_text() == "mine"


def test_results_that_cannot_be_written_are_a_usage_error(tmp_path: Path) -> None:
    """A file where the folder should be, above it; a name too long; a file system that takes no folders."""
    file = tmp_path / "file"
    file.write_text("")
    for results, name in ((file, "x"), (file / "below", "x"), (tmp_path, "x" * 300), (Path("/proc/1"), "x")):
        with pytest.raises(UsageError) as caught:
            make_folder(results, name, STARTED)
        assert str(caught.value).startswith(f"{results}: no results can be written there: ")


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The folder went away, or a folder stands where the file should be."""
    (tmp_path / "summary.json").mkdir()
    with pytest.raises(UsageError, match=r"summary\.json: cannot be written: Is a directory"):
        write_summary(tmp_path, read_summary({}))
    with pytest.raises(UsageError, match=r"scenario\.yaml: cannot be written: No such file"):
        write_scenario(tmp_path / "gone", "")
