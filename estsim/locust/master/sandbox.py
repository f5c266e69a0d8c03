"""The sandbox as a process of its own, for a run that Locust leads: started, told and stopped in plain blocking calls.

The twin of :mod:`estsim.engine.sandbox`. Where Locust has patched the interpreter, each wait is a switch to another
greenlet.
"""

import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estsim.errors import UsageError
from estsim.fleet.sandbox_folder import CHANGE_S, POLL_S, START_S, STOP_S, OwnSandbox, SandboxFolder, sandbox_folder
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.plan import Scenario

Process = subprocess.Popen[bytes]


@dataclass(slots=True, kw_only=True)
class Sandbox(OwnSandbox):
    """A running sandbox with its process. Who has started it stops it."""

    process: Process
    afterwards: ExitStack

    def stop(self) -> None:
        """Stop it, keep its exchange log where that was asked for, and remove its folder; again does nothing."""
        self.afterwards.close()

    def change(self, changes: Mapping[str, object]) -> None:
        """Let it go on with other values at dotted paths of its configuration, and return when it does.

        Raises UsageError where it cannot, and where it says nothing for 5 s or has ended; of several changes none was
        made.
        """
        self._tell(self.change_order(changes))
        gives_up_s = time.monotonic() + CHANGE_S
        while self.process.poll() is None:
            if self.has_changed():
                return
            if time.monotonic() > gives_up_s:
                raise UsageError(f"it did not respond within {CHANGE_S:g} s")
            time.sleep(POLL_S)
        raise UsageError(f"it exited with code {self.process.returncode}")

    def begin(self, wall_epoch_s: float) -> None:
        """Tell when the run's clock begins (UNIX seconds): windows of faults count from there."""
        self._tell(self.begin_order(wall_epoch_s))

    def _tell(self, order: bytes) -> None:
        if self.process.stdin is None:
            return
        with suppress(OSError, ValueError):  # it has died; the fleet will notice
            self.process.stdin.write(order)
            self.process.stdin.flush()


def start(scenario: Scenario, made: Mapping[str, ManufacturerCA], *, keep_log_in: Path) -> Sandbox:
    """Start the sandbox of a scenario, and return it when it listens; its exchange log is kept in a folder at the end.

    ``made`` are the authorities made for this run, which the scenario names; their certificates, not their keys, go to
    the sandbox. Raises PreflightError when it does not come up, UsageError where there is no room.
    """
    with ExitStack() as unless_it_listens:
        place = unless_it_listens.enter_context(sandbox_folder(scenario.sandbox_text, made))
        process = _started(place)
        unless_it_listens.callback(place.keep_log, keep_log_in)
        unless_it_listens.callback(_end, process)
        whereabouts = _announced(process, place, scenario.sandbox_label)
        return Sandbox(**whereabouts, process=process, afterwards=unless_it_listens.pop_all())


def _started(place: SandboxFolder) -> Process:
    with place.errors.open("wb") as stderr:
        return subprocess.Popen(  # noqa: S603 - our own command line
            place.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # the terminal's Ctrl-C is Locust's; the sandbox serves until we have drained
        )


def _announced(process: Process, place: SandboxFolder, label: str | None) -> dict[str, Any]:
    """Wait until the sandbox says where it listens."""
    gives_up_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < gives_up_s:
        whereabouts = place.announced(label)
        if whereabouts is not None:
            return whereabouts
        time.sleep(POLL_S)
    raise place.failure(process.returncode)


def _end(process: Process) -> None:
    """End its input, and its life if that is not enough."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
