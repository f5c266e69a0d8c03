"""What comes to a Locust master's port, looked at before Locust is: nobody's bytes end its listener or fill its log.

Locust takes any message for one of the worker that it names, and a message that it cannot read ends the greenlet that
reads them all. Here a message is dropped, and told once, unless it is ``[type, data, node id]`` in msgpack and its node
id that of the connection it came over: so nobody speaks in the name of a worker that is there. Text in Locust's own
messages is escaped: it goes to the terminal, to logs and into tables. Who may say what is not asked here; estsim's own
messages are :mod:`estsim.locust.master.workers_link`'s to prove.
"""

import logging
import os
from collections.abc import Callable
from typing import Any, Final

import gevent
import zmq.green as zmq
from locust.exception import RPCError
from locust.rpc import Message, zmqrpc
from locust.runners import MasterRunner
from zmq.error import ZMQError

from estsim.fleet.link_auth import LARGEST_BYTES, is_node
from estsim.fleet.master_messages import WORKER_REPORT
from estsim.fleet.telling import ToldOnce
from estsim.units import harmless, shown

_LOG: Final = logging.getLogger(__name__)
_LARGEST_BYTES: Final = LARGEST_BYTES[WORKER_REPORT] + 4096
_FRAMES: Final = 2  # a router's: who, and what
_DEEPEST: Final = 32  # of lists and maps in each other; Locust's have five
_OURS: Final = "estsim-"
_WITH_LINES: Final = frozenset({"exception", "logs"})  # tracebacks, and the lines of a worker's log
_OF_WORKERS: Final = frozenset({"stats", "logs", "exception", "heartbeat"})
_UNFIT: Final = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
_complain: Final = ToldOnce(lambda line: _LOG.error("estsim: %s", line))


class CheckedServer(zmqrpc.Server):
    """Locust's end of the master's port, which lets through what is a message of Locust's form."""

    def __init__(self, host: str, port: int) -> None:
        # As Locust's own, but that what is too large ends its connection: the option has to be set before binding.
        zmqrpc.BaseSocket.__init__(self, zmq.ROUTER, self.ipv4_only(host, port))  # type: ignore[no-untyped-call]
        self.socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST_BYTES)
        try:
            self.socket.bind(f"tcp://{host}:{port or '*'}")
        except ZMQError as error:
            # Without the address that the error's own text has: by this text Locust knows a busy port.
            raise RPCError(f"Socket bind failure: {os.strerror(error.errno or 0)}") from error
        self.port = port or int(self.socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def recv_from_client(self) -> tuple[str, Message]:
        """Return the next message, and whose it is."""
        while True:
            try:
                frames: list[bytes] = self.socket.recv_multipart()
            except ZMQError as error:
                raise RPCError("ZMQ network broken") from error
            try:
                message = checked(frames)
            except ValueError as error:
                _complain(f"dropped a message received on this master's port: {error}")
                gevent.sleep(0)  # whoever sends without end keeps nobody else waiting
            else:
                return message.node_id, message


def checked(frames: list[bytes]) -> Message:
    """Return the message of a connection; raises ValueError, whose text is escaped, for what is none."""
    node = frames[0].decode("utf-8", "replace")
    who = f"from {shown(node)}"
    if len(frames) != _FRAMES or not node.isprintable() or node.encode() != frames[0] or not is_node(node):
        raise ValueError(f"{who}: not a worker's message")
    try:
        message: Message = Message.unserialize(frames[1])  # type: ignore[no-untyped-call]
    except Exception as error:  # msgpack has a family of them, Locust's own decoder others, and hostile bytes find all
        raise ValueError(f"{who}: not a msgpack message ({type(error).__name__})") from error
    if not isinstance(message.type, str) or message.node_id != node:
        raise ValueError(f"{who}: the message has no name, or another node's id")
    if not message.type.startswith(_OURS):
        message.data = _escaped(message.data, keeps_lines=message.type in _WITH_LINES)
        message.type = harmless(message.type)
    return message


def _escaped(value: Any, *, keeps_lines: bool, depth: int = 0) -> Any:  # noqa: ANN401 - what msgpack brings
    if isinstance(value, str):
        if not keeps_lines:
            return harmless(value)
        return "\n".join("\t".join(map(harmless, line.split("\t"))) for line in value.split("\n"))
    if depth > _DEEPEST:
        raise ValueError(f"lists and maps nested deeper than {_DEEPEST} levels")
    if isinstance(value, list):
        return [_escaped(each, keeps_lines=keeps_lines, depth=depth + 1) for each in value]
    if isinstance(value, dict):
        return {
            _escaped(key, keeps_lines=keeps_lines): _escaped(each, keeps_lines=keeps_lines, depth=depth + 1)
            for key, each in value.items()
        }
    return value


def check_what_comes() -> None:
    """Have masters of this process look at what comes; to be called before there is one."""
    zmqrpc.Server = CheckedServer  # type: ignore[misc]  # where Locust's runner looks for it


def survive_what_comes(runner: MasterRunner) -> None:
    """Have a master go on after a message of the right form that holds what Locust cannot use.

    Figures, logs and exceptions are taken from those alone who have said that they are workers; Locust takes them from
    anybody, and writes a traceback for each that it cannot add up.
    """
    handle: Callable[[str, Message], None] = runner.handle_message
    workers: set[str] = set()

    def handled(client_id: str, msg: Message) -> None:
        if msg.type == "client_ready":
            workers.add(client_id)
        elif msg.type in _OF_WORKERS and client_id not in workers:
            _complain(f"dropped {msg.type} from {shown(client_id)}, which has not registered as a worker")
            return
        try:
            handle(client_id, msg)
        except _UNFIT as error:
            _complain(f"Locust cannot process {shown(msg.type)} from {shown(client_id)}: {type(error).__name__}")

    runner.handle_message = handled  # type: ignore[method-assign]  # Locust asks the runner for it each time
