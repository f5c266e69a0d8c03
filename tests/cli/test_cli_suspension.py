"""Ctrl-Z on the dashboard: the shell has its own screen and cursor while the run stands still, and fg draws again."""

import os
import signal
import subprocess
from pathlib import Path
from threading import Thread

from cli_runs import COMMAND, DEADLINE_S, results_in, until, write_scenario

ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l\x1b[?25h"


def test_the_screen_is_lent_to_the_shell(tmp_path: Path) -> None:
    """It is left before the process stops, entered again as it goes on, and the run ends in order."""
    scenario = write_scenario(tmp_path, cohort={"renew": {"after": "300ms"}}, duration="60s", until=None)
    words = [*COMMAND, "run", str(scenario), "--results", str(tmp_path / "results")]
    terminal, ours = os.openpty()
    shown = bytearray()

    def read() -> None:
        try:
            while True:
                shown.extend(os.read(terminal, 65536))
        except OSError:  # the other end is closed
            return

    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=ours, stderr=ours, process_group=0, env=environment
    ) as process:
        os.close(ours)
        reader = Thread(target=read, daemon=True)
        reader.start()
        try:
            until(lambda: b"enew" in shown)
            process.send_signal(signal.SIGTSTP)
            stopped = os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            assert stopped is not None
            assert stopped.si_status == signal.SIGTSTP
            until(lambda: LEFT in shown)
            drawn = len(shown)
            process.send_signal(signal.SIGCONT)
            until(lambda: ENTERED in shown[drawn:])
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 130
        finally:
            process.kill()
    reader.join(DEADLINE_S)
    os.close(terminal)
    assert bytes(shown).count(LEFT) >= 1
    assert shown.rfind(b"\x1b[?1049l") > shown.rfind(ENTERED)
    assert results_in(tmp_path / "results").summary["verdict"] == "aborted"
