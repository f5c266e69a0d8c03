"""Where estsim hooks into Locust: importing this is all that a locustfile has to do, and a user of ours does it."""

import logging
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any, Final
from weakref import WeakKeyDictionary

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from estsim.errors import UsageError
from estsim.figures.exits import Exit
from estsim.fleet.link_secret import NO_SECRET, Secret
from estsim.locust.master.entrance import check_what_comes, survive_what_comes
from estsim.locust.master.run_master import RunMaster, lead_of
from estsim.locust.options import add_options, keep_start
from estsim.locust.users.worker import FleetWorker

_LOG: Final = logging.getLogger(__name__)
_PRESSED_IN_EARNEST: Final = 2  # times, while the run is ending
_WORKERS: Final[WeakKeyDictionary[Environment, FleetWorker]] = WeakKeyDictionary()


def _on_parser(parser: LocustArgumentParser, **_: object) -> None:
    add_options(parser)


def _on_init(environment: Environment, runner: Any, web_ui: Any = None, **_: object) -> None:  # noqa: ANN401 - Locust's
    """Take the place that this process has: a worker's, or that of who leads."""
    _take_interrupts_between_turns(environment)
    # here and not at import: who was there last is told first, and Locust's own runner takes leave when it is told
    environment.events.quitting.add_listener(_on_quitting)  # type: ignore[no-untyped-call]  # Locust says no types here
    start = keep_start(environment)
    if isinstance(runner, WorkerRunner):
        secret = _secret(start.secret_of_worker, str(runner.master_host))
        _WORKERS[environment] = FleetWorker(environment, runner, secret)
        return
    secret = NO_SECRET
    if isinstance(runner, MasterRunner):
        secret = _secret(start.secret_of_master, str(runner.master_bind_host))
        survive_what_comes(runner)
    RunMaster(environment, secret)
    if web_ui is not None:
        from estsim.locust.master.web import install_tab  # noqa: PLC0415 - a headless process needs none of it

        install_tab(environment)


def _secret(secret_at: Callable[[str], Secret], host: str) -> Secret:
    """Return the link's secret, or end Locust before anybody has been told anything."""
    try:
        return secret_at(host)
    except UsageError as error:
        sys.stderr.write(f"estsim: {error}\n")
        sys.exit(int(Exit.USAGE))


def _take_interrupts_between_turns(environment: Environment) -> None:
    """Have Ctrl-C interrupt Locust, and not whichever user happens to be at work, in the middle of its exchange."""
    pressed = count(1)

    def interrupt() -> None:
        lead = lead_of(environment)
        if lead is not None and lead.is_ending and next(pressed) < _PRESSED_IN_EARNEST:
            _LOG.warning("estsim: finishing current exchanges and saving the run; press Ctrl-C again to quit now")
            return
        gevent.get_hub().handle_system_error(KeyboardInterrupt, None)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        gevent.signal_handler(signal.SIGINT, interrupt)


def _on_test_start(environment: Environment, **_: object) -> None:
    lead = lead_of(environment)
    if lead is not None:
        lead.begin()


def _on_test_stop(environment: Environment, **_: object) -> None:
    lead, fleet_worker = lead_of(environment), _WORKERS.get(environment)
    if lead is not None:
        lead.end()
    if fleet_worker is not None:
        fleet_worker.end()


def _on_test_stopping(environment: Environment, **_: object) -> None:
    lead = lead_of(environment)
    if lead is not None:
        lead.is_ending = lead.is_under_way


def _on_quitting(environment: Environment, **_: object) -> None:
    lead, fleet_worker = lead_of(environment), _WORKERS.get(environment)
    if lead is not None:
        lead.interrupted()
    if fleet_worker is not None:
        fleet_worker.leave()


check_what_comes()
events.init_command_line_parser.add_listener(_on_parser)  # type: ignore[no-untyped-call]  # Locust says no types here
events.init.add_listener(_on_init)  # type: ignore[no-untyped-call]
events.test_start.add_listener(_on_test_start)  # type: ignore[no-untyped-call]
events.test_stopping.add_listener(_on_test_stopping)  # type: ignore[no-untyped-call]
events.test_stop.add_listener(_on_test_stop)  # type: ignore[no-untyped-call]
