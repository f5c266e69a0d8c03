"""A server that cannot be reached or trusted: told by preflight, with phase and reason, before the fleet starts."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest
from cli_runs import (
    MADE_BY_MAKER,
    Done,
    Keys,
    Results,
    Server,
    assert_books_balance,
    closed_port,
    estsim,
    results_in,
    serving,
    write_scenario,
)

TIMEOUTS = {"connect": "500ms", "handshake": "600ms", "answer": "700ms"}
STARTING_S = 0.5  # what a run may take beside the wait itself: keys, store, the end


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A sandbox on its own, which others' mistakes leave unharmed."""
    with serving(tmp_path_factory.mktemp("server")) as here:
        yield here


def attempt(folder: Path, server: Server, *options: str, url: str | None = None, **target: object) -> tuple[Done, Path]:
    """Run five devices against a server, and return how it ended."""
    keys = server.target(timeouts=TIMEOUTS, **({"url": url} if url else {}), **target)
    scenario = write_scenario(folder, **keys, cohort={**MADE_BY_MAKER, "retry": {"base": "50ms", "attempts": 2}})
    return estsim("run", scenario, "--results", folder / "results", *options), folder / "results"


def refused(done: Done, results: Path, *, phase: str) -> tuple[str, Results]:
    """Check that a run ended in preflight, and return the reason with what it left."""
    assert done.code == 5
    (reason,) = done.mistakes
    assert f"failed in phase {phase}: " in reason
    run = results_in(results)
    assert run.summary["verdict"] == "unreachable"
    assert run.summary["fleet"]["states"] == {"off": 5}
    (row,) = run.rows("SELECT cause, kind, phase, detail, sent_ns FROM exchanges")
    assert (row["cause"], row["kind"], row["phase"], row["sent_ns"]) == ("preflight", "failed", phase, None)
    assert row["detail"] in reason
    return reason, run


def lasted_s(run: Keys) -> float:
    """Return how long a run took by its own account."""
    return (datetime.fromisoformat(run["ended"]) - datetime.fromisoformat(run["started"])).total_seconds()


def test_nobody_listens(tmp_path: Path, server: Server) -> None:
    """Connection refused, at once."""
    done, results = attempt(tmp_path, server, url=f"https://127.0.0.1:{closed_port()}/.well-known/est")
    reason, run = refused(done, results, phase="connect")
    assert "connection refused" in reason
    assert lasted_s(run.summary["run"]) < STARTING_S


def test_nobody_answers(tmp_path: Path, server: Server) -> None:
    """A host that drops what we send: over when the connect deadline is."""
    with full_backlog() as port:
        done, results = attempt(tmp_path, server, url=f"https://127.0.0.1:{port}/.well-known/est")
    reason, run = refused(done, results, phase="connect")
    assert "0.5 s" in reason or "500ms" in reason or "500 ms" in reason, reason
    assert 0.5 <= lasted_s(run.summary["run"]) < 0.5 + STARTING_S


def test_it_accepts_and_says_nothing(tmp_path: Path, server: Server) -> None:
    """A hung server: over when the handshake deadline is."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done, results = attempt(tmp_path, server, url=f"https://127.0.0.1:{silent.getsockname()[1]}/.well-known/est")
    reason, run = refused(done, results, phase="handshake")
    assert "0.6 s" in reason or "600ms" in reason or "600 ms" in reason, reason
    assert 0.6 <= lasted_s(run.summary["run"]) < 0.6 + STARTING_S


def test_another_authority_s_certificate(tmp_path: Path, server: Server) -> None:
    """The check that failed is named, and nothing was sent."""
    done, results = attempt(tmp_path, server, trust={"ca": str(server.manufacturer)})
    reason, _ = refused(done, results, phase="handshake")
    assert "certificate was refused" in reason
    assert "unable to get local issuer certificate" in reason
    assert server.log("SELECT * FROM exchanges") == []


def test_another_host_s_certificate(tmp_path: Path, server: Server) -> None:
    """A good certificate for another name is told apart: the name we asked for is in the reason."""
    with relay("127.0.0.2", server.port) as port:
        done, results = attempt(tmp_path, server, url=f"https://127.0.0.2:{port}/.well-known/est")
    reason, _ = refused(done, results, phase="handshake")
    assert "127.0.0.2" in reason.partition("failed in phase handshake: ")[2]
    assert server.log("SELECT * FROM exchanges") == []


def test_without_preflight_every_device_finds_out_itself(tmp_path: Path, server: Server) -> None:
    """Each fails in the handshake, with nothing sent, tries again as its policy says, and gives up: exit 3."""
    done, results = attempt(tmp_path, server, "--no-preflight", trust={"ca": str(server.manufacturer)})
    run = results_in(results)
    assert (done.code, run.summary["verdict"]) == (3, "failed")
    assert "FAILED failures < 1% was 100%" in " ".join(done.out.split())
    assert run.summary["fleet"]["states"] == {"gave_up": 5}
    rows = run.rows("SELECT device, phase, trouble, kind, sent_ns, detail FROM exchanges")
    assert {(row["phase"], row["trouble"], row["kind"], row["sent_ns"]) for row in rows} == {
        ("handshake", "tls", "failed", None)
    }
    assert {row["device"] for row in rows} == set(range(5))
    assert all("unable to get local issuer certificate" in row["detail"] for row in rows)
    assert server.log("SELECT * FROM exchanges") == []
    assert_books_balance(run)


@contextmanager
def full_backlog() -> Iterator[int]:
    """Give a port whose queue of connections is full, so that the kernel drops what else comes."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            first = waiting.enter_context(socket.socket())
            first.setblocking(False)
            with suppress(BlockingIOError):
                first.connect(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def relay(host: str, to_port: int) -> Iterator[int]:
    """Carry connections to an address of this machine on to a port of 127.0.0.1, byte for byte."""

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near = open_ends.enter_context(listener.accept()[0])
                far = open_ends.enter_context(socket.create_connection(("127.0.0.1", to_port)))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    with ExitStack() as open_ends, socket.create_server((host, 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
