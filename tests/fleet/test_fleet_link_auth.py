"""Proof and freshness: what an honest pair says is taken, and nothing else is, whoever has recorded what."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.fleet.link_auth import LARGEST_BYTES, Channel, LinkRefused, MasterLink, WorkerLink, is_node
from estsim.fleet.link_secret import NO_SECRET, Secret
from estsim.fleet.master_messages import CLOCK, JOIN, PLAN, PROTOCOL, WORKER_REPORT

SECRET: Final = Secret(b"s" * 32)
OTHER: Final = Secret(b"o" * 32)
NODE: Final = "host_1"


def joined(secret: Secret = SECRET, node: str = NODE) -> tuple[MasterLink, WorkerLink]:
    """Return a master and a worker that has joined it."""
    master, worker = MasterLink(secret), WorkerLink(secret, node, "0.1.0")
    assert worker.prove(master.challenge(node, worker.hello()))
    assert worker.channel is not None
    assert master.join(node, JOIN, worker.channel.seal(JOIN, {"public_key": b"key"})) == {"public_key": b"key"}
    return master, worker


def channels(secret: Secret = SECRET, node: str = NODE) -> tuple[Channel, Channel]:
    """Return both ends of a session: the master's, the worker's."""
    master, worker = joined(secret, node)
    assert worker.channel is not None
    return master.joined[node], worker.channel


@pytest.mark.parametrize("secret", [SECRET, NO_SECRET])
def test_an_honest_pair_understands_each_other(secret: Secret) -> None:
    """In both directions, any number of times, with messages lost on the way."""
    master, worker = channels(secret)
    for number in range(3):
        assert worker.unseal(PLAN, master.seal(PLAN, {"run_id": number})) == {"run_id": number}
        worker.seal(CLOCK, "lost")
        assert master.unseal(WORKER_REPORT, worker.seal(WORKER_REPORT, [b"parcel", number])) == [b"parcel", number]


def test_nobody_joins_without_the_secret() -> None:
    """Neither is the worker with another one answered, nor does a worker take the word of a master with another."""
    worker = WorkerLink(OTHER, NODE, "0.1.0")
    with pytest.raises(LinkRefused, match="have different link secrets"):
        MasterLink(SECRET).challenge(NODE, worker.hello())
    assert worker.channel is None
    false = MasterLink(OTHER)
    worker = WorkerLink(SECRET, NODE, "0.1.0")
    hello = worker.hello()
    forged = {**false.challenge(NODE, WorkerLink(OTHER, NODE, "0.1.0").hello()), "hello": hello["nonce"]}
    with pytest.raises(LinkRefused, match="failed authentication"):
        worker.prove(forged)
    assert worker.channel is None


@pytest.mark.parametrize(
    ("of_master", "of_worker", "words"),
    [
        (SECRET, NO_SECRET, "this master has a link secret, but worker host_1 has none"),
        (NO_SECRET, SECRET, "worker host_1 has a link secret, but this master has none"),
    ],
)
def test_a_secret_on_one_side_is_told(of_master: Secret, of_worker: Secret, words: str) -> None:
    """Which side lacks it."""
    with pytest.raises(LinkRefused, match=words):
        MasterLink(of_master).challenge(NODE, WorkerLink(of_worker, NODE, "0.1.0").hello())


@pytest.mark.parametrize("protocol", [1, 3, None, "2", [2], True])
def test_another_protocol_is_named(protocol: object) -> None:
    """A worker of another estsim hears which two do not fit; its words are escaped."""
    hello = {"protocol": protocol, "version": "9\x1b[2J\n", "public_key": b""}
    with pytest.raises(LinkRefused, match=f"this master uses {PROTOCOL}, worker host_1 uses ") as refused:
        MasterLink(SECRET).challenge(NODE, hello)
    assert str(refused.value).isprintable()


def test_a_recorded_session_joins_no_master() -> None:
    """Not a fresh one, nor the same one again: its nonce is another each time."""
    first, worker = MasterLink(SECRET), WorkerLink(SECRET, NODE, "0.1.0")
    hello = worker.hello()
    worker.prove(first.challenge(NODE, hello))
    assert worker.channel is not None
    join = worker.channel.seal(JOIN, {"public_key": b"key"})
    first.join(NODE, JOIN, join)
    worker_report = worker.channel.seal(WORKER_REPORT, b"parcel")
    for master in (first, MasterLink(SECRET)):
        master.challenge(NODE, hello)
        for name, recorded in ((JOIN, join), (WORKER_REPORT, worker_report)):
            if master is first and name == WORKER_REPORT:
                continue  # not heard before: it is the session's own next word
            with pytest.raises(LinkRefused):
                master.join(NODE, name, recorded)
    with pytest.raises(LinkRefused, match="has not joined"):
        MasterLink(SECRET).unseal(NODE, WORKER_REPORT, worker_report)


def test_a_hello_said_again_ends_no_session() -> None:
    """Whoever has recorded it gets a challenge that nobody answers; the worker is heard on."""
    master, worker = MasterLink(SECRET), WorkerLink(SECRET, NODE, "0.1.0")
    hello = worker.hello()
    worker.prove(master.challenge(NODE, hello))
    assert worker.channel is not None
    master.join(NODE, JOIN, worker.channel.seal(JOIN, 1))
    assert worker.prove(master.challenge(NODE, hello)) is False
    assert master.unseal(NODE, CLOCK, worker.channel.seal(CLOCK, 2)) == 2
    assert master.join(NODE, JOIN, worker.channel.seal(JOIN, 3)) == 3


def test_a_hello_that_comes_twice_is_answered_as_before() -> None:
    """Somebody on the way who says each message again keeps nobody from joining."""
    master, worker = MasterLink(SECRET), WorkerLink(SECRET, NODE, "0.1.0")
    hello = worker.hello()
    challenge = master.challenge(NODE, hello)
    assert master.challenge(NODE, hello) == challenge
    assert worker.prove(challenge)
    assert worker.prove(challenge) is False
    assert worker.channel is not None
    join = worker.channel.seal(JOIN, 1)
    assert master.join(NODE, JOIN, join) == 1
    with pytest.raises(LinkRefused, match="was replayed"):
        master.join(NODE, JOIN, join)


def test_an_old_hello_keeps_nobody_from_joining() -> None:
    """Said again after the one that counts: its answer is nobody's."""
    master, worker = MasterLink(SECRET), WorkerLink(SECRET, NODE, "0.1.0")
    old, hello = worker.hello(), worker.hello()
    challenge = master.challenge(NODE, hello)
    assert worker.prove(master.challenge(NODE, old)) is False
    assert worker.prove(challenge)
    assert worker.channel is not None
    assert master.join(NODE, JOIN, worker.channel.seal(JOIN, 1)) == 1
    assert master.unseal(NODE, CLOCK, worker.channel.seal(CLOCK, 2)) == 2


def test_a_worker_that_joins_anew_has_another_session() -> None:
    """Words of the one before are not taken any more."""
    master, worker = joined()
    old = worker.channel
    assert old is not None
    worker.prove(master.challenge(NODE, worker.hello()))
    assert worker.channel is not None
    master.join(NODE, JOIN, worker.channel.seal(JOIN, None))
    with pytest.raises(LinkRefused, match="failed authentication"):
        master.unseal(NODE, CLOCK, old.seal(CLOCK, 1))


Forge = Callable[[list[Any], Channel, Channel], tuple[str, object]]  # of a sealed message, by the worker, the master


@pytest.mark.parametrize(
    "forge",
    [
        lambda said, _worker, _master: (PLAN, said),  # under another name
        lambda said, _worker, _master: (WORKER_REPORT, [said[0] + 1, *said[1:]]),  # under another number
        lambda said, _worker, _master: (WORKER_REPORT, [said[0], said[1][:-1], said[2]]),  # cut
        lambda said, _worker, _master: (WORKER_REPORT, [said[0], said[1] + b"\x00", said[2]]),  # longer
        lambda said, _worker, _master: (WORKER_REPORT, [said[0], said[1], said[2][:-1]]),  # its proof cut
        lambda said, _worker, _master: (WORKER_REPORT, [said[0], said[1], b""]),
        lambda said, _worker, _master: (WORKER_REPORT, [said[0], said[1], bytes(32)]),
        lambda said, _worker, _master: (WORKER_REPORT, said[:2]),
        lambda _said, _worker, master: (WORKER_REPORT, master.seal(WORKER_REPORT, b"parcel")),  # the master's own
        lambda _said, _worker, _master: (WORKER_REPORT, channels()[1].seal(WORKER_REPORT, b"parcel")),  # another's
        lambda _said, _worker, _master: (WORKER_REPORT, channels(node="host_2")[1].seal(WORKER_REPORT, b"parcel")),
        lambda _said, _worker, _master: (WORKER_REPORT, channels(OTHER)[1].seal(WORKER_REPORT, b"parcel")),
        lambda _said, _worker, _master: (WORKER_REPORT, {"parcel": b"parcel"}),  # as protocol 1 had it
    ],
)  # fmt: skip
def test_what_was_not_said_so_is_not_taken(forge: Forge) -> None:
    """Changed in any part, cut, reflected, of another session, worker or secret; the true one is taken after it."""
    master, worker = channels()
    said = worker.seal(WORKER_REPORT, b"parcel")
    name, forged = forge(said, worker, master)
    with pytest.raises(LinkRefused):
        master.unseal(name, forged)
    assert master.unseal(WORKER_REPORT, said) == b"parcel"


def test_what_was_heard_is_not_taken_again() -> None:
    """Nor anything that was said before it and comes after."""
    master, worker = channels()
    early, late = worker.seal(WORKER_REPORT, 1), worker.seal(WORKER_REPORT, 2)
    assert master.unseal(WORKER_REPORT, late) == 2
    for again in (early, late):
        with pytest.raises(LinkRefused, match="was replayed or arrived out of order"):
            master.unseal(WORKER_REPORT, again)


def test_hellos_without_end_take_bounded_memory() -> None:
    """Those that nobody follows up are forgotten, the oldest first."""
    master = MasterLink(NO_SECRET)
    for number in range(3000):
        node = f"host_{number}"
        master.challenge(node, WorkerLink(NO_SECRET, node, "0").hello())
    assert len(master._pending) == 1024
    assert master.joined == {}


def test_what_is_too_large_is_refused_unread() -> None:
    """Before its proof is looked at: nobody keeps us busy with it."""
    master, worker = channels()
    large = worker.seal(CLOCK, bytes(5000))
    with pytest.raises(LinkRefused, match="its counter, size or MAC is wrong"):
        master.unseal(CLOCK, large)
    assert master.unseal(WORKER_REPORT, worker.seal(WORKER_REPORT, bytes(5000))) == bytes(5000)
    assert LARGEST_BYTES[WORKER_REPORT] == 64 * 2**20


ANYTHING: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.just(msgpack.ExtType(5, b"x"))
    | st.just(msgpack.Timestamp(1)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["protocol", "version", "nonce", "secret", "mac", "hello", "sealed"]), inner)
    ),
    max_leaves=12,
)


@given(ANYTHING)
def test_whatever_a_stranger_says_is_refused(content: object) -> None:
    """By LinkRefused alone, in words that a terminal only shows; a challenge may be the answer to another hello."""
    master, worker = MasterLink(SECRET), WorkerLink(SECRET, NODE, "0")
    worker.hello()
    for take in (
        lambda: master.challenge(NODE, content),
        lambda: master.join(NODE, JOIN, content),
        lambda: master.unseal(NODE, WORKER_REPORT, content),
        lambda: channels()[0].unseal(WORKER_REPORT, content),
    ):
        with pytest.raises(LinkRefused) as refused:
            take()
        assert str(refused.value).isprintable()
    with suppress(LinkRefused):
        assert worker.prove(content) is False
    assert worker.channel is None


@pytest.mark.parametrize(
    ("name", "can"),
    [
        ("host_1", True),
        ("é" * 127, True),
        ("é" * 128, False),
        ("", False),
        ("\ud800", False),
        (5, False),
        (None, False),
    ],
)
def test_what_can_be_a_worker_s_name(name: object, can: bool) -> None:  # noqa: FBT001 - a table's column
    """ZeroMQ's names have 255 bytes at most."""
    assert is_node(name) is can
