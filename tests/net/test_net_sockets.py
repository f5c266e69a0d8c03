"""The addresses that connections leave from, and the sockets of those that left without a word."""

import logging
import resource
import socket

import pytest
import trio
from net_kit import answering, ask, dial, open_descriptors, tls_server

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.est.url import Origin
from estsim.net.connection import TlsConnection
from estsim.net.sockets import Source, Vanished, held_at_most, prepare_reset, unusable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ELSEWHERE = Source("192.0.2.7")  # RFC 5737: documentation


async def test_a_connection_leaves_from_its_source_address() -> None:
    """The server sees it come from there."""
    peers: list[str] = []

    async def note(connection: TlsConnection) -> None:
        peers.append(connection._socket.getpeername()[0])
        await answering(OK)(connection)

    async with tls_server(note) as server:
        for address in ("127.0.0.2", "127.0.0.3"):
            connection = await dial(server.endpoint, source=Source(address))
            await ask(connection)
            connection.drop()
    assert peers == ["127.0.0.2", "127.0.0.3"]


async def test_a_port_is_chosen_when_it_is_known_where_to() -> None:
    """Bound sockets have none yet, so that two connections may share one."""
    with socket.socket() as sock:
        Source("127.0.0.2").bind(sock)
        assert sock.getsockname() == ("127.0.0.2", 0)


async def test_an_address_that_is_not_ours_is_the_generators_fault() -> None:
    """It is named, and nothing stays open."""
    before = open_descriptors()
    async with tls_server(answering(OK)) as server:
        with pytest.raises(TransportFailed) as caught:
            await dial(server.endpoint, source=ELSEWHERE)
    assert (caught.value.phase, caught.value.trouble) == (Phase.CONNECT, Trouble.GENERATOR)
    assert "192.0.2.7" in caught.value.reason
    assert open_descriptors() == before


async def test_a_source_of_another_family_reaches_nothing() -> None:
    """IPv6 does not lead to an IPv4 server."""
    with pytest.raises(TransportFailed, match="no address of the same family as the source address ::1"):
        await dial(Origin("127.0.0.1", 443), source=Source("::1"))


def test_what_cannot_be_used_is_told_before() -> None:
    """One line each; those that can are passed over."""
    foreign, wrong = unusable([Source("127.0.0.2"), ELSEWHERE, Source("here")])
    assert foreign.startswith("the source address 192.0.2.7 cannot be used: ")
    assert wrong == "the source address here is not an IPv4 or IPv6 address"


def test_the_oldest_of_too_many_vanished_is_let_go_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """Once, with the limit."""
    before = open_descriptors()
    held = Vanished(limit=2)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            held.hold(socket.socket())
    assert (len(held), held.dropped) == (2, 2)
    assert open_descriptors() == before + 2
    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        "2 connections of vanished devices are held open"
    ]
    held.release()
    assert open_descriptors() == before


def test_half_of_the_descriptors_may_be_held() -> None:
    """Of those that this process may open now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert held_at_most() == min(1 << 20, soft // 2)


async def test_a_server_hears_of_one_that_is_let_go() -> None:
    """Not before; then it is a reset."""
    held, seen = Vanished(limit=1), list[Trouble]()

    async def note(connection: TlsConnection) -> None:
        try:
            await connection.receive()
        except TransportFailed as failed:
            seen.append(failed.trouble)

    async with tls_server(note) as server:
        connection = await dial(server.endpoint)
        prepare_reset(connection._socket)
        held.hold(connection._socket)
        with trio.move_on_after(0.05):
            while not seen:
                await trio.lowlevel.checkpoint()
        assert seen == []
        held.release()
        with trio.fail_after(5):
            while not seen:
                await trio.lowlevel.checkpoint()
    assert seen == [Trouble.RESET]
