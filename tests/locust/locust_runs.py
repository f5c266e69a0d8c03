"""Locust's command line as users have it: processes, its web UI's requests, exit codes, and what a run leaves."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

sys.path.append(str(Path(__file__).parent.parent / "cli"))  # who reads a run's folder does so in one way

from cli_runs import Keys, Results, assert_books_balance, assert_log_agrees, closed_port, recorded, write_scenario

__all__ = ["Results", "assert_books_balance", "assert_log_agrees", "closed_port", "recorded"]  # for the tests beside

LOCUSTFILE: Final = Path(__file__).parent.parent.parent / "locustfile.py"
LOCUST: Final = (sys.executable, "-W", "error::ResourceWarning:estsim", "-m", "locust")
DEADLINE_S: Final = 60.0
_POLL_S: Final = 0.1

DEFERRING: Final[Keys] = {
    "issue": {"mode": "deferred", "share": "40%", "delay": "500ms", "retry_after": {"seconds": 1}}
}


@dataclass(frozen=True, slots=True)
class Done:
    """A Locust that has ended; ``log`` is all it said."""

    code: int
    log: str


def fleet(folder: Path, devices: int = 20, **keys: Any) -> Path:  # noqa: ANN401 - keys of a scenario
    """Write a scenario of meters that boot within a second, are deferred now and then, and stay."""
    cohort = {"devices": devices, "boot": {"burst": "1s"}, **keys.pop("cohort", {})}
    return write_scenario(folder, cohort=cohort, **{"sandbox": DEFERRING, **keys})


def in_processes(count: int) -> tuple[str, ...]:
    """Return the options that make a master and so many workers of one Locust, on a port that no other test has."""
    port = str(closed_port())
    return ("--processes", str(count), "--master-bind-port", port, "--master-port", port)


def locust(folder: Path, *options: str | Path, file: Path = LOCUSTFILE) -> Done:
    """Run a locustfile headless to its end; its results are in the folder."""
    with started(folder, "--headless", "--only-summary", *options, file=file) as process:
        return ended(process)


@contextmanager
def started(folder: Path, *options: str | Path, file: Path = LOCUSTFILE) -> Iterator["subprocess.Popen[str]"]:
    """Run a locustfile in a process group of its own until the block ends; whatever is left of it is killed."""
    with subprocess.Popen(
        [*LOCUST, "-f", str(file), *map(str, options)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def ended(process: "subprocess.Popen[str]") -> Done:
    """Wait for a Locust that was started. No user should ever see a traceback."""
    log, _ = process.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in log, log
    return Done(process.returncode, log)


def runs_in(folder: Path) -> list[Results]:
    """Return what was left in the results folder, the oldest first."""
    return [Results(run) for run in sorted((folder / "results").iterdir())]


@dataclass(frozen=True, slots=True)
class WebUI:
    """A Locust with its web UI."""

    process: "subprocess.Popen[str]"
    url: str

    def ask(self, path: str, form: dict[str, str] | None = None) -> str:
        """Get a page, or send a form there."""
        with urlopen(f"{self.url}{path}", urlencode(form).encode() if form else None, DEADLINE_S) as answer:  # noqa: S310 - ours
            text: str = answer.read().decode()
            return text

    def statistics(self) -> dict[str, Any]:
        """Return what the UI asks for every two seconds."""
        found: dict[str, Any] = json.loads(self.ask("/stats/requests"))
        return found

    def figures(self) -> dict[str, dict[str, str]]:
        """Return the rows of the Deferral tab by their keys."""
        (table,) = self.statistics()["extended_stats"]
        return {row["key"]: row for row in table["data"]}

    def play(self, scenario: Path) -> None:
        """Start a test of a scenario, and wait until it is over."""
        form = {"scenario": str(scenario), "host": ""}
        deadline_s = time.monotonic() + DEADLINE_S
        while self.statistics()["state"] in {"ready", "stopped"}:  # Locust overlooks who asks before it has tidied up
            assert json.loads(self.ask("/swarm", form))["success"]
            assert time.monotonic() < deadline_s, "no test began"
            time.sleep(1.0)
        self.until("stopped")

    def refusal(self, form: dict[str, str]) -> str:
        """Start a test that cannot be one, and return what Locust's log shows of it."""
        before = self.errors()
        deadline_s = time.monotonic() + DEADLINE_S
        while (after := self.errors()) == before:  # Locust overlooks who asks before it has tidied up
            assert json.loads(self.ask("/swarm", {"host": "", **form}))["success"]
            assert time.monotonic() < deadline_s, form
            time.sleep(1.0)
        self.until("stopped", "ready")
        return after[len(before)]

    def errors(self) -> list[str]:
        """Return what Locust's log has of estsim's errors."""
        lines = json.loads(self.ask("/logs"))["master"]
        return [line.split("estsim: ", 1)[1] for line in lines if "/ERROR/" in line and "estsim: " in line]

    def until(self, *states: str) -> None:
        """Wait until Locust is in one of these states."""
        deadline_s = time.monotonic() + DEADLINE_S
        while self.statistics()["state"] not in states:
            assert time.monotonic() < deadline_s, states
            time.sleep(_POLL_S)


@contextmanager
def web_ui(folder: Path, *options: str | Path) -> Iterator[WebUI]:
    """Run the locustfile with its web UI until the block ends."""
    port = closed_port()
    address = ("--web-host", "127.0.0.1", "--web-port", str(port))
    with started(folder, *address, *options) as process:
        ui = WebUI(process, f"http://127.0.0.1:{port}")
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                ui.ask("/")
                break
            except HTTPError:
                break  # it answers
            except URLError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline_s, "the web UI did not come up"
                time.sleep(_POLL_S)
        yield ui
