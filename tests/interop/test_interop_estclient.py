"""globalsign/est's ``estclient`` (Go) against ``estsim serve``: another TLS, and bodies that come chunked."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from interop_peers import LogRow, Sandbox, command, peer, serial_of, serving

COMES_WITH = "go install github.com/globalsign/est/cmd/estclient@v1.0.6"
CLIENTS = "clients: {require_certificate: never, users: {gopher: {password: burrow}}}\n"
DEFERRED = f"{CLIENTS}issue: {{mode: deferred, delay: 1h, retry_after: {{seconds: 3600}}}}\n"


@dataclass(frozen=True, slots=True)
class Gopher:
    """The client in a folder of its own."""

    program: str
    folder: Path
    sandbox: Sandbox

    def request(self, name: str) -> x509.CertificateSigningRequest:
        """Make NAME.key and NAME.csr."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gopher")])
        san = x509.SubjectAlternativeName([x509.DNSName("gopher.example.com")])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(san, critical=False)
        csr = builder.sign(key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / f"{name}.key").write_bytes(secret)
        (self.folder / f"{name}.csr").write_bytes(csr.public_bytes(pem))
        return csr

    def run(self, operation: str, *words: str, fails: bool = False) -> tuple[list[x509.Certificate], str]:
        """Run a command of the client; return the certificates it wrote, and what it said."""
        out = self.folder / f"{operation}.pem"
        where = ("-server", urlsplit(self.sandbox.origin).netloc, "-explicit", self.sandbox.trust, "-out", out)
        done = command([self.program, operation, *where, *words], folder=self.folder, fails=fails)
        return ([] if fails else x509.load_pem_x509_certificates(out.read_bytes())), done.stderr.decode()


@pytest.fixture(scope="module")
def program() -> str:
    """Return where the client is."""
    return peer("estclient", COMES_WITH)


@pytest.fixture(scope="module")
def sandbox(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Run a sandbox that issues at once, if there is a client for it."""
    assert program
    with serving(tmp_path_factory.mktemp("estclient"), CLIENTS) as sandbox:
        yield sandbox


@pytest.fixture
def gopher(program: str, sandbox: Sandbox, tmp_path: Path) -> Gopher:
    """Return the client of the sandbox that issues at once."""
    return Gopher(program, tmp_path, sandbox)


def test_cacerts_gives_root_and_intermediate(gopher: Gopher) -> None:
    """The client reads the sandbox's certs-only message."""
    fetched, _ = gopher.run("cacerts")
    assert set(fetched) == set(gopher.sandbox.authorities)


def test_enroll_and_reenroll_with_chunked_bodies(gopher: Gopher) -> None:
    """A user enrolls with a password, and renews with the certificate that this gave."""
    csr = gopher.request("first")
    with gopher.sandbox.logging() as rows:
        (first,), _ = gopher.run("enroll", "-csr", "first.csr", "-user", "gopher", "-pass", "burrow")
        (second,), _ = gopher.run("reenroll", "-certs", "enroll.pem", "-key", "first.key")
    assert first.public_key() == second.public_key() == csr.public_key()
    assert first.subject == second.subject == csr.subject
    assert first.serial_number != second.serial_number
    assert rows == [
        LogRow("simpleenroll", 200, "gopher", None, None, serial_of(first), None, 0),
        LogRow("simplereenroll", 200, None, "CN=gopher", serial_of(first), serial_of(second), None, 0),
    ]


def test_enroll_reads_a_deferral_for_what_it_is(program: str, tmp_path: Path) -> None:
    """The client does not wait, but it takes a 202 for no certificate, and passes on what the sandbox says."""
    with serving(tmp_path, DEFERRED) as sandbox:
        gopher = Gopher(program, tmp_path, sandbox)
        gopher.request("first")
        _, said = gopher.run("enroll", "-csr", "first.csr", "-user", "gopher", "-pass", "burrow", fails=True)
        rows = sandbox.log()
    assert "deferred: retry after 3600 s" in said
    assert rows == [LogRow("simpleenroll", 202, "gopher", None, None, None, "3600", 0)]
