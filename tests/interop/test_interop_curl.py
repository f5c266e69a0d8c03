"""curl and openssl against ``estsim serve``: EST by hand, in the shell script that ``estsim recipe curl`` prints.

What the script does with a Retry-After is tried against a server of these tests too: one with a clock of its own.
"""

import base64
import json
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from interop_peers import LogRow, Sandbox, command, estsim, peer, serial_of, serving

DEFERRED = "issue: {mode: deferred, delay: 500ms, retry_after: {seconds: 1"
MODES = {"immediate": "{}\n", "seconds": f"{DEFERRED}}}}}\n", "http-date": f"{DEFERRED}, form: http-date}}}}\n"}
PASSWORD = 'open: "sesame" \\'
TRUST_CENTERS = f"""\
base64: wrapped
trust_centers:
  default: {{clients: {{require_certificate: never, users: {{hand: {{password: '{PASSWORD}'}}}}}}}}
  closed: {{clients: {{require_certificate: always}}}}
  stubborn: {{issue: {{mode: deferred, delay: 1h, retry_after: {{seconds: 0}}}}}}
"""


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    """See to it that there are clients."""
    for program in ("curl", "openssl"):
        peer(program, f"Debian's {program}")


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Return how the sandbox issues: at once, or after one deferral, told in seconds or as a date."""
    return str(request.param)


@pytest.fixture(scope="module")
def sandbox(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Run a sandbox in that mode."""
    with serving(tmp_path_factory.mktemp("curl"), MODES[mode]) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def centers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Run a sandbox with three trust centers, by label; the one without a label knows a user."""
    with serving(tmp_path_factory.mktemp("centers"), TRUST_CENTERS) as sandbox:
        yield sandbox


def run_recipe(
    folder: Path, url: str, *words: Path, fails: bool = False, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Save the script for a URL and run it, in a folder of its own."""
    script = folder / "enroll.sh"
    script.write_text(estsim("recipe", "curl", url), encoding="utf-8")
    return command(["sh", script, *words], folder=folder, environment=environment, fails=fails)


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Read a PEM file."""
    return x509.load_pem_x509_certificates(path.read_bytes())


def test_the_script_enrolls_waits_out_deferrals_and_re_enrolls(mode: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """cacerts, simpleenroll and simplereenroll, deferred once or not, never early; ``openssl verify`` is content."""
    with sandbox.logging() as rows:
        done = run_recipe(tmp_path, sandbox.url, sandbox.trust, sandbox.bootstrap)
    deferral = {"immediate": [], "seconds": ["1"], "http-date": ["a date"]}[mode]
    assert said_without_dates(done.stdout.decode(), mode) == [
        "Fetching the CA certificates",
        "cacerts 200",
        "Enrolling",
        *(line for told in deferral for line in ("simpleenroll 202", f"deferred: waiting {told} s")),
        "simpleenroll 200",
        "first.pem: OK",
        "Re-enrolling with a new key",
        *(line for told in deferral for line in ("simplereenroll 202", f"deferred: waiting {told} s")),
        "simplereenroll 200",
        "second.pem: OK",
        "Done: second.identity has the certificate, its chain and its key",
    ]
    assert set(read_certificates(tmp_path / "ca.pem")) == set(sandbox.authorities)
    (first,), (second,) = (read_certificates(tmp_path / f"{name}.pem") for name in ("first", "second"))
    assert first.subject == second.subject
    assert first.public_key() != second.public_key()
    device = x509.load_pem_x509_certificate(sandbox.bootstrap.read_bytes())
    maker = (device.subject.rfc4514_string(), serial_of(device))
    own = (first.subject.rfc4514_string(), serial_of(first))
    assert [without_date(row) for row in rows] == [
        LogRow("cacerts", 200, None, None, None, None, None, 0),
        *(LogRow("simpleenroll", 202, None, *maker, None, told, 0) for told in deferral),
        LogRow("simpleenroll", 200, None, *maker, serial_of(first), None, 0),
        *(LogRow("simplereenroll", 202, None, *own, None, told, 0) for told in deferral),
        LogRow("simplereenroll", 200, None, *own, serial_of(second), None, 0),
    ]


def said_without_dates(said: str, mode: str) -> list[str]:
    """Return lines in which the wait until a date, which begins anywhere in a second, is no number."""
    return (re.sub(r"waiting [012] s", "waiting a date s", said) if mode == "http-date" else said).splitlines()


def without_date(row: LogRow) -> LogRow:
    """Return a row in which a Retry-After that is a date reads so."""
    if row.retry_after is None or row.retry_after.isdigit():
        return row
    assert parsedate_to_datetime(row.retry_after).tzinfo is not None
    return row._replace(retry_after="a date")


def test_what_is_left_serves_as_an_identity_and_is_for_its_owner_alone(centers: Sandbox, tmp_path: Path) -> None:
    """Certificate, intermediate and key in one file, no root; nobody else may read any of it."""
    run_recipe(tmp_path, centers.url, centers.trust, EST_BASIC=f"hand:{PASSWORD}")
    root, intermediate = sorted(centers.authorities, key=lambda ca: ca.subject != ca.issuer)
    for name in ("first", "second"):
        identity = tmp_path / f"{name}.identity"
        (own,) = read_certificates(tmp_path / f"{name}.pem")
        assert read_certificates(identity) == [own, intermediate]
        assert load_pem_private_key(identity.read_bytes(), None).public_key() == own.public_key()
    assert root in read_certificates(tmp_path / "ca.pem")
    left = [path for path in tmp_path.iterdir() if path.name != "enroll.sh"]
    assert [path.name for path in left if path.stat().st_mode & 0o077] == []


def test_a_user_enrolls_with_a_password_and_re_enrolls_with_the_certificate(centers: Sandbox, tmp_path: Path) -> None:
    """HTTP Basic for the first certificate only, whatever the password holds; bodies that are wrapped are read."""
    with centers.logging() as rows:
        run_recipe(tmp_path, centers.url, centers.trust, EST_BASIC=f"hand:{PASSWORD}", EST_SUBJECT="/CN=somebody")
    (first,), (second,) = (read_certificates(tmp_path / f"{name}.pem") for name in ("first", "second"))
    assert rows == [
        LogRow("cacerts", 200, None, None, None, None, None, 0),
        LogRow("simpleenroll", 200, "hand", None, None, serial_of(first), None, 0),
        LogRow("simplereenroll", 200, None, "CN=somebody", serial_of(first), serial_of(second), None, 0),
    ]


@pytest.mark.parametrize("scheme", ["digest", "digest-md5"])
def test_curl_answers_the_sandbox_s_digest_challenge(scheme: str, tmp_path: Path) -> None:
    """A wrong password is refused, and the user is in the log; for SHA-512/256, Debian's curl hashes with SHA-256."""
    clients = f"{{require_certificate: never, users: {{hand: {{password: '{PASSWORD}', schemes: [{scheme}]}}}}}}"
    key, csr = tmp_path / "key.pem", tmp_path / "csr.pem"
    making: list[str | Path] = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=hand",
    ]
    command([*making, "-keyout", key, "-out", csr])
    body = tmp_path / "csr.b64"
    body.write_text("".join(csr.read_text().splitlines()[1:-1]), encoding="ascii")
    said = []
    with serving(tmp_path, f"clients: {clients}\n") as sandbox, sandbox.logging() as rows:
        for password in (PASSWORD, "wrong"):
            asking: list[str | Path] = [
                "curl",
                "--silent",
                "--digest",
                "--user",
                f"hand:{password}",
                "--data",
                f"@{body}",
                "--cacert",
                sandbox.trust,
            ]
            kind = ["-H", "Content-Type: application/pkcs10", "-o", "/dev/null", "-w", "%{http_code}"]
            done = command([*asking, *kind, f"{sandbox.url}/simpleenroll"])
            said.append(done.stdout.decode())
    assert said == ["200", "401"]
    assert [(row.status, row.user) for row in rows if row.user] == [(200, "hand")]


def test_a_refusal_is_told_in_the_server_s_words(centers: Sandbox, tmp_path: Path) -> None:
    """A wrong password ends the script with the status and the reason, and nothing more is asked."""
    with centers.logging() as rows:
        done = run_recipe(tmp_path, centers.url, centers.trust, EST_BASIC="hand:guess", fails=True)
    assert done.stderr.decode() == "simpleenroll: the server returned 401: unknown user or wrong password\n"
    assert [(row.operation, row.status) for row in rows] == [("cacerts", 200), ("simpleenroll", 401)]


def test_a_server_that_wants_to_know_who_asks_for_its_ca_is_told(centers: Sandbox, tmp_path: Path) -> None:
    """The label ``closed`` refuses an anonymous cacerts; the second request has the bootstrap certificate."""
    closed = labelled(centers, "closed")
    with centers.logging() as rows:
        run_recipe(tmp_path, closed.url, closed.trust, closed.bootstrap)
    asked = [(row.operation, row.status, row.peer_subject is not None) for row in rows]
    assert asked == [
        ("cacerts", 403, False),
        ("cacerts", 200, True),
        ("simpleenroll", 200, True),
        ("simplereenroll", 200, True),
    ]


def test_deferrals_without_end_are_given_up(centers: Sandbox, tmp_path: Path) -> None:
    """The label ``stubborn`` never issues: after the first request, as many polls as told."""
    stubborn = labelled(centers, "stubborn")
    with centers.logging() as rows:
        done = run_recipe(tmp_path, stubborn.url, stubborn.trust, stubborn.bootstrap, EST_POLLS="2", fails=True)
    assert done.stderr.decode().startswith("simpleenroll: still deferred after 2 polls")
    assert [(row.operation, row.status) for row in rows] == [("cacerts", 200), *(3 * [("simpleenroll", 202)])]


def labelled(sandbox: Sandbox, label: str) -> Sandbox:
    """Return one of the sandbox's trust centers."""
    said = json.loads((sandbox.folder / "sandbox.json").read_text(encoding="utf-8"))["labels"][label]
    return Sandbox(sandbox.folder, said["url"], sandbox.trust, Path(said["bootstrap"]))


def test_openssl_refuses_the_sandbox_to_whoever_does_not_know_its_root(sandbox: Sandbox, tmp_path: Path) -> None:
    """With another CA as trust, curl gives up in the handshake, and the sandbox is never asked."""
    stranger = self_signed(tmp_path)
    with sandbox.logging() as rows:
        done = run_recipe(tmp_path, sandbox.url, stranger, sandbox.bootstrap, fails=True)
    assert b"certificate" in done.stderr
    assert done.stdout.decode().splitlines() == ["Fetching the CA certificates", "cacerts 000"]
    assert rows == []


def self_signed(folder: Path) -> Path:
    """Make a certificate for this machine that nobody but its owner vouches for, with its key in the same file."""
    key, certificate, both = (folder / f"stranger.{part}" for part in ("key", "crt", "pem"))
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=stranger", "-addext", "subjectAltName=IP:127.0.0.1"]
    command([*words, *names, "-keyout", key, "-out", certificate])
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return both


@dataclass(slots=True)
class Deferral:
    """What a server defers with: its own time, and when to come again."""

    date: str
    retry_after: str | None
    posts: list[bytes] = field(default_factory=list)


@contextmanager
def deferring(identity: Path, deferral: Deferral) -> Iterator[str]:
    """Serve EST by such a clock: a first request is deferred, with neither body nor length, a second one is refused."""
    words: list[str | Path] = ["openssl", "crl2pkcs7", "-nocrl", "-outform", "DER", "-certfile", identity]
    cacerts = base64.b64encode(command(words).stdout)

    class Handler(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            assert timestamp is None
            return deferral.date

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(cacerts)

        def do_POST(self) -> None:
            deferral.posts.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(202 if len(deferral.posts) == 1 else 400)
            if deferral.retry_after is not None:
                self.send_header("Retry-After", deferral.retry_after)
            self.end_headers()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("retry_after", "wait_s"),
    [
        ("7", "7"),
        ("Sun, 06 Nov 2033 08:49:37 GMT", "7"),
        ("Sunday, 06-Nov-33 08:49:37 GMT", "7"),
        ("Sun Nov  6 08:49:37 2033", "7"),
        ("Sun, 06 Nov 2033 08:49:23 GMT", "0"),
        (None, "30"),
    ],
)
def test_a_wait_is_taken_from_the_server_s_own_clock(tmp_path: Path, retry_after: str | None, wait_s: str) -> None:
    """A server years ahead: seconds, and each form of a date (RFC 9110 §5.6.7), never less than none; then a repeat."""
    identity = self_signed(tmp_path)
    sleep = tmp_path / "bin" / "sleep"
    sleep.parent.mkdir()
    sleep.write_text('#!/bin/sh\necho "$@" >> slept\n', encoding="utf-8")
    sleep.chmod(0o755)
    clock = Deferral("Sun, 06 Nov 2033 08:49:30 GMT", retry_after)
    with deferring(identity, clock) as url:
        path = f"{sleep.parent}:/usr/local/bin:/usr/bin:/bin"
        done = run_recipe(tmp_path, url, identity, identity, fails=True, PATH=path, TZ="ELSEWHERE-9")
    assert b"simpleenroll: the server returned 400" in done.stderr
    assert (tmp_path / "slept").read_text(encoding="utf-8") == f"{wait_s}\n"
    first, again = clock.posts
    assert first == again


@pytest.mark.parametrize("retry_after", ["soon", "-5", "Someday"])
def test_a_retry_after_that_says_nothing_ends_the_script(tmp_path: Path, retry_after: str) -> None:
    """What is neither a number nor a date is told, and the server is not asked again."""
    identity = self_signed(tmp_path)
    clock = Deferral("Sun, 06 Nov 2033 08:49:30 GMT", retry_after)
    with deferring(identity, clock) as url:
        done = run_recipe(tmp_path, url, identity, identity, fails=True)
    assert f"expected seconds or a date (got {retry_after})" in done.stderr.decode()
    assert len(clock.posts) == 1
