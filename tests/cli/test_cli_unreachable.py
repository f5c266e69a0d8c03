"""A server that cannot be reached or trusted: told by preflight, with phase and reason, before the fleet starts."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from cli_runs import (
    MADE_BY_MAKER,
    Done,
    Results,
    assert_books_balance,
    at_once,
    closed_port,
    estsim,
    results_in,
    serving,
    write_scenario,
)

TIMEOUTS = {"connect": "500ms", "handshake": "600ms", "answer": "700ms"}
REMEDIES: dict[str, tuple[str, ...]] = {
    "connect": ("check ",),
    "handshake": ("check that the port speaks TLS", "target.trust.ca (--trust) must contain the root CA"),
}
Attempts = dict[str, tuple[Done, Results]]
STARTING_S = 1.0  # what a run may take beside the wait itself: keys, store, the end


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Attempts:
    """Five devices each against servers that nobody can use, and what the one good server behind them has seen."""
    folders: dict[str, Path] = {}

    def attempt(name: str, url: str, *options: str, trust: Path | None = None) -> Callable[[], Done]:
        folder = folders[name] = tmp_path_factory.mktemp(name)
        keys = server.target(timeouts=TIMEOUTS, url=url, **({"trust": {"ca": str(trust)}} if trust else {}))
        write_scenario(folder, **keys, cohort={**MADE_BY_MAKER, "retry": {"base": "50ms", "attempts": 2}})
        return partial(estsim, "run", "scenario.yaml", *options, cwd=folder)

    with (
        serving(tmp_path_factory.mktemp("server")) as server,
        relay("127.0.0.2", server.port) as relayed,
        full_backlog() as full,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        stranger = server.manufacturer  # a CA, but not the server's
        commands = {
            "closed": attempt("closed", url_of(closed_port())),
            "full": attempt("full", url_of(full)),
            "silent": attempt("silent", url_of(silent.getsockname()[1])),
            "other authority": attempt("authority", server.url, trust=stranger),
            "other host": attempt("host", url_of(relayed, "127.0.0.2")),
            "no preflight": attempt("fleet", server.url, "--no-preflight", trust=stranger),
        }
        done = at_once(commands)
        assert server.log("SELECT * FROM exchanges") == [], "something was sent"
    return {
        name: (each, results_in(folder / "results"))
        for (name, each), folder in zip(done.items(), folders.values(), strict=True)
    }


def url_of(port: int, host: str = "127.0.0.1") -> str:
    """Return where a server would be."""
    return f"https://{host}:{port}/.well-known/est"


def refused(attempt: tuple[Done, Results], *, phase: str) -> tuple[str, float]:
    """Check that a run ended in preflight, and return the reason, and how many seconds it took by its own account."""
    done, run = attempt
    assert done.code == 5
    reason, remedy = done.mistakes
    tried, _, help_ = remedy.partition("; ")
    assert tried == "  tried with a device of cohort meters"
    assert help_.startswith(REMEDIES[phase])
    assert f"failed in phase {phase}: " in reason
    assert run.summary["verdict"] == "unreachable"
    assert run.summary["fleet"]["states"] == {"off": 5}
    (row,) = run.rows("SELECT cause, kind, phase, detail, sent_ns FROM exchanges")
    assert (row["cause"], row["kind"], row["phase"], row["sent_ns"]) == ("preflight", "failed", phase, None)
    assert row["detail"] in reason
    times = [datetime.fromisoformat(run.summary["run"][name]) for name in ("started", "ended")]
    return reason, (times[1] - times[0]).total_seconds()


def test_nobody_listens(attempts: Attempts) -> None:
    """Connection refused, at once."""
    reason, lasted_s = refused(attempts["closed"], phase="connect")
    assert "connection refused" in reason
    assert lasted_s < STARTING_S


def test_nobody_answers(attempts: Attempts) -> None:
    """A host that drops what we send: over when the connect deadline is."""
    reason, lasted_s = refused(attempts["full"], phase="connect")
    assert "0.5 s" in reason
    assert 0.5 <= lasted_s < 0.5 + STARTING_S


def test_it_accepts_and_says_nothing(attempts: Attempts) -> None:
    """A hung server: over when the handshake deadline is."""
    reason, lasted_s = refused(attempts["silent"], phase="handshake")
    assert "0.6 s" in reason
    assert 0.6 <= lasted_s < 0.6 + STARTING_S


def test_another_authority_s_certificate(attempts: Attempts) -> None:
    """The check that failed is named."""
    reason, _ = refused(attempts["other authority"], phase="handshake")
    assert "certificate was rejected" in reason
    assert "unable to get local issuer certificate" in reason


def test_another_host_s_certificate(attempts: Attempts) -> None:
    """A good certificate for another name is told apart: the name we asked for is in the reason."""
    reason, _ = refused(attempts["other host"], phase="handshake")
    assert "127.0.0.2" in reason.partition("failed in phase handshake: ")[2]


def test_without_preflight_every_device_finds_out_itself(attempts: Attempts) -> None:
    """Each fails in the handshake, with nothing sent, tries again as its policy says, and gives up: exit 3."""
    done, run = attempts["no preflight"]
    assert (done.code, run.summary["verdict"]) == (3, "failed")
    assert "FAILED failures < 1% actual 100%" in " ".join(done.out.split())
    assert run.summary["fleet"]["states"] == {"gave_up": 5}
    rows = run.rows("SELECT device, phase, trouble, kind, sent_ns, detail FROM exchanges")
    assert {(row["phase"], row["trouble"], row["kind"], row["sent_ns"]) for row in rows} == {
        ("handshake", "tls", "failed", None)
    }
    assert {row["device"] for row in rows} == set(range(5))
    assert all("unable to get local issuer certificate" in row["detail"] for row in rows)
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
