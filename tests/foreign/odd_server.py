"""An odd EST server in threads on loopback: a handler says, byte by byte, what each request is answered with.

Its TLS chain is its own, apart from whatever CA its handler plays. Closing it ends every connection.
"""

import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from der_writer import EXTENDED_KEY_USAGE, SUBJECT_ALT_NAME, common_name, dns_name, extension, ip_address, oid, sequence
from foreign_pki import Asking, ForeignCA, certs_only, make_key, pem, spki_of

from estsim.est.transfer import encode_body

BASE: Final = "/.well-known/est"
CERTS_ONLY: Final = "application/pkcs7-mime; smime-type=certs-only"
_SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
_IDLE_S: Final = 30.0

Headers = Sequence[tuple[str, str]]


class End(Enum):
    """How the server ends a connection after an answer."""

    NOTIFY = "close_notify"
    ABRUPT = "a FIN alone"
    RESET = "a reset"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came; the names of its headers are in lower case.

    ``count`` is how many there were of its operation so far, and ``connection`` the number of the connection that it
    came on, both from 1.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    count: int
    connection: int

    @property
    def operation(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes onto the wire, piece by piece, and how the connection ends then, if it does."""

    pieces: Iterable[bytes]
    ends: End | None = None


Handler = Callable[[Asked], bytes | Answer | None]  # None: close without a word


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The server's side of TLS: what its certificate is for, what else is in it, and what is sent beside it."""

    san: bytes | None = None  # the value of the SubjectAltName; the address and localhost by default
    extensions: Sequence[bytes] = ()
    ca: ForeignCA = field(default_factory=lambda: ForeignCA(common_name("TLS Root")))
    chain: Sequence[bytes] = ()
    adjust: Callable[[ssl.SSLContext], None] | None = None

    def context(self, host: str, folder: Path) -> ssl.SSLContext:
        """Make the server's context; its certificate and key are in the folder from then on."""
        key = make_key()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        san = self.san or sequence(ip_address(socket.inet_pton(family, host)), dns_name(b"localhost"))
        usage = extension(EXTENDED_KEY_USAGE, sequence(oid(_SERVER_AUTH)))
        parts = (extension(SUBJECT_ALT_NAME, san), usage, *self.extensions)
        leaf = self.ca.issue(common_name("server"), spki_of(key), extensions=parts)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        path = folder / "server.pem"
        path.write_text(pem(leaf, *self.chain) + private, encoding="ascii")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if self.adjust:
            self.adjust(context)
        return context


class OddServer:
    """An odd server that runs; ``asked`` and ``troubles`` are what it saw."""

    def __init__(
        self, handler: Handler, folder: Path, *, tls: ServerTls | None = None, host: str = "127.0.0.1"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tls = tls or ServerTls()
        self.asked: list[Asked] = []
        self.troubles: list[str] = []
        self.connections = 0
        self.trust = folder / "trust.pem"
        self.trust.write_text(pem(tls.ca.der), encoding="ascii")
        self._handler = handler
        self._host = host
        self._context = tls.context(host, folder)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def origin(self) -> str:
        """The beginning of its URLs."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL of its EST service."""
        return self.origin + BASE

    def asked_for(self, operation: str) -> list[Asked]:
        """Return the requests of one operation."""
        return [each for each in self.asked if each.operation == operation]

    def close(self) -> None:
        """Stop listening, and end every connection."""
        with self._lock:
            going = [self._listener, *self._open]
        for each in going:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(_IDLE_S)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, connected, self.connections)

    def _serve(self, connected: socket.socket, number: int) -> None:
        connected.settimeout(_IDLE_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connected)
        try:
            stream = self._context.wrap_socket(connected, server_side=True)
        except (OSError, ValueError) as error:
            self.troubles.append(f"handshake: {error}")
        else:
            with self._lock:
                self._open = self._open - {connected} | {stream}
            connected = stream
            try:
                self._talk(stream, number)
            except OSError as error:
                self.troubles.append(str(error))
        finally:
            with self._lock:
                self._open.discard(connected)
            connected.close()

    def _talk(self, stream: ssl.SSLSocket, number: int) -> None:
        with stream.makefile("rb") as reading:
            while (request := self._read(reading, number)) is not None:
                said = self._handler(request)
                if said is None:
                    return
                answer = Answer((said,)) if isinstance(said, bytes) else said
                for piece in answer.pieces:
                    stream.sendall(piece)
                if answer.ends is not None:
                    _end(stream, answer.ends)
                    return

    def _read(self, reading: BinaryIO, number: int) -> Asked | None:
        line = reading.readline().decode("latin-1").split()
        if len(line) != 3:  # method, path, version
            return None
        headers: dict[str, str] = {}
        while entry := reading.readline().decode("latin-1").strip():
            key, _, value = entry.partition(":")
            headers[key.lower()] = value.strip()
        body = reading.read(int(headers.get("content-length", 0)))
        operation = line[1].rpartition("/")[2]
        with self._lock:
            self._counts[operation] += 1
            request = Asked(line[0], line[1], headers, body, self._counts[operation], number)
            self.asked.append(request)
        return request


def _end(stream: ssl.SSLSocket, how: End) -> None:
    if how is End.NOTIFY:
        with suppress(OSError):
            stream.unwrap()
    elif how is End.RESET:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def odd_server(
    handler: Handler, folder: Path, *, tls: ServerTls | None = None, host: str = "127.0.0.1"
) -> Iterator[OddServer]:
    """Run an odd server until the block ends."""
    server = OddServer(handler, folder, tls=tls, host=host)
    try:
        yield server
    finally:
        server.close()


# -- answers


def answer(
    status: int = 200,
    body: bytes = b"",
    headers: Headers = (),
    *,
    content_type: str | None = None,
    reason: str = "OK",
    has_length: bool = True,
) -> bytes:
    """Return a whole HTTP/1.1 answer; header values go out in Latin-1, whatever they hold."""
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{key}: {value}" for key, value in headers)]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    if has_length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def certificates_answer(message: bytes, *, status: int = 200, content_type: str = CERTS_ONLY) -> bytes:
    """Return a certs-only message as a well-behaved server answers it."""
    body = encode_body(message, columns=None)
    return answer(status, body, (("Content-Transfer-Encoding", "base64"),), content_type=content_type)


def est_server(
    ca: ForeignCA,
    *,
    cacerts: bytes | None = None,
    issue: Callable[[Asking], bytes] | None = None,
    wrap: Callable[[bytes], bytes] = certificates_answer,
    wrap_cacerts: Callable[[bytes], bytes] = certificates_answer,
) -> Callable[[Asked], bytes]:
    """Return the handler of a plain EST server, each part of which can be another.

    ``cacerts`` and what ``issue`` returns are certs-only messages; ``wrap`` and ``wrap_cacerts`` make answers of them.
    """

    def handle(asked: Asked) -> bytes:
        if asked.operation == "cacerts":
            return wrap_cacerts(certs_only(ca.der) if cacerts is None else cacerts)
        if asked.operation not in {"simpleenroll", "simplereenroll"}:
            return answer(404, reason="Not Found")
        asking = Asking.of(asked.body)
        return wrap(issue(asking) if issue else certs_only(ca.issue(asking.subject, asking.spki, asking.san)))

    return handle
