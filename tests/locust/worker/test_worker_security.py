"""A whole fleet over the link: with the secret, with another, with each message said again, and without one."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET
from typing import Any, Final

import msgpack
import psutil
import pytest
import zmq
from forged_messages import TO_MASTER, forged
from test_worker_fleet import DEADLINE_S, LOCUSTFILE, Ended, free_port
from worker_runs import ended, until

from estsim.fleet.link_secret import INSECURE, VARIABLE

pytestmark = pytest.mark.long  # a master, a worker and a recorder between them each

WORDS: Final = "correct horse battery staple"
PLAN: Final[dict[str, Any]] = {
    "version": 1,
    "name": "linked",
    "duration": "40s",
    "until": "settled",
    "generator": {"max_lag": "30s", "max_cpu": "100%"},
    "sandbox": {},
    "cohorts": {"meters": {"devices": 30, "boot": {"burst": "2s"}, "enroll": {"cacerts": "never"}, "renew": "off"}},
    "thresholds": ["failures < 1%", "certificates.verified == 30"],
}


@dataclass(slots=True)
class Link:
    """A headless master that waits for a worker, and what a test lets come to it."""

    folder: Path
    port: int
    stack: ExitStack
    scenario: Path
    workers: list["subprocess.Popen[str]"] = field(default_factory=list)
    master: "subprocess.Popen[str] | None" = None

    def lead(self, *options: str, secret: str = "") -> None:
        """Start the master; what it says goes to a file."""
        words = [
            sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--master", "--master-bind-port", str(self.port),
            "--headless", "--only-summary", "--expect-workers", "1", "--scenario", str(self.scenario), *options,
        ]  # fmt: skip
        log = self.stack.enter_context((self.folder / "master.log").open("w", encoding="utf-8"))
        self.master = self.stack.enter_context(
            subprocess.Popen(words, stdout=log, stderr=log, text=True, cwd=self.folder, env=_environment(secret))
        )
        self.stack.callback(self.master.kill)

    def work(self, *options: str, host: str = "127.0.0.1", port: int = 0, secret: str = "") -> "subprocess.Popen[str]":
        """Start a worker."""
        words = [
            sys.executable,
            "-m",
            "estsim",
            "worker",
            str(self.scenario),
            "--master",
            f"{host}:{port or self.port}",
        ]
        pipe = subprocess.PIPE
        worker = self.stack.enter_context(
            subprocess.Popen([*words, *options], stdout=pipe, stderr=pipe, text=True, env=_environment(secret))
        )
        self.stack.callback(worker.kill)
        self.workers.append(worker)
        return worker

    @property
    def log(self) -> str:
        """What the master has said."""
        return (self.folder / "master.log").read_text(encoding="utf-8")

    def over(self) -> Ended:
        """Wait for the master's end, and return what was left."""
        assert self.master is not None
        code = self.master.wait(DEADLINE_S)
        assert "Traceback" not in self.log, self.log
        (results,) = (self.folder / "results").iterdir()
        return Ended(code, self.log, [], results)


def _environment(secret: str) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return environment | ({VARIABLE: secret} if secret else {})


@pytest.fixture(name="link")
def a_link(tmp_path: Path) -> Iterator[Link]:
    """Have a plan, and a port for its master."""
    scenario = tmp_path / "plan.yaml"
    scenario.write_text(json.dumps(PLAN), encoding="utf-8")
    with ExitStack() as stack:
        yield Link(tmp_path, free_port(), stack, scenario)


def assert_counted_exactly(over: Ended) -> None:
    """Check that each request that a worker sent is in the sandbox's log, once, and that all devices have theirs."""
    assert over.code == 0, over.said
    assert over.summary["verdict"] == "passed"
    assert over.summary["fleet"] == {"devices": 30, "states": {"operational": 30}}
    sent = Counter(over.rows("run", "SELECT request_id FROM exchanges WHERE sent_ns IS NOT NULL"))
    assert sent == Counter(over.rows("sandbox", "SELECT request_id FROM exchanges"))
    assert set(sent.values()) == {1}


@contextmanager
def echo(port: int) -> Iterator[int]:
    """Stand between workers and their master, and say each message of estsim's again, to whom it was and whose it was.

    Yields the port where workers find it.
    """
    stop = threading.Event()
    with zmq.Context() as context:
        front = context.socket(zmq.ROUTER)
        front.set(zmq.LINGER, 0)
        there = front.bind_to_random_port("tcp://127.0.0.1")
        thread = threading.Thread(target=_say_again, args=(context, front, port, stop))
        thread.start()
        try:
            yield there
        finally:
            stop.set()
            thread.join()


def _say_again(context: "zmq.Context[Any]", front: "zmq.Socket[Any]", port: int, stop: threading.Event) -> None:
    backs: dict[bytes, zmq.Socket[Any]] = {}
    first: dict[tuple[bytes, bytes], bytes] = {}  # the first of each kind, by worker
    poller = zmq.Poller()
    poller.register(front, zmq.POLLIN)
    while not stop.is_set():
        ready = dict(poller.poll(50))
        if front in ready:
            node, raw = front.recv_multipart()
            if node not in backs:
                backs[node] = back = context.socket(zmq.DEALER)
                back.set(zmq.IDENTITY, node)
                back.set(zmq.LINGER, 0)
                back.connect(f"tcp://127.0.0.1:{port}")
                poller.register(back, zmq.POLLIN)
            for said in _twice(raw, first, node):
                backs[node].send(said)
        for node, back in backs.items():
            if back in ready:
                raw = back.recv()
                for said in _twice(raw, first, node):
                    front.send_multipart([node, said])
                if _is_ours(raw):
                    back.send(raw)  # what the master has said, as if the worker had
    for socket in (front, *backs.values()):
        socket.close()


def _is_ours(raw: bytes) -> bool:
    return str(msgpack.unpackb(raw, strict_map_key=False)[0]).startswith("estsim-")


def _twice(raw: bytes, first: dict[tuple[bytes, bytes], bytes], node: bytes) -> list[bytes]:
    if not _is_ours(raw):
        return [raw]
    kind = bytes(raw[:16])
    return [raw, raw, first.setdefault((node, kind), raw)]


def test_a_link_with_the_secret_whose_every_message_is_said_again(link: Link) -> None:
    """The fleet is counted exactly; both sides tell of each kind of message once, and nothing of the secret."""
    link.lead(secret=WORDS)
    with echo(link.port) as port:
        worker = link.work(port=port, secret=WORDS)
        over = link.over()
        done = ended(worker)
    assert done.code == 0
    assert_counted_exactly(over)
    refused = Counter(line.split("estsim: ", 1)[1] for line in over.said.splitlines() if "refused" in line)
    for kind in ("join", "parcel", "clock"):
        assert any(f"refused estsim-{kind}" in line and "was replayed" in line for line in refused), refused
    assert any("refused estsim-clock" in line and "failed authentication" in line for line in refused), refused
    assert set(refused.values()) == {1}
    told = Counter(line for line in done.err.splitlines() if "refused a message from" in line)
    for kind in ("plan", "clock"):
        assert any(f"estsim-{kind}: was replayed or arrived out of order" in line for line in told), told
    assert set(told.values()) == {1}
    left = [path.read_bytes() for path in over.folder.iterdir()]
    assert all(WORDS.encode() not in content for content in [*left, over.said.encode(), done.err.encode()])


def test_a_worker_with_another_secret_is_refused_on_both_sides(link: Link) -> None:
    """It ends with exit 2 and a line; the master tells of it, and plays with whom it can."""
    link.lead(secret=WORDS)
    until(lambda: "Starting Locust" in link.log)
    for secret, told in (
        ("another", "this master and worker {} have different link secrets"),
        ("", "this master has a link secret, but worker {} has none"),
    ):
        done = ended(link.work(secret=secret), DEADLINE_S)
        assert done.code == 2
        begin, end = told.split("{}")
        line = done.err.splitlines()[-1]
        assert line.startswith(f"estsim: 127.0.0.1:{link.port} refused this worker: {begin}")
        assert line.endswith(end)
        assert line.split("refused this worker: ")[1] in link.log
    link.work(secret=WORDS)
    assert_counted_exactly(link.over())


def test_a_master_without_a_secret_serves_this_machine_alone(link: Link) -> None:
    """Where it listens to all it does not start: exit 2, with what to do."""
    link.lead()
    assert link.master is not None
    assert link.master.wait(DEADLINE_S) == 2
    assert "this master listens on * (--master-bind-host), not only on this machine" in link.log
    assert f"set {VARIABLE} on the master and on all workers, or pass --link-secret FILE" in link.log
    assert not (link.folder / "results").exists()


def test_on_this_machine_a_link_needs_no_secret(link: Link) -> None:
    """And nobody is warned."""
    link.lead("--master-bind-host", "127.0.0.1")
    worker = link.work()
    assert_counted_exactly(link.over())
    assert "WARNING" not in link.log + ended(worker).err


def own_address() -> str:
    """Return an address of this machine that others have a way to; skips where it has none."""
    for each in (address for of_one in psutil.net_if_addrs().values() for address in of_one):
        if each.family == AF_INET and not each.address.startswith("127."):
            return str(each.address)
    pytest.skip("this machine has no address but loopback's")


def test_an_insecure_link_is_one_on_both_sides(link: Link) -> None:
    """Over this machine's own address: refused without the word, told loudly with it, on both sides."""
    address = own_address()
    link.lead("--insecure-link", "--master-bind-host", address)
    done = ended(link.work(host=address), DEADLINE_S)
    assert done.code == 2
    assert f"the master is at {address}, which is not this machine, and the link has no secret" in done.err
    worker = link.work("--insecure-link", host=address)
    assert_counted_exactly(link.over())
    assert f"estsim: {INSECURE}" in ended(worker).err.splitlines()
    assert f"estsim: {INSECURE}" in link.log.splitlines()


def test_a_master_on_an_insecure_link_moves_nobody(link: Link) -> None:
    """A worker whose own file names another server than the master's does not go there."""
    own = link.folder / "own.yaml"
    target = {"url": "https://127.0.0.1:1/.well-known/est"}
    cohorts = {"meters": {**PLAN["cohorts"]["meters"], "bootstrap": {"kind": "none"}}}
    plan = {key: value for key, value in PLAN.items() if key != "sandbox"}
    own.write_text(json.dumps(plan | {"target": target, "cohorts": cohorts}), encoding="utf-8")
    link.lead("--master-bind-host", "127.0.0.1")
    link.scenario = own
    done = ended(link.work(), DEADLINE_S)
    assert done.code == 2
    assert "without a link secret, a worker keeps its own target" in done.err


@pytest.mark.parametrize("secret", ["", WORDS])
def test_forged_messages_end_no_run(link: Link, secret: str) -> None:
    """Hundreds, some in another's name: no traceback, no stall, each kind told once and escaped; the run goes on."""
    link.lead("--master-bind-host", "127.0.0.1", secret=secret)
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.set(zmq.IDENTITY, b"stranger")
        stranger.set(zmq.LINGER, 0)
        stranger.connect(f"tcp://127.0.0.1:{link.port}")
        for raw in forged("stranger", tuple(kind for kind in TO_MASTER if kind != "client_ready")):
            stranger.send(raw)
        stranger.send_multipart([b"one", b"too", b"many"])
        began_s = time.monotonic()
        stranger.send(msgpack.packb(["estsim-hello", {"protocol": 77, "version": "last"}, "stranger"]))
        while stranger.poll(int(DEADLINE_S * 1000)) and b"worker stranger uses 77" not in stranger.recv():
            pass
        took_s = time.monotonic() - began_s
    link.work(secret=secret)
    over = link.over()
    assert_counted_exactly(over)
    assert took_s < 30  # the master may only just have begun; its own retries of what cannot be sent take 9 s each
    lines = over.said.splitlines()
    assert all(line.isprintable() for line in lines), [line for line in lines if not line.isprintable()]
    assert not any(line.startswith("[2026-01-01] forged") for line in lines)
    assert not any("Uncaught exception" in line or "Exception found on retry" in line for line in lines)
    complaints = Counter(line.split("estsim: ", 1)[1] for line in lines if "/ERROR/estsim." in line)
    assert set(complaints.values()) == {1}
    assert len(complaints) < 150
