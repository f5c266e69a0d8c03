"""Programs that nobody here wrote, and estsim as its users have it: commands, each in a process of its own.

Owns finding a peer (a missing one skips its tests, or fails them where ``ESTSIM_REQUIRE_PEERS=1``), running it, the
sandbox as ``estsim serve`` with its exchange log, and ``estsim run`` with its figures. Asserts nothing about EST.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from warm import run_warm

from estsim.est.certificate import serial_text

ESTSIM: Final = (sys.executable, "-m", "estsim")
WELL_KNOWN: Final = "/.well-known/est"
COMMAND_S: Final = 30.0
_START_S: Final = 20.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.02


def peer(name: str, comes_with: str) -> str:
    """Return the path of a program; without it, skip the test, or fail it where peers are required."""
    found = shutil.which(name) or shutil.which(name, path=_go_programs())
    if found is not None:
        return found
    reason = f"needs {name}, which comes with {comes_with}"
    if os.environ.get("ESTSIM_REQUIRE_PEERS") == "1":
        pytest.fail(f"{reason}; ESTSIM_REQUIRE_PEERS=1 lets nothing be skipped")
    pytest.skip(reason)


@cache
def _go_programs() -> str:
    """Return where ``go install`` puts programs, as a search path; empty without Go."""
    go = shutil.which("go")
    if go is None:
        return ""
    settings = json.loads(command([go, "env", "-json", "GOBIN", "GOPATH"]).stdout)
    if settings["GOBIN"]:
        return str(settings["GOBIN"])
    return os.pathsep.join(str(Path(part) / "bin") for part in settings["GOPATH"].split(os.pathsep) if part)


def command(
    words: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    fails: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, and fail with all it said unless it ended as expected."""
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        timeout=COMMAND_S,
        check=False,
    )
    said = (done.stderr or done.stdout).decode(errors="replace")
    assert (done.returncode != 0) is fails, f"{words[0]} ended with code {done.returncode}:\n{said}"
    return done


def estsim(*words: str) -> str:
    """Run a command of estsim to its end, and return what it printed; fail with all it said unless it ended well."""
    done = run_warm(words, cwd=Path.cwd(), within_s=COMMAND_S)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


class LogRow(NamedTuple):
    """What the sandbox put on record of one exchange."""

    operation: str | None
    status: int | None
    user: str | None
    peer_subject: str | None
    peer_serial: str | None
    serial: str | None
    retry_after: str | None
    early: int


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running ``estsim serve``, as the files in its folder tell of it."""

    folder: Path
    url: str
    trust: Path
    bootstrap: Path

    @property
    def origin(self) -> str:
        """The URL without the path, for clients that know the path themselves."""
        return self.url.removesuffix(WELL_KNOWN)

    @property
    def authorities(self) -> list[x509.Certificate]:
        """The root and the intermediate."""
        return x509.load_pem_x509_certificates(self.trust.read_bytes())

    def log(self) -> list[LogRow]:
        """Return every exchange so far; each was committed before its answer left."""
        with closing(sqlite3.connect(self.folder / "sandbox.sqlite")) as database:
            columns = ", ".join(LogRow._fields)
            query = f"SELECT {columns} FROM exchanges ORDER BY id"  # noqa: S608 - names of our own
            return [LogRow(*row) for row in database.execute(query)]

    @contextmanager
    def logging(self) -> Iterator[list[LogRow]]:
        """Give a list that holds, once the block has ended, what was logged in it."""
        before = len(self.log())
        rows: list[LogRow] = []
        yield rows
        rows += self.log()[before:]


@contextmanager
def serving(folder: Path, configuration: str = "{}\n") -> Iterator[Sandbox]:
    """Run ``estsim serve`` on a port of the kernel's choice until the block ends; it must end in order."""
    settings, kept = folder / "sandbox.yaml", folder / "sandbox"
    settings.write_text(configuration, encoding="utf-8")
    words = [*ESTSIM, "serve", str(settings), "--port", "0", "--dir", str(kept), "--with-parent"]
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=errors)
    with ended(process):
        announcement = kept / "sandbox.json"
        wait_until(announcement.exists, process, folder / "stderr")
        said = json.loads(announcement.read_text(encoding="utf-8"))
        yield Sandbox(kept, said["url"], Path(said["trust"]), Path(said["bootstrap"]))
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(_STOP_S) == 0, (folder / "stderr").read_text(encoding="utf-8")


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """See to it that a process is gone after the block, whatever happened in it."""
    with process:
        try:
            yield
        finally:
            process.kill()  # of one that has ended and was waited for, nothing


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], errors: Path) -> None:
    """Wait for a server that started to be ready; fail with its words if it dies or takes too long."""
    deadline = time.monotonic() + _START_S
    while not ready():
        said = errors.read_text(encoding="utf-8", errors="replace")
        assert process.poll() is None, f"ended with code {process.returncode} before it was ready:\n{said}"
        assert time.monotonic() < deadline, f"was not ready within {_START_S:g} s:\n{said}"
        time.sleep(_POLL_S)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What one ``estsim run`` left: exit code, summary, and the folder with its rows."""

    exit_code: int
    summary: dict[str, Any]
    folder: Path
    said: str

    def exchanges(self) -> list[dict[str, Any]]:
        """Return the fleet's rows of run.sqlite, in order; the preflight is none of the fleet's."""
        with closing(sqlite3.connect(self.folder / "run.sqlite")) as database:
            database.row_factory = sqlite3.Row
            query = "SELECT * FROM exchanges WHERE cause != 'preflight' ORDER BY id"
            return [dict(row) for row in database.execute(query)]


def run_scenario(folder: Path, scenario: str) -> FinishedRun:
    """Run a scenario from its text to its end."""
    path, results = folder / "scenario.yaml", folder / "results"
    path.write_text(scenario, encoding="utf-8")
    done = run_warm(["run", str(path), "--json", "--results", str(results)], cwd=folder, within_s=2 * COMMAND_S)
    assert done.stdout, f"printed no summary, and ended with code {done.returncode}:\n{done.stderr}"
    (kept,) = results.iterdir()
    return FinishedRun(done.returncode, json.loads(done.stdout), kept, done.stderr)


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as a peer's file wants it."""
    return certificate.public_bytes(Encoding.PEM)


def serial_of(certificate: x509.Certificate) -> str:
    """Return a serial number as the exchange log writes it."""
    return serial_text(certificate.serial_number)
