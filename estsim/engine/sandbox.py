"""The sandbox as a process of its own: started for a run in a private folder, and gone with it, even if we are killed.

The child stops when its standard input ends, which the kernel sees to even if this process dies of SIGKILL.
"""

import json
import logging
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from estsim.errors import PreflightError, UsageError
from estsim.fleet.factory import Factory
from estsim.scenario.target_url import TargetUrl, parse_url
from estsim.server.changes import CHANGED_FILE, addressed

_LOG: Final = logging.getLogger(__name__)
_START_S: Final = 120.0  # a long chain of RSA-4096 keys takes half a minute to make
_CHANGE_S: Final = 5.0
_STOP_S: Final = 6.0
_POLL_S: Final = 0.02
_LAST_WORDS: Final = 400


@dataclass(slots=True)
class Sandbox:
    """A running sandbox: where it is, what trusts it, and the manufacturer whose devices it trusts.

    ``pki`` is the folder of the trust center's authorities, with their keys: it lives in our private folder.
    """

    url: TargetUrl
    trust: Path
    factory: Factory
    database: Path
    pki: Path
    process: trio.Process
    label: str | None = None
    changes: int = 0

    @property
    def folder(self) -> Path:
        """Where it keeps everything, as ``estsim pending`` wants it."""
        return self.database.parent

    async def change(self, changes: Mapping[str, object]) -> None:
        """Let it go on with other values at dotted paths of its configuration, and return when it does.

        Paths are within the trust center of the fleet where they do not begin with ``trust_centers.NAME``. Raises
        UsageError where it cannot, and where it says nothing for 5 s or has ended; of several changes none was made.
        """
        self.changes += 1
        await self._tell({"set": addressed(changes, self.label), "number": self.changes})
        with trio.move_on_after(_CHANGE_S):
            while self.process.poll() is None:
                answer = self._answer()
                if answer is not None and answer["error"]:
                    raise UsageError(str(answer["error"]))
                if answer is not None:
                    return
                await trio.sleep(_POLL_S)
            raise UsageError(f"it ended with code {self.process.returncode}")
        raise UsageError(f"it did not answer within {_CHANGE_S:g} s")

    def _answer(self) -> dict[str, Any] | None:
        """Return what it said to the last change, None as long as it has not."""
        try:
            said = json.loads((self.folder / CHANGED_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return said if said.get("number") == self.changes else None

    async def begin(self, wall_epoch_s: float) -> None:
        """Tell when the run's clock begins (UNIX seconds): windows of faults count from there."""
        await self._tell({"begin": wall_epoch_s})

    async def _tell(self, order: Mapping[str, object]) -> None:
        if self.process.stdin is None:
            return
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # it has died; the fleet will notice
            await self.process.stdin.send_all(f"{json.dumps(order)}\n".encode())


@asynccontextmanager
async def running_sandbox(
    config: str, factories: Mapping[str, Factory], *, keep_log_in: Path, label: str | None = None
) -> AsyncGenerator[Sandbox, None]:
    """Start a sandbox from the text of its configuration; stop it at the end, and keep its exchange log.

    ``label`` is the trust center that the fleet goes to, None for the default one. ``factories`` are authorities made
    for this run, which the configuration names; their certificates, not their keys, go to the sandbox. Raises
    PreflightError when it does not come up.
    """
    private = Path(tempfile.mkdtemp(prefix="estsim-"))  # 0700
    try:
        settings = private / ".sandbox.yaml"  # no authority can have a name that begins with a dot
        settings.touch(mode=0o600)
        settings.write_text(config, encoding="utf-8")
        for name, factory in factories.items():
            (private / name).write_bytes(factory.certificate_pem)
        folder = private / ".sandbox"
        process = await _start(settings, folder, private / ".stderr")
        try:
            yield await _announced(process, folder, private / ".stderr", label)
        finally:
            with trio.CancelScope(shield=True):
                await _stop(process)
            _keep(folder / "sandbox.sqlite", keep_log_in)
    finally:
        shutil.rmtree(private, ignore_errors=True)


async def _start(settings: Path, folder: Path, errors: Path) -> trio.Process:
    command = [
        sys.executable,
        "-m",
        "estsim",
        "serve",
        str(settings),
        "--port",
        "0",
        "--dir",
        str(folder),
        "--with-parent",
        "--ephemeral",
    ]
    with errors.open("wb") as stderr:
        return await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # the terminal's Ctrl-C is ours; the sandbox serves until we have drained
        )


async def _announced(process: trio.Process, folder: Path, errors: Path, label: str | None) -> Sandbox:
    """Wait until the sandbox says where it listens."""
    announcement = folder / "sandbox.json"
    with trio.move_on_after(_START_S):
        while process.poll() is None:
            if announcement.exists():
                said = json.loads(announcement.read_text(encoding="utf-8"))
                place = said if label is None else said["labels"][label]
                born = Path(place["manufacturer"])
                manufacturer, database = Factory.read(born), folder / "sandbox.sqlite"
                url, trust = parse_url(place["url"]), Path(place["trust"])
                return Sandbox(url, trust, manufacturer, database, born.parent, process, label)
            await trio.sleep(_POLL_S)
    ending = f"ended with code {process.returncode}" if process.returncode is not None else "did not come up"
    raise PreflightError(f"the sandbox {ending} within {_START_S:g} s: {_last_words(errors)}")


def _last_words(errors: Path) -> str:
    return errors.read_text(encoding="utf-8", errors="replace").strip()[-_LAST_WORDS:] or "it said nothing"


async def _stop(process: trio.Process) -> None:
    """End its input, and its life if that is not enough."""
    if process.stdin is not None:
        await process.stdin.aclose()
    with trio.move_on_after(_STOP_S):
        await process.wait()
        return
    process.kill()
    await process.wait()


def _keep(log: Path, folder: Path) -> None:
    """Copy the exchange log beside the run's own rows: who wants to check one against the other needs both."""
    if not (log.exists() and folder.is_dir()):
        return
    try:
        with closing(sqlite3.connect(log)) as source, closing(sqlite3.connect(folder / log.name)) as copy:
            source.backup(copy)  # also what one that was killed had not folded into its file
    except sqlite3.Error as error:
        _LOG.warning("the sandbox's exchange log could not be kept: %s", error)
