"""A locustfile without estsim in it, for a Locust of any version: the master's side of the link, written down in a log.

It sends the plan that it finds in a file, with a part for each worker, and keeps what they say. ``LINK_MANNERS`` makes
it ``ignorant`` of estsim, or have it ``refuse`` every worker.
"""

import base64
import json
import os
import time
from pathlib import Path

import msgpack
from locust import User, events, task
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import MasterRunner

MANNERS = os.environ.get("LINK_MANNERS", "")
FOLDER = Path(os.environ["LINK_FOLDER"])


class Meter(User):
    """What Locust counts."""

    @task
    def nothing(self) -> None:
        """Do nothing: workers play devices in its place."""


def master_of(environment: Environment) -> MasterRunner:
    """Return the one who leads."""
    assert isinstance(environment.runner, MasterRunner)
    return environment.runner


def log(kind: str, node: str, **entry: object) -> None:
    """Write down what a worker said."""
    with (FOLDER / "master.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": kind, "node": node, **entry}) + "\n")


def on_hello(environment: Environment, msg: Message, **_: object) -> None:
    """Take a worker in, or not."""
    log("hello", msg.node_id, protocol=msg.data["protocol"], key=len(msg.data["public_key"]))
    if MANNERS == "refuse":
        master_of(environment).send_message("estsim-refused", {"why": "it is too old"}, client_id=msg.node_id)


def on_clock(environment: Environment, msg: Message, **_: object) -> None:
    """Tell the time, an hour ahead."""
    answer = {"sent_s": msg.data["sent_s"], "master_s": time.time() + 3600}
    master_of(environment).send_message("estsim-clock", answer, client_id=msg.node_id)


def on_parcel(environment: Environment, msg: Message, **_: object) -> None:  # noqa: ARG001 - a listener of Locust's
    """Keep a parcel."""
    entry = {**msg.data, "parcel": base64.b64encode(msg.data["parcel"]).decode()}
    log("parcel", msg.node_id, **entry)


def on_init(environment: Environment, **_: object) -> None:
    """Listen, as a master that knows estsim does."""
    for name, listener in (("hello", on_hello), ("clock", on_clock), ("parcel", on_parcel)):
        master_of(environment).register_message(f"estsim-{name}", listener)


def on_test_start(environment: Environment, **_: object) -> None:
    """Give every worker its part."""
    plan = msgpack.unpackb((FOLDER / "plan").read_bytes())
    runner = master_of(environment)
    nodes = sorted((client.id for client in runner.clients.all), key=runner.get_worker_index)
    for slot, node in enumerate(nodes):
        part = {"part": [slot, len(nodes)], "wall_epoch_s": time.time() + 3600}
        runner.send_message("estsim-plan", plan | part, client_id=node)


if MANNERS != "ignorant":
    events.init.add_listener(on_init)  # type: ignore[no-untyped-call]  # Locust says no types here
    events.test_start.add_listener(on_test_start)  # type: ignore[no-untyped-call]
