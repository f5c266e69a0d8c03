"""A client's certificate in a header: read as each proxy writes it, and taken from trusted proxies alone."""

import base64
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from server_sandbox import csr_for, new_key, running

from estsim.est.messages import EstRequest
from estsim.server.answer import Refused
from estsim.server.config import PeerHeader, SandboxConfig
from estsim.server.forwarded import ForwardedError, PeersBehind, forwarded_der
from estsim.server.peer import Peer

DER = bytes(range(48, 255)) + b"a certificate, as far as this is concerned"
PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
FROM_HERE: dict[str, object] = {"peer_from_header": {"name": "X-Client-Cert", "trusted": ["127.0.0.0/8"]}}


def pem(der: bytes) -> str:
    """Return PEM with lines of 64."""
    text = base64.b64encode(der).decode()
    return PEM.format("\n".join(text[at : at + 64] for at in range(0, len(text), 64)))


WRITTEN: dict[str, Callable[[bytes], str]] = {
    "nginx": lambda der: quote(pem(der)),
    "nginx, deprecated": lambda der: pem(der).replace("\n", "\n\t").strip(),
    "Apache": lambda der: pem(der).strip().replace("\n", " "),
    "HAProxy": lambda der: base64.b64encode(der).decode(),
    "RFC 9440": lambda der: f":{base64.b64encode(der).decode()}:",
}


@pytest.mark.parametrize("proxy", WRITTEN)
def test_a_certificate_is_read_as_each_proxy_writes_it(proxy: str) -> None:
    """A plus sign, which a form would read as a space, stays one."""
    der = b"\x30\xfb\xef\xbe" + DER
    assert "+" in base64.b64encode(der).decode()
    assert forwarded_der(WRITTEN[proxy](der)) == der


@pytest.mark.parametrize("value", ["", "  ", "(null)"])
def test_a_client_without_a_certificate_is_nobody(value: str) -> None:
    """Each proxy sends the header all the same, and Apache with a word in it."""
    assert forwarded_der(value) is None


@given(st.text())
def test_a_header_is_a_certificate_nobody_or_an_error(value: str) -> None:
    """Whatever stands in it."""
    with suppress(ForwardedError):
        assert forwarded_der(value) != b""


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1%eth0", True),
        ("11.1.2.3", False),
        ("fd01::1", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_only_trusted_addresses_may_send_the_header(address: str, trusted: bool) -> None:  # noqa: FBT001 - a table
    """From anybody else it is refused and not passed over: it may be somebody else's certificate."""
    header = PeerHeader(name="X-Client-Cert", trusted=["10.0.0.0/8", "fd00::/64"])
    peers, request = PeersBehind(header, lambda: 0.0), EstRequest("GET", "/", (("x-client-cert", ""),), b"")
    proxy = Peer(subject="CN=proxy", address=address)
    if trusted:
        assert peers.of(request, proxy) == Peer(address=address), "the proxy's own certificate is not its client's"
        return
    with pytest.raises(Refused, match="does not trust") as refused:
        peers.of(request, proxy)
    assert refused.value.status == 403
    assert peers.of(EstRequest("GET", "/", (), b""), proxy) == proxy, "without the header, who connects is who asks"


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ({"name": "X Client", "trusted": ["10.0.0.1"]}, "must be the name of a header"),
        ({"name": "Authorization", "trusted": ["10.0.0.1"]}, "without another meaning"),
        ({"name": "X-Client-Cert", "trusted": ["proxy.example"]}, "such as 10.0.0.0/8 (got proxy.example)"),
        ({"name": "X-Client-Cert", "trusted": []}, "at least 1"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(headers: dict[str, object], wrong: str) -> None:
    """By name."""
    with pytest.raises(ValidationError) as caught:
        SandboxConfig.model_validate({"peer_from_header": headers})
    assert wrong in str(caught.value)


def bootstrap_of(file: Path) -> bytes:
    """Return the DER of the first certificate of a PEM file."""
    return x509.load_pem_x509_certificates(file.read_bytes())[0].public_bytes(Encoding.DER)


@pytest.mark.parametrize("proxy", ["nginx", "Apache", "HAProxy"])
async def test_who_is_named_in_the_header_enrolls_and_re_enrolls(tmp_path: Path, proxy: str) -> None:
    """Without a certificate in the handshake, which has ended at the proxy."""
    async with running(tmp_path, FROM_HERE) as sandbox:
        key, header = new_key(), WRITTEN[proxy]
        csr = csr_for(key, "meter-1")
        first = await sandbox.post(csr, headers=[("X-Client-Cert", header(bootstrap_of(sandbox.here.bootstrap)))])
        assert first.status == 200
        held = first.certificate.public_bytes(Encoding.DER)
        again = await sandbox.post(csr, operation="simplereenroll", headers=[("X-Client-Cert", header(held))])
        assert again.status == 200
        assert [each.peer_subject for each in sandbox.exchanges[1:]] == ["CN=meter-1"]
        assert sandbox.exchanges[0].peer_subject is not None


async def test_the_header_lets_nobody_in_who_would_be_refused_in_the_handshake(tmp_path: Path) -> None:
    """An unknown CA's certificate, one that has expired, garbage, two headers, and none: each with its reason."""
    stranger_folder = tmp_path / "stranger"
    stranger_folder.mkdir()
    async with running(tmp_path / "own", FROM_HERE) as sandbox, running(stranger_folder) as stranger:
        good = WRITTEN["HAProxy"](bootstrap_of(sandbox.here.bootstrap))
        foreign = WRITTEN["HAProxy"](bootstrap_of(stranger.here.bootstrap))
        for values, status, reason in (
            ([foreign], 403, "issued by a trusted CA"),
            (["AAAA"], 400, "cannot be read"),
            (["***"], 400, "expected base64"),
            ([good, good], 400, "once (got 2)"),
            ([], 403, "expected a client certificate"),
        ):
            headers = [("X-Client-Cert", value) for value in values]
            response = await sandbox.post(csr_for(new_key(), "meter-1"), headers=headers)
            assert (response.status, reason in response.text) == (status, True), response.text
            assert sandbox.exchanges[-1].status == status


async def test_a_header_from_elsewhere_is_refused_even_with_a_certificate_in_the_handshake(tmp_path: Path) -> None:
    """Who connects from an address that is not trusted is who the handshake says, and may not say otherwise."""
    elsewhere: dict[str, object] = {"peer_from_header": {"name": "X-Client-Cert", "trusted": ["10.0.0.1"]}}
    async with running(tmp_path, elsewhere) as sandbox:
        own = sandbox.here.bootstrap
        headers = [("x-client-cert", WRITTEN["HAProxy"](bootstrap_of(own)))]
        refused = await sandbox.post(csr_for(new_key(), "meter-1"), identity=own, headers=headers)
        assert (refused.status, "which peer_from_header does not trust" in refused.text) == (403, True)
        assert (await sandbox.post(csr_for(new_key(), "meter-1"), identity=own)).status == 200
