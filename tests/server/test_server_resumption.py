"""TLS sessions resumed by a client of another make, the standard library's ``ssl`` on a blocking socket in a thread."""

import base64
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from server_sandbox import DEADLINE_S, Running, csr_for, new_key, running
from test_server_listener import issued_by, manufacturer

from estsim.pki.pem import pem

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@dataclass
class Resuming:
    """A client that offers the session of its last connection; ``reused`` says of each whether the server took it."""

    sandbox: Running
    context: ssl.SSLContext
    session: ssl.SSLSession | None = None
    reused: list[bool] = field(default_factory=list)

    async def enroll(self) -> str:
        """Enroll on a new connection and return the whole answer."""
        return await trio.to_thread.run_sync(self._enroll)

    def _enroll(self) -> str:
        body = base64.b64encode(csr_for(new_key(), "m"))
        head = (
            "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with (
            socket.create_connection(("127.0.0.1", self.sandbox.port), DEADLINE_S) as tcp,
            self.context.wrap_socket(tcp, server_hostname="localhost", session=self.session) as tls,
        ):
            tls.sendall(head.encode() + body)
            answer = b"".join(iter(lambda: tls.recv(4096), b""))
            self.reused.append(bool(tls.session_reused))
            self.session = tls.session
        return answer.decode("latin-1")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_is_resumed_with_its_identity(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """The second connection sends no certificate, and is known all the same."""
    async with running(tmp_path) as sandbox:
        client = Resuming(sandbox, sandbox.tls(sandbox.here.bootstrap, version=version))
        assert [(await client.enroll()).split()[1] for _ in range(2)] == ["200", "200"]
        assert client.reused == [False, True]
        assert [row.peer_subject for row in sandbox.exchanges] == ["CN=bootstrap"] * 2


async def test_tickets_can_be_withheld(tmp_path: Path) -> None:
    """With ``tls: {resume: false}`` every handshake is a full one."""
    async with running(tmp_path, {"tls": {"resume": False}}) as sandbox:
        client = Resuming(sandbox, sandbox.tls(sandbox.here.bootstrap, version=ssl.TLSVersion.TLSv1_2))
        assert [(await client.enroll()).split()[1] for _ in range(2)] == ["200", "200"]
        assert client.reused == [False, False]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stranger_stays_one_in_a_resumed_session(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """OpenSSL does not verify again, and keeps to itself that it once found fault: the trust center does not."""
    async with running(tmp_path, {"clients": {"refuse_at": "application"}}) as sandbox:
        client = Resuming(sandbox, sandbox.tls(issued_by(manufacturer(), tmp_path), version=version))
        assert [(await client.enroll()).split()[1] for _ in range(2)] == ["403", "403"]
        assert client.reused == [False, True]


async def test_a_certificate_that_expired_since_is_refused_in_a_resumed_session(tmp_path: Path) -> None:
    """Two seconds of life left: good for a full handshake, over in the resumed one, which TLS lets pass."""
    maker = manufacturer()
    trusted = tmp_path / "maker.pem"
    trusted.write_bytes(pem(maker.certificate.der))
    async with running(tmp_path / "s", {"clients": {"bootstrap_cas": [str(trusted)]}}) as sandbox:
        brief = issued_by(maker, tmp_path, age_s=58)
        client = Resuming(sandbox, sandbox.tls(brief, version=ssl.TLSVersion.TLSv1_2))
        assert (await client.enroll()).split()[1] == "200"
        await trio.sleep(3)  # the certificate's end
        refused = await client.enroll()
        assert client.reused == [False, True]
        assert refused.split()[1] == "403"
        assert "certificate has expired" in refused
