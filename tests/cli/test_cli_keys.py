"""The keys of the live dashboard, on a real terminal with a real run."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from cli_runs import COMMAND, results_in, write_scenario
from rich.console import Console

from estsim.cli.keys import Keys, keys_in
from estsim.terminal.live import LiveDisplay

BUSY = {"devices": 20, "boot": {"burst": "200ms"}, "renew": {"after": "500ms"}}  # and so on until somebody stops it
DEADLINE_S = 20.0


@dataclass(slots=True)
class Terminal:
    """A terminal of 80 by 24 with a run on it."""

    ours: int
    theirs: int
    process: "subprocess.Popen[bytes]"
    before: list[object]
    text: str = field(default="")

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.ours, keys.encode())

    def shows(self, pattern: str) -> bool:
        """Wait until the terminal has shown something since the last time; False where it does not."""
        give_up_at_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < give_up_at_s:
            found = re.search(pattern, self.text)
            if found is not None:
                self.text = self.text[found.end() :]
                return True
            if select.select([self.ours], [], [], 0.1)[0]:
                self.text += re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", os.read(self.ours, 65536).decode(errors="replace"))
        return False

    def ends(self) -> int:
        """Wait for the run to end, reading what it still writes, and return its exit code."""
        give_up_at_s = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < give_up_at_s:
            if select.select([self.ours], [], [], 0.1)[0]:
                os.read(self.ours, 65536)
        return self.process.wait(timeout=0)

    def is_restored(self) -> bool:
        """Return whether the terminal's settings are what they were."""
        return termios.tcgetattr(self.theirs) == self.before


@contextmanager
def run_on_terminal(tmp_path: Path, *, controlling: bool = True) -> Iterator[Terminal]:
    """Run a busy scenario on a terminal, in the foreground if that is its controlling terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    command = [*COMMAND, "run", str(write_scenario(tmp_path, cohort=BUSY)), "--results", str(tmp_path / "results")]
    if controlling:  # setsid -c makes standard input the controlling terminal
        command = ["setsid", "-c", "-w", *command]
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm-256color"}
    ) as process:
        try:
            yield Terminal(ours, theirs, process, before)
        finally:
            process.kill()
    os.close(theirs)
    os.close(ours)


def test_keys_choose_freeze_and_stop(tmp_path: Path) -> None:
    """Each view by its number, a frozen moment, and an end in order; the terminal is as it was."""
    with run_on_terminal(tmp_path) as terminal:
        assert terminal.shows(r"\[1 overview\]")
        terminal.press("2")
        assert terminal.shows(r"RETRY-AFTER AND ACTUAL WAIT[^\x1b]*\[2 deferral\]")
        terminal.press("\x1b[15~4")
        assert terminal.shows(r"\[4 cohorts\]")
        terminal.press(" ")
        assert terminal.shows(r"FROZEN at 0:\d\d of 0:30")
        terminal.press(" 1")
        assert terminal.shows(r"● running  0:\d\d of 0:30")
        assert not terminal.is_restored(), "the keys cannot have been read one by one"
        terminal.press("qq")
        assert terminal.ends() == 130
        assert terminal.is_restored()
    run = results_in(tmp_path / "results")
    assert run.one("SELECT value FROM run WHERE key = 'ending'") == "aborted"
    assert run.one("SELECT COUNT(*) FROM exchanges WHERE kind IN ('abandoned', 'failed')") == 0, "it was cut"


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"2 q", [b"2", b" ", b"q"]),
        (b"\x1b[A1\x1b[15~", [b"1"]),
        (b"\x1bOP\r", [b"\r"]),
        (b"\x1b", []),
        (b"\x1b[1;5C4", [b"4"]),
        (b"", []),
    ],
)
def test_the_digits_of_function_keys_are_no_keys(sent: bytes, keys: list[bytes]) -> None:
    """Arrows and function keys do nothing; what was typed around them counts."""
    assert keys_in(sent) == keys


def test_enter_is_an_operators_go_ahead() -> None:
    """Whichever end of line the terminal sends."""
    pressed: list[str] = []
    keys = Keys(LiveDisplay(Console(file=StringIO())), lambda: pressed.append("enter"))
    for key in keys_in(b"\rx\n"):
        keys.press(key)
    assert pressed == ["enter", "enter"]


@pytest.mark.parametrize("controlling", [True, False])
def test_ctrl_c_works_as_ever_and_a_background_job_keeps_its_hands_off(tmp_path: Path, *, controlling: bool) -> None:
    """On a terminal that is not ours to read, no keys are offered and nothing hangs."""
    with run_on_terminal(tmp_path, controlling=controlling) as terminal:
        assert terminal.shows(r"space: freeze" if controlling else r"Ctrl-C: stop")
        assert terminal.shows(r"● running")
        if controlling:
            terminal.press("\x03")
        else:
            assert terminal.is_restored()
            terminal.process.terminate()
        assert terminal.ends() == 130
        assert terminal.is_restored()
