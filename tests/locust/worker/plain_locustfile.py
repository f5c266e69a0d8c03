"""A locustfile without estsim in it, for a Locust of any version: the master's side of the link, written down in a log.

It sends the plan that it finds in a file, with a part for each worker, and keeps what they say. ``LINK_MANNERS`` makes
it ``ignorant`` of estsim, or have it ``refuse`` every worker, or ``bluff``: answer a hello without the secret and give
orders. Proof and freshness are written here once more, from what the docs say of them.
"""

import base64
import hmac
import json
import os
import time
from hashlib import scrypt
from pathlib import Path
from typing import Any

import msgpack
from locust import User, events, task
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import MasterRunner

MANNERS = os.environ.get("LINK_MANNERS", "")
FOLDER = Path(os.environ["LINK_FOLDER"])
SECRET = os.environ.get("ESTSIM_LINK_SECRET", "").encode()
KEY = scrypt(SECRET, salt=b"estsim link", n=2**14, r=8, p=1, dklen=32) if SECRET else bytes(32)


class Meter(User):
    """What Locust counts."""

    @task
    def nothing(self) -> None:
        """Do nothing: workers play devices in its place."""


def canonical(*parts: "bytes | str | int") -> bytes:
    """Return each part with its length before it."""
    raws = [p if isinstance(p, bytes) else p.encode() if isinstance(p, str) else p.to_bytes(8, "big") for p in parts]
    return b"".join(len(raw).to_bytes(8, "big") + raw for raw in raws)


def proof(key: bytes, *parts: "bytes | str | int") -> bytes:
    """Return the proof of a message."""
    return hmac.digest(key, canonical("estsim link", 2, *parts), "sha256")


class Session:
    """A session with one worker; ``nonces`` are the worker's and ours."""

    def __init__(self, node: str, nonces: bytes) -> None:
        extracted = hmac.digest(nonces, KEY, "sha256")  # RFC 5869
        info = canonical("estsim link", 2, "keys", node)
        self.theirs = hmac.digest(extracted, info + b"\x01", "sha256")
        self.own = hmac.digest(extracted, self.theirs + info + b"\x02", "sha256")
        self.node, self.nonces, self.sent = node, nonces, -1

    def seal(self, name: str, content: object) -> "list[object]":
        """Seal a message to the worker."""
        self.sent += 1
        body = msgpack.packb(content)
        return [self.sent, body, proof(self.own, "master", self.node, self.nonces, name, self.sent, body)]

    def unseal(self, name: str, sealed: "list[Any]") -> Any:  # noqa: ANN401 - what msgpack brings
        """Return what a worker has said."""
        number, body, mac = sealed
        assert hmac.compare_digest(mac, proof(self.theirs, "worker", self.node, self.nonces, name, number, body))
        return msgpack.unpackb(body)


SESSIONS: "dict[str, Session]" = {}


def master_of(environment: Environment) -> MasterRunner:
    """Return the one who leads."""
    assert isinstance(environment.runner, MasterRunner)
    return environment.runner


def send(environment: Environment, node: str, name: str, content: object) -> None:
    """Send a message sealed."""
    sealed: Any = SESSIONS[node].seal(name, content)
    master_of(environment).send_message(name, sealed, client_id=node)


def log(kind: str, node: str, **entry: object) -> None:
    """Write down what a worker said."""
    with (FOLDER / "master.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": kind, "node": node, **entry}) + "\n")


def on_hello(environment: Environment, msg: Message, **_: object) -> None:
    """Answer a worker, or not."""
    hello, runner = msg.data, master_of(environment)
    log("hello", msg.node_id, protocol=hello["protocol"])
    if MANNERS == "refuse":
        runner.send_message("estsim-refused", {"why": "it is too old"}, client_id=msg.node_id)
        return
    own = os.urandom(32)
    session = SESSIONS[msg.node_id] = Session(msg.node_id, hello["nonce"] + own)
    if MANNERS == "bluff":
        for order in ("ack", "stop", "quit"):
            runner.send_message(order, {"index": 0} if order == "ack" else None, client_id=msg.node_id)
        session.own = bytes(32)
    sealed = session.seal("estsim-challenge", None)
    answer = {"protocol": 2, "hello": hello["nonce"], "nonce": own, "sealed": sealed}
    runner.send_message("estsim-challenge", answer, client_id=msg.node_id)


def on_join(environment: Environment, msg: Message, **_: object) -> None:  # noqa: ARG001 - a listener of Locust's
    """Take a worker in."""
    log("join", msg.node_id, key=len(SESSIONS[msg.node_id].unseal(msg.type, msg.data)["public_key"]))


def on_clock(environment: Environment, msg: Message, **_: object) -> None:
    """Tell the time, an hour ahead."""
    asked = SESSIONS[msg.node_id].unseal(msg.type, msg.data)
    send(environment, msg.node_id, msg.type, {"sent_s": asked["sent_s"], "master_s": time.time() + 3600})


def on_parcel(environment: Environment, msg: Message, **_: object) -> None:  # noqa: ARG001 - a listener of Locust's
    """Keep a worker report."""
    told = SESSIONS[msg.node_id].unseal(msg.type, msg.data)
    log("parcel", msg.node_id, **{**told, "parcel": base64.b64encode(told["parcel"]).decode()})


def on_init(environment: Environment, **_: object) -> None:
    """Listen, as a master that knows estsim does."""
    for name, listener in (("hello", on_hello), ("join", on_join), ("clock", on_clock), ("parcel", on_parcel)):
        master_of(environment).register_message(f"estsim-{name}", listener)


def on_test_start(environment: Environment, **_: object) -> None:
    """Give every worker its part."""
    plan = msgpack.unpackb((FOLDER / "plan").read_bytes())
    runner = master_of(environment)
    nodes = sorted((client.id for client in runner.clients.all), key=runner.get_worker_index)
    for slot, node in enumerate(nodes):
        part = {"part": [slot, len(nodes)], "wall_epoch_s": time.time() + 3600}
        send(environment, node, "estsim-plan", plan | part)


if MANNERS != "ignorant":
    events.init.add_listener(on_init)  # type: ignore[no-untyped-call]  # Locust says no types here
    events.test_start.add_listener(on_test_start)  # type: ignore[no-untyped-call]
