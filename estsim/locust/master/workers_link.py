"""The master's end of the link to all workers: who has joined, and estsim's messages to and from them.

Locust hands over what came under a name of estsim's, from whomever. Nothing of it is taken that is not proved
(:mod:`estsim.fleet.link_auth`), and what is refused is told once: no stranger fills a log.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from locust.env import Environment
from locust.runners import MasterRunner

from estsim.fleet.link_auth import LinkRefused, MasterLink, is_node
from estsim.fleet.link_secret import Secret
from estsim.fleet.master_messages import CHALLENGE, HELLO, JOIN, REFUSED
from estsim.fleet.telling import ToldOnce
from estsim.fleet.worker_messages import Joining
from estsim.units import shown

_LOG: Final = logging.getLogger(__name__)
_MOST_WORKERS: Final = 4096  # more than any master has

Listener = Callable[[str, object], None]  # a worker's name, and what it said


class WorkersLink:
    """The workers that have joined a master. ``on_join`` is told of each, also of one that joins anew."""

    def __init__(self, runner: MasterRunner, secret: Secret, on_join: Callable[[str], None]) -> None:
        self._runner = runner
        self._link = MasterLink(secret)
        self._on_join = on_join
        self._complain = ToldOnce(lambda line: _LOG.error("estsim: %s", line))
        self._keys: dict[str, bytes] = {}
        runner.register_message(HELLO, self._on_hello)
        runner.register_message(JOIN, self._on_joining)

    @property
    def workers(self) -> Iterable[str]:
        """The names of those who have joined."""
        return self._keys.keys()

    def public_key(self, node: str) -> bytes:
        """Return the public key of the manufacturer that a worker could be."""
        return self._keys[node]

    def listen(self, name: str, listener: Listener) -> None:
        """Have messages of a name handed over, opened; a listener raises LinkRefused for what it cannot read."""

        def hear(environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG001 - Locust's message
            if is_node(node := msg.node_id):
                self._take(node, name, lambda: listener(node, self._link.unseal(node, name, msg.data)))

        self._runner.register_message(name, hear)

    def send(self, node: str, name: str, content: object) -> None:
        """Send a worker that has joined a message."""
        sealed: Any = self._link.joined[node].seal(name, content)  # Locust packs anything
        self._runner.send_message(name, sealed, client_id=node)

    # -- how a worker joins

    def _on_hello(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG002 - Locust's
        if not is_node(node := msg.node_id):
            return
        try:
            answer = self._link.challenge(node, msg.data)
        except LinkRefused as refused:
            self._complain(str(refused))
            if node not in self._link.joined:  # else it is not that worker who has said this
                self._runner.send_message(REFUSED, {"why": str(refused)}, client_id=node)
        else:
            self._runner.send_message(CHALLENGE, answer, client_id=node)

    def _on_joining(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG002 - Locust's
        if is_node(node := msg.node_id):
            self._take(node, JOIN, lambda: self._join(node, msg.data))

    def _join(self, node: str, sealed: object) -> None:
        joining = Joining.of(self._link.join(node, JOIN, sealed))
        if node not in self._keys and len(self._keys) >= _MOST_WORKERS:
            self._forget_the_gone()
        self._keys[node] = joining.public_key
        self._on_join(node)

    def _take(self, node: str, name: str, take: Callable[[], None]) -> None:
        try:
            take()
        except LinkRefused as refused:
            self._complain(f"refused {name} from worker {shown(node)}: it {refused}")

    def _forget_the_gone(self) -> None:
        """Forget workers that Locust knows no more: each new connection may have another name."""
        for node in self._keys.keys() - {client.id for client in self._runner.clients.all}:
            del self._keys[node], self._link.joined[node]
