"""What the sandbox answers over real TLS to a client of another make."""

import base64
import ssl
from pathlib import Path

import pytest
import trio
from cryptography import x509
from server_sandbox import csr_for, identity_file, new_key, ours, running

from estsim.est.certs_only import read_certs_only


async def test_cacerts_gives_root_and_intermediate_without_a_certificate(tmp_path: Path) -> None:
    """RFC 7030 §4.1: no client authentication needed; the trust file holds the same two."""
    async with running(tmp_path) as sandbox:
        response = await sandbox.get("cacerts")
        certificates = map(x509.load_der_x509_certificate, read_certs_only(base64.b64decode(response.body))[0])
        assert response.status == 200
        assert response.headers["content-type"] == "application/pkcs7-mime"
        assert b"\n" not in response.body, "base64: oneline is the default"
        assert set(certificates) == set(x509.load_pem_x509_certificates(sandbox.here.trust.read_bytes()))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_enroll_issues_what_was_asked_for(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Key, Subject and SAN of the request, issued by the intermediate."""
    async with running(tmp_path) as sandbox:
        key = new_key()
        csr = csr_for(key, "meter-1", ["meter-1.example"])
        async with sandbox.connect(sandbox.tls(sandbox.here.bootstrap, version=version)) as client:
            response = await client.post(csr)
        issued = response.certificate
        _, issuer = x509.load_pem_x509_certificates(sandbox.here.trust.read_bytes())
        issued.verify_directly_issued_by(issuer)
        assert response.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
        assert issued.public_key() == key.public_key()
        assert issued.subject.rfc4514_string() == "CN=meter-1"
        names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["meter-1.example"]


@pytest.mark.parametrize(("bodies", "empty"), [("text", False), ("empty", True)])
async def test_deferrals_and_challenges_can_be_empty(tmp_path: Path, bodies: str, empty: bool) -> None:  # noqa: FBT001 - a column
    """One client reads neither Retry-After nor the challenge beside a body; certificates keep theirs."""
    users = {"clients": {"users": {"alice": {"password": "secret"}}, "require_certificate": "never"}}
    slow = {"issue": {"mode": "deferred", "delay": "1s", "retry_after": {"seconds": 1}}}
    async with running(tmp_path, {"bodies": bodies, **users, **slow}) as sandbox:
        challenged, deferred = await sandbox.post(csr_for(new_key(), "meter-1")), (await sandbox.enroll())[0]
        assert (challenged.status, challenged.headers["www-authenticate"][:5]) == (401, "Basic")
        assert (deferred.status, deferred.headers["retry-after"]) == (202, "1")
        for response in (challenged, deferred):
            assert (response.body == b"", response.headers["content-length"] == "0") == (empty, empty)
            assert ("content-type" in response.headers) is not empty
        assert (await sandbox.get("cacerts")).body


async def test_validity_may_be_seconds(tmp_path: Path) -> None:
    """A certificate of five seconds lives five seconds."""
    async with running(tmp_path, {"issuer": {"validity": "5s"}}) as sandbox:
        issued = (await sandbox.enroll())[0].certificate
        assert (issued.not_valid_after_utc - issued.not_valid_before_utc).total_seconds() == 5


@pytest.mark.parametrize("kind", ["ec-p384", "rsa-2048", "rsa-3072", "ed25519"])
async def test_the_authority_may_have_any_kind_of_key(tmp_path: Path, kind: str) -> None:
    """Also those whose signing goes to a thread."""
    async with running(tmp_path, {"issuer": {"key": kind}}) as sandbox:
        issued = (await sandbox.enroll())[0].certificate
        _, issuer = x509.load_pem_x509_certificates(sandbox.here.trust.read_bytes())
        issued.verify_directly_issued_by(issuer)


async def test_reenroll_keeps_the_names_and_renews_or_rekeys(tmp_path: Path) -> None:
    """Same Subject and SAN, with the old key and with a new one; the leaf alone is enough."""
    async with running(tmp_path) as sandbox:
        key = new_key()
        first = await sandbox.post(csr_for(key, "m", ["m.example"]), identity=sandbox.here.bootstrap)
        identity = identity_file(tmp_path, first.certificate, key)
        for next_key in (key, new_key()):
            csr = csr_for(next_key, "m", ["m.example"])
            renewed = await sandbox.post(csr, operation="simplereenroll", identity=identity)
            assert renewed.status == 200
            assert renewed.certificate.serial_number != first.certificate.serial_number
            assert ours(renewed.certificate).san_der == ours(first.certificate).san_der


@pytest.mark.parametrize(
    ("name", "sans", "named"),
    [("other", ["m.example"], "Subject"), ("m", [], "SubjectAltName"), ("m", ["n.example"], "SubjectAltName")],
)
async def test_reenroll_with_other_names_is_refused(tmp_path: Path, name: str, sans: list[str], named: str) -> None:
    """RFC 7030 §4.2.2, and the line says which of the two it was."""
    async with running(tmp_path) as sandbox:
        key = new_key()
        first = await sandbox.post(csr_for(key, "m", ["m.example"]), identity=sandbox.here.bootstrap)
        identity = identity_file(tmp_path, first.certificate, key)
        response = await sandbox.post(csr_for(key, name, sans), operation="simplereenroll", identity=identity)
        assert response.status == 403
        assert f"the {named} of the certificate" in response.text


async def test_reenroll_needs_a_certificate_of_this_ca(tmp_path: Path) -> None:
    """Neither none nor a manufacturer's will do."""
    async with running(tmp_path, {"clients": {"require_certificate": "never"}}) as sandbox:
        csr = csr_for(new_key(), "bootstrap")
        nobody = await sandbox.post(csr, operation="simplereenroll")
        assert (nobody.status, "certificate being renewed" in nobody.text) == (403, True)
        maker = await sandbox.post(csr, operation="simplereenroll", identity=sandbox.here.bootstrap)
        assert (maker.status, "issued by this CA" in maker.text) == (403, True)


@pytest.mark.parametrize(("rule", "enroll"), [("enroll", 403), ("never", 200)])
async def test_where_a_certificate_is_required(tmp_path: Path, rule: str, enroll: int) -> None:
    """For issuing, or nowhere; cacerts is open in both."""
    async with running(tmp_path, {"clients": {"require_certificate": rule}}) as sandbox:
        assert (await sandbox.get("cacerts")).status == 200
        assert (await sandbox.post(csr_for(new_key(), "m"))).status == enroll


async def test_basic_users_get_in_with_their_password_only(tmp_path: Path) -> None:
    """A bad one is challenged again; no credentials neither enroll where there are users."""
    clients = {"require_certificate": "never", "users": {"alice": {"password": "se:cret"}}}
    async with running(tmp_path, {"clients": clients}) as sandbox:
        csr = csr_for(new_key(), "m")
        for credentials, status in (("alice:se:cret", 200), ("alice:x", 401), ("bob:se:cret", 401), ("alice", 401)):
            basic = "Basic " + base64.b64encode(credentials.encode()).decode()
            response = await sandbox.post(csr, headers=[("Authorization", basic)])
            assert response.status == status, credentials
        response = await sandbox.post(csr)
        assert response.status == 401
        assert response.headers["www-authenticate"] == 'Basic realm="estsim sandbox"'
        assert (await sandbox.post(csr, identity=sandbox.here.bootstrap)).status == 200, "a certificate will do"
        assert [exchange.user for exchange in sandbox.exchanges][:2] == ["alice", None]


async def test_a_deferred_request_is_recognised_by_its_key_and_issued_when_ready(tmp_path: Path) -> None:
    """The repeat has other bytes (another signature) and gets the certificate."""
    issue = {"mode": "deferred", "delay": "100ms", "retry_after": {"seconds": 1}}
    async with running(tmp_path, {"issue": issue}) as sandbox:
        key = new_key()
        first = await sandbox.post(csr_for(key, "m"), identity=sandbox.here.bootstrap)
        assert (first.status, first.headers["retry-after"]) == (202, "1")
        await trio.sleep(0.1)  # the delay itself
        repeat = await sandbox.post(csr_for(key, "m"), identity=sandbox.here.bootstrap)
        assert repeat.status == 200
        assert repeat.certificate.public_key() == key.public_key()
        assert [exchange.early for exchange in sandbox.exchanges] == [0, 1], "it came before the second it was told"


async def test_a_restart_keeps_the_pki_and_what_is_pending(tmp_path: Path) -> None:
    """The same request finds its place in the next process's server."""
    config: dict[str, object] = {"issue": {"mode": "deferred", "delay": "1ms"}}
    csr = csr_for(new_key(), "m")
    async with running(tmp_path, config) as sandbox:
        assert (await sandbox.post(csr, identity=sandbox.here.bootstrap)).status == 202
        trust = sandbox.here.trust.read_bytes()
    async with running(tmp_path, config) as sandbox:
        assert sandbox.here.pending == 1
        assert sandbox.here.trust.read_bytes() == trust
        assert (await sandbox.post(csr, identity=sandbox.here.bootstrap)).status == 200
    async with running(tmp_path, config) as sandbox:
        assert sandbox.here.pending == 0


async def test_retry_after_may_be_a_date(tmp_path: Path) -> None:
    """Against the answer's own Date, it is never less than the wait."""
    issue = {"mode": "deferred", "status": 206, "retry_after": {"seconds": 3, "form": "http-date"}}
    async with running(tmp_path, {"issue": issue}) as sandbox:
        response, _ = await sandbox.enroll()
        assert response.status == 206
        told = ssl.cert_time_to_seconds(_asn1(response.headers["retry-after"]))
        now = ssl.cert_time_to_seconds(_asn1(response.headers["date"]))
        assert told - now in {3, 4}


def _asn1(date: str) -> str:
    """Turn ``Mon, 23 Nov 2026 10:00:00 GMT`` into what the standard library's TLS reads."""
    _, day, month, year, clock, zone = date.split()
    return f"{month} {day} {clock} {year} {zone}"


async def test_a_full_authority_makes_its_clients_wait(tmp_path: Path) -> None:
    """Five at 20/s with burst 1: the last is answered 200 ms after the first."""
    async with running(tmp_path, {"capacity": {"rate": "20/s"}}) as sandbox:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for n in range(5):
                nursery.start_soon(sandbox.enroll, f"m{n}")
        assert trio.current_time() - began >= 0.2
        assert [exchange.status for exchange in sandbox.exchanges] == [200] * 5


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "cacerts", 405, "expected GET for cacerts (got POST)"),
        ("GET", "simpleenroll", 405, "expected POST"),
        ("HEAD", "cacerts", 405, ""),
        ("GET", "nothing", 404, "expected one of cacerts"),
        ("GET", "meters/cacerts", 404, "no labels"),
        ("GET", "/", 404, "expected a path under /.well-known/est/"),
        ("GET", "csrattrs", 204, ""),
        ("POST", "serverkeygen", 501, "serverkeygen is not implemented"),
        ("POST", "fullcmc", 501, "fullcmc is not implemented"),
    ],
)
async def test_what_is_not_served_says_what_is(tmp_path: Path, method: str, path: str, status: int, text: str) -> None:
    """One readable line, under the right status."""
    async with running(tmp_path) as sandbox, sandbox.connect(sandbox.tls(sandbox.here.bootstrap)) as client:
        response = await client.send(method, path)
        assert response.status == status
        assert text in response.text
        assert status != 405 or response.headers["allow"] == ("GET" if "cacerts" in path else "POST")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "text"),
    [
        (b"***", "application/pkcs10", 400, "expected base64"),
        (b"", "application/pkcs10", 400, "empty body"),
        (base64.b64encode(b"hello"), "application/pkcs10", 400, "expected a PKCS#10 request"),
        (b"x", "text/plain", 415, "expected Content-Type: application/pkcs10 (got text/plain)"),
    ],
)
async def test_a_body_that_is_no_request_is_refused(
    tmp_path: Path, body: bytes, content_type: str, status: int, text: str
) -> None:
    """The connection goes on, for the answer is whole."""
    async with running(tmp_path) as sandbox, sandbox.connect(sandbox.tls(sandbox.here.bootstrap)) as client:
        for _ in range(2):
            response = await client.send("POST", "simpleenroll", body, headers=[("Content-Type", content_type)])
            assert response.status == status
            assert text in response.text


async def test_a_request_that_proves_nothing_is_refused(tmp_path: Path) -> None:
    """A damaged signature is no proof of possession."""
    async with running(tmp_path) as sandbox:
        csr = bytearray(csr_for(new_key(), "m"))
        csr[-1] ^= 1
        response = await sandbox.post(bytes(csr), identity=sandbox.here.bootstrap)
        assert response.status == 400
        assert "proof of possession" in response.text
