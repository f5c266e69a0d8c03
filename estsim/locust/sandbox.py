"""The sandbox as a process of its own, for a run that Locust leads: started, told and stopped in plain blocking calls.

The twin of :mod:`estsim.engine.sandbox`. Where Locust has patched the interpreter, each wait is a switch to another
greenlet.
"""

import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from estsim.errors import PreflightError, UsageError
from estsim.fleet.factory import Factory
from estsim.fleet.own_sandbox import CHANGE_S, POLL_S, START_S, STOP_S, OwnSandbox, Quarters, begin_order, quarters

Process = subprocess.Popen[bytes]


@dataclass(slots=True, kw_only=True)
class Sandbox(OwnSandbox):
    """A running sandbox with its process."""

    process: Process

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
                raise UsageError(f"it did not answer within {CHANGE_S:g} s")
            time.sleep(POLL_S)
        raise UsageError(f"it ended with code {self.process.returncode}")

    def begin(self, wall_epoch_s: float) -> None:
        """Tell when the run's clock begins (UNIX seconds): windows of faults count from there."""
        self._tell(begin_order(wall_epoch_s))

    def _tell(self, order: bytes) -> None:
        if self.process.stdin is None:
            return
        with suppress(OSError, ValueError):  # it has died; the fleet will notice
            self.process.stdin.write(order)
            self.process.stdin.flush()


@contextmanager
def running_sandbox(
    config: str, factories: Mapping[str, Factory], *, keep_log_in: Path, label: str | None = None
) -> Generator[Sandbox, None, None]:
    """Start a sandbox from the text of its configuration; stop it at the end, and keep its exchange log.

    ``label`` is the trust center that the fleet goes to, None for the default one. ``factories`` are authorities made
    for this run, which the configuration names. Raises PreflightError when it does not come up.
    """
    with quarters(config, factories) as place:
        process = _start(place)
        try:
            yield _announced(process, place, label)
        finally:
            _stop(process)
            place.keep_log(keep_log_in)


def _start(place: Quarters) -> Process:
    with place.errors.open("wb") as stderr:
        return subprocess.Popen(  # noqa: S603 - our own command line
            place.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # the terminal's Ctrl-C is Locust's; the sandbox serves until we have drained
        )


def _announced(process: Process, place: Quarters, label: str | None) -> Sandbox:
    """Wait until the sandbox says where it listens."""
    gives_up_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < gives_up_s:
        said = place.announced(label)
        if said is not None:
            return Sandbox(**said, process=process)
        time.sleep(POLL_S)
    raise PreflightError(place.failure(process.returncode))


def _stop(process: Process) -> None:
    """End its input, and its life if that is not enough."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
