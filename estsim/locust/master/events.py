"""What a scenario has happen beside its devices, under Locust: marks told, the sandbox changed.

The twin of :mod:`estsim.engine.announcer`. Nobody is at a terminal to press Enter: Locust has it.
"""

import gevent

from estsim.errors import EstsimError, noting
from estsim.fleet.active_run import ActiveRun
from estsim.fleet.orders import changed, disturbs, told, unconfirmed
from estsim.locust.master.sandbox import Sandbox
from estsim.scenario.happenings import Mark, SandboxChange, What


def play_events(run: ActiveRun, sandbox: Sandbox | None) -> None:
    """Let the events happen, each at its time: a greenlet's work."""
    for happening in run.scenario.events:
        gevent.sleep(max(0.0, happening.at_s - run.clock.now_s()))
        with noting(run.note):
            text = _done(happening.what, sandbox)
            stirs = disturbs(happening.what)
            run.record.mark(run.now_ns, text, kind="event" if stirs else "mark", stirs=stirs)


def _done(what: What, sandbox: Sandbox | None) -> str:
    """Do what is not a device's to do, and return it in a line."""
    match what:
        case SandboxChange(changes):
            assert sandbox is not None  # noqa: S101 - checked as the scenario was read
            try:
                sandbox.change(changes)
            except EstsimError as error:
                return changed(changes, error)
            return changed(changes)
        case Mark(text, wait_for_enter=True):
            return unconfirmed(text)
        case _:
            return told(what)
