"""The command line as users have it: processes with arguments, files, signals, exit codes, and what a run leaves."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from warm import run_warm

COMMAND: Final = (sys.executable, "-m", "estsim")
DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.02

CLASSES: Final = (
    "ok", "deferred", "overloaded", "challenged", "unauthorized", "rejected", "server_error", "malformed", "failed",
    "abandoned",
)  # fmt: skip
PARTS: Final = ("service", "told", "device", "backoff", "client", "generator")

Keys = dict[str, Any]  # of a scenario


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def mistakes(self) -> list[str]:
        """What it said was wrong, line by line."""
        return self.err.splitlines()


def estsim(*words: str | Path, cwd: Path | None = None, limit: tuple[str, int] | None = None) -> Done:
    """Run a command to its end, under a limit of bash's ``ulimit`` if given. No user should ever see a traceback."""
    if limit:
        done = limited(limit, [*COMMAND, *map(str, words)], cwd)
    else:
        done = run_warm([*map(str, words)], cwd=cwd or Path.cwd(), within_s=3 * DEADLINE_S)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def limited(limit: tuple[str, int], words: Sequence[str], cwd: Path | None) -> "subprocess.CompletedProcess[str]":
    """Run a program under a limit of bash's ``ulimit``."""
    return subprocess.run(
        ["bash", "-c", f'ulimit -{limit[0]} {limit[1]} && exec "$@"', "bash", *words],
        capture_output=True,
        text=True,
        timeout=3 * DEADLINE_S,
        check=False,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
    )


def at_once(commands: Mapping[str, Callable[[], Done]]) -> dict[str, Done]:
    """Run commands by name, two at a time."""
    with ThreadPoolExecutor(max_workers=2) as two:
        running = {name: two.submit(command) for name, command in commands.items()}
        return {name: future.result() for name, future in running.items()}


@contextmanager
def started(*words: str | Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command in a process group of its own until the block ends; whatever is left of it is killed."""
    with subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]", within_s: float = DEADLINE_S) -> Done:
    """Wait for a command that was started, and return what it said."""
    out, err = process.communicate(timeout=within_s)
    assert "Traceback" not in out + err, err
    return Done(process.returncode, out, err)


def until(true: Callable[[], bool], within_s: float = DEADLINE_S) -> None:
    """Wait for something to become true."""
    deadline_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(_POLL_S)


# -- scenarios


def write_scenario(folder: Path, *, cohort: Keys | None = None, **keys: Keys | str | int | list[Any] | None) -> Path:
    """Write a scenario of five devices that enroll at once and stay; keys and the cohort's keys can be given.

    JSON is YAML. Lag and CPU have generous limits: these tests share the machine with others.
    """
    meters = {"devices": 5, "boot": {"burst": "0s"}, "renew": "off", **(cohort or {})}
    scenario: Keys = {
        "version": 1,
        "name": "few",
        "duration": "30s",
        "until": "settled",
        "generator": {"max_lag": "30s", "max_cpu": "100%"},
        "cohorts": {"meters": meters},
        **keys,
    }
    path = folder / "scenario.yaml"
    path.write_text(json.dumps(scenario, indent=1), encoding="utf-8")
    return path


# -- servers


@dataclass(frozen=True, slots=True)
class Server:
    """An ``estsim serve`` that runs."""

    process: "subprocess.Popen[str]"
    url: str
    folder: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0

    @property
    def manufacturer(self) -> Path:
        """The certificate and key of the manufacturer that it trusts; as a trust anchor, one that it does not have."""
        return self.folder / "pki" / "default" / "manufacturer.pem"

    def target(self, **keys: object) -> Keys:
        """Return the keys of a scenario with this server, whose devices it knows."""
        maker = str(self.manufacturer)
        return {
            "target": {"url": self.url, "trust": {"ca": str(self.folder / "trust.pem")}, **keys},
            "authorities": {"maker": {"cert": maker, "key": maker}},
        }

    def log(self, query: str) -> list[Any]:
        """Ask its exchange log."""
        return query_rows(self.folder / "sandbox.sqlite", query)


MADE_BY_MAKER: Final[Keys] = {"bootstrap": {"kind": "manufacturer", "authority": "maker"}}


@contextmanager
def serving(folder: Path, *options: str, port: int = 0) -> Iterator[Server]:
    """Run ``estsim serve`` until the block ends."""
    with started("serve", "--port", str(port), "--dir", folder, *options) as process:
        said: Keys = {}

        def announced() -> bool:
            assert process.poll() is None, process.communicate()[1]
            with suppress(FileNotFoundError):  # one that takes another's place removes what that has said
                said.update(json.loads((folder / "sandbox.json").read_text(encoding="utf-8")))
            return said.get("pid") == process.pid

        until(announced)
        yield Server(process, said["url"], folder)


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port: int = nobody.getsockname()[1]
        return port


# -- what a run leaves


@dataclass(frozen=True, slots=True)
class Results:
    """A run's folder, read as anybody could: JSON and SQL."""

    folder: Path

    @property
    def summary(self) -> Keys:
        """What summary.json says."""
        summary: Keys = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        return summary

    def rows(self, query: str) -> list[Any]:
        """Ask run.sqlite."""
        return query_rows(self.folder / "run.sqlite", query)

    def log(self, query: str) -> list[Any]:
        """Ask the sandbox's exchange log."""
        return query_rows(self.folder / "sandbox.sqlite", query)

    def one(self, query: str) -> Any:  # noqa: ANN401 - whatever is asked for
        """Ask run.sqlite for one value."""
        ((value,),) = self.rows(query)
        return value


def results_in(folder: Path) -> Results:
    """Return the one run that was left in a results folder."""
    (run,) = folder.iterdir()
    return Results(run)


def query_rows(database: Path, query: str) -> list[Any]:
    """Ask a database without changing it."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=DEADLINE_S)) as db:
        db.row_factory = sqlite3.Row
        return db.execute(query).fetchall()


def recorded(results: Path, query: str) -> int:
    """Count rows of a run that may only just have begun: 0 while there is no store yet."""
    try:
        return int(results_in(results).one(query))
    except (OSError, ValueError, sqlite3.OperationalError):
        return 0


def assert_log_agrees(run: Results) -> None:
    """Check that the requests sent are those that the sandbox served, each once, by their ids."""
    sent = Counter(row["request_id"] for row in run.rows("SELECT request_id FROM exchanges WHERE sent_ns IS NOT NULL"))
    served = Counter(row["request_id"] for row in run.log("SELECT request_id FROM exchanges"))
    assert sent == served
    assert set(sent.values()) == {1}


def assert_books_balance(run: Results) -> None:
    """Check the accounts of a run: rows against summary, requests by class, devices by state, enrolments."""
    summary = run.summary
    _assert_rows_are_counted(run)
    for scope in (summary, *summary["cohorts"].values()):
        for operation in scope["operations"].values():
            assert operation["requests"] == sum(operation[name] for name in CLASSES)
    assert sum(summary["fleet"]["states"].values()) == summary["fleet"]["devices"]
    begun, over = run.rows("SELECT SUM(begun) AS begun, SUM(ended) AS ended FROM series")[0]
    still_open = run.one("SELECT COUNT(*) FROM enrolments WHERE end IS NULL")
    assert begun == over + still_open == run.one("SELECT COUNT(*) FROM enrolments")
    issued = run.one("SELECT COUNT(*) FROM enrolments WHERE end = 'issued'")
    assert issued == summary["certificates"]["verified"] == summary["certificates"]["issued"]
    _assert_parts_add_up(run)


def _assert_rows_are_counted(run: Results) -> None:
    counted = {
        (name, kind): operation[kind]
        for name, operation in run.summary["operations"].items()
        for kind in CLASSES
        if operation[kind]
    }
    query = "SELECT operation, kind, COUNT(*) FROM exchanges WHERE cause != 'preflight' GROUP BY operation, kind"
    assert {(operation, kind): count for operation, kind, count in run.rows(query)} == counted


def _assert_parts_add_up(run: Results) -> None:
    """Check that the time to every certificate is the sum of its parts, to a millisecond."""
    parts = " + ".join(f"{part}_ns" for part in PARTS)
    off = run.rows(
        f"SELECT device, number, ended_ns - intended_ns AS whole, {parts} AS parts FROM enrolments "  # noqa: S608 - ours
        f"WHERE end = 'issued' AND ABS(ended_ns - intended_ns - ({parts})) > 1000000"
    )
    assert [tuple(row) for row in off] == []


def interrupt(process: "subprocess.Popen[str]") -> None:
    """Press Ctrl-C: the terminal sends SIGINT to the whole foreground process group."""
    os.killpg(process.pid, signal.SIGINT)
