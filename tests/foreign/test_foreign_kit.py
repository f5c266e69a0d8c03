"""The kit itself: what it writes by hand is what the library reads, and a plain foreign server is no trouble at all."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from der_writer import COUNTRY, StringTag, attribute, common_name, name, policy_with_text, string
from foreign_pki import RSA_SHA1, ForeignCA, certs_only, make_key, spki_of
from foreign_runs import RENEW_ONCE, assert_issued, run_against
from odd_server import est_server, odd_server

from estsim.est.certs_only import read_certs_only


def test_hand_written_certificates_are_certificates() -> None:
    """The library reads a chain and its names, and OpenSSL's signature check agrees."""
    root = ForeignCA(name(attribute(COUNTRY, string("DE", StringTag.PRINTABLE))))
    issuing = root.below("Issuing")
    leaf = issuing.issue(common_name("device"), spki_of(make_key()), extensions=(policy_with_text(b"plain"),))
    read = [x509.load_der_x509_certificate(der) for der in (root.der, issuing.der, leaf)]
    for upper, lower in zip(read[:1] + read, read, strict=False):
        lower.verify_directly_issued_by(upper)
    assert read[2].subject.rfc4514_string() == "CN=device"
    assert len(read[2].extensions) == 1
    assert read_certs_only(certs_only(root.der, issuing.der))[0] == (root.der, issuing.der)


def test_old_signatures_can_be_written() -> None:
    """A root signed with SHA-1 is read as one."""
    root = ForeignCA(key=rsa.generate_private_key(65537, 2048), signing=RSA_SHA1)
    algorithm = x509.load_der_x509_certificate(root.der).signature_hash_algorithm
    assert algorithm is not None
    assert algorithm.name == "sha1"


def test_a_plain_foreign_server_is_no_trouble(tmp_path: Path) -> None:
    """Every device gets a certificate and renews it; rows and requests are the same in number; no rule is broken."""
    with odd_server(est_server(ForeignCA()), tmp_path / "server") as server:
        run = run_against(server, tmp_path / "run", cohort={"renew": RENEW_ONCE})
    assert_issued(run, 2)
    assert len(run.rows(preflight=True)) == len(server.asked)
    assert set(run.kinds) == {"ok"}
    assert run.non_conformances == []
    assert not server.troubles
