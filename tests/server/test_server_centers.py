"""Several trust centers in one server, each with clients of its own, and where those that will not do are refused."""

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from server_sandbox import Response, Running, csr_for, identity_file, new_key, running
from test_server_listener import alert_of, issued_by, manufacturer

from estsim.est.certs_only import read_certs_only
from estsim.pki.pem import pem

TWO: dict[str, Any] = {
    "trust_centers": {
        "default": {},
        "meters": {"issuer": {"key": "ec-p384", "intermediates": 2, "validity": "1m"}},
    }
}


def refused_above_tls(**clients: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a configuration
    """Return a configuration that refuses clients in the application."""
    return {"clients": {"refuse_at": "application", **clients}}


def cas_of(response: Response) -> set[x509.Certificate]:
    """Return the certificates of an answer to cacerts."""
    return set(map(x509.load_der_x509_certificate, read_certs_only(base64.b64decode(response.body))[0]))


async def enroll(sandbox: Running, label: str, identity: Path) -> Response:
    """Enroll at a trust center."""
    prefix = "" if label == "default" else f"{label}/"
    return await sandbox.post(csr_for(new_key(), "m"), operation=f"{prefix}simpleenroll", identity=identity)


async def test_each_label_is_an_authority_of_its_own(tmp_path: Path) -> None:
    """Its own CA certificates, its own chain above what it issues, its own validity."""
    async with running(tmp_path, TWO) as sandbox:
        for label, cas, lifetime_s in (("default", 2, 86_400), ("meters", 3, 60)):
            place = sandbox.here.places[label]
            prefix = "" if label == "default" else "meters/"
            fetched = cas_of(await sandbox.get(f"{prefix}cacerts"))
            assert len(fetched) == cas
            assert fetched <= set(x509.load_pem_x509_certificates(place.trust.read_bytes()))
            issued = (await enroll(sandbox, label, place.bootstrap)).certificate
            issued.verify_directly_issued_by(next(ca for ca in fetched if ca.subject == issued.issuer))
            assert (issued.not_valid_after_utc - issued.not_valid_before_utc).total_seconds() == lifetime_s
        assert [row.center for row in sandbox.exchanges] == ["default", "default", "meters", "meters"]


async def test_a_client_of_one_trust_center_is_a_stranger_to_the_other(tmp_path: Path) -> None:
    """The handshake lets it in, because somebody here takes it; the other one refuses it with a reason."""
    async with running(tmp_path, TWO) as sandbox:
        of_default, of_meters = (sandbox.here.places[label].bootstrap for label in ("default", "meters"))
        assert (await enroll(sandbox, "meters", of_meters)).status == 200
        for label, identity in (("default", of_meters), ("meters", of_default)):
            refused = await enroll(sandbox, label, identity)
            assert refused.status == 403
            assert "issued by a trusted CA, see bootstrap_cas (got CN=bootstrap)" in refused.text
        stranger = issued_by(manufacturer(), tmp_path)
        assert "unknown ca" in await alert_of(sandbox, sandbox.tls(stranger)), "nobody here takes it"


async def test_a_certificate_is_renewed_where_it_was_issued(tmp_path: Path) -> None:
    """The other trust center does not know it."""
    async with running(tmp_path, TWO) as sandbox:
        key = new_key()
        csr = csr_for(key, "m")
        place = sandbox.here.places["meters"]
        first = await sandbox.post(csr, operation="meters/simpleenroll", identity=place.bootstrap)
        identity = identity_file(tmp_path, first.certificate, key)
        assert (await sandbox.post(csr, operation="meters/simplereenroll", identity=identity)).status == 200
        assert (await sandbox.post(csr, operation="simplereenroll", identity=identity)).status == 403


async def test_an_unknown_label_is_told_what_there_is(tmp_path: Path) -> None:
    """404, with the labels; so is a label without an operation."""
    async with running(tmp_path, TWO) as sandbox:
        unknown = await sandbox.get("gateways/cacerts")
        assert (unknown.status, unknown.text) == (
            404,
            "expected a known label (got gateways; this sandbox has the labels meters)",
        )
        alone = await sandbox.get("meters")
        assert (alone.status, "meters is a label; add the operation after it" in alone.text) == (404, True)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_refused_above_tls_a_client_reads_why(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """An unknown CA's certificate, an expired one, none: each is let in by TLS and refused by a line."""
    maker = manufacturer()
    trusted = tmp_path / "maker.pem"
    trusted.write_bytes(pem(maker.certificate.der))
    async with running(tmp_path / "s", refused_above_tls(bootstrap_cas=[str(trusted)])) as sandbox:
        for identity, reason in (
            (issued_by(manufacturer(), tmp_path), "unable to get local issuer certificate"),
            (issued_by(maker, tmp_path, age_s=120), "certificate has expired"),
            (None, "expected a client certificate in the TLS handshake (require_certificate: enroll)"),
        ):
            async with sandbox.connect(sandbox.tls(identity, version=version)) as client:
                refused = await client.post(csr_for(new_key(), "m"))
                assert (refused.status, reason in refused.text) == (403, True), refused.text
        async with sandbox.connect(sandbox.tls(issued_by(maker, tmp_path), version=version)) as client:
            assert (await client.post(csr_for(new_key(), "m"))).status == 200
        assert not sandbox.failed_handshakes


async def test_always_above_tls_is_the_portal_s_rule(tmp_path: Path) -> None:
    """Without a certificate not even the CA certificates, with one both; the health needs none."""
    async with running(tmp_path, refused_above_tls(require_certificate="always")) as sandbox:
        refused = await sandbox.get("cacerts")
        assert (refused.status, "require_certificate: always" in refused.text) == (403, True)
        assert (await sandbox.get("csrattrs")).status == 403
        assert (await sandbox.get("cacerts", sandbox.here.bootstrap)).status == 200
        assert (await sandbox.get("cacerts", issued_by(manufacturer(), tmp_path))).status == 403
        assert (await sandbox.get("/healthz")).status == 200
