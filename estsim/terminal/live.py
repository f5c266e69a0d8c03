"""Where snapshots go while a run lasts: a full screen on a terminal, one line a second anywhere else.

Both displays write to the console they are given and to nothing else, so that ``--json`` can keep stdout clean. They
may be driven from any thread, one call at a time or several: a lock orders them. A display is never a reason for a
run to end: once its terminal is gone (a closed pipe, a hung-up line) it falls silent.
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
from estsim.figures.text import ABSENT, clean, clock, milliseconds, quantity
from estsim.terminal.dashboard import render
from estsim.terminal.ink import cut
from estsim.terminal.viewing import View, Viewing

_WIDEST: Final = 159  # of a line in a log
_BETWEEN: Final = " | "
_OTHER: Final = "other"
_FEWEST_STATES: Final = 2  # the largest, and the sum of the others
_SATURATED: Final = "SATURATED"
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
        self._lines: LineDisplay | None = None  # once a bug of ours has kept us from drawing
        self._met: Exception | None = None

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
        """Draw a moment of the run at the size that the terminal has now; keep it for later while frozen.

        Raises, once, a bug of ours that kept us from drawing: from then on there are lines.
        """
        with self._lock:
            self._latest = snapshot
            self._draw()
            met, self._met = self._met, None
            lines = self._lines
        if met is not None:
            raise met
        if lines is not None:
            lines.update(snapshot)

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
        """Draw what is held or the latest; what the run waits for is told of the latest, or it would wait for ever."""
        if self._live is None or self._latest is None:
            return
        snapshot = self._latest
        if self._frozen is not None:
            snapshot = replace(self._frozen, awaiting=self._latest.awaiting)
        try:
            width, height = self._console.size
            picture = render(snapshot, width=width, height=height, viewing=self._viewing)
            self._live.update(picture, refresh=True)
        except _GONE:
            return
        except Exception as bug:  # noqa: BLE001 - a run does not end because it cannot be drawn
            self._met = bug
            self._leave_screen()
            self._lines = LineDisplay(self._console)
            self._lines.start()


class LineDisplay:
    """One line for each second of the run, and one for each new stage: for logs, pipes and plain terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._started = False
        self._shown: tuple[RunStage, int] | None = None
        self._last: Snapshot | None = None
        self._told_why: str | None = None  # what saturated the generator

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
        lines = line(snapshot)
        is_end = snapshot.stage is RunStage.DONE  # when the worst window is known, which the verdict names
        if snapshot.saturated is not None and (self._told_why is None or is_end):
            why = _reason(snapshot.saturated)
            lines = lines if why == self._told_why else f"{lines}\n{why}"
            self._told_why = why
        with suppress(OSError):  # written past rich, which would end the process at a broken pipe
            self._console.file.write(f"{lines}\n")
            self._console.file.flush()


def line(snapshot: Snapshot) -> str:
    """Return a moment of a run in one line, the figures in the dashboard's order.

    A line that is too long is shortened and never folded, for it is read with grep: first the latencies of operations
    that bring no certificate are left out, then the smallest states are summed up.
    """
    states = {name.lower().replace("_", " "): number for name, number in snapshot.states.items() if number}
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


def _reason(saturated: str) -> str:
    """Return why the generator was the limit in one line: what was measured; the tables say what it means."""
    return cut(f"{_SATURATED}: {saturated.split(': ', 1)[0]}", _WIDEST)


def _last(values: tuple[int, ...]) -> str:
    return str(values[-1]) if values else ABSENT
