"""The displays: a terminal taken and given back, and lines for everything else."""

import errno
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from estsim.device.states import State
from estsim.figures.snapshot import OperationFigures, Quantiles, RunStage, Snapshot
from estsim.terminal.dashboard import View
from estsim.terminal.live import LineDisplay, LiveDisplay, display_for, line

SNAPSHOT = Snapshot(
    name="quickstart",
    target="https://127.0.0.1:41873/.well-known/est",
    stage=RunStage.RUNNING,
    elapsed_s=23.4,
    duration_s=60.0,
    devices=500,
    states={"OFF": 0, "BACKING_OFF": 12, "operational": 488},
    requests=1834,
    certificates=1123,
    requests_per_s=(1, 87),
    certificates_per_s=(1, 43),
    operations=(OperationFigures("simpleenroll", 634, {"ok": 634}, Quantiles(), Quantiles(634, 5, 9, 34.3, 71.8)),),
    waiting_deferred=64,
    exchanges_per_certificate=1.42,
    time_to_certificate_s=Quantiles(),
    wakeups=(0,) * 60,
    errors=(("rejected 403", 12), ("failed connect", 3)),
    schedule_lag_ms=Quantiles(1000, 0.12, 2.1, 3.8, 4.4),
    loop_delay_p99_ms=1.3,
    cpu_share=0.45,
    max_cpu=0.9,
    max_lag_ms=50.0,
    rss_mib=123.4,
    in_flight=45,
    saturated=None,
)
TAKES, GIVES_BACK = "\x1b[?1049h", "\x1b[?1049l"
HIDES_CURSOR, SHOWS_CURSOR = "\x1b[?25l", "\x1b[?25h"


def terminal() -> tuple[Console, StringIO]:
    """Return a console that believes in its terminal, and what it writes there."""
    stream = StringIO()
    return Console(file=stream, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"}), stream


def pipe() -> tuple[Console, StringIO]:
    """Return a console on no terminal, and what it writes there."""
    stream = StringIO()
    return Console(file=stream, _environ={}), stream


def test_the_terminal_is_taken_and_given_back() -> None:
    """Alternate screen and cursor, once each, however often it is asked."""
    console, stream = terminal()
    display = LiveDisplay(console)
    display.start()
    display.start()
    display.update(SNAPSHOT)
    display.stop()
    display.stop()
    written = stream.getvalue()
    assert "quickstart" in written
    for code in (TAKES, GIVES_BACK, HIDES_CURSOR, SHOWS_CURSOR):
        assert written.count(code) == 1


def test_nothing_is_drawn_before_the_start_or_after_the_stop() -> None:
    """A late snapshot from a thread does not land in the final tables."""
    console, stream = terminal()
    display = LiveDisplay(console)
    display.update(SNAPSHOT)
    assert stream.getvalue() == ""
    display.start()
    display.stop()
    written = stream.getvalue()
    display.update(SNAPSHOT)
    assert stream.getvalue() == written


def last_frame(stream: StringIO) -> str:
    """Return the picture that the terminal shows, without its styles."""
    return re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", stream.getvalue().split("\x1b[H")[-1])


def test_another_view_is_drawn_at_once() -> None:
    """Of the moment that is known, with the keys named once somebody reads them."""
    console, stream = terminal()
    display = LiveDisplay(console)
    display.start()
    display.show(View.COHORTS)
    display.update(SNAPSHOT)
    assert "COHORTS" in last_frame(stream)
    assert "Ctrl-C: stop" in last_frame(stream)
    display.offer_keys()
    display.show(View.ERRORS)
    assert "67%" not in last_frame(stream)
    assert "80%" in last_frame(stream)
    assert "[3 errors]" in last_frame(stream)
    display.stop()


def test_a_frozen_moment_stays_while_the_run_goes_on() -> None:
    """It says so and since when; only what the run waits for is told at once. Then the latest moment is drawn."""
    console, stream = terminal()
    display = LiveDisplay(console)
    display.start()
    display.toggle_freeze()
    display.update(SNAPSHOT)
    assert "running  0:23" in last_frame(stream), "nothing was there to be frozen"
    display.toggle_freeze()
    display.update(replace(SNAPSHOT, elapsed_s=31.0, awaiting="press Enter: cut the power"))
    assert "FROZEN at 0:23 of 1:00" in last_frame(stream)
    assert "press Enter: cut the power" in last_frame(stream)
    display.toggle_freeze()
    assert "running  0:31" in last_frame(stream)
    display.stop()


def test_the_dashboard_may_be_driven_from_many_threads() -> None:
    """Frames come whole, one after the other."""
    console, stream = terminal()
    display = LiveDisplay(console)
    display.start()
    threads = [threading.Thread(target=display.update, args=(SNAPSHOT,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    display.stop()
    frames = stream.getvalue().split("\x1b[H")[-8:]
    assert {re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", frame).strip().count("\n") for frame in frames} == {23}


class HungUp(StringIO):
    """A terminal whose line is gone."""

    def write(self, text: str) -> int:
        """Fail as the kernel does."""
        raise OSError(errno.EIO, f"cannot write {len(text)} characters")


@pytest.mark.parametrize("kind", [LiveDisplay, LineDisplay])
def test_a_terminal_that_went_away_ends_no_run(kind: type[LiveDisplay | LineDisplay]) -> None:
    """The display falls silent."""
    display = kind(Console(file=HungUp(), force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"}))
    display.start()
    display.update(SNAPSHOT)
    display.stop()


CHILD = """
import sys
from dataclasses import replace
from rich.console import Console
sys.path.insert(0, {tests!r})
from test_terminal_live import SNAPSHOT
from estsim.terminal.live import display_for
display = display_for(Console())
display.start()
display.update(SNAPSHOT)
sys.stdin.readline()
display.update(replace(SNAPSHOT, name="after the resize"))
raise SystemExit(3)
"""


def resize(terminal_fd: int, width: int, height: int) -> None:
    """Give a terminal another size."""
    fcntl.ioctl(terminal_fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def read_until(terminal_fd: int, mark: str) -> str:
    """Return what comes from a terminal, up to the piece that holds the mark."""
    text = b""
    give_up_at_s = time.monotonic() + 20
    while mark.encode() not in text and time.monotonic() < give_up_at_s:
        if select.select([terminal_fd], [], [], 1)[0]:
            text += os.read(terminal_fd, 65536)
    return text.decode(errors="replace")


def test_a_resize_is_followed_and_a_crash_restores_the_terminal() -> None:
    """On a real terminal: the second frame has the new size, and leaving without a stop gives the screen back."""
    ours, theirs = pty.openpty()
    resize(theirs, 80, 24)
    clean = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(tests=str(Path(__file__).parent))],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**clean, "TERM": "xterm-256color"},
    )
    first = read_until(ours, "in flight")
    resize(theirs, 130, 40)
    os.write(ours, b"\n")
    second = read_until(ours, GIVES_BACK)
    assert child.wait(timeout=20) == 3
    os.close(theirs)
    os.close(ours)
    assert TAKES in first
    frame = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", second[second.rindex("\x1b[H") :])
    assert "after the resize" in frame
    assert [len(row) for row in frame.rstrip("\r\n").split("\r\n")] == [130] * 40


def test_a_pipe_gets_one_line_a_second_and_one_for_each_stage() -> None:
    """However often the engine calls; the last moment is never lost."""
    console, stream = pipe()
    display = display_for(console)
    display.update(SNAPSHOT)
    display.start()
    for elapsed_s in (0.1, 0.4, 1.0, 1.3, 1.9):
        display.update(replace(SNAPSHOT, elapsed_s=elapsed_s))
    display.update(replace(SNAPSHOT, elapsed_s=1.9, stage=RunStage.DRAINING))
    display.update(replace(SNAPSHOT, elapsed_s=1.95, stage=RunStage.DRAINING, waiting_deferred=7))
    display.stop()
    lines = stream.getvalue().splitlines()
    assert [row.split("|")[0].split() for row in lines] == [
        ["0:00", "running"],
        ["0:01", "running"],
        ["0:01", "draining"],
        ["0:01", "draining"],
    ]
    assert "waiting 7" in lines[-1]


def test_a_line_holds_the_figures_of_its_moment() -> None:
    """In one line, whatever the width of the terminal that it does not go to."""
    assert line(SNAPSHOT).strip() == (
        "0:23 running | backing off 12, operational 488 | 87 req/s 43 cert/s | p99 simpleenroll 34ms"
        " | waiting 64 | errors 15 | lag p99 3.8ms"
    )
    assert line(replace(SNAPSHOT, saturated="CPU 97%\nof 90%")).endswith(" | SATURATED")


SENTENCE = (
    "Schedule lag p99 812 ms over limit 20 ms (30 s of it in keys) from 10 s to 20 s: the generator started"
    " late, so response times and times to certificate of this window are longer than the server's, and the load it"
    " was offered was not the one planned"
)


def test_a_log_says_once_why_the_generator_is_saturated() -> None:
    """The sentence when it becomes known, a word in each line from then on."""
    console, stream = pipe()
    display = display_for(console)
    display.start()
    for at_s in range(6):
        display.update(replace(SNAPSHOT, elapsed_s=at_s, saturated=f"{SENTENCE} {at_s}" if at_s > 2 else None))
    display.stop()
    said = stream.getvalue()
    figure, _, _ = SENTENCE.partition(": ")
    assert [row for row in said.splitlines() if figure in row] == [f"SATURATED: {figure}"]
    assert said.count("SATURATED: ") == 1
    moments = [row for row in said.splitlines() if "running |" in row]
    assert [row.endswith("| SATURATED") for row in moments] == [False, False, False, True, True, True]


def test_the_last_reason_in_a_log_is_that_of_the_verdict() -> None:
    """A worse window may have come since the first was told; the same one is not told again."""
    for last, times in (("lag p99 90 ms from 20 s to 30 s", 2), ("lag p99 36 ms from 2 s to 12 s", 1)):
        console, stream = pipe()
        display = display_for(console)
        display.start()
        display.update(replace(SNAPSHOT, elapsed_s=12.0, saturated="lag p99 36 ms from 2 s to 12 s: late"))
        display.update(replace(SNAPSHOT, elapsed_s=31.0, saturated=f"{last}: late", stage=RunStage.DONE))
        display.stop()
        reasons = [row for row in stream.getvalue().splitlines() if row.startswith("SATURATED: ")]
        assert (reasons[-1], len(reasons)) == (f"SATURATED: {last}", times)


@pytest.mark.parametrize("columns", ["40", "150", "400"])
def test_a_record_of_a_log_is_one_line_of_less_than_160_characters(columns: str) -> None:
    """Whatever the fleet is doing, whatever is said of it and however wide the terminal says to be."""
    stream = StringIO()
    display = LineDisplay(Console(file=stream, _environ={"COLUMNS": columns}))
    operations = ("cacerts", "csrattrs", "simpleenroll", "simplereenroll", "serverkeygen")
    full = replace(
        SNAPSHOT,
        states={state.value: 100_000 + at for at, state in enumerate(State)},
        operations=tuple(replace(SNAPSHOT.operations[0], operation=name) for name in operations),
        saturated=SENTENCE * 3,
    )
    display.start()
    display.update(full)
    display.stop()
    moment, why = stream.getvalue().splitlines()
    assert max(len(moment), len(why)) < 160
    assert why.startswith("SATURATED: Schedule lag p99 812 ms over limit")
    assert "running | retired 100010, other 1000045 | 87 req/s 43 cert/s | p99 serverkeygen 34ms |" in moment
    assert moment.endswith(" | SATURATED")


def test_a_line_that_is_a_little_too_long_keeps_the_states_and_leaves_out_cacerts() -> None:
    """The latency of what brings certificates is what is looked for."""
    first, second = (replace(SNAPSHOT.operations[0], operation=name) for name in ("cacerts", "simpleenroll"))
    states = {"off": 500, "fetching_ca": 500, "enrolling": 500, "deferred": 5}
    text = line(replace(SNAPSHOT, states=states, operations=(first, second)))
    assert "off 500, fetching ca 500, enrolling 500, deferred 5 |" in text
    assert "p99 simpleenroll 34ms |" in text


def test_the_dashboard_is_for_terminals_that_can_show_it() -> None:
    """Pipes, dumb terminals and people who do not want it get lines."""
    able, _ = terminal()
    dumb = Console(file=StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(display_for(able), LiveDisplay)
    assert isinstance(display_for(able, dashboard=False), LineDisplay)
    assert isinstance(display_for(dumb), LineDisplay)
    assert isinstance(display_for(pipe()[0]), LineDisplay)
