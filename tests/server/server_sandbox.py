"""A sandbox on loopback, and a client that nobody here wrote the TLS of: the standard library's ``ssl`` under trio."""

import base64
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import h11
import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from estsim.est.certificate import Certificate, read_certificate
from estsim.est.certs_only import read_certs_only
from estsim.est.csr import build_csr
from estsim.est.signing import PrivateKey
from estsim.pki.names import common_name
from estsim.server.announcement import Announcement
from estsim.server.config import SandboxConfig
from estsim.server.http import Limits
from estsim.server.run import Watchers, serve
from estsim.server.store import Exchange

DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as the one line it is."""
        return self.body.decode().rstrip("\n")

    @property
    def certificate(self) -> x509.Certificate:
        """The one certificate in the body."""
        (certificate,) = read_certs_only(base64.b64decode(self.body))[0]
        return x509.load_der_x509_certificate(certificate)


@dataclass(slots=True)
class Running:
    """A sandbox that runs, and what it told its watchers."""

    here: Announcement
    stop: trio.Event
    exchanges: list[Exchange] = field(default_factory=list)
    failed_handshakes: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.here.url).port or 0

    def tls(self, identity: Path | None = None, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a client context that trusts the sandbox and presents ``identity``."""
        context = ssl.create_default_context(cafile=str(self.here.trust))
        if identity is not None:
            context.load_cert_chain(identity)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    @asynccontextmanager
    async def connect(self, context: ssl.SSLContext) -> AsyncIterator["Client"]:
        """Open a connection, handshake done as far as the client can tell."""
        with trio.fail_after(DEADLINE_S):
            tcp = await trio.open_tcp_stream("127.0.0.1", self.port)
            stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
            try:
                await stream.do_handshake()
                yield Client(stream)
            finally:
                await trio.aclose_forcefully(stream)

    async def get(self, operation: str, identity: Path | None = None) -> Response:
        """GET an operation on a connection of its own."""
        async with self.connect(self.tls(identity)) as client:
            return await client.send("GET", operation)

    async def post(
        self,
        csr: bytes,
        *,
        operation: str = "simpleenroll",
        identity: Path | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Response:
        """POST a CSR in DER on a connection of its own."""
        async with self.connect(self.tls(identity)) as client:
            return await client.post(csr, operation=operation, headers=headers)

    async def enroll(self, name: str = "meter-1") -> tuple[Response, PrivateKey]:
        """Enroll with the bootstrap certificate."""
        key = new_key()
        return await self.post(csr_for(key, name), identity=self.here.bootstrap), key


class Client:
    """HTTP over one TLS connection."""

    def __init__(self, stream: "trio.SSLStream[trio.SocketStream]") -> None:
        self.stream = stream
        self.http = h11.Connection(h11.CLIENT)

    async def post(
        self, csr: bytes, *, operation: str = "simpleenroll", headers: Iterable[tuple[str, str]] = ()
    ) -> Response:
        """POST a CSR in DER."""
        return await self.send(
            "POST", operation, base64.b64encode(csr), headers=[("Content-Type", "application/pkcs10"), *headers]
        )

    async def send(
        self,
        method: str,
        operation: str,
        body: bytes = b"",
        *,
        headers: Iterable[tuple[str, str]] = (),
        chunk: int | None = None,
    ) -> Response:
        """Send a request, chunked where ``chunk`` says so, and read its response."""
        if self.http.our_state is h11.DONE:
            self.http.start_next_cycle()
        framing = ("Transfer-Encoding", "chunked") if chunk else ("Content-Length", str(len(body)))
        target = operation if operation.startswith("/") else f"/.well-known/est/{operation}"
        head = h11.Request(method=method, target=target, headers=[("Host", "localhost"), framing, *headers])
        await self.write(self.http.send(head))
        size = chunk or len(body) or 1
        for start in range(0, len(body), size):
            await self.write(self.http.send(h11.Data(body[start : start + size])))
        await self.write(self.http.send(h11.EndOfMessage()))
        return await self.read()

    async def write(self, payload: bytes | None) -> None:
        """Send raw bytes."""
        if payload:
            await self.stream.send_all(payload)

    async def read(self) -> Response:
        """Read one whole response, interim ones left out."""
        head: h11.Response | None = None
        body = b""
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(bytes(await self.stream.receive_some()))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                headers = {name.decode(): value.decode() for name, value in head.headers}
                return Response(head.status_code, headers, body)
            elif isinstance(event, h11.ConnectionClosed):
                raise AssertionError("the server closed before it answered")


@asynccontextmanager
async def running(
    folder: Path, config: dict[str, object] | None = None, *, limits: Limits | None = None
) -> AsyncIterator[Running]:
    """Run a sandbox in this process until the block ends, and drain it."""
    stop = trio.Event()
    exchanges: list[Exchange] = []
    failed: list[str] = []
    async with trio.open_nursery() as nursery:
        begin = partial(serve, stop=stop, limits=limits, watchers=Watchers(exchanges.append, failed.append))
        here: Announcement = await nursery.start(begin, SandboxConfig.model_validate(config or {}), folder)
        try:
            yield Running(here, stop, exchanges, failed)
        finally:
            stop.set()


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a device key."""
    return ec.generate_private_key(ec.SECP256R1())


def csr_for(key: PrivateKey, name: str, sans: Iterable[str] = (), *, password: str | None = None) -> bytes:
    """Return a CSR for ``CN=name``."""
    dns = [x509.DNSName(san) for san in sans]
    san_der = x509.SubjectAlternativeName(dns).public_bytes() if dns else None
    return build_csr(key, common_name(name), san_der, challenge_password=password)


def ours(certificate: x509.Certificate) -> Certificate:
    """Return a certificate as estsim reads it."""
    return read_certificate(certificate.public_bytes(serialization.Encoding.DER))


def identity_file(folder: Path, certificate: x509.Certificate, key: PrivateKey) -> Path:
    """Write a certificate and its key where ``ssl`` can load them."""
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".pem", delete=False) as file:
        file.write(certificate.public_bytes(pem) + secret)
    return Path(file.name)
