"""HTTP as strangers write it: each head and framing has its answer by RFC 9110 and RFC 9112, over real TLS."""

import base64
import re
import ssl
from contextlib import suppress
from pathlib import Path

import h11
import pytest
import trio
from server_sandbox import Client, Running, csr_for, new_key, running

from estsim.est.messages import EstRequest
from estsim.server.answer import Refused
from estsim.server.http import Limits
from estsim.server.http_head import check_head

OPEN: dict[str, object] = {"clients": {"require_certificate": "never"}}
CACERTS = b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\n"
ENROLL = b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\n"
CSR = base64.b64encode(csr_for(new_key(), "m"))
CHUNKED = b"Transfer-Encoding: chunked\r\n"
Case = tuple[bytes, list[int], bool]  # what is sent, the statuses of the answers, whether the connection is closed
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(CSR), CSR)


async def until_closed(client: Client) -> bytes:
    """Return everything that comes until the server closes, or is silent for a second."""
    received = b""
    while True:
        with trio.move_on_after(1.0) as silence:
            data = bytes(await client.stream.receive_some())
        if silence.cancelled_caught:
            return received
        if not data:
            return received + b"<closed>"
        received += data


async def write_as_far_as_it_goes(client: Client, sent: bytes) -> None:
    """Send; a server that has refused need not read all of it."""
    with suppress(trio.BrokenResourceError):
        await client.write(sent)


async def answers(sandbox: Running, sent: bytes) -> tuple[list[int], bool]:
    """Return the statuses of the answers to what is sent on a connection of its own, and whether it was closed."""
    async with sandbox.connect(sandbox.tls()) as client, trio.open_nursery() as nursery:
        nursery.start_soon(write_as_far_as_it_goes, client, sent)
        received = await until_closed(client)
        nursery.cancel_scope.cancel()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)], received.endswith(b"<closed>")


async def all_answers(folder: Path, cases: dict[str, Case]) -> dict[str, tuple[list[int], bool]]:
    """Return the answers to every case, sent all at the same time, by a sandbox that serves on."""
    got: dict[str, tuple[list[int], bool]] = {}
    async with running(folder, OPEN, limits=Limits(linger_s=0.05)) as sandbox:

        async def send(case: str, sent: bytes) -> None:
            got[case] = await answers(sandbox, sent)

        async with trio.open_nursery() as clients:
            for case, (sent, _, _) in cases.items():
                clients.start_soon(send, case, sent)
        assert (await sandbox.get("cacerts")).status == 200
        assert sandbox.here.counts.faults == 0
    return got


FRAMING: dict[str, Case] = {
    "both lengths": (ENROLL + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n" + CHUNKS, [200], True),
    "both lengths, the other order": (ENROLL + CHUNKED + b"Content-Length: 5\r\n\r\n" + CHUNKS, [200], True),
    "both lengths, nothing in them": (CACERTS + b"Content-Length: 0\r\n" + CHUNKED + b"\r\n0\r\n\r\n", [200], True),
    "a request behind both lengths": (
        ENROLL + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n" + CHUNKS + CACERTS + b"\r\n",
        [200],
        True,
    ),
    "lengths that differ": (ENROLL + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nAAAAAA", [400], True),
    "lengths that differ, in a list": (ENROLL + b"Content-Length: 5, 6\r\n\r\nAAAAAA", [400], True),
    "one length twice": (ENROLL + b"Content-Length: %d\r\n" % len(CSR) * 2 + b"\r\n" + CSR, [200], False),
    "a signed length": (ENROLL + b"Content-Length: +5\r\n\r\nAAAAA", [400], True),
    "a hexadecimal length": (ENROLL + b"Content-Length: 0x5\r\n\r\nAAAAA", [400], True),
    "a length beyond numbers": (ENROLL + b"Content-Length: 1" + b"0" * 5000 + b"\r\n\r\n", [400], True),
    "chunked is not last": (ENROLL + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKS, [501], True),
    "an unknown coding": (ENROLL + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS, [501], True),
    "chunks of HTTP/1.0": (ENROLL.replace(b"1.1\r", b"1.0\r") + CHUNKED + b"\r\n" + CHUNKS, [400], True),
    "a chunk with an extension": (ENROLL + CHUNKED + b"\r\n" + CHUNKS.replace(b"\r\n", b';a="b"\r\n', 1), [200], False),
    "an extension of a megabyte": (ENROLL + CHUNKED + b"\r\n5;a=" + b"a" * (1 << 20), [431], True),
    "a chunk size beyond numbers": (ENROLL + CHUNKED + b"\r\n" + b"f" * 25 + b"\r\nAAAA", [400], True),
    "a negative chunk size": (ENROLL + CHUNKED + b"\r\n-5\r\nAAAAA\r\n0\r\n\r\n", [400], True),
    "a chunk that is longer": (ENROLL + CHUNKED + b"\r\n5\r\nAAAAAXX0\r\n\r\n", [400], True),
    "a huge chunk": (ENROLL + CHUNKED + b"\r\n" + b"f" * 20 + b"\r\n" + b"A" * 70_000, [413], True),
    "too many chunks": (ENROLL + CHUNKED + b"\r\n" + b"1\r\nA\r\n" * 5000, [413], True),
    "trailers without end": (ENROLL + CHUNKED + b"\r\n" + CHUNKS[:-2] + b"A: b\r\n" * 10_000, [431], True),
}


async def test_the_framing_of_a_request(tmp_path: Path) -> None:
    """RFC 9112 §6: refused and closed, or read by the Transfer-Encoding alone, answered and closed."""
    expected = {case: (statuses, closed) for case, (_, statuses, closed) in FRAMING.items()}
    assert await all_answers(tmp_path, FRAMING) == expected


HEADS: dict[str, Case] = {
    "a folded line": (CACERTS + b"X: a\r\n b\r\n\r\n", [200], False),  # RFC 9112 §5.2: a space, or 400
    "bare LF": (CACERTS.replace(b"\r", b"") + b"\n", [200], False),  # RFC 9112 §2.2: may be taken
    "a folded line in front": (CACERTS.replace(b"Host", b" X: a\r\nHost") + b"\r\n", [400], True),
    "CR in a value": (CACERTS + b"X: a\rb\r\n\r\n", [400], True),
    "NUL in a value": (CACERTS + b"X: a\0b\r\n\r\n", [400], True),
    "NUL in a name": (CACERTS + b"X\0: a\r\n\r\n", [400], True),
    "a space before the colon": (CACERTS + b"X : a\r\n\r\n", [400], True),
    "a line of 100 KB": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", [431], True),
    "a line without end": (b"GET /" + b"a" * 100_000, [431], True),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", [400], True),
    "two hosts": (CACERTS + b"Host: x\r\n\r\n", [400], True),
    "a host that is none": (CACERTS.replace(b"x\r\n", b"a b/c@d\r\n") + b"\r\n", [400], True),
    "an IPv6 host": (CACERTS.replace(b"x\r\n", b"[::1]:8443\r\n") + b"\r\n", [200], False),
    "the absolute form": (CACERTS.replace(b"GET ", b"GET HTTPS://y:1") + b"\r\n", [200], False),
    "the server in general": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", [204], False),
    "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01", [501], True),
    "another version": (CACERTS.replace(b"HTTP/1.1", b"HTTP/2.0") + b"\r\n", [505], True),
    "HTTP/2 with prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505], True),
    "an unknown expectation": (ENROLL + b"Expect: nonsense\r\nContent-Length: 5\r\n\r\n", [417], True),
    "one more expectation": (ENROLL + b"Expect: 100-continue, x\r\nContent-Length: 5\r\n\r\n", [417], True),
    "an expectation in capitals": (
        ENROLL + b"Expect: 100-Continue\r\nContent-Length: %d\r\n\r\n" % len(CSR) + CSR,
        [100, 200],
        False,
    ),
    "a compressed body": (ENROLL + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nAAAAA", [415], True),
    "garbage behind a request": (CACERTS + b"\r\n\0\1\2garbage\r\n\r\n", [200, 400], True),
    "TLS behind a request": (CACERTS + b"\r\n\x16\x03\x01\x02\0", [200, 400], True),
    "garbage behind a HEAD": (CACERTS.replace(b"GET", b"HEAD") + b"\r\n\0garbage\r\n\r\n", [405, 400], True),
    "a hundred at once": ((CACERTS + b"\r\n") * 100, [200] * 100, False),
}


async def test_the_head_of_a_request(tmp_path: Path) -> None:
    """RFC 9110 and 9112 say what a server must refuse, and where it may be kind."""
    expected = {case: (statuses, closed) for case, (_, statuses, closed) in HEADS.items()}
    assert await all_answers(tmp_path, HEADS) == expected


async def test_a_line_that_is_refused_is_not_repeated(tmp_path: Path) -> None:
    """It may be an Authorization header with a space too many: neither the answer nor the record has the password."""
    async with running(tmp_path, OPEN) as sandbox, sandbox.connect(sandbox.tls()) as client:
        await client.write(CACERTS + b"Authorization : Basic c2VjcmV0\r\n\r\n")
        assert b"c2VjcmV0" not in bytes(await client.stream.receive_some())
        assert [row.detail for row in sandbox.exchanges] == ["expected HTTP/1.1: illegal header line"]


async def test_what_a_client_writes_is_harmless_in_the_log(tmp_path: Path) -> None:
    """A terminal's escape sequences in a request id, a path and a Host are replaced; the answer's line is the same."""
    sent = (
        b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\x1b[31m\r\n\r\n",
        b"GET /\xc2\x9b31m HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\x9b31m\r\n\r\n",
    )
    async with running(tmp_path, OPEN) as sandbox:
        for each in sent:
            await answers(sandbox, each)
        rows = sandbox.exchanges
    assert [row.request_id for row in rows[:1]] == ["a\N{REPLACEMENT CHARACTER}[31m"]
    told = [text for row in rows for text in (row.request_id, row.path, row.method, row.detail) if text]
    assert len(rows) == 3
    assert all(text.isprintable() for text in told), told


async def test_credentials_that_are_no_ascii_are_a_challenge(tmp_path: Path) -> None:
    """Whatever stands behind Basic, the user is asked for, and nothing is logged as an error of ours."""
    clients = {"users": {"alice": {"password": "secret"}}, "require_certificate": "never"}
    credentials = (b"\xe4\xf6\xfc", b"YWxpY2U6\x82", b"/////w==", b"!", b"")
    async with running(tmp_path, {"clients": clients}) as sandbox:
        for each in credentials:
            head = ENROLL + b"Authorization: Basic " + each + b"\r\nContent-Length: %d\r\n\r\n" % len(CSR)
            assert await answers(sandbox, head + CSR) == ([401], False)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_what_comes_in_single_bytes_is_read_and_shares_the_loop(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """A head and a body in one TLS record for each byte, all at once, while another client is served."""
    sent = ENROLL + b"Content-Length: %d\r\n\r\n" % len(CSR) + CSR
    async with running(tmp_path, OPEN) as sandbox, sandbox.connect(sandbox.tls(version=version)) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sandbox.get, "cacerts")
            for octet in sent:
                await client.stream.send_all(bytes((octet,)))
        assert (await client.stream.receive_some()).startswith(b"HTTP/1.1 200 ")
    assert sorted(str(row.operation) for row in sandbox.exchanges) == ["cacerts", "simpleenroll"]


def test_every_status_that_a_head_is_refused_with_has_a_phrase() -> None:
    """So that a status line never ends in a blank (libest reads the phrase)."""
    for method, version, headers in (
        ("CONNECT", "1.1", ()),
        ("GET", "0.9", ()),
        ("GET", "1.1", (("expect", "x"),)),
        ("GET", "1.1", (("content-encoding", "br, gzip"),)),
    ):
        with pytest.raises(Refused) as refused:
            check_head(EstRequest(method, "/", headers, b""), version)
        assert h11.Response(status_code=refused.value.status, headers=[]).status_code


@pytest.mark.parametrize("field", ["host", "expect", "content-encoding"])
def test_what_stands_in_the_wrong_field_is_not_repeated(field: str) -> None:
    """It may be a password, and why a request is refused is in the log."""
    with pytest.raises(Refused) as refused:
        check_head(EstRequest("GET", "/", ((field, "Basic YWxpY2U6c2VjcmV0"),), b""), "1.1")
    assert "YWxp" not in str(refused.value)


def test_a_known_coding_is_named() -> None:
    """So that people see what they have switched on."""
    with pytest.raises(Refused, match=r"got Content-Encoding: br, gzip"):
        check_head(EstRequest("GET", "/", (("content-encoding", "br, gzip"),), b""), "1.1")


def test_what_is_repeated_of_a_client_has_an_end() -> None:
    """A thousand codings that are known, each harmless, are cut in the answer and in the log."""
    with pytest.raises(Refused, match=r"got Content-Encoding: gzip, gzip.*…$") as refused:
        check_head(EstRequest("GET", "/", (("content-encoding", ", ".join(["gzip"] * 1000)),), b""), "1.1")
    assert len(str(refused.value)) == 500
