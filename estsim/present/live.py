"""Where snapshots go while a run lasts: a full screen on a terminal, one line a second anywhere else.

Both displays write to the console they are given and to nothing else, so that ``--json`` can keep stdout clean. They
may be driven from any thread, one call at a time or several: a lock orders them. A display is never a reason for a
run to end: once its terminal is gone (a closed pipe, a hung-up line) it falls silent.
"""

import atexit
import math
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live

from estsim.measure.snapshot import RunStage, Snapshot
from estsim.present.dashboard import render
from estsim.present.figures import ABSENT, clock, count, milliseconds
from estsim.present.ink import clean
from estsim.present.viewing import View, Viewing

_GONE: Final = (OSError, SystemExit)  # SystemExit is what rich makes of a broken pipe; here it is no reason to exit


class Display(Protocol):
    """What the engine shows its snapshots to; starting and stopping twice is harmless."""

    def start(self) -> None:
        """Take the terminal."""

    def update(self, snapshot: Snapshot) -> None:
        """Show a moment of the run; ignored before the start and after the stop."""

    def stop(self) -> None:
        """Give the terminal back as it was."""


def display_for(console: Console, *, dashboard: bool = True) -> Display:
    """Return the dashboard where it is wanted and the console is a terminal that can show it, else lines."""
    able = console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(console) if dashboard and able else LineDisplay(console)


class LiveDisplay:
    """The dashboard on the alternate screen of a terminal, drawn anew at the terminal's size of that moment.

    It draws when it is told to and has no thread of its own. The terminal is restored by :meth:`stop`, and at the
    interpreter's exit if nobody called it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._live: Live | None = None
        self._viewing = Viewing()
        self._latest: Snapshot | None = None
        self._frozen: Snapshot | None = None

    def start(self) -> None:
        """Switch to the alternate screen and hide the cursor."""
        with self._lock:
            if self._live is not None:
                return
            # No redirection: what others print must not reach the screen through us, nor from our threads.
            live = Live(
                console=self._console,
                screen=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live = live
            atexit.register(self.stop)
            with suppress(*_GONE):
                live.start()

    def update(self, snapshot: Snapshot) -> None:
        """Draw a moment of the run at the size that the terminal has now; keep it for later while frozen."""
        with self._lock:
            self._latest = snapshot
            self._draw()

    def offer_keys(self) -> None:
        """Tell which keys there are, because somebody reads them now."""
        with self._lock:
            self._viewing = replace(self._viewing, keys=True)
            self._draw()

    def show(self, view: View) -> None:
        """Draw another view, of the same moment."""
        with self._lock:
            self._viewing = replace(self._viewing, view=view)
            self._draw()

    def toggle_freeze(self) -> None:
        """Hold the moment that is shown, or go on to the latest."""
        with self._lock:
            self._frozen = self._latest if self._frozen is None else None
            self._viewing = replace(self._viewing, frozen=self._frozen is not None)
            self._draw()

    def stop(self) -> None:
        """Leave the alternate screen and show the cursor again."""
        with self._lock:
            live, self._live = self._live, None
            if live is None:
                return
            atexit.unregister(self.stop)
            with suppress(*_GONE):
                live.stop()

    def _draw(self) -> None:
        """Draw what is held or the latest; what the run waits for is told of the latest, or it would wait for ever."""
        if self._live is None or self._latest is None:
            return
        snapshot = self._latest
        if self._frozen is not None:
            snapshot = replace(self._frozen, awaiting=self._latest.awaiting)
        width, height = self._console.size
        with suppress(*_GONE):
            picture = render(snapshot, width=width, height=height, viewing=self._viewing)
            self._live.update(picture, refresh=True)


class LineDisplay:
    """One line for each second of the run, and one for each new stage: for logs, pipes and plain terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._started = False
        self._shown: tuple[RunStage, int] | None = None
        self._last: Snapshot | None = None

    def start(self) -> None:
        """Begin to take snapshots; nothing is written yet."""
        with self._lock:
            self._started = True

    def update(self, snapshot: Snapshot) -> None:
        """Write a line if a new second or another stage of the run has begun, else keep the snapshot."""
        with self._lock:
            if not self._started:
                return
            moment = (snapshot.stage, math.floor(snapshot.elapsed_s))
            self._last = snapshot
            if moment != self._shown:
                self._shown = moment
                self._write(snapshot)

    def stop(self) -> None:
        """Write the last snapshot, if it has not been written."""
        with self._lock:
            self._started = False
            if self._last is not None:
                self._write(self._last)

    def _write(self, snapshot: Snapshot) -> None:
        self._last = None
        with suppress(OSError):  # written past rich, which would end the process at a broken pipe
            self._console.file.write(f"{line(snapshot)}\n")
            self._console.file.flush()


def line(snapshot: Snapshot) -> str:
    """Return a moment of a run in one line of plain words, the figures in the dashboard's order."""
    states = [f"{name.lower().replace('_', ' ')} {number}" for name, number in snapshot.states.items() if number]
    latencies = [f"{figures.operation} {milliseconds(figures.response_ms.p99)}" for figures in snapshot.operations]
    parts = [
        f"{clock(snapshot.elapsed_s):>7} {snapshot.stage.value}",
        ", ".join(states) or f"{count(snapshot.devices)} devices",
        f"{_last(snapshot.requests_per_s)} req/s {_last(snapshot.certificates_per_s)} cert/s",
        f"response p99: {', '.join(latencies) or ABSENT}",
        f"waiting {snapshot.waiting_deferred}",
        f"errors {sum(number for _, number in snapshot.errors)}",
        f"lag p99 {milliseconds(snapshot.schedule_lag_ms.p99)}",
    ]
    if snapshot.saturated is not None:
        parts.append(f"SATURATED: {snapshot.saturated}")
    return clean(" | ".join(parts))


def _last(values: tuple[int, ...]) -> str:
    return str(values[-1]) if values else ABSENT
