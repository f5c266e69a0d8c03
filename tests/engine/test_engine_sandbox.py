"""The sandbox as a process of a run: up, announced, gone with the run however that ends, and no key left behind."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from engine_kit import DEADLINE_S, cohort, rig, until

from estsim.device.policy import Policy
from estsim.engine.sandbox import Sandbox, running_sandbox
from estsim.errors import PreflightError
from estsim.fleet.trust import trust_file
from estsim.pki.manufacturer import ManufacturerCA

PASSWORD: Final = "correct horse battery staple"
KEY: Final = "PRIVATE KEY"
CONFIG: Final = f"clients: {{users: {{alice: {{password: {PASSWORD}}}}}}}\n"
PARENT: Final = """
import os, signal, sys, psutil, trio
from pathlib import Path
from estsim.engine.sandbox import running_sandbox

async def go(early):
    async def run():
        async with running_sandbox(sys.argv[2], {}, keep_log_in=Path("/nowhere")):
            print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
            await trio.sleep_forever()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        while early:
            children = psutil.Process().children(recursive=True)
            if children:
                print(*(child.pid for child in children), flush=True)
                await trio.sleep_forever()
            await trio.lowlevel.checkpoint()

trio.run(go, sys.argv[1] == "early")
"""


@pytest.fixture(name="temporary")
def private_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that temporary folders are made in."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@asynccontextmanager
async def sandboxed(config: str, results: Path, **factories: ManufacturerCA) -> AsyncIterator[Sandbox]:
    """Run a sandbox within the deadline."""
    with trio.fail_after(DEADLINE_S):
        async with running_sandbox(config, factories, keep_log_in=results) as sandbox:
            yield sandbox


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def await_end(pid: int) -> None:
    """Wait until somebody else's child has ended."""
    until_s = time.monotonic() + DEADLINE_S
    while not gone(pid):
        assert time.monotonic() < until_s, "it lives on"
        time.sleep(0.01)


def files(folder: Path, *having: str) -> list[Path]:
    """Return the files below a folder that hold one of some words."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if any(word.encode() in path.read_bytes() for word in having)]


def only_folder_in(folder: Path) -> Path:
    """Return the one folder in another."""
    (found,) = folder.iterdir()
    return found


def is_empty(folder: Path) -> bool:
    """Whether nothing stayed behind."""
    return not list(folder.iterdir())


async def test_it_serves_a_fleet_and_leaves_its_log(tmp_path: Path, temporary: Path) -> None:
    """Announced with all that a run needs; gone after, with its folder; the log of every exchange is kept.

    Meanwhile nobody else may look into the folder, and passwords are gone from it once they were read.
    """
    async with sandboxed(CONFIG, tmp_path) as sandbox:
        assert not gone(sandbox.process.pid)
        assert only_folder_in(temporary).stat().st_mode & 0o077 == 0
        assert files(temporary, PASSWORD) == []
        made = rig(sandbox.url, trust_file(sandbox.trust), sandbox.factory, cohort(3, Policy(renew=None)))
        await made.shard.run(until_settled=True)
    assert made.recorder.kinds() == ["ok"] * 6
    assert gone(sandbox.process.pid)
    assert is_empty(temporary)
    with closing(sqlite3.connect(tmp_path / "sandbox.sqlite")) as log:
        lines = {row[0] for row in log.execute("SELECT request_id FROM exchanges")}
    assert lines == {sample.request_id for sample in made.recorder.samples}
    assert files(tmp_path, KEY, PASSWORD) == []


async def test_authorities_of_the_run_are_given_without_their_keys(tmp_path: Path, temporary: Path) -> None:
    """The configuration names them; devices that they made may enroll."""
    maker = ManufacturerCA.made("mfg-2026")
    config = "clients: {bootstrap_cas: [mfg-2026]}\n"
    async with sandboxed(config, tmp_path, **{"mfg-2026": maker}) as sandbox:
        given = only_folder_in(temporary) / "mfg-2026"
        (certificate,) = x509.load_pem_x509_certificates(given.read_bytes())
        assert certificate.public_bytes(Encoding.DER) == maker.certificate.der
        assert KEY.encode() not in given.read_bytes()
        made = rig(sandbox.url, trust_file(sandbox.trust), maker, cohort(2, Policy(renew=None)))
        await made.shard.run(until_settled=True)
    assert made.recorder.kinds() == ["ok"] * 4


async def test_a_sandbox_that_does_not_come_up_says_why(tmp_path: Path, temporary: Path) -> None:
    """Its last words are in the error; nothing stays behind."""
    with pytest.raises(PreflightError) as caught:
        async with sandboxed("issuer: {keys: rsa}\n", tmp_path):
            pytest.fail("it came up")
    assert str(caught.value).startswith("the sandbox ended with code 2 ")
    assert "keys" in str(caught.value)
    assert is_empty(temporary)
    assert not (tmp_path / "sandbox.sqlite").exists()


async def test_an_error_of_the_run_takes_the_sandbox_with_it(tmp_path: Path, temporary: Path) -> None:
    """And goes on; the log is kept all the same."""
    pids: list[int] = []

    async def fail() -> None:
        async with sandboxed("{}", tmp_path) as sandbox:
            pids.append(sandbox.process.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert gone(*pids)
    assert is_empty(temporary)
    assert (tmp_path / "sandbox.sqlite").exists()


async def test_a_cancelled_run_takes_the_sandbox_with_it(tmp_path: Path, temporary: Path) -> None:
    """Also while it waits for the announcement."""
    others = psutil.Process().children()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_open, tmp_path)
            children: list[psutil.Process] = []
            while not children:
                await trio.lowlevel.checkpoint()
                children = [child for child in psutil.Process().children() if child not in others]
            scope.cancel()
    assert all(gone(child.pid) for child in children)
    assert is_empty(temporary)


def rows_in(log: sqlite3.Connection) -> int:
    """Return how many exchanges a log has."""
    (rows,) = log.execute("SELECT count(*) FROM exchanges").fetchone()
    return int(rows)


async def _keep_open(results: Path) -> None:
    async with running_sandbox("{}", {}, keep_log_in=results):
        await trio.sleep_forever()


async def test_a_sandbox_that_was_killed_is_no_obstacle(tmp_path: Path, temporary: Path) -> None:
    """The run ends in order, and what the sandbox had written can be read."""
    async with sandboxed("{}", tmp_path) as sandbox:
        made = rig(sandbox.url, trust_file(sandbox.trust), sandbox.factory, cohort(3, Policy(renew=None)))
        await made.shard.run(until_settled=True)
        with closing(sqlite3.connect(f"{sandbox.database.as_uri()}?mode=ro", uri=True)) as log:
            await until(lambda: rows_in(log) == 6)
        os.kill(sandbox.process.pid, signal.SIGKILL)
    assert is_empty(temporary)
    with closing(sqlite3.connect(tmp_path / "sandbox.sqlite")) as log:
        assert rows_in(log) == 6


@contextmanager
def parent(temporary: Path, when: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a process with a sandbox of its own."""
    command = [sys.executable, "-c", PARENT, when, CONFIG]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("when", ["announced", "early"])
def test_a_killed_run_leaves_no_sandbox_and_no_secret(tmp_path: Path, when: str) -> None:
    """SIGKILL leaves no time for anything: the sandbox notices, ends, and removes its keys, ours and the passwords.

    Also when it comes before the sandbox has said that it is up.
    """
    with parent(tmp_path, when) as process:
        assert process.stdout is not None
        children = [int(pid) for pid in process.stdout.readline().split()]
        assert len(children) == 1
        if when == "announced":
            (announcement,) = tmp_path.glob("estsim-*/.sandbox/sandbox.json")
            assert json.loads(announcement.read_text())["pid"] == children[0]
            assert files(tmp_path, KEY)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for pid in children:
        await_end(pid)
    assert files(tmp_path, KEY, PASSWORD) == []
