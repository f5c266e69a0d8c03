"""``estsim worker`` without a master that is one: what is told, and how it ends."""

import socket
import threading
from pathlib import Path
from typing import Final

import pytest
import zmq
from cli_runs import closed_port, ended, estsim, interrupt, started, write_scenario

from estsim.fleet.link_secret import INSECURE, SHORT, VARIABLE

WORDS: Final = "correct horse battery staple"
RUBBISH: Final = [b"", b"\xc1", b"\x93\xa5spawn\xc0\xc0", b"\x91" * 5000, b"\x93\xa3ack\x81\xa5index\xcb" + bytes(8)]


def secret_in(folder: Path) -> tuple[str, Path]:
    """Return the option for a link with a secret: nobody goes to another machine without one."""
    file = folder / "link-secret"
    file.write_text(WORDS, encoding="utf-8")
    file.chmod(0o600)
    return "--link-secret", file


def test_an_unreachable_master_is_waited_for_and_given_up(tmp_path: Path) -> None:
    """A line every few seconds, and exit 5 when the patience is over."""
    port = closed_port()
    done = estsim("worker", write_scenario(tmp_path), "--master", f"127.0.0.1:{port}", "--patience", "6s")
    assert done.code == 5
    assert done.out == ""
    assert done.err.splitlines() == [
        f"estsim: no master at 127.0.0.1:{port} yet; retrying for 1 s",
        f"estsim: no response from a master at 127.0.0.1:{port} within 6 s",
    ]


def test_a_name_that_does_not_resolve_is_an_unreachable_master(tmp_path: Path) -> None:
    """It may be a machine that is about to come."""
    done = estsim(
        "worker", write_scenario(tmp_path), "--master", "nobody.invalid", "--patience", "1s", *secret_in(tmp_path)
    )
    assert done.code == 5
    assert done.err.splitlines() == ["estsim: no response from a master at nobody.invalid:5557 within 1 s"]


def test_a_listener_that_is_no_master(tmp_path: Path) -> None:
    """Something else at the port: nothing it says is taken for a word of a master's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=_speak_http, args=(server,), daemon=True).start()
        done = estsim("worker", write_scenario(tmp_path), "--master", f"127.0.0.1:{port}", "--patience", "2s")
    assert done.code == 5
    assert done.err.splitlines()[-1] == f"estsim: no response from a master at 127.0.0.1:{port} within 2 s"


def _speak_http(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(range(256)))


def test_a_master_that_speaks_rubbish_is_told_and_survived(tmp_path: Path) -> None:
    """ZeroMQ, but nothing of Locust's: a line for each, no traceback, and in the end no master."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.set(zmq.LINGER, 0)
        port = router.bind_to_random_port("tcp://127.0.0.1")
        words = ("--master", f"127.0.0.1:{port}", "--patience", "3s")
        with started("worker", write_scenario(tmp_path), *words) as process:
            node, *_ = router.recv_multipart()
            for rubbish in (
                b"",
                b"\xc1",
                b"\x93\xa5spawn\xc0\xc0",
                b"\x91" * 5000,
                b"\x93\xa3ack\x81\xa5index\xcb" + bytes(8),
            ):
                router.send_multipart([node, rubbish])
            done = ended(process)
    assert done.code == 5
    told = [line for line in done.err.splitlines() if "refused a message from" in line]
    assert len(told) == len(RUBBISH)
    assert all(line.isprintable() for line in told)


def test_ctrl_c_while_there_is_no_master(tmp_path: Path) -> None:
    """There is nothing to hand on."""
    with started("worker", write_scenario(tmp_path), "--master", f"127.0.0.1:{closed_port()}") as process:
        assert process.stderr is not None
        assert "no master at" in process.stderr.readline()
        interrupt(process)
        assert ended(process).code == 130


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--master", "host:port"], "--master: expected HOST or HOST:PORT, such as 10.0.0.5:5557 (got host:port)"),
        (["--master", "two words"], "two words:5557 is not a valid master address"),
        (["--master", ":5557"], "--master: expected HOST"),
        (["--master", "host:0"], "--master: expected HOST"),
        (["--master", "host:65536"], "--master: expected HOST"),
        (["--master", "host", "--patience", "soon"], "--patience: expected a duration"),
        (["--master", "host", "--patience", "-1s"], "--patience: must be at least 0s (got -1s)"),
        (["--master", "host", "--url", "ftp://est"], "--url: must begin with https://"),
        (["--master", "host", "--trust", "nowhere.pem"], "nowhere.pem"),
        ([], "--master"),
    ],
)
def test_mistakes_are_told_before_anybody_is_looked_for(tmp_path: Path, words: list[str], told: str) -> None:
    """Exit 2, with what was expected and what came."""
    done = estsim("worker", write_scenario(tmp_path), *words, *secret_in(tmp_path))
    assert done.code == 2
    assert told in done.err


def test_a_scenario_with_mistakes(tmp_path: Path) -> None:
    """The worker needs one of its own: its files and passwords are there."""
    done = estsim("worker", write_scenario(tmp_path, cohort={"devices": -1}), "--master", "host", *secret_in(tmp_path))
    assert done.code == 2
    assert "cohorts.meters.devices" in done.err


@pytest.mark.parametrize("master", ["10.0.0.1", "load.example.com:5557", "0", "[::ffff:10.0.0.1]:5557"])
def test_a_master_elsewhere_wants_a_secret(tmp_path: Path, master: str) -> None:
    """Without one nobody is looked for: exit 2, and what to do."""
    done = estsim("worker", write_scenario(tmp_path), "--master", master)
    assert done.code == 2
    assert done.err.startswith("the master is at ")
    assert f"which is not this machine, and the link has no secret: set {VARIABLE}" in done.err


def test_an_insecure_link_is_told_loudly(tmp_path: Path) -> None:
    """First of all, on stderr; with a secret it is one too many."""
    words = ("worker", write_scenario(tmp_path), "--master", "nobody.invalid", "--patience", "1s", "--insecure-link")
    done = estsim(*words)
    assert done.code == 5
    assert done.err.splitlines()[0] == f"estsim: {INSECURE}"
    done = estsim(*words, *secret_in(tmp_path))
    assert done.code == 2
    assert done.err == "--insecure-link and a link secret (--link-secret) are mutually exclusive\n"


def test_a_secret_comes_from_a_file_of_its_owner_s(tmp_path: Path) -> None:
    """One that others can read is refused with its mode; the secret itself in its place is not repeated."""
    file, words = tmp_path / "secret", ("worker", write_scenario(tmp_path), "--master", "nobody.invalid")
    file.write_text("short", encoding="utf-8")
    file.chmod(0o600)
    done = estsim(*words, "--patience", "1s", "--link-secret", file)
    assert (done.code, done.err.splitlines()[0]) == (5, f"estsim: {SHORT}")
    file.chmod(0o644)
    done = estsim(*words, "--link-secret", file)
    assert done.code == 2
    assert "it is readable by other users (mode 0644); run chmod 600" in done.err
    done = estsim(*words, "--link-secret", WORDS)
    assert done.code == 2
    assert done.err == "--link-secret: expected the name of a file that contains the secret, not the secret itself\n"


def test_help_shows_how_it_is_done() -> None:
    """With commands to copy."""
    done = estsim("worker", "--help")
    assert done.code == 0
    assert "estsim worker fleet.yaml --master" in done.out
