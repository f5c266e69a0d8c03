"""What takes long to read is read beside the event loop: one server's megabyte holds up nobody else's wait."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from der_writer import common_name
from foreign_pki import ForeignCA, certs_only, make_key, spki_of
from foreign_runs import Keys, play_against
from odd_server import Answer, Asked, OddServer, answer, certificates_answer, odd_server

MOST_S = 0.02  # of CPU: a third of what the quickest of these takes
COHORT: Keys = {"enroll": {"cacerts": "once", "then": "give_up"}, "retry": {"attempts": 1}}


def many_certificates() -> bytes:
    """Return a megabyte of CA certificates, all different."""
    ca, key = ForeignCA(), make_key()
    message = certs_only(ca.der, *(ca.issue(common_name(f"device {n}"), spki_of(key)) for n in range(2400)))
    return certificates_answer(message)


def tiny_chunks() -> Iterator[bytes]:
    """Yield an answer in chunks of one byte, a record of many at a time."""
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(6):
        yield b"1\r\nA\r\n" * 2700


def many_fields() -> bytes:
    """Return an answer of as many header fields as there is room for."""
    return answer(400, headers=[("a", "")] * 11_000, reason="Bad Request")


@pytest.mark.alone
@pytest.mark.parametrize("made", [many_certificates, tiny_chunks, many_fields])
async def test_a_large_answer_stalls_nobody(made: Callable[[], bytes | Iterator[bytes]], tmp_path: Path) -> None:
    """From the first request on, the thread of the event loop works for no more than this between two passes."""
    said = made()
    longest_s, passes = 0.0, 0

    def handler(_: Asked) -> Answer:
        return Answer([said] if isinstance(said, bytes) else tiny_chunks())

    async def watch(server: OddServer, done: trio.Event) -> None:
        nonlocal longest_s, passes
        while not server.asked:  # noqa: ASYNC110 - its threads announce nothing
            await trio.sleep(0.001)
        before_s = time.thread_time()
        while not done.is_set():
            await trio.lowlevel.checkpoint()
            now_s = time.thread_time()
            longest_s, before_s, passes = max(longest_s, now_s - before_s), now_s, passes + 1

    with odd_server(handler, tmp_path / "server") as server:
        async with trio.open_nursery() as nursery:
            done = trio.Event()
            nursery.start_soon(watch, server, done)
            played = await play_against("trio", server, tmp_path, devices=1, cohort=COHORT)
            done.set()
    assert played.story[0][0][:2] == ("cacerts", "plan")
    assert passes > 3
    assert longest_s < MOST_S
