"""The bytes of the messages between a Locust master and its workers. Pure.

A message is ``[type, data, node id]`` in msgpack (``locust/rpc/protocol.py``, 2.46 and 2.47). What proves who has sent
one of estsim's is :mod:`estsim.locust.worker.peer`'s.
"""

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any, Final

import msgpack

from estsim.errors import EstsimError
from estsim.fleet import master_messages as words
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
    Hello,
    Join,
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
from estsim.units import harmless

# A master compares a worker's version with its own and warns where they differ; -1 passes for any (2.46, 2.47).
ANY_VERSION: Final = -1
_MOST_USERS: Final = 10_000_000
_MOST_MEMBERS: Final = 4096  # of a list or a map on its way: what is long is in sealed bodies
_LONGEST_WORDS: Final = 500
_BARE: Final[dict[str, FromMaster]] = {
    "stop": StopOrder(),
    "quit": QuitOrder(),
    "reconnect": ReconnectOrder(),
    "heartbeat": Beat(),
    "spawning_complete": AllSpawned(),
}


class LinkError(EstsimError):
    """What a master sent cannot be read, or a master that cannot be worked for."""


def encode(kind: str, content: object, node: str) -> bytes:
    """Return a message of the worker ``node`` as bytes."""
    packed: bytes = msgpack.packb((kind, content, node))
    return packed


def content_of(message: FromWorker) -> object:
    """Return what a message says; of estsim's own before they are sealed."""
    match message:
        case ClientReady():
            return ANY_VERSION
        case SpawningComplete(users):
            return _users(users)
        case Heartbeat(state, cpu_percent, rss_bytes):
            return {"state": state, "current_cpu_usage": cpu_percent, "current_memory_usage": rss_bytes}
        case Stats(report, users):
            return {**report, **_users(users)}
        case ClockAsked() | ReportSent():
            return asdict(message)
        case Complaint(text):
            return {"msg": text, "traceback": ""}
        case Hello() | Join() | Spawning() | ClientStopped() | Leaving():
            return None


def _users(users: Mapping[str, int]) -> dict[str, object]:
    """Return how many users of which classes there are, as several messages say it."""
    return {"user_classes_count": dict(users), "user_count": sum(users.values())}


def decode(raw: bytes) -> tuple[str, Any]:
    """Return the kind and the content of what a master sent; raises LinkError for what is no message."""
    try:
        parts = msgpack.unpackb(
            raw, raw=False, strict_map_key=False, max_array_len=_MOST_MEMBERS, max_map_len=_MOST_MEMBERS
        )
    except Exception as error:  # msgpack has a family of them, and hostile bytes find the others
        raise LinkError(f"expected a message in msgpack (got {len(raw)} bytes: {type(error).__name__})") from error
    if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[0], str):  # noqa: PLR2004 - as above
        raise LinkError(f"expected a message as [type, data, node] (got {_short(parts)})")
    return parts[0], parts[1]


def read(kind: str, content: object) -> FromMaster:
    """Return a message of Locust's, or one of estsim's that was opened; raises LinkError for what it cannot be."""
    try:
        return _read(kind, content)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise LinkError(f"{_short(kind)}: cannot be read: {_short(content)}") from error


def _read(kind: str, content: Any) -> FromMaster:  # noqa: ANN401 - what msgpack brings
    match kind:
        case "ack":
            return Ack(_count(content["index"]) if content else -1)  # masters before 2.10.2 give no index
        case "spawn":
            return _spawn(content)
        case words.PLAN:
            return Plan(content)
        case words.CLOCK:
            return ClockTold(_seconds(content["sent_s"]), _seconds(content["master_s"]))
        case words.REFUSED:
            return Refused(_short(_text(content["why"])))
        case _:
            return _BARE.get(kind) or Unknown(_short(kind))


def _spawn(content: dict[str, Any]) -> Spawn:
    users = {_text(name): _count(count) for name, count in content["user_classes_count"].items()}
    if sum(users.values()) > _MOST_USERS:
        raise ValueError(users)
    host, options = content.get("host"), content.get("parsed_options") or {}
    if not isinstance(options, dict):
        raise TypeError(options)
    return Spawn(
        timestamp_s=_seconds(content["timestamp"]),
        users=users,
        host=None if host is None else _text(host),
        stop_timeout_s=_seconds(content.get("stop_timeout") or 0.0),
        options={str(name): value for name, value in options.items()},
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(value)
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise TypeError(value)
    return float(value)


def _short(value: object) -> str:
    """Return something foreign as one line of bounded length for people."""
    text = harmless((value if isinstance(value, str) else repr(value))[: _LONGEST_WORDS + 1])
    return text if len(text) <= _LONGEST_WORDS else f"{text[:_LONGEST_WORDS]}…"
