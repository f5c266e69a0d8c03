"""``estsim pending``: a person at a terminal, or a script, that decides on what an ``estsim serve`` holds."""

import base64
import http.client
import os
import re
import shutil
import signal
import ssl
import subprocess
import termios
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from cli_runs import COMMAND, DEADLINE_S, Done, Server, at_once, ended, estsim, query_rows, serving
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from estsim.est.certs_only import read_certs_only
from estsim.est.csr import build_csr

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e\n[red]m:smile:"
CLEANED = "·[2J·]0\\;owned···[red]m:smile:"
LONG = "meter " * 8 + "of the big house"  # 64 characters, as many as X.520 lets a common name have
NO_SANDBOX = "expected a sandbox folder (it contains no sandbox.sqlite)"


def csr_for(name: str | None, *sans: str, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """Return a CSR for a common name, DNS names, or both."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    san = x509.SubjectAlternativeName([x509.DNSName(san) for san in sans]) if sans else None
    san_der = san.public_bytes() if san else None
    return build_csr(key or ec.generate_private_key(ec.SECP256R1()), subject.public_bytes(), san_der)


def ask(server: Server, csr: bytes) -> tuple[int, str]:
    """Send a request, and return the status and the line of the answer; a certificate's is its Subject."""
    tls = ssl.create_default_context(cafile=str(server.folder / "trust.pem"))
    tls.load_cert_chain(server.folder / "bootstrap.pem")
    headers = {"Content-Type": "application/pkcs10"}
    with closing(http.client.HTTPSConnection("127.0.0.1", server.port, context=tls, timeout=DEADLINE_S)) as client:
        client.request("POST", "/.well-known/est/simpleenroll", base64.b64encode(csr), headers)
        response = client.getresponse()
        body = response.read()
    if response.status != 200:
        return response.status, body.decode().rstrip("\n")
    (certificate,) = read_certs_only(base64.b64decode(body))[0]
    return response.status, x509.load_der_x509_certificate(certificate).subject.rfc4514_string()


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the configuration of a sandbox whose every certificate is approved by a person."""
    path = tmp_path_factory.mktemp("configuration") / "sandbox.yaml"
    path.write_text("issue: {mode: manual}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def holding(tmp_path_factory: pytest.TempPathFactory, manual: Path) -> Path:
    """Return the folder of a sandbox that was stopped with four requests in hand, the second rejected."""
    folder = tmp_path_factory.mktemp("holding")
    with serving(folder, str(manual)) as server:
        for csr in (
            csr_for("meter-1"),
            csr_for(HOSTILE, "a,DNS:b"),
            csr_for(None, "meter-3.example"),
            csr_for(LONG),
        ):
            assert ask(server, csr)[0] == 202
        server.process.send_signal(signal.SIGTERM)
        assert ended(server.process).code == 0
    assert estsim("pending", "reject", folder, "2", "--reason", "not ours").code == 0
    return folder


@pytest.fixture
def copy(holding: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder to decide in."""
    folder = tmp_path / "sandbox"
    folder.mkdir()
    shutil.copy(holding / "sandbox.sqlite", folder)
    return folder


def decisions(folder: Path) -> list[int | None]:
    """Return what was decided on each request, as the database has it."""
    rows = query_rows(folder / "sandbox.sqlite", "SELECT approved FROM pending ORDER BY id")
    return [row["approved"] for row in rows]


def rows_of(listed: Done) -> list[list[str]]:
    """Return the columns of a list, heading first; two blanks and more are between them."""
    assert (listed.code, listed.err) == (0, "")
    return [re.split(r" {2,}", line.strip()) for line in listed.out.splitlines()]


# -- with a sandbox that runs


def test_from_the_deferral_to_the_certificate(tmp_path: Path, manual: Path) -> None:
    """Deferred, listed, approved; the repeat gets its certificate, and the sandbox holds nothing any more."""
    with serving(tmp_path, str(manual)) as server:
        csr = csr_for("meter-000003")
        assert ask(server, csr)[0] == 202
        listed = estsim("pending", "list", tmp_path)
        assert [row[:2] for row in rows_of(listed)] == [["id", "subject"], ["1", "CN=meter-000003"]]
        done = estsim("pending", "approve", tmp_path, "1")
        assert (done.code, done.out, done.err) == (0, "approved 1: CN=meter-000003\n", "")
        assert ask(server, csr) == (200, "CN=meter-000003")
        assert decisions(tmp_path) == []
        assert estsim("pending", "list", tmp_path) == Done(0, "No requests wait for approval.\n", "")


def test_a_rejection_outlives_the_sandbox(tmp_path: Path, manual: Path) -> None:
    """Its reason is told at every repeat, even when the sandbox was killed and started anew; another name is free."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr, other = csr_for("meter-1", key=key), csr_for("meter-2", key=key)
    rejected = (403, "the request was rejected: not in the inventory")
    with serving(tmp_path, str(manual)) as server:
        assert ask(server, csr)[0] == 202
        done = estsim("pending", "reject", tmp_path, "1", "--reason", "not in the inventory")
        assert (done.code, done.out) == (0, "rejected 1: CN=meter-1\n")
        assert ask(server, csr) == rejected
        assert ask(server, csr) == rejected
    with serving(tmp_path, str(manual)) as server:
        assert ask(server, csr) == rejected
        assert ask(server, other)[0] == 202
        done = estsim("pending", "approve", tmp_path, "all")
        assert (done.code, done.out) == (0, "approved 2: CN=meter-2\n")
        assert ask(server, other) == (200, "CN=meter-2")


# -- what is listed


@pytest.fixture(scope="module")
def listed(holding: Path) -> dict[str, Done]:
    """What the list prints into a pipe."""
    command = partial(estsim, "pending", "list", holding)
    return at_once({"undecided": command, "all": partial(command, "--all")})


def test_a_list_in_a_pipe_is_a_line_for_each_request(listed: dict[str, Done]) -> None:
    """What waits, whole, in plain text, whatever it is as long as; without a value there is a dash."""
    heading, *rows = rows_of(listed["undecided"])
    assert heading == ["id", "subject", "names", "key", "key sha256", "since", "center", "polls"]
    assert [row[:4] for row in rows] == [
        ["1", "CN=meter-1", "-", "P-256"],
        ["3", "-", "DNS:meter-3.example", "P-256"],
        ["4", f"CN={LONG}", "-", "P-256"],
    ]
    for row in rows:
        assert re.fullmatch("[0-9a-f]{64}", row[4])
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", row[5])
        assert row[6:] == ["default", "0"]


def test_with_all_what_was_decided_is_listed_too(listed: dict[str, Done]) -> None:
    """State and reason are further columns; nothing that a client wrote can do anything to a terminal."""
    heading, *rows = rows_of(listed["all"])
    assert heading[8:] == ["state", "reason"]
    assert [(row[0], *row[8:]) for row in rows] == [
        ("1", "waiting", "-"),
        ("2", "rejected", "not ours"),
        ("3", "waiting", "-"),
        ("4", "waiting", "-"),
    ]
    assert rows[1][1:3] == [f"CN={CLEANED}", "DNS:a\\,DNS:b"]
    assert all(line.isprintable() for line in listed["all"].out.splitlines())


def test_a_terminal_gets_it_folded_and_nothing_of_a_client_s_but_text(holding: Path) -> None:
    """No line is wider than the terminal, no id or subject is cut, and the only escapes are our own colours."""
    shown = on_terminal(["pending", "list", str(holding), "--all"], columns=70)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    lines = plain.replace("\r\n", "\n").splitlines()
    assert max(map(len, lines)) <= 70
    assert all(line.isprintable() for line in lines)
    start, end = lines[0].index("subject"), lines[0].index("key")
    folded = re.sub(r"\s+", "", "".join(line[start:end] for line in lines))
    assert f"CN={CLEANED}" in folded
    assert "CN=" + LONG.replace(" ", "") in folded
    assert [line[:2].strip() for line in lines if line[:2].strip()] == ["id", "1", "2", "3", "4"]


def on_terminal(words: Sequence[str], columns: int) -> str:
    """Run a command on a terminal, and return what it was sent."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    with subprocess.Popen(
        [*COMMAND, *words], stdin=theirs, stdout=theirs, stderr=theirs, env={**kept, "TERM": "xterm-256color"}
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the other end has closed
            while received := os.read(ours, 65_536):
                shown += received
        assert process.wait(DEADLINE_S) == 0
    os.close(ours)
    return shown.decode()


def test_a_locale_without_the_letters_is_no_trouble(holding: Path) -> None:
    """What stdout cannot say is said by another character, or by its number."""
    done = subprocess.run(
        [*COMMAND, "pending", "list", holding, "--all"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=DEADLINE_S,
        check=True,
    )
    assert b"CN=.[2J" in done.stdout


# -- what is decided


def test_all_are_those_that_wait(copy: Path) -> None:
    """What was rejected stays rejected; without a Subject the names say whose it is; once more, there are none."""
    done = estsim("pending", "approve", copy, "all")
    assert done == Done(0, f"approved 1: CN=meter-1\napproved 3: DNS:meter-3.example\napproved 4: CN={LONG}\n", "")
    assert decisions(copy) == [1, 0, 1, 1]
    assert estsim("pending", "reject", copy, "all") == Done(0, "No requests wait for approval.\n", "")
    assert decisions(copy) == [1, 0, 1, 1]


def test_a_changed_mind_is_told(copy: Path) -> None:
    """What it was before, if anything; the text of a client is cleaned there too."""
    assert estsim("pending", "approve", copy, "2", "1") == Done(
        0, f"approved 2: CN={CLEANED} (was rejected)\napproved 1: CN=meter-1\n", ""
    )
    assert estsim("pending", "approve", copy, "1").out == "approved 1: CN=meter-1 (unchanged)\n"
    assert decisions(copy) == [1, 1, None, None]


def test_mistakes_change_nothing(copy: Path) -> None:
    """Each is a line that says what was expected, and exit code 2; good ids beside a bad one are not touched."""
    elsewhere = copy.parent / "elsewhere"
    mistakes: dict[str, tuple[list[str | Path], str]] = {
        "no ids": (["approve", copy], "ID: expected ids to approve, or all (got none)"),
        "no ids to reject": (["reject", copy], "ID: expected ids to reject, or all (got none)"),
        "unknown ids": (
            ["approve", copy, "1", "77", "3", "78"],
            f"{copy}: expected ids of pending requests (got 77, 78); nothing was changed",
        ),
        "no number": (["approve", copy, "1", "CN=meter-1"], "ID: expected ids from estsim pending list"),
        "all and another": (["approve", copy, "all", "1"], "or all on its own (got all)"),
        "no number of SQLite's": (["approve", copy, "9" * 5000], "ID: expected ids from estsim pending list"),
        "ids to list": (["list", copy, "1"], "ID: list takes no ids (got 1)"),
        "reason to approve": (["approve", copy, "1", "--reason", "x"], "--reason: requires reject (got approve)"),
        "reason to list": (["list", copy, "--reason", ""], "--reason: requires reject (got list)"),
        "two lines of reason": (
            ["reject", copy, "1", "--reason", "a\nb"],
            "--reason: must be one line without control characters",
        ),
        "option all": (["approve", copy, "--all"], "for every waiting request: estsim pending approve DIR all"),
        "no folder": (["list", elsewhere], f"{elsewhere}: {NO_SANDBOX}"),
        "no sandbox's folder": (["approve", copy.parent, "1"], f"{copy.parent}: {NO_SANDBOX}"),
    }
    done = at_once({name: partial(estsim, "pending", *words) for name, (words, _) in mistakes.items()})
    for name, (_, message) in mistakes.items():
        assert (done[name].code, done[name].out) == (2, ""), name
        (line,) = done[name].mistakes
        assert message in line, name
    assert decisions(copy) == [None, 0, None, None]
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_help_and_another_word() -> None:
    """Help has commands to copy; a word that is no action is told with those that are."""
    done = at_once({word: partial(estsim, "pending", word, "DIR") for word in ("--help", "drop")})
    assert done["--help"].code == 0
    assert done["--help"].out.partition("Examples:\n")[2].strip().startswith("estsim pending list ")
    assert done["drop"].code == 2
    assert done["drop"].mistakes[-1].endswith("must be list, approve or reject (got drop)")


def test_output_that_cannot_be_written(copy: Path) -> None:
    """A full disk behind stdout is told in a line; what was decided stays decided."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        words = [*COMMAND, "pending", "approve", str(copy), "1"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    assert done.stderr == "estsim: output cannot be written: No space left on device\n"
    assert decisions(copy) == [1, 0, None, None]
