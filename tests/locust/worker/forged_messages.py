"""Messages that nobody of ours says: of estsim's names and of Locust's, with anything in them, for both ends."""

from collections.abc import Iterator
from math import inf, nan
from typing import Any, Final

import msgpack

OURS: Final = ("hello", "challenge", "join", "plan", "clock", "parcel", "refused", "nothing")
TO_MASTER: Final = (
    "client_ready", "spawning", "spawning_complete", "heartbeat", "stats", "client_stopped", "logs", "exception",
    "locustfile", "no such",
)  # fmt: skip
TO_WORKER: Final = ("ack", "spawn", "stop", "quit", "reconnect", "heartbeat", "spawning_complete", "update_user_class")
ESCAPES: Final = "\x1b[2J\x1b]0;forged\x07\r\n[2026-01-01] forged line\u202e"

CONTENTS: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 2**63, nan, inf, -inf, "", ESCAPES, b"", b"\xff" * 100, [], {}, [None] * 3,
    [0, b"", b""], [0, b"\xc0", bytes(32)], [-1, b"\xc0", bytes(32)], [2**63, b"\xc0", bytes(32)],
    [nan, b"", bytes(32)],
    [True, b"\xc0", bytes(32)], ["0", b"\xc0", bytes(32)], [0, "\x00", bytes(32)], [0, b"\xc0", b"x" * 1000],
    {"why": ESCAPES}, {"why": None}, {"protocol": 1, "version": ESCAPES, "public_key": b""}, {"protocol": ESCAPES},
    {"protocol": nan, "version": None}, {"protocol": [2]}, {"protocol": 2},
    {"protocol": 2, "version": ESCAPES, "nonce": bytes(32), "secret": False, "mac": bytes(32)},
    {"protocol": 2, "version": "1", "nonce": b"", "secret": False, "mac": b""},
    {"protocol": 2, "hello": bytes(32), "nonce": bytes(32), "sealed": [0, b"\xc0", bytes(32)]},
    {"public_key": b"\x30\x00"}, {"sent_s": nan, "master_s": inf}, {"sent_s": 1e300, "master_s": ESCAPES},
    {"run_id": ESCAPES, "parcel": b"\xc1", "offset_s": nan, "round_trip_s": -inf, "last": 7},
    {"version": 1, "text": ESCAPES, "sha256": 5}, dict.fromkeys(range(3000), 0), [[]] * 3000,
    {"state": ESCAPES, "current_cpu_usage": nan, "current_memory_usage": -1}, {"user_classes_count": ESCAPES},
    {"index": -1}, {"timestamp": nan, "user_classes_count": {}}, {"timestamp": 1e300, "user_classes_count": {"x": -5}},
    {"timestamp": 1e300, "user_classes_count": {ESCAPES: 10**12}, "host": ESCAPES, "stop_timeout": nan},
    {"worker_id": ESCAPES, "logs": 5}, {"msg": ESCAPES, "traceback": ESCAPES}, {"msg": None},
    msgpack.ExtType(5, b"x"), msgpack.Timestamp(1), {"a": msgpack.ExtType(0, b"x")},
)  # fmt: skip


def nested(depth: int) -> bytes:
    """Return lists in each other."""
    return b"\x91" * depth + b"\xc0"


def forged(node: str, own_kinds: tuple[str, ...]) -> Iterator[bytes]:
    """Yield them as bytes, said by or to a worker: well formed with anything inside, then what is no message at all."""
    kinds = (*(f"estsim-{name}" for name in OURS), *own_kinds)
    for kind in kinds:
        for content in CONTENTS:
            yield msgpack.packb([kind, content, node])
        for depth in (10, 40, 500, 1100):
            yield b"\x93" + msgpack.packb(kind) + nested(depth) + msgpack.packb(node)
    others: tuple[Any, ...] = (None, 5, b"", [], {}, "", "x" * 300, "host_of_another", ESCAPES)
    for other in others:
        yield msgpack.packb(["estsim-hello", {"protocol": 2}, other])
    names: tuple[Any, ...] = (None, 5, [], {}, b"estsim-hello", ESCAPES)
    for name in names:
        yield msgpack.packb([name, None, node])
    whole = msgpack.packb(["estsim-parcel", [0, bytes(500), bytes(32)], node])
    yield from (whole[:length] for length in range(0, len(whole), 7))
    yield from (b"\xc1", b"\x00", b"GET / HTTP/1.1\r\n\r\n", nested(100_000), b"\xdd\x00\x0f\xff\xff" * 1000)
    yield msgpack.packb([1, 2, 3, 4])
    yield b"\x93" + msgpack.packb("estsim-plan") + b"\x81\xaa__datetime__\xc3" + msgpack.packb(node)
    yield b"\x93" + msgpack.packb("estsim-plan") + b"\x81\xac__ObjectId__\xc3" + msgpack.packb(node)
