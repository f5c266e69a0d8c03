"""Identity and proof of possession linked (RFC 7030 §3.5): Python's own TLS client says what the link is."""

import base64
import ssl
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from socket import create_connection
from urllib.parse import urlsplit

import pytest
import trio
from server_sandbox import Running, new_key, running

from estsim.est.csr import build_csr
from estsim.pki.names import common_name


def context_of(sandbox: Running) -> ssl.SSLContext:
    """Return a client's context of TLS 1.2, in which the link is tls-unique."""
    context = ssl.create_default_context(cafile=sandbox.here.trust)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(sandbox.here.bootstrap)
    return context


def address_of(sandbox: Running) -> tuple[str, int]:
    """Return host and port of the sandbox."""
    parts = urlsplit(sandbox.here.url)
    return parts.hostname or "", parts.port or 0


def enroll(
    context: ssl.SSLContext, host: str, port: int, path: str, *, forged: bool, session: ssl.SSLSession | None
) -> tuple[int, str, ssl.SSLSession | None, bool]:
    """Enroll over a new session, or one that is resumed; returns status, text, the session, and if it was resumed."""
    client = HTTPSConnection(host, port, context=context)
    client.connect()
    if session is not None:
        client.close()
        raw = create_connection((host, port))
        client.sock = context.wrap_socket(raw, server_hostname=host, session=session)
    link = client.sock.get_channel_binding("tls-unique")
    password = base64.b64encode(b"forged" if forged else link or b"").decode()
    csr = build_csr(new_key(), common_name("m"), challenge_password=password)
    client.request("POST", path, base64.b64encode(csr), {"Content-Type": "application/pkcs10"})
    answer = client.getresponse()
    text = answer.read().decode()
    kept, resumed = client.sock.session if client.sock else None, bool(client.sock and client.sock.session_reused)
    client.close()
    return answer.status, text, kept, resumed


@pytest.mark.parametrize("forged", [False, True])
async def test_what_links_a_request_to_its_session_is_verified(*, forged: bool, tmp_path: Path) -> None:
    """In a full handshake the client's Finished, in a resumed one the server's; anything else is refused."""
    async with running(tmp_path) as sandbox:
        context = context_of(sandbox)
        ask = partial(enroll, context, *address_of(sandbox), "/.well-known/est/simpleenroll", forged=forged)
        session: ssl.SSLSession | None = None
        seen = []
        for _ in range(2):
            status, text, session, resumed = await trio.to_thread.run_sync(partial(ask, session=session))
            seen.append((status, resumed))
            assert forged is ("expected the challengePassword of this TLS session" in text)
    assert seen == [(403 if forged else 200, False), (403 if forged else 200, True)]
