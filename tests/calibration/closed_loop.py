"""A closed loop of one: a client that enrolls, and again as soon as it is done. What estsim is not, to compare with.

It is built on the standard library, shares nothing with the fleet but the server, and knows no plan: a server that
stands still keeps it from asking.
"""

import base64
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPSConnection
from threading import Event
from urllib.parse import urlsplit

from cli_runs import Server
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

_OK = 200
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One enrolment of the loop, from its connect to its certificate."""

    wall_began_s: float
    took_s: float


def enroll_until(stop: Event, server: Server) -> list[Turn]:
    """Enroll one after another, each over a connection of its own and for a key of its own, until told to stop."""
    context = ssl.create_default_context(cafile=str(server.folder / "trust.pem"))
    context.load_cert_chain(server.folder / "bootstrap.pem")
    turns: list[Turn] = []
    while not stop.is_set():
        body = _csr()
        wall_began_s, mono_began_s = time.time(), time.monotonic()
        _enroll(server, context, body)
        turns.append(Turn(wall_began_s, time.monotonic() - mono_began_s))
    return turns


def _csr() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "closed-loop")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(csr.public_bytes(Encoding.DER))


def _enroll(server: Server, context: ssl.SSLContext, body: bytes) -> None:
    connection = HTTPSConnection("127.0.0.1", server.port, timeout=_TIMEOUT_S, context=context)
    try:
        path = f"{urlsplit(server.url).path}/simpleenroll"
        connection.request("POST", path, body, {"Content-Type": "application/pkcs10"})
        answer = connection.getresponse()
        assert answer.status == _OK, answer.read()
        answer.read()
    finally:
        connection.close()
