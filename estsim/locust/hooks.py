"""Where estsim hooks into Locust: importing this is all that a locustfile has to do, and a user of ours does it."""

import logging
import signal
from itertools import count
from typing import Any, Final
from weakref import WeakKeyDictionary

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from estsim.locust.follow import Follower
from estsim.locust.lead import Lead, lead_of
from estsim.locust.options import add_options

_LOG: Final = logging.getLogger(__name__)
_PRESSED_IN_EARNEST: Final = 2  # times, while the run is ending
_FOLLOWERS: Final[WeakKeyDictionary[Environment, Follower]] = WeakKeyDictionary()


def _on_parser(parser: LocustArgumentParser, **_: object) -> None:
    add_options(parser)


def _on_init(environment: Environment, runner: Any, web_ui: Any = None, **_: object) -> None:  # noqa: ANN401 - Locust's
    """Take the place that this process has: a worker's, or that of who leads."""
    _take_interrupts_between_turns(environment)
    # here and not at import: who was there last is told first, and Locust's own runner takes leave when it is told
    environment.events.quitting.add_listener(_on_quitting)  # type: ignore[no-untyped-call]  # Locust says no types here
    if isinstance(runner, WorkerRunner):
        _FOLLOWERS[environment] = Follower(environment, runner)
        return
    Lead(environment)
    if web_ui is not None:
        from estsim.locust.web import install_tab  # noqa: PLC0415 - a headless process needs none of it

        install_tab(environment)


def _take_interrupts_between_turns(environment: Environment) -> None:
    """Have Ctrl-C interrupt Locust, and not whichever user happens to be at work, in the middle of its exchange."""
    pressed = count(1)

    def interrupt() -> None:
        lead = lead_of(environment)
        if lead is not None and lead.is_ending and next(pressed) < _PRESSED_IN_EARNEST:
            _LOG.warning("estsim: what is under way may end, and the run is saved; Ctrl-C again leaves at once")
            return
        gevent.get_hub().handle_system_error(KeyboardInterrupt, None)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        gevent.signal_handler(signal.SIGINT, interrupt)


def _on_test_start(environment: Environment, **_: object) -> None:
    lead = lead_of(environment)
    if lead is not None:
        lead.begin()


def _on_test_stop(environment: Environment, **_: object) -> None:
    lead, follower = lead_of(environment), _FOLLOWERS.get(environment)
    if lead is not None:
        lead.end()
    if follower is not None:
        follower.end()


def _on_test_stopping(environment: Environment, **_: object) -> None:
    lead = lead_of(environment)
    if lead is not None:
        lead.is_ending = lead.is_under_way


def _on_quitting(environment: Environment, **_: object) -> None:
    lead, follower = lead_of(environment), _FOLLOWERS.get(environment)
    if lead is not None:
        lead.interrupted()
    if follower is not None:
        follower.leave()


events.init_command_line_parser.add_listener(_on_parser)  # type: ignore[no-untyped-call]  # Locust says no types here
events.init.add_listener(_on_init)  # type: ignore[no-untyped-call]
events.test_start.add_listener(_on_test_start)  # type: ignore[no-untyped-call]
events.test_stopping.add_listener(_on_test_stopping)  # type: ignore[no-untyped-call]
events.test_stop.add_listener(_on_test_stop)  # type: ignore[no-untyped-call]
