"""strongSwan's ``pki --estca`` and ``pki --est`` against ``estsim serve``.

This client brings its own TLS, HTTP, CMS and PKCS#10. It takes only one-line base64, wants every CA certificate on its
command line, and re-enrolls whenever it is given a certificate. Its TLS version comes from its configuration file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from interop_peers import LogRow, Sandbox, command, peer, pem, serial_of, serving

COMES_WITH = "Debian's strongswan-pki and libstrongswan-standard-plugins"
PASSWORD = "open: sesame"  # RFC 7617 §2: a password may hold a colon, and blanks
CLIENTS = f"clients: {{require_certificate: never, users: {{swan: {{password: '{PASSWORD}'}}}}}}\n"
DEFERRED = f"{CLIENTS}issue: {{mode: deferred, delay: 500ms, retry_after: {{seconds: 1}}}}\n"
DN = "C=DE, O=Example, CN=swan"
SAN = "swan.example.com"


@dataclass(frozen=True, slots=True)
class Swan:
    """The client in a folder of its own, speaking one version of TLS."""

    pki: str
    folder: Path
    sandbox: Sandbox
    tls: str

    def key(self, name: str) -> Path:
        """Make a key."""
        path = self.folder / f"{name}.key"
        made = command([self.pki, "--gen", "--type", "ecdsa", "--size", "256", "--outform", "pem"])
        path.write_bytes(made.stdout)
        return path

    def csr(self, key: Path) -> bytes:
        """Make a certificate request, always for the same names."""
        words = [self.pki, "--req", "--type", "ecdsa", "--in", str(key), "--dn", DN, "--san", SAN]
        return command(words).stdout

    def est(self, csr: bytes, *words: str | Path, fails: bool = False) -> tuple[x509.Certificate | None, str]:
        """Enroll, and return the certificate with what the client said."""
        common = [self.pki, "--est", "--url", self.sandbox.origin, *self._trusting()]
        done = command([*common, *words], stdin=csr, environment=self._environment(), fails=fails)
        return (x509.load_der_x509_certificate(done.stdout) if done.stdout else None), done.stderr.decode()

    def enroll(self, csr: bytes, *words: str | Path) -> tuple[x509.Certificate, str]:
        """Enroll with success."""
        certificate, said = self.est(csr, *words)
        assert certificate is not None
        return certificate, said

    def estca(self) -> tuple[list[x509.Certificate], str]:
        """Fetch the CA certificates, and return what the client wrote with what it said."""
        words = [self.pki, "--estca", "--url", self.sandbox.origin, *self._trusting(), "--outform", "pem"]
        done = command([*words, "--caout", self.folder / "fetched.pem"], environment=self._environment())
        written = [x509.load_pem_x509_certificate(path.read_bytes()) for path in self.folder.glob("fetched*.pem")]
        return written, done.stderr.decode()

    def _trusting(self) -> list[str | Path]:
        words: list[str | Path] = []
        for number, authority in enumerate(self.sandbox.authorities):
            path = self.folder / f"trusted-{number}.pem"
            path.write_bytes(pem(authority))
            words += ["--cacert", path]
        return words

    def _environment(self) -> dict[str, str]:
        path = self.folder / "strongswan.conf"
        path.write_text(f"libtls {{\n version_min = {self.tls}\n version_max = {self.tls}\n}}\n", encoding="utf-8")
        return {"STRONGSWAN_CONF": str(path)}


@pytest.fixture(scope="module")
def pki() -> str:
    """Return where strongSwan's program is."""
    return peer("pki", COMES_WITH)


@pytest.fixture(scope="module")
def prompt(pki: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Run a sandbox that issues at once, if there is a client for it."""
    assert pki
    with serving(tmp_path_factory.mktemp("prompt"), CLIENTS) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def deferring(pki: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Run a sandbox that defers every request once, if there is a client for it."""
    assert pki
    with serving(tmp_path_factory.mktemp("deferring"), DEFERRED) as sandbox:
        yield sandbox


@pytest.fixture(params=["1.2", "1.3"])
def swan(request: pytest.FixtureRequest, pki: str, prompt: Sandbox, tmp_path: Path) -> Swan:
    """Return the client, in both versions of TLS, of the sandbox that issues at once."""
    return Swan(pki, tmp_path, prompt, request.param)


def test_estca_fetches_root_and_intermediate_and_finds_them_trusted(swan: Swan) -> None:
    """What ``pki --estca`` writes is what the sandbox's trust file holds; nobody has to say who he is."""
    with swan.sandbox.logging() as rows:
        written, said = swan.estca()
    assert set(written) == set(swan.sandbox.authorities)
    assert f"negotiated TLS {swan.tls}" in said
    assert "Root CA cert is trusted" in said
    assert "Sub CA cert is trusted" in said
    assert rows == [LogRow("cacerts", 200, None, None, None, None, None, 0)]


def test_est_enrolls_with_a_user_and_password(swan: Swan) -> None:
    """A first enrolment with Basic gives a certificate for the key and the names asked for, which the client trusts."""
    csr = swan.csr(swan.key("first"))
    with swan.sandbox.logging() as rows:
        certificate, said = swan.enroll(csr, "--userpass", f"swan:{PASSWORD}")
    assert "Issued certificate is trusted" in said
    assert certificate.public_key() == x509.load_der_x509_csr(csr).public_key()
    assert names_of(certificate) == (["DE", "Example", "swan"], [SAN])
    assert rows == [LogRow("simpleenroll", 200, "swan", None, None, serial_of(certificate), None, 0)]


def test_est_with_a_wrong_password_is_told_so(swan: Swan) -> None:
    """The client says what the sandbox answered, 401, and gets nothing."""
    with swan.sandbox.logging() as rows:
        certificate, said = swan.est(swan.csr(swan.key("first")), "--userpass", "swan:guess", fails=True)
    assert certificate is None
    assert "HTTP 401" in said
    assert rows == [LogRow("simpleenroll", 401, None, None, None, None, None, 0)]


def test_est_with_a_certificate_re_enrolls_under_a_new_key(swan: Swan) -> None:
    """With ``--cert`` and ``--key`` the client renews; the sandbox saw the old certificate in the handshake."""
    old_key, new_key = swan.key("first"), swan.key("second")
    old, _ = swan.enroll(swan.csr(old_key), "--userpass", f"swan:{PASSWORD}")
    presented = swan.folder / "first.pem"
    presented.write_bytes(pem(old))
    csr = swan.csr(new_key)
    with swan.sandbox.logging() as rows:
        new, said = swan.enroll(csr, "--cert", presented, "--key", old_key)
    assert "Issued certificate is trusted" in said
    assert new.public_key() == x509.load_der_x509_csr(csr).public_key() != old.public_key()
    assert new.subject == old.subject
    subject = old.subject.rfc4514_string()
    assert rows == [LogRow("simplereenroll", 200, None, subject, serial_of(old), serial_of(new), None, 0)]


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_est_polls_a_deferral_until_it_has_its_certificate(
    pki: str, deferring: Sandbox, tmp_path: Path, tls: str
) -> None:
    """A 202 sends the client to sleep; its repeat, which the sandbox recognises, gets the certificate."""
    swan = Swan(pki, tmp_path, deferring, tls)
    polling = ("--interval", "1", "--maxpolltime", "15")
    with deferring.logging() as rows:
        certificate, said = swan.enroll(swan.csr(swan.key("first")), "--userpass", f"swan:{PASSWORD}", *polling)
    assert re.search(r"EST request pending, polling every 1 seconds?", said)
    assert rows == [
        LogRow("simpleenroll", 202, "swan", None, None, None, "1", 0),
        LogRow("simpleenroll", 200, "swan", None, None, serial_of(certificate), None, 0),
    ]


def test_est_takes_a_deferral_whose_retry_after_is_a_date(pki: str, tmp_path: Path) -> None:
    """The client waits for the date at least, so its repeat is not early, and gets the certificate."""
    with serving(tmp_path, DEFERRED.replace("{seconds: 1}", "{seconds: 2, form: http-date}")) as dating:
        swan = Swan(pki, tmp_path, dating, "1.3")
        polling = ("--interval", "4", "--maxpolltime", "15")
        certificate, _ = swan.enroll(swan.csr(swan.key("first")), "--userpass", f"swan:{PASSWORD}", *polling)
        first, second = dating.log()
    assert parsedate_to_datetime(first.retry_after or "").tzinfo is not None
    assert (first.status, second.status, second.early, second.serial) == (202, 200, 0, serial_of(certificate))


def names_of(certificate: x509.Certificate) -> tuple[list[str | bytes], list[str]]:
    """Return the parts of the subject in their order, and the DNS names."""
    asked = (NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    assert [part.oid for part in certificate.subject] == list(asked)
    sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [part.value for part in certificate.subject], sans.get_values_for_type(x509.DNSName)
