"""What abuse, a full disk, a locked store and a kill must not do: stop the good ones, lose or double a certificate."""

import json
import resource
import signal
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from server_sandbox import Client, Response, csr_for, new_key, running

from estsim.est.certificate import serial_text
from estsim.server import connections
from estsim.server.http import Limits
from estsim.server.store import Exchange, Store

DEADLINE_S = 15
SLOW, HALF_OPEN, RESETS = 700, 700, 600
HEAD = b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\n"


@dataclass(frozen=True, slots=True)
class Process:
    """A sandbox in a process of its own."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int

    @property
    def memory_bytes(self) -> int:
        """What it has resident."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def tls(self) -> ssl.SSLContext:
        """Return a client's context with the bootstrap certificate."""
        context = ssl.create_default_context(cafile=str(self.folder / "trust.pem"))
        context.load_cert_chain(self.folder / "bootstrap.pem")
        return context

    @asynccontextmanager
    async def connected(self, context: ssl.SSLContext) -> AsyncIterator[Client]:
        """Open a connection."""
        with trio.fail_after(DEADLINE_S):
            tcp = await trio.open_tcp_stream("127.0.0.1", self.port)
            stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
            try:
                await stream.do_handshake()
                yield Client(stream)
            finally:
                await trio.aclose_forcefully(stream)

    async def enroll(self, csr: bytes) -> Response:
        """Enroll on a connection of its own."""
        async with self.connected(self.tls()) as client:
            return await client.post(csr)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Query its store as another process does."""
        with closing(sqlite3.connect(self.folder / "sandbox.sqlite")) as database:
            return database.execute(query).fetchall()


@contextmanager
def serving(folder: Path, config: str = "{}\n", limit: Callable[[], None] | None = None) -> Iterator[Process]:
    """Run ``estsim serve`` until the block ends."""
    settings, kept = folder / "sandbox.yaml", folder / "sandbox"
    settings.write_text(config, encoding="utf-8")
    command = [sys.executable, "-m", "estsim", "serve", str(settings), "--port", "0", "--dir", str(kept)]
    announced = kept / "sandbox.json"
    announced.unlink(missing_ok=True)
    with (
        (folder / "said").open("ab") as said,
        subprocess.Popen(
            [*command, "--with-parent"],
            stdin=subprocess.PIPE,
            stderr=said,
            preexec_fn=limit,  # noqa: PLW1509 - no thread of ours runs here
        ) as process,
    ):
        try:
            while not announced.exists():
                assert process.poll() is None, (folder / "said").read_text()
            port = int(json.loads(announced.read_text())["url"].split(":")[2].split("/")[0])
            yield Process(process, kept, port)
        finally:
            process.kill()


async def test_two_thousand_abusers_do_not_keep_the_others_out(tmp_path: Path) -> None:
    """Bodies that drip, handshakes that never end and resets: good ones are served, and memory stays bounded."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving(tmp_path) as sandbox:
        before = sandbox.memory_bytes
        context = sandbox.tls()
        in_place = trio.Event()
        counts = {"slow": 0, "half-open": 0, "reset": 0}

        def note(what: str) -> None:
            counts[what] += 1
            if counts == {"slow": SLOW, "half-open": HALF_OPEN, "reset": RESETS}:
                in_place.set()

        async with trio.open_nursery() as abusers:
            room = trio.CapacityLimiter(50)  # handshakes at a time; this process has to make them too
            for _ in range(SLOW):
                abusers.start_soon(drip, sandbox, context, room, note)
            for number in range(HALF_OPEN):
                abusers.start_soon(stay_half_open, sandbox, number, note)
            for _ in range(RESETS):
                abusers.start_soon(reset, sandbox, context, room, note)
            with trio.fail_after(60):
                await in_place.wait()
            statuses = [(await sandbox.enroll(csr_for(new_key(), f"good-{n}"))).status for n in range(20)]
            grown = sandbox.memory_bytes - before
            abusers.cancel_scope.cancel()
        assert statuses == [200] * 20
        assert grown < 100 * 1024 * (SLOW + HALF_OPEN + RESETS), f"grew by {grown >> 20} MiB"
        assert (await sandbox.enroll(csr_for(new_key(), "last"))).status == 200


@pytest.mark.alone
@pytest.mark.long
async def test_memory_comes_back_when_mute_clients_have_gone(tmp_path: Path) -> None:
    """2000 that say nothing cost little, 600 half handshakes are forgotten: soon within 20 % of before."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving(tmp_path) as sandbox:
        for number in range(20):
            await sandbox.enroll(csr_for(new_key(), f"before-{number}"))
        before = sandbox.memory_bytes
        for count, first_flight in ((2000, b""), (600, client_hello())):
            clients = [await trio.open_tcp_stream("127.0.0.1", sandbox.port) for _ in range(count)]
            for client in clients:
                if first_flight:
                    await client.send_all(first_flight)
            with trio.fail_after(60):
                while psutil.Process(sandbox.process.pid).num_fds() < 0.8 * count:  # noqa: ASYNC110 - another process
                    await trio.sleep(0.1)
            if not first_flight:
                assert sandbox.memory_bytes - before < 12 * 1024 * count, "what TLS needs is made for who speaks"
            for client in clients:
                await client.aclose()
            with trio.fail_after(60):
                while sandbox.memory_bytes > 1.2 * before:  # noqa: ASYNC110 - the same
                    await trio.sleep(0.5)


def client_hello() -> bytes:
    """Return the first flight of a handshake."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(received, sent, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


async def drip(
    sandbox: Process, context: ssl.SSLContext, room: trio.CapacityLimiter, note: Callable[[str], None]
) -> None:
    """Send a body a byte at a time."""
    async with room:
        tcp = await trio.open_tcp_stream("127.0.0.1", sandbox.port)
        stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
        await stream.do_handshake()
        await stream.send_all(HEAD + b"Content-Length: 60000\r\n\r\n")
    note("slow")
    try:
        while True:
            await stream.send_all(b"A")
            await trio.sleep(5)
    finally:
        await trio.aclose_forcefully(stream)


async def stay_half_open(sandbox: Process, number: int, note: Callable[[str], None]) -> None:
    """Connect, and say nothing or the beginning of a ClientHello."""
    tcp = await trio.open_tcp_stream("127.0.0.1", sandbox.port)
    async with tcp:
        if number % 2:
            await tcp.send_all(b"\x16\x03\x01\x02\x00\x01")
        note("half-open")
        await trio.sleep_forever()


async def reset(
    sandbox: Process, context: ssl.SSLContext, room: trio.CapacityLimiter, note: Callable[[str], None]
) -> None:
    """Begin a request, and reset the connection in its middle."""
    async with room:
        tcp = await trio.open_tcp_stream("127.0.0.1", sandbox.port)
        stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
        await stream.do_handshake()
        await stream.send_all(HEAD + b"Content-Length: 500\r\n\r\nAAAA")
        tcp.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await trio.aclose_forcefully(stream)
    note("reset")


def small_files() -> None:
    """Let no file grow beyond 256 KiB: to SQLite, a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, 256 * 1024))


async def test_a_full_disk_is_a_503_and_a_line_and_costs_no_certificate(tmp_path: Path) -> None:
    """What was answered is on record, what is on record was answered, and each of it once."""
    answered: list[str] = []
    with serving(tmp_path, limit=small_files) as sandbox:
        refused: Response | None = None
        for number in range(300):
            response = await sandbox.enroll(csr_for(new_key(), f"m{number}"))
            if response.status != 200:
                refused = response
                break
            answered.append(serial_text(response.certificate.serial_number))
        assert refused is not None
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert refused.text == "nothing was issued: the store cannot be written"
        async with sandbox.connected(sandbox.tls()) as client:
            health = await client.send("GET", "/healthz")
            assert (health.status, json.loads(health.body)["status"]) == (503, "trouble")
        sandbox.process.kill()
        sandbox.process.wait()
        issued = [serial for (serial,) in sandbox.rows("SELECT serial FROM issued ORDER BY at_unix")]
        assert issued == answered
        assert sandbox.rows("SELECT count(*) FROM exchanges WHERE serial IS NOT NULL") == [(len(answered),)]
    assert "the sandbox's store cannot be written" in (tmp_path / "said").read_text()
    with serving(tmp_path) as sandbox:
        assert (await sandbox.enroll(csr_for(new_key(), "again"))).status == 200


async def test_a_locked_store_is_waited_for_without_holding_up_others(tmp_path: Path) -> None:
    """For a second; then 503, nothing issued, and the health answers all the time."""
    async with running(tmp_path) as sandbox:
        csr = csr_for(new_key(), "m")
        with closing(sqlite3.connect(sandbox.here.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers: list[Response] = []

            async def enroll() -> None:
                answers.append(await sandbox.post(csr, identity=sandbox.here.bootstrap))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(enroll)
                began = trio.current_time()
                for _ in range(5):
                    assert (await sandbox.get("/healthz")).status == 200
                assert trio.current_time() - began < 0.8, "the loop stood still"
            assert [answer.status for answer in answers] == [503]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(enroll)
                await trio.sleep(0.2)  # somebody else's short transaction
                other.execute("ROLLBACK")
            assert [answer.status for answer in answers] == [503, 200]
            assert other.execute("SELECT count(*) FROM issued").fetchone() == (1,)


async def test_repeats_during_a_lock_become_one_certificate(tmp_path: Path) -> None:
    """The first waits for the store with the request in hand; the others are told to come again."""
    issue = {"mode": "deferred", "delay": "1ms", "retry_after": {"seconds": 0}}
    async with running(tmp_path, {"issue": issue}) as sandbox:
        csr = csr_for(new_key(), "m")
        statuses = [(await sandbox.post(csr, identity=sandbox.here.bootstrap)).status]

        async def repeat() -> None:
            statuses.append((await sandbox.post(csr, identity=sandbox.here.bootstrap)).status)

        with closing(sqlite3.connect(sandbox.here.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(repeat)
                await trio.sleep(0.4)  # the length of somebody else's transaction
                other.execute("ROLLBACK")
            assert sorted(statuses) == [200, 202, 202, 202]
            assert other.execute("SELECT count(*) FROM issued").fetchone() == (1,)
            assert other.execute("SELECT count(*) FROM pending").fetchone() == (0,)


async def test_who_was_told_503_is_not_early_when_it_comes_again(tmp_path: Path) -> None:
    """What could not be written was never told: the repeat begins again."""
    issue = {"mode": "deferred", "early": "forbid", "retry_after": {"seconds": 60}}
    async with running(tmp_path, {"issue": issue}) as sandbox:
        csr = csr_for(new_key(), "m")
        with closing(sqlite3.connect(sandbox.here.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert (await sandbox.post(csr, identity=sandbox.here.bootstrap)).status == 503
            other.execute("ROLLBACK")
        statuses = [(await sandbox.post(csr, identity=sandbox.here.bootstrap)).status for _ in range(2)]
        assert statuses == [202, 403]


async def test_a_certificate_that_was_not_written_down_is_in_no_line_of_the_log(tmp_path: Path) -> None:
    """Stopped while it waited for the store: the line says that, and tells of no serial."""
    async with running(tmp_path) as sandbox:
        database = sandbox.here.database
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with trio.move_on_after(0.3):
                await sandbox.enroll()
            other.execute("ROLLBACK")
            sandbox.exchanges.clear()
            assert (await sandbox.enroll("later"))[0].status == 200
        with closing(sqlite3.connect(database)) as reader:
            logged = reader.execute("SELECT serial FROM exchanges WHERE serial IS NOT NULL").fetchall()
            assert sorted(logged) == sorted(reader.execute("SELECT serial FROM issued").fetchall())


async def test_an_error_of_our_own_is_a_500_that_promised_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says neither the serial nor the wait of the answer that was not given."""
    real, spoilt = Store.commit, iter([True, False, True, False])

    def commit(store: Store, exchange: Exchange, **parts: Any) -> int:  # noqa: ANN401 - whatever the real one takes
        if next(spoilt):
            raise ZeroDivisionError
        return real(store, exchange, **parts)

    monkeypatch.setattr(Store, "commit", commit)
    for mode in ("immediate", "deferred"):
        async with running(tmp_path / mode, {"issue": {"mode": mode}}) as sandbox:
            assert (await sandbox.enroll())[0].status == 500
            (line,) = sandbox.exchanges
            assert (line.status, line.serial, line.retry_after) == (500, None, None)
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


async def test_a_kill_loses_no_pending_request(tmp_path: Path) -> None:
    """SIGKILL right after the 202: the next process knows the request, and issues one certificate for it."""
    config = "issue: {mode: deferred, delay: 1ms, retry_after: {seconds: 1}}\n"
    csrs = [csr_for(new_key(), f"m{n}") for n in range(5)]
    with serving(tmp_path, config) as sandbox:
        assert [(await sandbox.enroll(csr)).status for csr in csrs] == [202] * 5
        sandbox.process.send_signal(signal.SIGKILL)
        sandbox.process.wait()
    with serving(tmp_path, config) as sandbox:
        assert [(await sandbox.enroll(csr)).status for csr in csrs] == [200] * 5
        assert sandbox.rows("SELECT subject FROM issued ORDER BY subject") == [(f"CN=m{n}",) for n in range(5)]
        assert sandbox.rows("SELECT count(*) FROM pending") == [(0,)]


async def test_two_requests_at_once_for_one_key_become_one_certificate(tmp_path: Path) -> None:
    """The second is told to come again while the first waits for its signer."""
    async with running(tmp_path, {"capacity": {"signers": 1, "sign_time": "200ms"}}) as sandbox:
        csr = csr_for(new_key(), "m")
        statuses: list[int] = []

        async def enroll() -> None:
            statuses.append((await sandbox.post(csr, identity=sandbox.here.bootstrap)).status)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(enroll)
            nursery.start_soon(enroll)
        assert sorted(statuses) == [200, 202]
        assert len([row for row in sandbox.exchanges if row.serial]) == 1


async def test_who_leaves_while_it_waits_for_a_signer_gets_no_certificate(tmp_path: Path) -> None:
    """Its line says so; nothing is issued that nobody would receive."""
    async with running(tmp_path, {"capacity": {"signers": 1, "sign_time": "400ms"}}) as sandbox:
        with trio.move_on_after(0.1):
            await sandbox.enroll()
        assert (await sandbox.enroll("other"))[0].status == 200
        first, second = sandbox.exchanges
        assert (first.status, first.serial, first.detail) == (None, None, "the client disconnected before the response")
        assert second.serial is not None


async def test_a_sandbox_out_of_places_cuts_the_slowest_and_serves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its places are taken by clients that say nothing: a good one is served once these are slow."""
    monkeypatch.setattr(connections, "_SLOW_S", 1.0)
    async with running(tmp_path, limits=Limits(connections=10)) as sandbox, trio.open_nursery() as silent:
        for _ in range(10):
            await silent.start(connect_only, sandbox.port)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert sandbox.here.open_connections() == 10
        began = trio.current_time()
        assert (await sandbox.enroll())[0].status == 200
        assert 0.6 < trio.current_time() - began < 5, "not at once, and before the handshakes' own deadline"
        silent.cancel_scope.cancel()


async def connect_only(port: int, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Connect and say nothing."""
    async with await trio.open_tcp_stream("127.0.0.1", port):
        task_status.started()
        await trio.sleep_forever()


def odd(certificate: x509.Certificate) -> str:
    """Return a certificate in PEM that OpenSSL reads and the library does not: a TRUE that DER writes otherwise."""
    der = certificate.public_bytes(Encoding.DER)
    assert der.count(b"\x01\x01\xff") > 0
    bad = der.replace(b"\x01\x01\xff", b"\x01\x01\x01", 1)
    with pytest.raises(ValueError, match="parsing"):
        x509.load_der_x509_certificate(bad).extensions  # noqa: B018 - read for its error
    return ssl.DER_cert_to_PEM_cert(bad)


async def test_a_certificate_that_only_openssl_can_read_ends_no_sandbox(tmp_path: Path) -> None:
    """Shown by a client that is let in to be refused above TLS: its signature is wrong, and the refusal says so."""
    async with running(tmp_path, {"clients": {"refuse_at": "application"}}) as sandbox:
        leaf, maker = x509.load_pem_x509_certificates(sandbox.here.bootstrap.read_bytes())
        key = sandbox.here.bootstrap.read_text().partition("-----BEGIN PRIVATE KEY")[2].partition("-----END PRIVATE")[0]
        identity = tmp_path / "odd.pem"
        identity.write_text(f"{odd(leaf)}-----BEGIN PRIVATE KEY{key}-----END PRIVATE KEY-----\n")
        refused = await sandbox.post(csr_for(new_key(), "m"), identity=identity)
        assert (refused.status, "expected a valid client certificate" in refused.text) == (403, True)
        assert (await sandbox.enroll())[0].status == 200
        assert sandbox.here.counts.faults == 0
        assert maker.subject == leaf.issuer


async def test_what_nobody_can_read_beside_a_good_certificate_is_left_out(tmp_path: Path) -> None:
    """Two trust centers, so the chain is looked at: the good certificate is taken all the same."""
    async with running(tmp_path, {"trust_centers": {"default": {}, "meters": {}}}) as sandbox:
        leaf, maker = x509.load_pem_x509_certificates(sandbox.here.bootstrap.read_bytes())
        identity = tmp_path / "odd.pem"
        identity.write_text(sandbox.here.bootstrap.read_text() + odd(maker))
        assert (await sandbox.post(csr_for(new_key(), "m"), identity=identity)).status == 200
        assert sandbox.exchanges[0].peer_subject == leaf.subject.rfc4514_string()
