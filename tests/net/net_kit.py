"""A small real PKI and small real peers for the tests of the wire."""

import datetime as dt
import ipaddress
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path as FilePath

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from estsim.errors import EstsimError
from estsim.est.url import Origin
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.contexts import ContextKey, Role, TlsContext, TlsContexts, TlsVersion
from estsim.net.http import ANSWER, HttpExchange, Question, WireAnswer
from estsim.net.io_trio import TRIO
from estsim.net.opening import Deadlines, open_connection
from estsim.net.serving import serve_handshake
from estsim.net.shaping import Link, Path
from estsim.net.sockets import Source
from estsim.net.tls import Resumable, TlsSession
from estsim.net.transport import exchange
from estsim.pki.credentials import Credential

CONTEXTS = TlsContexts()
TLS12 = (TlsVersion.TLS_1_2, TlsVersion.TLS_1_2)
TLS13 = (TlsVersion.TLS_1_3, TlsVersion.TLS_1_3)
PATIENT = Deadlines(connect_s=5, handshake_s=5, answer_s=5)

Handler = Callable[[TlsConnection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority: its certificate and key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate's DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def make_authority(name: str, parent: Authority | None = None) -> Authority:
    """Make a CA, self-signed or under a parent."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = parent.certificate.subject if parent else _common_name(name)
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_common_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(parent.key if parent else key, hashes.SHA256())
    )
    return Authority(certificate, key)


def make_credential(
    authority: Authority,
    name: str,
    *,
    hosts: tuple[str, ...] = (),
    usages: tuple[x509.ObjectIdentifier, ...] = (),
    ends_in: dt.timedelta = dt.timedelta(hours=1),
    curve: ec.EllipticCurve | None = None,
) -> Credential:
    """Make a leaf; ``hosts`` are DNS names or IP literals; a negative ``ends_in`` makes an expired one."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_common_name(name))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + ends_in)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
    certificate = builder.sign(authority.key, hashes.SHA256())
    return Credential(certificate.public_bytes(serialization.Encoding.DER), key)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@dataclass(frozen=True, slots=True)
class World:
    """Two hierarchies, a server and a device, as every test needs them."""

    server_root: Authority
    server_ca: Authority
    device_root: Authority
    device_ca: Authority
    server: Credential
    device: Credential

    def client_context(self, **changes: object) -> TlsContext:
        """Return a client context that trusts the server's root and sends the device's chain."""
        parts: dict[str, object] = {"anchors": (self.server_root.der,), "chain": (self.device_ca.der,)}
        return CONTEXTS.get(ContextKey(Role.CLIENT, **(parts | changes)))  # type: ignore[arg-type]  # fields by name

    def server_context(self, **changes: object) -> TlsContext:
        """Return a server context that trusts the devices' root and sends the server's chain."""
        parts: dict[str, object] = {"anchors": (self.device_root.der,), "chain": (self.server_ca.der,)}
        return CONTEXTS.get(ContextKey(Role.SERVER, **(parts | changes)))  # type: ignore[arg-type]  # fields by name


def make_world() -> World:
    """Make it."""
    server_root = make_authority("server root")
    server_ca = make_authority("server CA", server_root)
    device_root = make_authority("device root")
    device_ca = make_authority("device CA", device_root)
    server = make_credential(server_ca, "server", hosts=("localhost", "127.0.0.1"))
    device = make_credential(device_ca, "device", usages=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    return World(server_root, server_ca, device_root, device_ca, server, device)


WORLD = make_world()


@dataclass(slots=True)
class Listening:
    """A server on loopback: where it is, and what came of its handshakes."""

    endpoint: Origin
    connections: list[TlsConnection] = field(default_factory=list)
    failures: list[EstsimError] = field(default_factory=list)


@asynccontextmanager
async def tls_server(
    handler: Handler,
    context: TlsContext | None = None,
    *,
    credential: Credential | None = None,
    raw: bytes | None = None,
) -> AsyncIterator[Listening]:
    """Serve TLS with a handler per connection until the block ends; with ``raw`` bytes, say those and no TLS."""
    chosen = context or WORLD.server_context()

    async def serve(stream: trio.SocketStream) -> None:
        if raw is not None:
            async with stream:
                await stream.send_all(raw)
                await stream.receive_some()
            return
        try:
            connection = await serve_handshake(stream, chosen, credential or WORLD.server, deadline_s=5)
        except EstsimError as failed:
            listening.failures.append(failed)
            return
        listening.connections.append(connection)
        try:
            await handler(connection)
        except EstsimError as failed:
            listening.failures.append(failed)
        finally:
            connection.drop()

    async with tcp_server(serve) as listening:
        yield listening


@asynccontextmanager
async def tcp_server(serve: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[Listening]:
    """Accept on a port of the kernel's choice, a task per connection, until the block ends."""
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield Listening(Origin("127.0.0.1", port))
        nursery.cancel_scope.cancel()


async def dial(
    endpoint: Origin,
    context: TlsContext | None = None,
    credential: Credential | None = WORLD.device,
    *,
    deadlines: Deadlines = PATIENT,
    stamps: WireStamps | None = None,
    resume: Resumable | None = None,
    check_host: bool = True,
    path: Path | None = None,
    source: Source | None = None,
) -> TlsConnection:
    """Open a connection with the usual device."""
    return await open_connection(
        TRIO,
        endpoint,
        context or WORLD.client_context(),
        credential,
        deadlines=deadlines,
        clock=time.monotonic_ns,
        stamps=stamps or WireStamps(),
        resume=resume,
        check_host=check_host,
        link=Link(path, time.monotonic_ns, TRIO) if path else None,
        source=source,
    )


async def ask(
    connection: TlsConnection,
    *,
    method: str = "GET",
    path: str = "/x",
    body: bytes = b"",
    answer_s: float = 5,
    stamps: WireStamps | None = None,
) -> WireAnswer:
    """Exchange one request."""
    return await exchange(
        connection,
        Question("localhost", method, path, (("content-type", "text/plain"),) if body else (), body, answer_s),
        clock=time.monotonic_ns,
        stamps=stamps or WireStamps(),
    )


QUESTION = Question("localhost", "GET", "/x", (), b"", 5)


def read_in_memory(answer: bytes, *, question: Question = QUESTION, piece: int = 1 << 14) -> WireAnswer:
    """Read an answer that comes in pieces of a size and then ends, with all of HTTP and nothing of TLS.

    Raises :class:`TransportFailed`, and nothing else.
    """
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        wire = TlsConnection(TRIO, ours, TlsSession(WORLD.client_context(), None, "localhost"), time.monotonic_ns)
        exchanging = HttpExchange(wire, WireStamps())
        exchanging.request(question.on(wire, clock=time.monotonic_ns, stamps=WireStamps()), b"")
        reading, at = exchanging.answer(), 0
        while next(reading, False):
            exchanging.received(answer[at : at + piece])
            at += piece
    read: WireAnswer = exchanging.response.extensions[ANSWER]
    return read


async def read_request(connection: TlsConnection) -> bytes:
    """Read one request whole (Content-Length only)."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = await connection.receive()
        if not chunk:
            return received
        received += chunk
    head, _, rest = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(rest) < length:
        rest += await connection.receive()
    return head + b"\r\n\r\n" + rest


def answering(*answers: bytes) -> Handler:
    """Return a handler that answers each request on a connection with the next of these, then closes."""

    async def handle(connection: TlsConnection) -> None:
        for answer in answers:
            await read_request(connection)
            await connection.send_all(answer)

    return handle


def open_descriptors() -> int:
    """Count this process's open file descriptors."""
    return len(list(FilePath("/proc/self/fd").iterdir()))
