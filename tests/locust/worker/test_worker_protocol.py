"""Locust's messages and estsim's own: what a worker says is what Locust reads, and nothing a master sends hurts."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.locust.worker.messages import (
    Ack,
    AllSpawned,
    Beat,
    ClientReady,
    ClientStopped,
    ClockAsked,
    ClockTold,
    Complaint,
    FromMaster,
    FromWorker,
    Heartbeat,
    Leaving,
    Plan,
    QuitOrder,
    ReconnectOrder,
    Refused,
    ReportSent,
    Spawn,
    Spawning,
    SpawningComplete,
    Stats,
    StopOrder,
    Unknown,
)
from estsim.locust.worker.protocol import LinkError, content_of, decode, encode, read

NODE = "host_0123"
SPAWN: dict[str, Any] = {
    "timestamp": 1000.5,
    "user_classes_count": {"Meter": 3, "Reader": 0},
    "host": None,
    "stop_timeout": None,
    "parsed_options": {"scenario": "power-cut", 1: [2]},
}
USERS = {"user_classes_count": {"Meter": 3}, "user_count": 3}


def said(kind: str, content: object) -> bytes:
    """Return what a master sends."""
    packed: bytes = msgpack.packb((kind, content, NODE))
    return packed


def heard(raw: bytes) -> FromMaster:
    """Return what a worker takes it for; of estsim's own, once it was opened."""
    return read(*decode(raw))


@pytest.mark.parametrize(
    ("message", "kind", "content"),
    [
        (ClientReady(), "client_ready", -1),
        (Spawning(), "spawning", None),
        (SpawningComplete({"Meter": 3}), "spawning_complete", USERS),
        (
            Heartbeat("running", 12.5, 1 << 20),
            "heartbeat",
            {"state": "running", "current_cpu_usage": 12.5, "current_memory_usage": 1 << 20},
        ),
        (Stats({"stats": [], "errors": {}}, {"Meter": 3}), "stats", {"stats": [], "errors": {}, **USERS}),
        (ClockAsked(5.5), "estsim-clock", {"sent_s": 5.5}),
        (
            ReportSent("r1", b"parcel", -0.25, 0.001, last=True),
            "estsim-parcel",
            {"run_id": "r1", "parcel": b"parcel", "offset_s": -0.25, "round_trip_s": 0.001, "last": True},
        ),
        (Complaint("no such file"), "exception", {"msg": "no such file", "traceback": ""}),
        (ClientStopped(), "client_stopped", None),
        (Leaving(), "quit", None),
    ],
)
def test_what_a_worker_says(message: FromWorker, kind: str, content: object) -> None:
    """Each message is Locust's triple of type, data and node id."""
    said = encode(message.kind, content_of(message), NODE)
    assert msgpack.unpackb(said, raw=False, strict_map_key=False) == [kind, content, NODE]


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("ack", {"index": 3}, Ack(3)),
        ("ack", None, Ack(-1)),
        ("spawn", SPAWN, Spawn(1000.5, {"Meter": 3, "Reader": 0}, options={"scenario": "power-cut", "1": [2]})),
        (
            "spawn",
            {**SPAWN, "host": "https://est", "stop_timeout": 2, "parsed_options": None},
            Spawn(1000.5, {"Meter": 3, "Reader": 0}, "https://est", 2.0),
        ),
        ("stop", None, StopOrder()),
        ("quit", None, QuitOrder()),
        ("reconnect", None, ReconnectOrder()),
        ("heartbeat", None, Beat()),
        ("spawning_complete", {"user_count": 3}, AllSpawned()),
        ("estsim-plan", {"version": 1}, Plan({"version": 1})),
        ("estsim-clock", {"sent_s": 1, "master_s": 2.5}, ClockTold(1.0, 2.5)),
        ("estsim-refused", {"why": "protocol 2"}, Refused("protocol 2")),
        ("update_user_class", {}, Unknown("update_user_class")),
    ],
)
def test_what_a_master_says(kind: str, content: object, message: FromMaster) -> None:
    """Each of its messages is read into a value of its own; one of a later Locust is known as unknown."""
    assert heard(said(kind, content)) == message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "expected a message in msgpack"),
        (b"\xc1", "expected a message in msgpack"),
        (b"HTTP/1.1 400 Bad Request\r\n", "expected a message in msgpack"),
        (b"\x91" * 100_000, "expected a message in msgpack"),
        (b"\xdd\x00\x0f\x00\x00" * 100_000, "expected a message in msgpack"),
        (msgpack.packb(["stop", [None] * 5000, NODE]), "expected a message in msgpack"),
        (msgpack.packb(["stop", dict.fromkeys(range(5000)), NODE]), "expected a message in msgpack"),
        (msgpack.packb(1), r"expected a message as \[type, data, node\] \(got 1\)"),
        (msgpack.packb(("spawn", {})), "expected a message as"),
        (msgpack.packb((1, {}, NODE)), "expected a message as"),
        (said("spawn", None), "spawn: cannot be read: None"),
        (said("spawn", {**SPAWN, "timestamp": float("nan")}), "spawn: cannot be read"),
        (said("spawn", {**SPAWN, "user_classes_count": {"Meter": -1}}), "spawn: cannot be read"),
        (said("spawn", {**SPAWN, "user_classes_count": {"Meter": 10**12}}), "spawn: cannot be read"),
        (said("spawn", {**SPAWN, "user_classes_count": {"Meter": True}}), "spawn: cannot be read"),
        (said("spawn", {**SPAWN, "parsed_options": 5}), "spawn: cannot be read"),
        (said("ack", {"index": "three"}), "ack: cannot be read"),
        (said("ack", 7), "ack: cannot be read: 7"),
        (said("estsim-clock", {"sent_s": 1}), "estsim-clock: cannot be read"),
        (said("estsim-refused", {"why": None}), "estsim-refused: cannot be read"),
    ],
)
def test_what_is_no_message(raw: bytes, words: str) -> None:
    """What cannot be read is told with what came."""
    with pytest.raises(LinkError, match=words):
        heard(raw)


def test_foreign_words_are_one_short_line() -> None:
    """A master cannot write escape sequences to the terminal, nor a page."""
    refused = heard(said("estsim-refused", {"why": "\x1b[2J" + "no\n" * 1000}))
    assert isinstance(refused, Refused)
    assert refused.why.isprintable()
    assert len(refused.why) < 600


def complaint(raw: bytes) -> str:
    """Return what is said of bytes that are no message, nothing where they are one."""
    try:
        heard(raw)
    except LinkError as error:
        return str(error)
    return ""


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_a_link_error(raw: bytes) -> None:
    """Whatever comes: no other exception."""
    assert not (told := complaint(raw)) or told.isprintable()


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)
_KINDS = ["ack", "spawn", "stop", "estsim-plan", "estsim-clock", "estsim-refused", "heartbeat", "other"]
_NAMES = st.sampled_from(["index", "timestamp", "user_classes_count", "host", "stop_timeout", "parsed_options", "why"])


@given(st.sampled_from(_KINDS), _VALUES | st.dictionaries(_NAMES, _VALUES, min_size=1))
def test_any_content_is_a_message_or_a_link_error(kind: str, content: object) -> None:
    """Messages of the right form with anything in them."""
    told = complaint(said(kind, content))
    assert not told or (told.isprintable() and len(told) < 700)
