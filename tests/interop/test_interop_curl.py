"""curl and openssl against ``estsim serve``: EST by hand, in a shell script that anybody can read and copy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from interop_peers import LogRow, Sandbox, command, peer, serial_of, serving

SCRIPT = Path(__file__).with_name("est_by_hand.sh")
DEFERRED = "issue: {mode: deferred, delay: 500ms, retry_after: {seconds: 1}}\n"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Run a sandbox that defers every request once, if there are clients for it."""
    for program in ("curl", "openssl"):
        peer(program, f"Debian's {program}")
    with serving(tmp_path_factory.mktemp("curl"), DEFERRED) as sandbox:
        yield sandbox


def test_a_shell_script_enrolls_waits_out_deferrals_and_re_enrolls(sandbox: Sandbox, tmp_path: Path) -> None:
    """cacerts, simpleenroll and simplereenroll, two of them deferred once; ``openssl verify`` is content."""
    with sandbox.logging() as rows:
        done = command(["sh", SCRIPT, sandbox.url, sandbox.trust, sandbox.bootstrap], folder=tmp_path)
    assert done.stdout.decode().splitlines() == [
        "simpleenroll 202",
        "simpleenroll 200",
        "first.pem: OK",
        "simplereenroll 202",
        "simplereenroll 200",
        "second.pem: OK",
    ]
    fetched = x509.load_pem_x509_certificates((tmp_path / "ca.pem").read_bytes())
    assert set(fetched) == set(sandbox.authorities)
    first, second = (x509.load_pem_x509_certificate((tmp_path / f"{n}.pem").read_bytes()) for n in ("first", "second"))
    assert first.subject == second.subject
    assert first.public_key() != second.public_key()
    device = x509.load_pem_x509_certificate(sandbox.bootstrap.read_bytes())
    maker = (device.subject.rfc4514_string(), serial_of(device))
    own = (first.subject.rfc4514_string(), serial_of(first))
    assert rows == [
        LogRow("cacerts", 200, None, None, None, None, None, 0),
        LogRow("simpleenroll", 202, None, *maker, None, "1", 0),
        LogRow("simpleenroll", 200, None, *maker, serial_of(first), None, 0),
        LogRow("simplereenroll", 202, None, *own, None, "1", 0),
        LogRow("simplereenroll", 200, None, *own, serial_of(second), None, 0),
    ]


def test_openssl_refuses_the_sandbox_to_whoever_does_not_know_its_root(sandbox: Sandbox, tmp_path: Path) -> None:
    """With another CA as trust, curl gives up in the handshake, and the sandbox is never asked."""
    stranger = tmp_path / "stranger.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command([*words, "-subj", "/CN=stranger", "-keyout", tmp_path / "stranger.key", "-out", stranger])
    with sandbox.logging() as rows:
        done = command(["sh", SCRIPT, sandbox.url, stranger, sandbox.bootstrap], folder=tmp_path, fails=True)
    assert b"certificate" in done.stderr
    assert rows == []
