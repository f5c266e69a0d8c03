"""Handshakes over real TLS on loopback: who is proven, who is refused, and what the record says of it."""

import datetime as dt
import time

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from net_kit import (
    PATIENT,
    TLS12,
    TLS13,
    WORLD,
    answering,
    ask,
    dial,
    make_authority,
    make_credential,
    tls_server,
)

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import TlsConnection, WireStamps
from estsim.net.contexts import RefuseAt, TlsVersion, Verify
from estsim.net.openssl import verify_reason
from estsim.net.tls import ForeignSession, Resumable
from estsim.net.tls_failure import Side, TlsFailed
from estsim.pki.credentials import Credential

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
VERSIONS = pytest.mark.parametrize("versions", [TLS12, TLS13], ids=["1.2", "1.3"])
Versions = tuple[TlsVersion, TlsVersion]


async def refusal(
    versions: Versions, credential: Credential | None, chain: tuple[bytes, ...] = (WORLD.device_ca.der,)
) -> tuple[TransportFailed, WireStamps]:
    """Return how the server refused, and the stamps until then: a handshake and one request."""
    stamps = WireStamps()
    async with tls_server(answering(OK)) as server:
        with pytest.raises(TransportFailed) as caught:
            await dial_and_ask(server.endpoint, versions, credential, chain, stamps)
        with trio.fail_after(5):
            while not server.failures:
                await trio.lowlevel.checkpoint()
        assert isinstance(server.failures[0], TransportFailed)
        assert server.failures[0].phase is Phase.HANDSHAKE
    return caught.value, stamps


async def dial_and_ask(
    endpoint: object, versions: Versions, credential: Credential | None, chain: tuple[bytes, ...], stamps: WireStamps
) -> None:
    """Open, ask once, close."""
    context = WORLD.client_context(versions=versions, chain=chain)
    connection = await dial(endpoint, context, credential, stamps=stamps)  # type: ignore[arg-type]  # an Origin
    try:
        await ask(connection, stamps=stamps)
    finally:
        connection.drop()


@VERSIONS
async def test_both_sides_prove_themselves(versions: Versions) -> None:
    """Both sides see the other's certificate and chain, leaf first, and the X25519 that was offered first."""
    stamps = WireStamps()
    async with tls_server(answering(OK)) as server:
        connection = await dial(server.endpoint, WORLD.client_context(versions=versions), stamps=stamps)
        answer = await ask(connection, stamps=stamps)
        [served] = server.connections
        connection.drop()
    assert answer.body == b"ok"
    assert connection.tls.version == versions[0]
    assert connection.tls.group == served.tls.group == "x25519"
    assert connection.tls.peer_chain[0].der == WORLD.server.certificate_der
    assert connection.tls.peer_chain[1].der == WORLD.server_ca.der
    assert [each.der for each in served.tls.peer_chain] == [WORLD.device.certificate_der, WORLD.device_ca.der]
    assert not connection.tls.resumed
    times = [stamps.connected_ns, stamps.handshaken_ns, stamps.sent_ns, stamps.first_byte_ns, stamps.ended_ns]
    assert None not in times
    assert times == sorted(times, key=lambda stamp: stamp or 0)


@VERSIONS
async def test_a_device_of_an_unknown_ca_is_told_so(versions: Versions) -> None:
    """The alert's name reaches the record, on 1.2 in the handshake, on 1.3 at the first read."""
    stranger = make_authority("nobody")
    failed, stamps = await refusal(versions, make_credential(stranger, "device"), chain=(stranger.der,))
    assert (failed.trouble, failed.alert) == (Trouble.TLS, "unknown_ca")
    assert failed.phase is (Phase.HANDSHAKE if versions is TLS12 else Phase.WAIT)
    assert (stamps.handshaken_ns is None) is (versions is TLS12)


@VERSIONS
async def test_an_expired_device_is_told_so(versions: Versions) -> None:
    """An expired client certificate comes back as certificate_expired."""
    expired = make_credential(WORLD.device_ca, "device", ends_in=dt.timedelta(hours=-1))
    failed, _ = await refusal(versions, expired)
    assert (failed.trouble, failed.alert) == (Trouble.TLS, "certificate_expired")


@VERSIONS
async def test_a_device_without_a_certificate_is_told_so(versions: Versions) -> None:
    """TLS 1.3 has an alert of its own for it, 1.2 has not."""
    failed, _ = await refusal(versions, None)
    assert failed.alert == ("handshake_failure" if versions is TLS12 else "certificate_required")


@VERSIONS
async def test_a_chain_with_a_hole_is_refused(versions: Versions) -> None:
    """A leaf sent without its intermediate cannot be verified."""
    failed, _ = await refusal(versions, WORLD.device, chain=())
    assert failed.alert == "unknown_ca"


@VERSIONS
async def test_a_wrong_host_name_ends_the_handshake_before_our_certificate_is_sent(versions: Versions) -> None:
    """The server never learns who called."""
    elsewhere = make_credential(WORLD.server_ca, "server", hosts=("elsewhere.example",))
    async with tls_server(answering(OK), credential=elsewhere) as server:
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint, WORLD.client_context(versions=versions))
        with trio.fail_after(5):
            while not server.failures:
                await trio.lowlevel.checkpoint()
    assert (caught.value.phase, caught.value.trouble) == (Phase.HANDSHAKE, Trouble.TLS)
    assert caught.value.verify_code == 62
    assert "elsewhere.example, not for 127.0.0.1" in caught.value.reason
    [at_server] = server.failures
    assert isinstance(at_server.__cause__, TlsFailed)
    assert at_server.__cause__.ended


@VERSIONS
async def test_a_server_of_an_unknown_ca_is_refused_with_an_alert(versions: Versions) -> None:
    """The check that failed is named on our side, and the server reads the alert."""
    anchors = (make_authority("another root").der,)
    async with tls_server(answering(OK)) as server:
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint, WORLD.client_context(versions=versions, anchors=anchors))
        with trio.fail_after(5):
            while not server.failures:
                await trio.lowlevel.checkpoint()
    assert (caught.value.phase, caught.value.alert, caught.value.verify_code) == (Phase.HANDSHAKE, "unknown_ca", 20)
    assert "unable to get local issuer certificate" in caught.value.reason
    [at_server] = server.failures
    assert isinstance(at_server, TransportFailed)
    assert at_server.alert == "unknown_ca"
    assert isinstance(at_server.__cause__, TlsFailed)
    assert at_server.__cause__.side is Side.PEER


async def test_an_intermediate_is_an_anchor_like_any_other() -> None:
    """Explicit anchors need no root behind them."""
    async with tls_server(answering(OK)) as server:
        connection = await dial(server.endpoint, WORLD.client_context(anchors=(WORLD.server_ca.der,)))
        assert (await ask(connection)).status == 200
        connection.drop()


@VERSIONS
async def test_a_key_that_does_not_fit_is_refused_at_home(versions: Versions) -> None:
    """A mismatch is an error here, not a handshake without a certificate."""
    wrong = Credential(WORLD.device.certificate_der, ec.generate_private_key(ec.SECP256R1()))
    async with tls_server(answering(OK)) as server:
        with pytest.raises(TransportFailed, match="key values mismatch") as caught:
            await dial(server.endpoint, WORLD.client_context(versions=versions), wrong)
    assert caught.value.phase is Phase.HANDSHAKE


@VERSIONS
async def test_channel_bindings_agree(versions: Versions) -> None:
    """tls-unique on 1.2 and the exporter on 1.3 are equal on both sides, in full and resumed handshakes."""
    async with tls_server(answering(OK)) as server:
        first = await dial(server.endpoint, WORLD.client_context(versions=versions))
        await ask(first)
        kept = first.tls.session()
        first.drop()
        second = await dial(server.endpoint, WORLD.client_context(versions=versions), resume=kept)
        await ask(second)
        bindings = [(first.tls.channel_binding(), server.connections[0].tls.channel_binding())]
        bindings.append((second.tls.channel_binding(), server.connections[1].tls.channel_binding()))
        second.drop()
    assert second.tls.resumed
    assert server.connections[1].tls.resumed
    for ours, theirs in bindings:
        assert ours is not None
        assert len(ours) == (12 if versions is TLS12 else 32)
        assert ours == theirs
    assert bindings[0] != bindings[1]


@VERSIONS
async def test_a_session_of_another_credential_is_refused(versions: Versions) -> None:
    """Resuming after a renewal would present the old certificate, so the constructor says no; nothing stays open."""
    renewed = make_credential(WORLD.device_ca, "device")
    context = WORLD.client_context(versions=versions)
    async with tls_server(answering(OK)) as server:
        kept = await kept_session(await dial(server.endpoint, context))
        for credential, other in ((renewed, context), (None, context), (WORLD.device, WORLD.client_context(alpn=()))):
            with pytest.raises(ForeignSession):
                await dial(server.endpoint, other, credential, resume=kept)


async def kept_session(connection: TlsConnection) -> Resumable:
    """Use a connection once and keep its session."""
    await ask(connection)
    kept = connection.tls.session()
    connection.drop()
    assert kept is not None
    return kept


async def test_a_server_without_tickets_shakes_hands_in_full_again() -> None:
    """An offered session that is not taken is no error."""
    async with tls_server(answering(OK), WORLD.server_context(tickets=False)) as server:
        kept = await kept_session(await dial(server.endpoint, WORLD.client_context(versions=TLS12)))
        again = await dial(server.endpoint, WORLD.client_context(versions=TLS12), resume=kept)
        assert not again.tls.resumed
        again.drop()


@VERSIONS
async def test_refusing_at_the_application_lets_a_bad_certificate_in_and_notes_why(versions: Versions) -> None:
    """The handshake succeeds, and the server knows OpenSSL's code and depth."""
    expired = make_credential(WORLD.device_ca, "device", ends_in=dt.timedelta(hours=-1))
    lenient = WORLD.server_context(refuse_at=RefuseAt.APPLICATION, verify=Verify.REQUEST)
    async with tls_server(answering(OK), lenient) as server:
        connection = await dial(server.endpoint, WORLD.client_context(versions=versions), expired)
        assert (await ask(connection)).status == 200
        connection.drop()
    assert server.connections[0].tls.client_problems == [(0, 10)]
    peer = server.connections[0].tls.peer_certificate
    assert peer is not None
    assert peer.der == expired.certificate_der


CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")


@pytest.mark.parametrize("alone", [False, True])
async def test_a_registration_authority_needs_no_host_name(*, alone: bool) -> None:
    """With explicit anchors id-kp-cmcRA stands for the host name, also as the only purpose if asked; else never."""
    usages = (CMC_RA,) if alone else (CMC_RA, ExtendedKeyUsageOID.SERVER_AUTH)
    authority = make_credential(WORLD.server_ca, "RA", hosts=("elsewhere.example",), usages=usages)
    async with tls_server(answering(OK), credential=authority) as server:
        connection = await dial(server.endpoint, WORLD.client_context(cmc_ra=True, cmc_ra_alone=alone))
        assert (await ask(connection)).status == 200
        connection.drop()
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint, WORLD.client_context())
        assert caught.value.verify_code == (26 if alone else 62)


async def test_another_purpose_is_not_forgiven() -> None:
    """A client's certificate does not serve, whatever is forgiven to registration authorities."""
    client = make_credential(WORLD.server_ca, "client", hosts=("127.0.0.1",), usages=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    async with tls_server(answering(OK), credential=client) as server:
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint, WORLD.client_context(cmc_ra=True, cmc_ra_alone=True))
    assert (caught.value.alert, caught.value.verify_code) == ("unsupported_certificate", 26)


@pytest.mark.parametrize("group", ["x25519", "p-256", "p-384", "p-521"])
async def test_the_group_negotiated_is_the_one_offered(group: str) -> None:
    """What a context offers is what is spoken and recorded."""
    anything = WORLD.server_context(groups=("x25519", "p-256", "p-384", "p-521"))
    async with tls_server(answering(OK), anything) as server:
        connection = await dial(server.endpoint, WORLD.client_context(versions=TLS13, groups=(group,)))
        assert connection.tls.group == group
        connection.drop()


async def test_a_server_without_https_is_no_tls_peer() -> None:
    """Garbage instead of a ServerHello is a failed handshake with OpenSSL's reason."""
    async with tls_server(answering(OK), raw=b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint)
    assert (caught.value.phase, caught.value.trouble) == (Phase.HANDSHAKE, Trouble.TLS)
    assert caught.value.reason


async def test_handshakes_that_fail_do_not_disturb_their_neighbours() -> None:
    """Of many interleaved handshakes exactly the bad ones fail, each with its own alert."""
    expired = make_credential(WORLD.device_ca, "device", ends_in=dt.timedelta(hours=-1))
    kinds = {"good": WORLD.device, "expired": expired, "none": None}
    results: list[tuple[str, str | None]] = []

    async def one(kind: str) -> None:
        try:
            connection = await dial(server.endpoint, deadlines=PATIENT, credential=kinds[kind])
        except TransportFailed as failed:
            results.append((kind, failed.alert))
            return
        try:
            await ask(connection)
        except TransportFailed as failed:
            results.append((kind, failed.alert))
        else:
            results.append((kind, "fine"))
        finally:
            connection.drop()

    started = time.monotonic()
    async with tls_server(answering(OK)) as server, trio.open_nursery() as nursery:
        for index in range(60):
            nursery.start_soon(one, ("good", "expired", "good", "none")[index % 4])
    assert time.monotonic() - started < 10
    assert set(results) == {("good", "fine"), ("expired", "certificate_expired"), ("none", "certificate_required")}
    assert len(results) == 60


def test_an_old_hash_is_told_by_name() -> None:
    """OpenSSL says of a certificate below the root that a digest is too weak, and not which."""
    assert verify_reason(10) == "certificate has expired"
    assert verify_reason(68).startswith("signed with SHA-1 or MD5, which is not accepted (")
