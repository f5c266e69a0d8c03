"""A Locust worker's end of the link to its master: what is sent is sealed, and nothing is taken that is not proved.

Locust's own messages to its workers (spawn, stop, quit) are its own to judge, and it obeys whoever sends them; without
a plan from a proved master its users have nothing to play.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.lock import RLock
from locust.env import Environment
from locust.runners import WorkerRunner

from estsim import __version__
from estsim.fleet.link_auth import LinkRefused, WorkerLink
from estsim.fleet.link_secret import Secret
from estsim.fleet.master_messages import CHALLENGE, HELLO, REFUSED
from estsim.fleet.telling import ToldOnce
from estsim.units import harmless

_LOG: Final = logging.getLogger(__name__)
_HELLO_S: Final = 2.0
_LONGEST_WORDS: Final = 500


class MasterOfWorker:
    """The master of one worker.

    ``on_proved`` is called when it has proved that it knows the secret, ``on_refused`` with why there is no working for
    it.
    """

    def __init__(
        self, runner: WorkerRunner, secret: Secret, on_proved: Callable[[], None], on_refused: Callable[[str], None]
    ) -> None:
        self.is_secret = secret.is_shared
        self._runner = runner
        self._link = WorkerLink(secret, runner.client_id, __version__)
        self._on_proved = on_proved
        self._on_refused = on_refused
        self._complain = ToldOnce(lambda line: _LOG.error("estsim: %s", line))
        # Locust tries a message that could not be sent again, a second later: others may not overtake it.
        self._sending = RLock()
        runner.register_message(CHALLENGE, self._on_challenge)
        self.listen(REFUSED, self._on_refusal)

    def join(self) -> None:
        """Say hello until the master has proved itself: a greenlet's work. It may not be ready for us yet."""
        while self._link.channel is None:
            self._runner.send_message(HELLO, self._link.hello())
            gevent.sleep(_HELLO_S)

    def listen(self, name: str, listener: Callable[[object], None]) -> None:
        """Have messages of a name handed over, opened; a listener raises LinkRefused for what it cannot read."""

        def hear(environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG001 - Locust's message
            is_early_refusal = name == REFUSED and self._link.channel is None
            try:
                listener(msg.data if is_early_refusal else self._link.unseal(name, msg.data))
            except LinkRefused as refused:
                self._complain(f"refused {name} from the master: it {refused}")

        self._runner.register_message(name, hear)

    def send(self, name: str, content: object) -> None:
        """Send the master, who has proved itself, a message."""
        channel = self._link.channel
        assert channel is not None  # noqa: S101 - nobody sends before
        with self._sending:
            sealed: Any = channel.seal(name, content)  # Locust packs anything
            self._runner.send_message(name, sealed)

    def _on_challenge(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG002 - Locust's
        try:
            is_proved = self._link.prove(msg.data)
        except LinkRefused as refused:
            self._on_refused(f"the master does not have this link secret: its response to our hello {refused}")
            return
        if is_proved:
            self._on_proved()

    def _on_refusal(self, content: object) -> None:
        match content:
            case {"why": str(why)}:
                self._on_refused(f"the master refused this worker: {harmless(why[:_LONGEST_WORDS])}")
            case _:
                raise LinkRefused("gives no reason")
