"""Opening, deadlines and leaving: every way a connection can fail has its phase, and none leaves a descriptor."""

import errno
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from net_kit import PATIENT, TLS12, TLS13, WORLD, answering, ask, dial, open_descriptors, tcp_server, tls_server

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.est.url import Origin
from estsim.net.connection import Close, TlsConnection, WireStamps
from estsim.net.contexts import TlsVersion
from estsim.net.opening import Deadlines
from estsim.net.resolver import Resolver
from estsim.net.serving import serve_handshake
from estsim.net.sockets import transport_failure

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
VERSIONS = pytest.mark.parametrize("versions", [TLS12, TLS13], ids=["1.2", "1.3"])


async def silent(stream: trio.SocketStream) -> None:
    """Accept and say nothing until the client leaves."""
    async with stream:
        while await stream.receive_some():
            pass


async def hold(connection: TlsConnection) -> None:
    """Read until the client leaves."""
    while await connection.receive():
        pass


@contextmanager
def refusing_port() -> Iterator[int]:
    """Give a port of loopback on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def test_a_refused_port_fails_in_connect() -> None:
    """Nobody listening is connect, refused, with the address in the reason."""
    stamps = WireStamps()
    with refusing_port() as port, pytest.raises(TransportFailed) as caught:
        await dial(Origin("127.0.0.1", port), stamps=stamps)
    assert (caught.value.phase, caught.value.trouble) == (Phase.CONNECT, Trouble.REFUSED)
    assert str(port) in caught.value.reason
    assert stamps == WireStamps()


async def test_an_unknown_name_fails_in_resolve() -> None:
    """RFC 6761 reserves .invalid: it never resolves."""
    with pytest.raises(TransportFailed) as caught:
        await dial(Origin("nobody.invalid", 443))
    assert (caught.value.phase, caught.value.trouble) == (Phase.RESOLVE, Trouble.REFUSED)
    assert "nobody.invalid" in caught.value.reason


async def test_a_name_with_several_addresses_is_tried_until_one_answers() -> None:
    """A server on one of localhost's addresses is found, and the address that worked comes first from then on."""
    resolver = Resolver()
    async with tls_server(answering(OK)) as server:
        endpoint = Origin("localhost", server.endpoint.port)
        found = await resolver.resolve(endpoint)
        worked = next(address for address in found if address.family is socket.AF_INET)
        connection = await dial(endpoint)
        assert (await ask(connection)).status == 200
        connection.drop()
    resolver.prefer(endpoint, worked)
    assert resolver.known(endpoint)[:1] == (worked,)  # type: ignore[index]  # it was resolved above
    assert set(resolver.known(endpoint) or ()) == set(found)


async def test_a_herd_asks_for_a_name_once() -> None:
    """Those who come while the question is open share its answer."""
    resolver, answers = Resolver(), []

    async def ask_for_it() -> None:
        answers.append(await resolver.resolve(Origin("localhost", 443)))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask_for_it)
    assert len(answers) == 20
    assert len({id(answer) for answer in answers}) == 1


async def test_a_server_that_never_shakes_hands_meets_the_handshake_deadline() -> None:
    """TCP accepted and nothing more: handshake, timeout, with the limit in the reason."""
    stamps = WireStamps()
    async with tcp_server(silent) as server:
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint, deadlines=Deadlines(5, 0.05, 5), stamps=stamps)
    assert (caught.value.phase, caught.value.trouble) == (Phase.HANDSHAKE, Trouble.TIMEOUT)
    assert "0.05 s" in caught.value.reason
    assert stamps.connected_ns is not None
    assert stamps.handshaken_ns is None


async def test_a_full_backlog_meets_the_connect_deadline() -> None:
    """A listener that accepts nobody leaves the connection unanswered: connect, timeout."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        endpoint = Origin("127.0.0.1", listener.getsockname()[1])
        with socket.create_connection(listener.getsockname()), pytest.raises(TransportFailed) as caught:
            await dial(endpoint, deadlines=Deadlines(0.1, 5, 5))
    assert (caught.value.phase, caught.value.trouble) == (Phase.CONNECT, Trouble.TIMEOUT)


async def test_a_server_that_closes_in_the_handshake_is_a_reset() -> None:
    """An end of stream instead of a ServerHello."""

    async def close_at_once(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.aclose()

    async with tcp_server(close_at_once) as server:
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint)
    assert (caught.value.phase, caught.value.trouble) == (Phase.HANDSHAKE, Trouble.RESET)


async def test_a_reset_in_the_handshake_is_a_reset() -> None:
    """RST instead of a ServerHello."""

    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    async with tcp_server(reset) as server:
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint)
    assert (caught.value.phase, caught.value.trouble) == (Phase.HANDSHAKE, Trouble.RESET)


async def test_running_out_of_descriptors_is_the_generators_fault() -> None:
    """With no descriptor left the failure names what ran out, not the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with tls_server(hold) as server:
        lowest_free = socket.socket().detach()
        socket.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            with pytest.raises(TransportFailed) as caught:
                await dial(server.endpoint)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (caught.value.phase, caught.value.trouble) == (Phase.CONNECT, Trouble.GENERATOR)
    assert "file descriptors" in caught.value.reason


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM])
def test_what_runs_out_here_is_never_the_servers(code: int) -> None:
    """Each of our own limits is trouble of the generator with a reason that names it."""
    failed = transport_failure(OSError(code, "x"), Phase.CONNECT, "host:1")
    assert failed.trouble is Trouble.GENERATOR
    assert errno.errorcode[code] in failed.reason


def test_a_name_that_is_unknown_and_a_resolver_that_broke_differ() -> None:
    """The server's name may be wrong; a resolver without memory is ours."""
    unknown = transport_failure(socket.gaierror(socket.EAI_NONAME, "unknown"), Phase.RESOLVE)
    broken = transport_failure(socket.gaierror(socket.EAI_MEMORY, "memory"), Phase.RESOLVE)
    assert (unknown.trouble, broken.trouble) == (Trouble.REFUSED, Trouble.GENERATOR)


@VERSIONS
async def test_cancelling_at_any_point_leaks_no_descriptor(versions: tuple[TlsVersion, TlsVersion]) -> None:
    """Cut at every await of an opening and an exchange: as many descriptors as before, on both sides."""
    context = WORLD.client_context(versions=versions)
    async with tls_server(answering(OK)) as server:
        before = open_descriptors()
        finished = 0
        for passes in range(40):
            finished += await cut_after(passes, server.endpoint, context)
        with trio.fail_after(5):
            while open_descriptors() != before:
                await trio.lowlevel.checkpoint()
    assert 0 < finished < 40


async def cut_after(passes: int, endpoint: Origin, context: object) -> int:
    """Start an exchange and cancel it after so many passes of the loop; 1 when it was over before."""
    done = 0

    async def one() -> None:
        nonlocal done
        connection = await dial(endpoint, context)  # type: ignore[arg-type]  # a TlsContext
        try:
            await ask(connection)
            done = 1
        finally:
            await connection.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return done


async def test_a_client_that_never_speaks_meets_the_servers_deadline() -> None:
    """The server's handshake has a deadline too, and closes."""
    failures: list[TransportFailed] = []

    async def serve(stream: trio.SocketStream) -> None:
        with pytest.raises(TransportFailed) as caught:
            await serve_handshake(stream, WORLD.server_context(), WORLD.server, deadline_s=0.05)
        failures.append(caught.value)

    async with tcp_server(serve) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.endpoint.port)
        with trio.fail_after(5):
            assert await stream.receive_some() == b""
        await stream.aclose()
    assert (failures[0].phase, failures[0].trouble) == (Phase.HANDSHAKE, Trouble.TIMEOUT)


@VERSIONS
@pytest.mark.parametrize("how", list(Close))
async def test_how_a_device_leaves_is_what_the_server_sees(how: Close, versions: tuple[TlsVersion, TlsVersion]) -> None:
    """FIN: close_notify. RST: a reset. Vanished: not a word, as long as anyone waits."""
    seen: list[object] = []

    async def watch(connection: TlsConnection) -> None:
        with trio.move_on_after(0.1 if how is Close.VANISH else 5) as waiting:
            try:
                await connection.receive()
                seen.append(("end", connection.truncated))
            except TransportFailed as failed:
                seen.append(failed.trouble)
        if waiting.cancelled_caught:
            seen.append("nothing")

    async with tls_server(watch) as server:
        connection = await dial(server.endpoint, WORLD.client_context(versions=versions))
        with trio.CancelScope() as cancelled:
            cancelled.cancel()
            await connection.close(how)  # is quick even where everything else would be cancelled
        await connection.close(how)
        assert connection.closed
        with trio.fail_after(5):
            while not seen:
                await trio.lowlevel.checkpoint()
    assert seen == [{Close.FIN: ("end", False), Close.RST: Trouble.RESET, Close.VANISH: "nothing"}[how]]


async def test_an_end_without_close_notify_is_told_apart() -> None:
    """A server that just closes its socket leaves a truncated stream, not an error."""

    async def vanish(connection: TlsConnection) -> None:
        connection._socket.shutdown(socket.SHUT_WR)
        await hold(connection)

    async with tls_server(vanish) as server:
        connection = await dial(server.endpoint)
        assert await connection.receive() == b""
        assert connection.truncated
        assert await connection.receive() == b""
        connection.drop()


async def test_large_messages_pass_both_ways() -> None:
    """Megabytes survive partial sends in both directions at once."""
    payload = bytes(range(256)) * 8192

    async def echo(connection: TlsConnection) -> None:
        while chunk := await connection.receive():
            await connection.send_all(chunk)

    async with tls_server(echo) as server:
        connection = await dial(server.endpoint, deadlines=PATIENT)
        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.send_all, payload)
            while len(received) < len(payload):
                received += await connection.receive()
        connection.drop()
    assert bytes(received) == payload
