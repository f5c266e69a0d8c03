"""The PKI on disk: who may read it, and what is made of what is there."""

import stat
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from estsim.errors import UsageError
from estsim.pki.keys import KeyKind
from estsim.server.config import IssuerConfig
from estsim.server.pki import open_pki, read_certificates


def test_private_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    """Every file that holds one is 0600, the folder 0700."""
    folder = tmp_path / "s"
    open_pki(folder, "default", IssuerConfig(key=KeyKind.EC_P256))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secret = [path for path in folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert {path.name for path in secret} == {"ca-0.pem", "ca-1.pem", "manufacturer.pem", "bootstrap.pem"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


def test_it_is_made_once_and_read_after(tmp_path: Path) -> None:
    """The second time gives the same authorities."""
    first, second = (open_pki(tmp_path, "default", IssuerConfig(key=KeyKind.EC_P256)) for _ in range(2))
    assert first.ca_certificates == second.ca_certificates
    assert first.manufacturer.certificate == second.manufacturer.certificate


def test_the_trust_file_holds_root_and_intermediate(tmp_path: Path) -> None:
    """In that order, the second issued by the first."""
    pki = open_pki(tmp_path, "default", IssuerConfig(key=KeyKind.EC_P384))
    root, issuer = x509.load_pem_x509_certificates(pki.trust.read_bytes())
    root.verify_directly_issued_by(root)
    issuer.verify_directly_issued_by(root)


@pytest.mark.parametrize("intermediates", [0, 1, 3])
def test_a_chain_is_as_long_as_asked(tmp_path: Path, intermediates: int) -> None:
    """Each issued by the one above, with room below for just those that there are."""
    pki = open_pki(tmp_path, "default", IssuerConfig(intermediates=intermediates))
    chain = [x509.load_der_x509_certificate(each.der) for each in pki.ca_certificates]
    assert len(chain) == intermediates + 1
    for above, below in pairwise((chain[0], *chain)):
        below.verify_directly_issued_by(above)
    lengths = [ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length for ca in chain]
    assert lengths == list(reversed(range(intermediates + 1)))
    assert pki.issuer.certificate == pki.ca_certificates[-1]


def test_trust_centers_share_nothing_but_the_root_of_the_server(tmp_path: Path) -> None:
    """Each has files of its own; whoever goes to the other one has to trust the server's certificate too."""
    first = open_pki(tmp_path, "default", IssuerConfig())
    root = first.chain[0].certificate
    second = open_pki(tmp_path, "meters", IssuerConfig(key=KeyKind.EC_P384), tls_root=root)
    assert not set(first.ca_certificates) & set(second.ca_certificates)
    assert set(read_certificates(second.trust)) == {*second.ca_certificates, root}
    assert (second.trust.name, second.bootstrap.name) == ("trust-meters.pem", "bootstrap-meters.pem")


def test_the_bootstrap_file_is_a_whole_identity(tmp_path: Path) -> None:
    """Certificate, its key, and the manufacturer's CA."""
    pki = open_pki(tmp_path, "default", IssuerConfig(key=KeyKind.EC_P256))
    content = pki.bootstrap.read_bytes()
    leaf, maker = x509.load_pem_x509_certificates(content)
    leaf.verify_directly_issued_by(maker)
    assert leaf.public_key() == load_pem_private_key(content, None).public_key()
    assert maker.public_bytes(Encoding.DER) == pki.manufacturer.certificate.der


def test_a_pki_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    """Devices out there trust it."""
    open_pki(tmp_path, "default", IssuerConfig(key=KeyKind.EC_P256))
    with pytest.raises(UsageError, match=r"issuer\.key: ec-p256 and intermediates: 1 \(expected rsa-2048 and 1\)"):
        open_pki(tmp_path, "default", IssuerConfig(key=KeyKind.RSA_2048))
    with pytest.raises(UsageError, match=r"intermediates: 1 \(expected ec-p256 and 2\)"):
        open_pki(tmp_path, "default", IssuerConfig(intermediates=2))


def test_a_damaged_pki_is_said_to_be_so(tmp_path: Path) -> None:
    """No traceback of a library."""
    open_pki(tmp_path, "default", IssuerConfig(key=KeyKind.EC_P256))
    (tmp_path / "pki" / "default" / "ca-0.pem").write_text("nothing")
    with pytest.raises(UsageError, match="expected PEM files made by estsim"):
        open_pki(tmp_path, "default", IssuerConfig(key=KeyKind.EC_P256))


def test_a_missing_or_foreign_bootstrap_ca_is_named(tmp_path: Path) -> None:
    """With the path, and what was expected."""
    with pytest.raises(UsageError, match=r"none\.pem: cannot be read: No such file"):
        read_certificates(tmp_path / "none.pem")
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(UsageError, match=r"text\.pem: expected CA certificates in PEM"):
        read_certificates(tmp_path / "text.pem")
