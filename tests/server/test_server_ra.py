"""A registration authority (RFC 7030 §3.7): known by id-kp-cmcRA, it renews others' certificates as it enrolls them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from server_sandbox import csr_for, identity_file, new_key, running

CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")
NOW = datetime.now(UTC)


def issued(folder: Path, *purposes: x509.ObjectIdentifier) -> tuple[Path, Path]:
    """Return the file of a CA and the identity of a client that it issued for ``purposes``."""
    ca, key = new_key(), new_key()
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RA CA")])
    start = x509.CertificateBuilder().issuer_name(authority).not_valid_before(NOW - timedelta(hours=1))
    start = start.not_valid_after(NOW + timedelta(days=1))
    root = (
        start.subject_name(authority)
        .public_key(ca.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca, hashes.SHA256())
    )
    client = (
        start.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RA")]))
        .public_key(key.public_key())
        .serial_number(2)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(ca, hashes.SHA256())
    )
    file = folder / "ra-ca.pem"
    file.write_bytes(root.public_bytes(Encoding.PEM))
    return file, identity_file(folder, client, key)


@pytest.mark.parametrize("refuse_at", ["handshake", "application"])
@pytest.mark.parametrize("purposes", [(CMC_RA, ExtendedKeyUsageOID.CLIENT_AUTH), (CMC_RA,)], ids=["both", "alone"])
async def test_an_ra_enrolls_and_renews_for_others(
    tmp_path: Path, purposes: tuple[x509.ObjectIdentifier, ...], refuse_at: str
) -> None:
    """With names that are not its own, whether or not its certificate is for TLS clients besides."""
    file, identity = issued(tmp_path, *purposes)
    clients = {"bootstrap_cas": [str(file)], "refuse_at": refuse_at}
    async with running(tmp_path / "sandbox", {"clients": clients}) as sandbox:
        for operation in ("simpleenroll", "simplereenroll"):
            response = await sandbox.post(
                csr_for(new_key(), "m", ["m.example"]), operation=operation, identity=identity
            )
            assert response.status == 200, response.text
            assert response.certificate.subject.rfc4514_string() == "CN=m"
        assert [row.peer_subject for row in sandbox.exchanges] == ["CN=RA", "CN=RA"]


async def test_who_is_no_ra_renews_nobody_else_s(tmp_path: Path) -> None:
    """A client of the same CA without that purpose is told what a renewal needs; another purpose is none at all."""
    file, identity = issued(tmp_path, ExtendedKeyUsageOID.CLIENT_AUTH)
    async with running(tmp_path / "sandbox", {"clients": {"bootstrap_cas": [str(file)]}}) as sandbox:
        csr = csr_for(new_key(), "m")
        response = await sandbox.post(csr, operation="simplereenroll", identity=identity)
        assert (response.status, response.text[:45]) == (403, "expected the certificate being renewed, issue")
    _, stranger = issued(tmp_path, CMC_RA)
    async with running(tmp_path / "strict", {"clients": {"refuse_at": "application"}}) as sandbox:
        response = await sandbox.post(csr, operation="simplereenroll", identity=stranger)
        assert (response.status, "a trusted CA" in response.text or "CN=RA" in response.text) == (
            403,
            True,
        )
