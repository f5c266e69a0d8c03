"""Which messages a worker takes for its master's own, over every kind of message and every kind of forger."""

from typing import Any, Final

import msgpack
import pytest

from estsim.fleet.link_auth import MasterLink
from estsim.fleet.link_secret import NO_SECRET, Secret
from estsim.fleet.master_messages import CHALLENGE, CLOCK, HELLO, JOIN, PLAN, PROTOCOL, REFUSED, WORKER_REPORT
from estsim.locust.worker.messages import (
    Ack,
    Beat,
    ClientReady,
    ClockAsked,
    ClockTold,
    FromMaster,
    FromWorker,
    Hello,
    Join,
    Plan,
    Proved,
    QuitOrder,
    Refused,
    ReportSent,
    StopOrder,
    Unproved,
)
from estsim.locust.worker.peer import Peer
from estsim.locust.worker.protocol import LinkError

NODE: Final = "host_1"
SECRET: Final = Secret(b"s" * 32)
OTHER: Final = Secret(b"o" * 32)
TIME: Final = {"sent_s": 1.0, "master_s": 2.0}


class Master:
    """A master that says what it is told to; ``link`` is an honest one's."""

    def __init__(self, secret: Secret = SECRET) -> None:
        self.link = MasterLink(secret)
        self.peer = Peer(SECRET if secret is not NO_SECRET else NO_SECRET, NODE, version="0.1.0", public_key=b"key")

    def take_in(self) -> "Master":
        """Let the worker join."""
        challenge = self.link.challenge(NODE, content(self.peer.encode(Hello()), HELLO))
        assert self.says(CHALLENGE, challenge) == Proved()
        assert self.link.join(NODE, JOIN, content(self.peer.encode(Join()), JOIN)) == {"public_key": b"key"}
        return self

    def seals(self, kind: str, said: object) -> FromMaster:
        """Say something sealed."""
        return self.says(kind, self.link.joined[NODE].seal(kind, said))

    def says(self, kind: str, said: object) -> FromMaster:
        """Say something as it is."""
        return self.peer.decode(msgpack.packb([kind, said, NODE]))


def content(raw: bytes, kind: str) -> Any:  # noqa: ANN401 - what msgpack brings
    """Return what a worker's message says."""
    said, inside, node = msgpack.unpackb(raw)
    assert (said, node) == (kind, NODE)
    return inside


@pytest.mark.parametrize("secret", [SECRET, NO_SECRET])
def test_a_master_that_has_proved_the_secret_is_heard(secret: Secret) -> None:
    """Its sealed messages, and Locust's as they come."""
    master = Master(secret).take_in()
    assert master.seals(PLAN, {"run_id": "r1"}) == Plan({"run_id": "r1"})
    assert master.seals(CLOCK, TIME) == ClockTold(1.0, 2.0)
    assert master.seals(REFUSED, {"why": "no"}) == Refused("no")
    assert master.says("heartbeat", None) == Beat()


def test_what_a_worker_says_is_sealed() -> None:
    """Estsim's own, each with a number of its own; Locust's as Locust has them."""
    master = Master().take_in()
    messages: list[tuple[FromWorker, str]] = [
        (ClockAsked(1.5), CLOCK),
        (ReportSent("r1", b"parcel", None, None, last=True), WORKER_REPORT),
        (Join(), JOIN),
    ]
    for number, (message, kind) in enumerate(messages, start=1):
        sealed = content(master.peer.encode(message), kind)
        assert sealed[0] == number
        assert master.link.unseal(NODE, kind, sealed)
    assert content(master.peer.encode(ClientReady()), "client_ready") == -1


def test_a_hello_tells_nothing_of_the_secret() -> None:
    """Nor is what a worker has there for the master only: its public key."""
    hello = content(Master().peer.encode(Hello()), HELLO)
    assert {**hello, "nonce": None, "mac": None} == {
        "protocol": PROTOCOL, "version": "0.1.0", "secret": True, "nonce": None, "mac": None,
    }  # fmt: skip
    assert SECRET.key not in msgpack.packb(hello)


@pytest.mark.parametrize(("kind", "said"), [(PLAN, {"run_id": "r1"}), (CLOCK, TIME), (REFUSED, {"why": "no"})])
def test_nothing_counts_unsealed(kind: str, said: dict[str, object]) -> None:
    """After the proof nothing at all; before it, a reason why there is no working here."""
    master = Master()
    if kind == REFUSED:
        assert master.says(kind, said) == Refused("no")
    else:
        with pytest.raises(LinkError, match=f"{kind}: arrived before the master proved"):
            master.says(kind, said)
    with pytest.raises(LinkError, match=f"{kind}: is not a session message"):
        master.take_in().says(kind, said)


def test_nothing_counts_twice_or_late_or_of_another() -> None:
    """A replay, what comes after a later one, what the worker itself has said, what another worker was told."""
    master, other = Master().take_in(), Master().take_in()
    early, late = (master.link.joined[NODE].seal(CLOCK, TIME) for _ in range(2))
    assert master.says(CLOCK, late) == ClockTold(1.0, 2.0)
    own = content(master.peer.encode(ClockAsked(1.0)), CLOCK)
    for forged in (early, late, own, other.link.joined[NODE].seal(CLOCK, TIME), [*late[:1], b"", *late[2:]]):
        with pytest.raises(LinkError, match=f"{CLOCK}: (failed authentication|was replayed)"):
            master.says(CLOCK, forged)
    assert master.seals(CLOCK, TIME) == ClockTold(1.0, 2.0)


def test_a_false_master_is_known_by_its_answer() -> None:
    """With another secret, with none, or with a proof for somebody else: there is no working for it."""
    for false in (MasterLink(OTHER), MasterLink(NO_SECRET)):
        master = Master()
        hello = content(master.peer.encode(Hello()), HELLO)
        somebody = Peer(false.secret, NODE, version="0", public_key=b"")
        challenge = false.challenge(NODE, content(somebody.encode(Hello()), HELLO))
        said = master.says(CHALLENGE, {**challenge, "hello": hello["nonce"]})
        assert isinstance(said, Unproved)
        assert "failed authentication" in said.why


def test_an_answer_to_another_hello_is_no_answer() -> None:
    """A recorded challenge, or one that a stranger has brought about by our recorded hello."""
    master = Master()
    recorded = master.link.challenge(NODE, content(master.peer.encode(Hello()), HELLO))
    assert master.says(CHALLENGE, recorded) == Proved()
    for challenge in (recorded, recorded):
        with pytest.raises(LinkError, match="does not match any hello we sent"):
            master.says(CHALLENGE, challenge)
    master.peer.encode(Hello())
    with pytest.raises(LinkError, match="does not match any hello we sent"):
        master.says(CHALLENGE, recorded)
    with pytest.raises(LinkError, match="arrived before the master proved"):
        master.says(PLAN, [0, b"", b""])


def test_a_worker_of_another_name_begins_anew() -> None:
    """Nothing of the session before counts."""
    master = Master().take_in()
    master.peer.forget("host_2")
    assert master.peer.node == "host_2"
    with pytest.raises(LinkError, match="arrived before the master proved"):
        master.seals(PLAN, {})


@pytest.mark.parametrize(
    ("kind", "message"), [("ack", Ack(-1)), ("stop", StopOrder()), ("quit", QuitOrder()), ("heartbeat", Beat())]
)
def test_locust_s_own_are_handed_on_as_they_come(kind: str, message: FromMaster) -> None:
    """What they count for is the session's to say."""
    assert Master().says(kind, None) == message
