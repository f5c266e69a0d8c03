"""Handshakes, framing, abuse and stopping, over real TLS."""

import base64
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from cryptography import x509
from server_sandbox import Running, csr_for, identity_file, new_key, running

from estsim.errors import UsageError
from estsim.pki.authority import Authority, Issuer, make_authority
from estsim.pki.keys import KeyKind, spki_of
from estsim.pki.names import Names, common_name
from estsim.pki.pem import pem
from estsim.server.config import SandboxConfig
from estsim.server.http import Limits
from estsim.server.listener import bind
from estsim.server.run import serve


def issued_by(authority: Authority, folder: Path, *, age_s: float = 0.0) -> Path:
    """Return an identity that ``authority`` issued for a minute, ``age_s`` ago."""
    key, names = new_key(), Names(common_name("device"), None)
    issued = Issuer(authority, 60).issue(spki_of(key), names, datetime.now(UTC).timestamp() - age_s)
    return identity_file(folder, x509.load_der_x509_certificate(issued.der), key)


def manufacturer() -> Authority:
    """Make a manufacturer's CA."""
    return make_authority("acme", KeyKind.EC_P256, now=datetime.now(UTC))


async def alert_of(sandbox: Running, context: ssl.SSLContext) -> str:
    """Return the reason of the alert that a connection ends with."""
    with pytest.raises((ssl.SSLError, trio.BrokenResourceError)) as failure:
        async with sandbox.connect(context) as client:
            await client.stream.receive_some()
    return str(failure.value.__cause__ or failure.value).lower().replace("_", " ")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_of_a_foreign_ca_is_refused_in_the_handshake(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The alert says unknown_ca, and the sandbox says so too."""
    async with running(tmp_path) as sandbox:
        stranger = sandbox.tls(issued_by(manufacturer(), tmp_path), version=version)
        assert "unknown ca" in await alert_of(sandbox, stranger)
        assert len(sandbox.failed_handshakes) == 1
        assert sandbox.here.counts.failed_handshakes == 1
        assert not sandbox.exchanges, "no exchange, so no line in the log"


async def test_an_expired_certificate_is_refused_with_its_own_alert(tmp_path: Path) -> None:
    """certificate_expired, not a general failure."""
    maker = manufacturer()
    trusted = tmp_path / "maker.pem"
    trusted.write_bytes(pem(maker.certificate.der))
    async with running(tmp_path / "s", {"clients": {"bootstrap_cas": [str(trusted)]}}) as sandbox:
        assert "certificate expired" in await alert_of(sandbox, sandbox.tls(issued_by(maker, tmp_path, age_s=120)))
        fresh = await sandbox.post(csr_for(new_key(), "m"), identity=issued_by(maker, tmp_path))
        assert fresh.status == 200


async def test_always_refuses_a_client_without_certificate_in_the_handshake(tmp_path: Path) -> None:
    """Even for cacerts, as the portal does; with one, cacerts is served."""
    async with running(tmp_path, {"clients": {"require_certificate": "always"}}) as sandbox:
        assert "certificate required" in await alert_of(sandbox, sandbox.tls())
        assert (await sandbox.get("cacerts", sandbox.here.bootstrap)).status == 200


async def test_the_server_names_itself_by_every_local_name(tmp_path: Path) -> None:
    """localhost, both loopback addresses; and not by another."""
    async with running(tmp_path) as sandbox:
        for name in ("localhost", "127.0.0.1", "::1", "est.example"):
            tcp = await trio.open_tcp_stream("127.0.0.1", sandbox.port)
            async with trio.SSLStream(tcp, sandbox.tls(), server_hostname=name, https_compatible=True) as stream:
                if name == "est.example":
                    with pytest.raises(trio.BrokenResourceError):
                        await stream.do_handshake()
                else:
                    await stream.do_handshake()


@pytest.mark.parametrize("chunk", [None, 1, 100, 10_000])
async def test_bodies_come_by_length_and_chunked(tmp_path: Path, chunk: int | None) -> None:
    """Down to one byte a chunk, twice on one connection."""
    body = base64.encodebytes(csr_for(new_key(), "m"))
    async with running(tmp_path) as sandbox, sandbox.connect(sandbox.tls(sandbox.here.bootstrap)) as client:
        for _ in range(2):
            response = await client.send(
                "POST", "simpleenroll", body, headers=[("Content-Type", "application/pkcs10")], chunk=chunk
            )
            assert response.status == 200
    assert sandbox.here.counts.connections == 1


HEAD = b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\n"


async def test_an_answer_is_spelt_as_clients_that_compare_letters_want_it(tmp_path: Path) -> None:
    """Libest takes neither lower-case header names nor a status line without its phrase."""
    clients = {"require_certificate": "never", "users": {"alice": {"password": "secret"}}}
    async with running(tmp_path, {"clients": clients}) as sandbox, sandbox.connect(sandbox.tls()) as client:
        await client.write(b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\n\r\n")
        head = (await client.stream.receive_some()).partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert head[0] == b"HTTP/1.1 200 OK"
        names = [line.partition(b":")[0] for line in head[1:]]
        assert names == [b"Content-Type", b"Content-Transfer-Encoding", b"Date", b"Content-Length"]
    async with running(tmp_path, {"clients": clients}) as sandbox, sandbox.connect(sandbox.tls()) as client:
        await client.write(HEAD + b"Content-Length: 4\r\n\r\nAAAA")
        refused = (await client.stream.receive_some()).partition(b"\r\n\r\n")[0]
        assert refused.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert b'\r\nWWW-Authenticate: Basic realm="estsim sandbox"\r\n' in refused


async def test_expect_100_continue_is_answered_before_the_body(tmp_path: Path) -> None:
    """The interim answer comes while the body is still held back."""
    body = base64.b64encode(csr_for(new_key(), "m"))
    async with running(tmp_path) as sandbox, sandbox.connect(sandbox.tls(sandbox.here.bootstrap)) as client:
        await client.write(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert (await client.stream.receive_some()).startswith(b"HTTP/1.1 100 ")
        await client.write(body)
        answer = await client.stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert len(answer.partition(b"\r\n\r\n")[0]) < 1024


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"Content-Length: 70000\r\n\r\n" + b"A" * 70_000, 413),
        (HEAD + b"Content-Length: 70000\r\nExpect: 100-continue\r\n\r\n", 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"A" * 0x4000 + b"\r\n") * 5, 413),
        (HEAD + b"X: " + b"A" * 20_000, 431),
        (b"\x16\x03\x01 hello\r\n\r\n", 400),
        (HEAD + b"Content-Length: 12, 13\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
    ],
    ids=["length", "expect", "chunked", "head", "garbage", "lengths", "chunks"],
)
async def test_what_is_too_large_or_no_http_is_refused_and_closed(tmp_path: Path, sent: bytes, status: int) -> None:
    """With an answer that arrives, although there is more to read than was read."""
    async with running(tmp_path) as sandbox, sandbox.connect(sandbox.tls(sandbox.here.bootstrap)) as client:
        await client.write(sent)
        answer = await client.stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close" in answer.lower()


async def test_a_head_that_is_refused_has_no_body(tmp_path: Path) -> None:
    """With a body that is too long, or broken: an answer all the same, and the next client is served."""
    async with running(tmp_path) as sandbox:
        for rest in (b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"):
            async with sandbox.connect(sandbox.tls(sandbox.here.bootstrap)) as client:
                await client.write(HEAD.replace(b"POST", b"HEAD") + rest)
                head, _, body = (await client.stream.receive_some()).partition(b"\r\n\r\n")
                assert head.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))
                assert body == b""
        assert (await sandbox.get("cacerts")).status == 200
        assert sandbox.here.counts.faults == 0


async def test_empty_lines_between_requests_are_ignored(tmp_path: Path) -> None:
    """RFC 9112 §2.2: after a body, in a packet of their own, and before the first request."""
    get = b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\n\r\n"
    async with running(tmp_path) as sandbox, sandbox.connect(sandbox.tls()) as client:
        await client.write(b"\r\n" + get + b"\r\n")
        assert (await client.stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        await client.write(b"\r\n")
        await client.write(get + b"\r\n" + get)
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 2:
            answers += await client.stream.receive_some()
        assert answers.count(b"HTTP/1.1 200 ") == 2
    assert [row.status for row in sandbox.exchanges] == [200, 200, 200]


async def test_a_body_that_is_not_there_when_the_sandbox_stops_leaves_a_line(tmp_path: Path) -> None:
    """Every request whose head came is on record, with where it was to go."""
    async with running(tmp_path) as sandbox, sandbox.connect(sandbox.tls(sandbox.here.bootstrap)) as client:
        await client.write(HEAD + b"X-Request-ID: half\r\nContent-Length: 500\r\n\r\nAAAA")
        await trio.testing.wait_all_tasks_blocked(0.05)
        sandbox.stop.set()
        with suppress(trio.BrokenResourceError):
            await client.stream.receive_some()
    (row,) = sandbox.exchanges
    assert (row.request_id, row.center, row.operation, row.status) == ("half", "default", "simpleenroll", None)
    assert row.detail == "the sandbox stopped before the body arrived"


async def test_two_addresses_of_one_name_share_a_port() -> None:
    """Of ``localhost`` a client may take either."""
    listeners = await bind("localhost", 0)
    ports = {listener.socket.getsockname()[1] for listener in listeners}
    for listener in listeners:
        await listener.aclose()
    assert len(ports) == 1


async def test_slow_clients_are_let_go(tmp_path: Path) -> None:
    """One that never shakes hands, one that never asks, one that never ends its request."""
    limits = Limits(handshake_s=0.1, idle_s=0.1, request_s=0.1, linger_s=0.1)
    async with running(tmp_path, limits=limits) as sandbox:
        silent = await trio.open_tcp_stream("127.0.0.1", sandbox.port)
        async with silent, sandbox.connect(sandbox.tls()) as idle, sandbox.connect(sandbox.tls()) as dripping:
            await dripping.write(HEAD + b"X-Request-ID: slow\r\nContent-Length: 5\r\n\r\nAA")
            assert (await dripping.stream.receive_some()).startswith(b"HTTP/1.1 408 ")
            assert await silent.receive_some() == b""
            assert await idle.stream.receive_some() == b""
        assert [(row.request_id, row.status) for row in sandbox.exchanges] == [("slow", 408)]


async def test_a_client_that_vanishes_in_its_body_leaves_a_line_without_status(tmp_path: Path) -> None:
    """And the sandbox serves on."""
    async with running(tmp_path) as sandbox:
        async with sandbox.connect(sandbox.tls(sandbox.here.bootstrap)) as client:
            await client.write(HEAD + b"Content-Length: 500\r\n\r\nAAAA")
        assert (await sandbox.enroll())[0].status == 200
        first, second = sandbox.exchanges
        assert (first.status, first.detail) == (None, "the client closed after 4 bytes of the body")
        assert second.status == 200


async def test_stopping_lets_idle_connections_go_and_finishes_the_others(tmp_path: Path) -> None:
    """A request that waits for its slot is still answered, and told that the connection ends."""
    async with running(tmp_path, {"capacity": {"rate": "5/s"}}) as sandbox:
        context = sandbox.tls(sandbox.here.bootstrap)
        async with sandbox.connect(context) as idle, sandbox.connect(context) as busy:
            for client in (idle, busy):
                assert (await client.send("GET", "cacerts")).status == 200
            await sandbox.enroll()  # takes the token
            await busy.write(b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\n")
            body = base64.b64encode(csr_for(new_key(), "m"))
            await busy.write(b"Content-Type: application/pkcs10\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await trio.testing.wait_all_tasks_blocked(0.02)
            sandbox.stop.set()
            assert await idle.stream.receive_some() == b""
            answer = await busy.stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in answer.lower()
    assert sandbox.here.counts.cut == 0


async def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    """With what to do about it."""
    async with running(tmp_path) as sandbox:
        with pytest.raises(UsageError, match="the port is in use; choose another with --port"):
            await bind("127.0.0.1", sandbox.port)


async def test_a_folder_has_one_sandbox_at_a_time(tmp_path: Path) -> None:
    """The second is refused, the first serves on."""
    async with running(tmp_path) as sandbox:
        with pytest.raises(UsageError, match="in use by another sandbox"):
            await partial(serve, stop=trio.Event())(SandboxConfig(), tmp_path)
        assert (await sandbox.get("cacerts")).status == 200
