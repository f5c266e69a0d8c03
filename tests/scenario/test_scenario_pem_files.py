"""PEM files of devices: read with the scenario, in one file or two, and a folder that is no folder of such files."""

import os
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from estsim.errors import ScenarioError, UnitError
from estsim.est.signing import PrivateKey
from estsim.fleet.bootstrap import CredentialFolder
from estsim.pki.keys import make_key
from estsim.pki.manufacturer import ManufacturerCA
from estsim.pki.pem import pem
from estsim.scenario import pem_files
from estsim.scenario.loader import load_scenario
from estsim.scenario.pem_files import credentials_in
from estsim.scenario.plan import KeyKind, Shared

MAKER: Final = ManufacturerCA.made("acme")


def _pem_of(key: PrivateKey | x25519.X25519PrivateKey, password: bytes = b"") -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def _pair() -> tuple[bytes, bytes]:
    """Return a certificate and its key, in PEM."""
    key = make_key(KeyKind.EC_P256)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    return pem(MAKER.issue(key, name).certificate_der), _pem_of(key)


def _load(folder: Path, bootstrap: str, devices: int = 2) -> Shared:
    path = folder / "fleet.yaml"
    path.write_text(
        "version: 1\nduration: 1m\ncohorts:\n"
        f"  a: {{devices: {devices}, boot: {{burst: 1s}}, bootstrap: {{{bootstrap}}}}}\n",
        encoding="utf-8",
    )
    (cohort,) = load_scenario(path).cohorts
    return cohort.bootstrap  # type: ignore[return-value]  # what the tests that look at it ask for


def _told(folder: Path, bootstrap: str, devices: int = 2) -> str:
    with pytest.raises(ScenarioError) as caught:
        _load(folder, bootstrap, devices)
    (mistake,) = caught.value.mistakes
    return f"{mistake.path}: {mistake.message}".replace(f"{folder}/", "")


def test_certificate_and_key_may_lie_in_two_files(tmp_path: Path) -> None:
    """Of the one firmware, and of devices in a folder; what is read of them is the same."""
    certificate, key = _pair()
    (tmp_path / "fw.crt").write_bytes(certificate)
    (tmp_path / "fw.key").write_bytes(key)
    shared = _load(tmp_path, "kind: shared, cert: fw.crt, key: fw.key")
    assert shared == Shared(tmp_path / "fw.crt", key=tmp_path / "fw.key")
    assert shared.path is not None
    (tmp_path / "born").mkdir()
    (tmp_path / "born" / "a.crt").write_bytes(certificate)
    (tmp_path / "born" / "a.key").write_bytes(key)
    (tmp_path / "born" / "b.pem").write_bytes(certificate + key)
    _load(tmp_path, "kind: files, path: born")
    credential_files = CredentialFolder.folder(tmp_path / "born", 2)
    assert credential_files.of(0) == credential_files.of(1) == CredentialFolder.shared(shared.path, shared.key).of(0)


@pytest.mark.parametrize(
    ("bootstrap", "told"),
    [
        ("kind: shared, cert: no.crt, key: fw.key", "cert: cannot be read: No such file or directory (got no.crt)"),
        ("kind: shared, cert: fw.crt, key: no.key", "key: cannot be read: No such file or directory (got no.key)"),
        ("kind: shared, cert: fw.crt, key: fw.crt", "key: contains no PEM private key (got fw.crt)"),
        (
            "kind: shared, cert: fw.crt, key: encrypted.key",
            "key: is encrypted: the key must have no password (got encrypted.key)",
        ),
        (
            "kind: shared, cert: fw.crt, key: other.key",
            "key: contains a key that does not match the first certificate in fw.crt (got other.key)",
        ),
        (
            "kind: shared, cert: fw.crt, key: x25519.key",
            "key: must contain an EC, RSA or Ed25519 key, not a X25519PrivateKey (got x25519.key)",
        ),
        (
            "kind: shared, cert: fw.key, key: fw.key",
            "cert: contains no usable PEM certificate: no certificate found (got fw.key)",
        ),
        (
            "kind: shared, path: mixed.pem",
            "path: contains a key that does not match its first certificate (got mixed.pem)",
        ),
        ("kind: shared, path: pipe", "path: cannot be read: it is a named pipe, not a file (got pipe)"),
    ],
)
def test_files_that_cannot_be_used_are_told_with_the_scenario(tmp_path: Path, bootstrap: str, told: str) -> None:
    """Each with its file and the reason, before any device is made."""
    certificate, key = _pair()
    other = make_key(KeyKind.EC_P256)
    files = {
        "fw.crt": certificate,
        "fw.key": key,
        "other.key": _pem_of(other),
        "encrypted.key": _pem_of(other, b"secret"),
        "x25519.key": _pem_of(x25519.X25519PrivateKey.generate()),
        "mixed.pem": certificate + _pem_of(other),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe")
    assert _told(tmp_path, bootstrap) == f"cohorts.a.bootstrap.{told}"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (
            rsa.generate_private_key(65537, 1024),  # noqa: S505 - what is refused
            "an RSA key of 1024 bits that OpenSSL rejects for TLS: ee key too small; use at least 2048 bits",
        ),
        (
            ec.generate_private_key(ec.SECP192R1()),
            "a certificate that OpenSSL rejects for TLS: ee key too small",
        ),
    ],
)
def test_a_certificate_that_tls_refuses_is_a_mistake_of_its_file(
    tmp_path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, told: str
) -> None:
    """Of all devices in one file or two, and of each in a folder; OpenSSL is asked, as it will be in the run."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    certificate = pem(MAKER.issue(key, name).certificate_der)
    born = tmp_path / "born"
    born.mkdir()
    (born / "a.pem").write_bytes(certificate + _pem_of(key))
    (born / "b.crt").write_bytes(certificate)
    (born / "b.key").write_bytes(_pem_of(key))
    where = "cohorts.a.bootstrap"
    assert _told(tmp_path, "kind: shared, path: born/a.pem") == f"{where}.path: contains {told} (got born/a.pem)"
    assert _told(tmp_path, "kind: files, path: born") == f"{where}.path: contains {told} (got born/a.pem)"
    two = _told(tmp_path, "kind: shared, cert: born/b.crt, key: born/b.key")
    assert two == f"{where}.cert: contains {told} (got born/b.crt)"


@pytest.mark.parametrize(
    ("bootstrap", "told"),
    [
        ("kind: shared, cert: a", "cert and key require each other; use path for one file with both (got only cert)"),
        ("kind: shared, cert: a, key: b, path: c", "cert and key are mutually exclusive with path"),
        ("kind: shared, cert: a, key: b, authority: c", "cert and key are mutually exclusive with authority"),
        ("kind: files, cert: a, key: b", "cert, key cannot be used with kind: files"),
    ],
)
def test_two_files_are_one_way_among_others(tmp_path: Path, bootstrap: str, told: str) -> None:
    """Said at the bootstrap."""
    assert _told(tmp_path, bootstrap).startswith(f"cohorts.a.bootstrap: {told}")


def test_a_file_of_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Also a named pipe, which nothing opens, and a certificate without its key."""
    certificate, key = _pair()
    born = tmp_path / "born"
    born.mkdir()
    (born / "a.pem").write_bytes(certificate + key)
    (born / "b.crt").write_bytes(certificate)
    few = "must contain NAME.pem, or NAME.crt beside NAME.key, for each of 2 devices"
    where = "cohorts.a.bootstrap.path"
    assert _told(tmp_path, "kind: files, path: born") == f"{where}: {few} (got 1 in born; b.crt has no matching b.key)"
    (born / "b.key").write_bytes(_pem_of(make_key(KeyKind.EC_P256)))
    wrong = "contains a key that does not match the first certificate in born/b.crt (got born/b.key)"
    assert _told(tmp_path, "kind: files, path: born") == f"{where}: {wrong}"
    (born / "b.key").unlink()
    os.mkfifo(born / "b.key")
    assert _told(
        tmp_path, "kind: files, path: born"
    ) == f"{where}: contains b.key, which is not a file (got {tmp_path / 'born'})".replace(f"{tmp_path}/", "")


def test_a_folder_of_too_many_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its listing ends at the limit, however many there are."""
    monkeypatch.setattr(pem_files, "MOST_ENTRIES", 10)
    for number in range(20):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(UnitError) as caught:
        credentials_in(tmp_path, 1)
    assert str(caught.value) == f"contains more than 10 entries (got {tmp_path})"
