"""Faults as a client of another make meets them on the wire, and as the log has them."""

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from server_sandbox import Response, Running, csr_for, new_key, running

from estsim.est.certificate import read_certificate
from estsim.est.certs_only import read_certs_only


def having(*faults: dict[str, Any], **others: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a configuration
    """Return the configuration of a sandbox with these faults."""
    return {"faults": list(faults), **others}


async def cut_short(sandbox: Running, name: str = "m") -> bytes:
    """Enroll, and return what came before the connection ended; raises BrokenResourceError for a reset."""
    body = base64.b64encode(csr_for(new_key(), name))
    head = (
        "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nX-Request-ID: r\r\n"
        f"Content-Type: application/pkcs10\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    received = b""
    async with sandbox.connect(sandbox.tls(sandbox.here.bootstrap)) as client:
        await client.write(head.encode() + body)
        while more := await client.stream.receive_some():
            received += more
    return received


@pytest.mark.parametrize(("when", "issued"), [("before", 0), ("after", 1)])
async def test_a_reset_comes_before_or_after_the_work(tmp_path: Path, when: str, issued: int) -> None:
    """Either way the client gets nothing; what was issued all the same is on record, under its request id."""
    async with running(tmp_path, having({"kind": "reset", "when": when})) as sandbox:
        with pytest.raises(trio.BrokenResourceError) as failure:
            await cut_short(sandbox)
        assert isinstance(failure.value.__cause__, ConnectionResetError | trio.BrokenResourceError)
        (row,) = sandbox.exchanges
        assert (row.request_id, row.status, row.fault) == ("r", None, "reset")
        assert (row.serial is not None) == bool(issued)


async def test_a_stall_says_nothing_until_its_time_is_over(tmp_path: Path) -> None:
    """Then the connection ends; a client that leaves before is let go of at once."""
    async with running(tmp_path, having({"kind": "stall", "for": "300ms"})) as sandbox:
        began = trio.current_time()
        assert await cut_short(sandbox) == b""
        assert trio.current_time() - began >= 0.3
        assert [(row.status, row.fault, row.serial) for row in sandbox.exchanges] == [(None, "stall", None)]


async def test_who_leaves_during_a_stall_is_not_waited_for(tmp_path: Path) -> None:
    """An hour of silence must not keep an hour of connections."""
    async with running(tmp_path, having({"kind": "stall"})) as sandbox:
        with trio.move_on_after(0.3):
            await cut_short(sandbox)
    assert sandbox.here.counts.cut == 0, "nobody was left to be cut at the end"


async def test_a_truncated_body_ends_in_its_middle(tmp_path: Path) -> None:
    """The head promises what the body does not keep."""
    async with running(tmp_path, having({"kind": "truncated_body"})) as sandbox:
        received = await cut_short(sandbox)
        head, _, body = received.partition(b"\r\n\r\n")
        promised = int(head.lower().partition(b"content-length: ")[2].split()[0])
        assert 0 < len(body) < promised
        assert [(row.status, row.fault) for row in sandbox.exchanges] == [(200, "truncated_body")]


async def test_latency_is_added_to_the_answer_and_to_the_handling_time(tmp_path: Path) -> None:
    """50 to 80 ms more, in the log as at the client."""
    async with running(tmp_path, having({"kind": "latency", "add": "50ms..80ms"})) as sandbox:
        began = trio.current_time()
        response, _ = await sandbox.enroll()
        assert response.status == 200
        assert trio.current_time() - began >= 0.05
        assert sandbox.exchanges[0].fault == "latency"


async def test_a_certificate_may_be_for_another_key_or_over_before_it_came(tmp_path: Path) -> None:
    """Both are issued in earnest, by the right authority."""
    faults = having(
        {"kind": "wrong_key", "match": {"subject": "CN=other-*"}},
        {"kind": "expired_certificate", "match": {"subject": "CN=late-*"}},
    )
    async with running(tmp_path, faults) as sandbox:
        _, issuer = x509.load_pem_x509_certificates(sandbox.here.trust.read_bytes())
        other, key = await sandbox.enroll("other-1")
        assert other.certificate.public_key() != key.public_key()
        late, _ = await sandbox.enroll("late-1")
        assert late.certificate.not_valid_after_utc < issuer.not_valid_after_utc
        assert late.certificate.not_valid_after_utc.timestamp() < sandbox.exchanges[1].at_unix
        fine, key = await sandbox.enroll("fine-1")
        assert fine.certificate.public_key() == key.public_key()
        for response in (other, late, fine):
            response.certificate.verify_directly_issued_by(issuer)
        assert [row.fault for row in sandbox.exchanges] == ["wrong_key", "expired_certificate", None]


async def test_cacerts_may_leave_out_the_chain(tmp_path: Path) -> None:
    """The root alone; enrolment is not concerned, so nothing is logged there."""
    async with running(tmp_path, having({"kind": "chain_missing"})) as sandbox:
        response = await sandbox.get("cacerts")
        (root,) = read_certs_only(base64.b64decode(response.body))[0]
        assert read_certificate(root).is_self_issued
        assert (await sandbox.enroll())[0].status == 200
        assert [row.fault for row in sandbox.exchanges] == ["chain_missing", None]


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        ({"kind": "garbage"}, lambda r: r.body.startswith(b"\x00\xff")),
        ({"kind": "pem_armour"}, lambda r: r.body.startswith(b"-----BEGIN PKCS7-----\n")),
        ({"kind": "wrapped_base64"}, lambda r: b"\n" in r.body),
        ({"kind": "wrong_content_type"}, lambda r: r.headers["content-type"] == "text/html"),
        ({"kind": "wrong_status", "status": 500}, lambda r: r.status == 500),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
async def test_an_answer_may_come_out_wrong(tmp_path: Path, fault: dict[str, Any], shows: Any) -> None:  # noqa: ANN401
    """In one way at a time, logged with the status that was sent."""
    async with running(tmp_path, having(fault)) as sandbox:
        response: Response = (await sandbox.enroll())[0]
        assert shows(response)
        assert [(row.status, row.fault) for row in sandbox.exchanges] == [(response.status, fault["kind"])]


@pytest.mark.parametrize(("kind", "told"), [("retry_after_missing", None), ("retry_after_absurd", "315360000")])
async def test_a_deferral_may_tell_nothing_or_ten_years(tmp_path: Path, kind: str, told: str | None) -> None:
    """The log has the status that was sent, not the right one."""
    async with running(tmp_path, having({"kind": kind}, issue={"mode": "deferred"})) as sandbox:
        response, _ = await sandbox.enroll()
        assert (response.status, response.headers.get("retry-after")) == (202, told)
        assert [(row.retry_after, row.fault) for row in sandbox.exchanges] == [(told, kind)]


async def test_the_server_may_show_a_certificate_for_another_name(tmp_path: Path) -> None:
    """Who checks names goes; who does not is served, and its line says what it has met."""
    async with running(tmp_path, having({"kind": "wrong_server_name"})) as sandbox:
        with pytest.raises(trio.BrokenResourceError) as failure:
            await sandbox.get("cacerts")
        assert isinstance(failure.value.__cause__, ssl.SSLCertVerificationError)
        context = sandbox.tls()
        context.check_hostname = False
        async with sandbox.connect(context) as client:
            assert (await client.send("GET", "cacerts")).status == 200
        assert [(row.operation, row.fault) for row in sandbox.exchanges] == [("cacerts", "wrong_server_name")]


async def test_faults_have_their_time_counted_from_the_beginning_that_was_told(tmp_path: Path) -> None:
    """From 60 s on: not now, but once the run that started the sandbox is told to be a minute old."""
    async with running(tmp_path, having({"kind": "wrong_status", "from": "60s", "to": "90s"})) as sandbox:
        clock = sandbox.here.clock
        statuses = []
        for age_s in (0, 59, 61, 91):
            clock.begin_at(clock.now_s() - age_s)
            statuses.append((await sandbox.enroll())[0].status)
        assert statuses == [200, 200, 500, 200]


async def test_the_same_requests_meet_the_same_faults_in_any_order(tmp_path: Path) -> None:
    """Ten devices, half of them refused: the same five, forwards and backwards."""
    config = having({"kind": "wrong_status", "rate": "50%", "match": {"operation": "simpleenroll"}}, seed=3)
    keys = {f"m{n}": new_key() for n in range(10)}
    clients = {"require_certificate": "never"}
    met = []
    for turn, names in enumerate((list(keys), list(reversed(keys)))):
        async with running(tmp_path / str(turn), {**config, "clients": clients}) as sandbox:
            found = {name: (await sandbox.post(csr_for(keys[name], name))).status for name in names}
            met.append(found)
    assert met[0] == met[1]
    assert set(met[0].values()) == {200, 500}
