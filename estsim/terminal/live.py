"""The displays of a running run: the dashboard on a terminal, one line a second anywhere else.

Both write only to the console they are given, so that ``--json`` keeps stdout clean. They may be called from any
thread; a lock serialises the calls. A display never ends a run: once its terminal is gone (a closed pipe, a hung-up
line) it writes nothing more.
"""

import atexit
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live

from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.text import ABSENT, clean, clock, milliseconds, quantity, words
from estsim.terminal.dashboard import View, Viewing, render
from estsim.terminal.ink import cut

_WIDEST: Final = 159  # of a line in a log
_BETWEEN: Final = " | "
_OTHER: Final = "other"
_FEWEST_STATES: Final = 2  # the largest one, and the sum of the others
_SATURATED: Final = "SATURATED"
_GONE: Final = (OSError, SystemExit)  # SystemExit is what rich makes of a broken pipe; here it is no reason to exit


class Display(Protocol):
    """A display of snapshots; starting and stopping twice is harmless."""

    def start(self) -> None:
        """Take over the terminal."""

    def update(self, snapshot: Snapshot) -> None:
        """Show a snapshot; ignored before the start and after the stop."""

    def stop(self) -> None:
        """Restore the terminal."""


def display_for(console: Console, *, dashboard: bool = True) -> Display:
    """Return the dashboard if it is wanted and the terminal can show it, else lines."""
    able = console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(console) if dashboard and able else LineDisplay(console)


class LiveDisplay:
    """The dashboard on the alternate screen of a terminal, redrawn at the terminal's current size.

    It draws only when called, and has no thread. :meth:`stop` restores the terminal, at the latest at the interpreter's
    exit.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._live: Live | None = None
        self._viewing = Viewing()
        self._latest: Snapshot | None = None
        self._frozen: Snapshot | None = None
        self._lines: LineDisplay | None = None  # after a bug in the drawing
        self._bug: Exception | None = None

    def start(self) -> None:
        """Switch to the alternate screen and hide the cursor."""
        with self._lock:
            if self._live is not None:
                return
            # No redirection: output of others must not reach the screen through rich, nor from its threads.
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
        """Draw a snapshot at the current size of the terminal; while frozen, keep it for later.

        Raises a bug in the drawing, once; from then on lines are written.
        """
        with self._lock:
            self._latest = snapshot
            self._draw()
            bug, self._bug = self._bug, None
            lines = self._lines
        if bug is not None:
            raise bug
        if lines is not None:
            lines.update(snapshot)

    def offer_keys(self) -> None:
        """Show the keys, which are read from now on."""
        with self._lock:
            self._viewing = replace(self._viewing, keys=True)
            self._draw()

    def show(self, view: View) -> None:
        """Draw another view of the same snapshot."""
        with self._lock:
            self._viewing = replace(self._viewing, view=view)
            self._draw()

    def toggle_freeze(self) -> None:
        """Freeze the snapshot that is shown, or return to the latest."""
        with self._lock:
            self._frozen = self._latest if self._frozen is None else None
            self._viewing = replace(self._viewing, frozen=self._frozen is not None)
            self._draw()

    def stop(self) -> None:
        """Leave the alternate screen and show the cursor again."""
        with self._lock:
            self._leave_screen()
            if self._lines is not None:
                self._lines.stop()

    def _leave_screen(self) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        atexit.unregister(self.stop)
        with suppress(*_GONE):
            live.stop()

    def _draw(self) -> None:
        """Draw the frozen or the latest snapshot, always with what the run waits for now."""
        if self._live is None or self._latest is None:
            return
        snapshot = self._latest
        if self._frozen is not None:
            snapshot = replace(self._frozen, awaiting=self._latest.awaiting)
        try:
            width, height = self._console.size
            frame = render(snapshot, width=width, height=height, viewing=self._viewing)
            self._live.update(frame, refresh=True)
        except _GONE:
            return
        except Exception as bug:  # noqa: BLE001 - a run does not end because it cannot be drawn
            self._bug = bug
            self._leave_screen()
            self._lines = LineDisplay(self._console)
            self._lines.start()


class LineDisplay:
    """One line for each second and each new stage of the run, for logs, pipes and plain terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._started = False
        self._shown: tuple[RunStage, int] | None = None
        self._last: Snapshot | None = None
        self._reason: str | None = None  # of saturation, as last written

    def start(self) -> None:
        """Accept snapshots from now on; nothing is written yet."""
        with self._lock:
            self._started = True

    def update(self, snapshot: Snapshot) -> None:
        """Write a line if a new second or stage has begun, else keep the snapshot."""
        with self._lock:
            if not self._started:
                return
            moment = (snapshot.stage, math.floor(snapshot.elapsed_s))
            self._last = snapshot
            if moment != self._shown:
                self._shown = moment
                self._write(snapshot)

    def stop(self) -> None:
        """Write the last snapshot, unless it has been written."""
        with self._lock:
            self._started = False
            if self._last is not None:
                self._write(self._last)

    def _write(self, snapshot: Snapshot) -> None:
        self._last = None
        lines = line(snapshot)
        is_end = snapshot.stage is RunStage.DONE  # the worst window, which the verdict names, is known then
        if snapshot.saturated is not None and (self._reason is None or is_end):
            reason = _saturation(snapshot.saturated)
            lines = lines if reason == self._reason else f"{lines}\n{reason}"
            self._reason = reason
        with suppress(OSError):  # written past rich, which would end the process at a broken pipe
            self._console.file.write(f"{lines}\n")
            self._console.file.flush()


def line(snapshot: Snapshot) -> str:
    """Return a snapshot in one line, its figures in the dashboard's order.

    A long line is shortened, never folded, because it is read with grep: first by the latencies of operations that
    issue no certificate, then by summing up the smallest states.
    """
    states = {words(name.lower()): number for name, number in snapshot.states.items() if number}
    latencies = [f"{figures.operation} {milliseconds(figures.response_ms.p99)}" for figures in snapshot.operations]
    while len(text := _line(snapshot, states, latencies)) > _WIDEST:
        if len(latencies) > 1:
            del latencies[0]
        elif len(states) > _FEWEST_STATES:
            smallest = sorted(states, key=lambda name: (name != _OTHER, states[name]))[:2]
            states[_OTHER] = sum(states.pop(name) for name in smallest)
        else:
            return cut(text, _WIDEST)
    return text


def _line(snapshot: Snapshot, states: Mapping[str, int], latencies: Sequence[str]) -> str:
    parts = [
        f"{clock(snapshot.elapsed_s):>7} {snapshot.stage.value}",
        ", ".join(f"{name} {number}" for name, number in states.items()) or quantity(snapshot.devices, "device"),
        f"{_last(snapshot.requests_per_s)} req/s {_last(snapshot.certificates_per_s)} cert/s",
        f"p99 {', '.join(latencies) or ABSENT}",
        f"waiting {snapshot.waiting_deferred}",
        f"errors {sum(number for _, number in snapshot.errors)}",
        f"lag p99 {milliseconds(snapshot.schedule_lag_ms.p99)}",
    ]
    if snapshot.saturated is not None:
        parts.append(_SATURATED)
    return _BETWEEN.join(clean(part) for part in parts)


def _saturation(saturated: str) -> str:
    """Return what was measured when the generator saturated, in one line; the tables say what it means."""
    return cut(f"{_SATURATED}: {saturated.split(': ', 1)[0]}", _WIDEST)


def _last(values: tuple[int, ...]) -> str:
    return str(values[-1]) if values else ABSENT
