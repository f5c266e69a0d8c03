"""The sandbox as a process of its own: started for a run in a private folder, and gone with it, even if we are killed.

The child stops when its standard input ends, which the kernel sees to even if this process dies of SIGKILL.
"""

import subprocess
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from estsim.errors import UsageError
from estsim.fleet.sandbox_folder import CHANGE_S, POLL_S, START_S, STOP_S, OwnSandbox, SandboxFolder, sandbox_folder
from estsim.pki.manufacturer import ManufacturerCA


@dataclass(slots=True, kw_only=True)
class Sandbox(OwnSandbox):
    """A running sandbox with its process."""

    process: trio.Process

    async def change(self, changes: Mapping[str, object]) -> None:
        """Let it go on with other values at dotted paths of its configuration, and return when it does.

        Paths are within the trust center of the fleet where they do not begin with ``trust_centers.NAME``. Raises
        UsageError where it cannot, and where it says nothing for 5 s or has ended; of several changes none was made.
        """
        await self._tell(self.change_order(changes))
        await self._obeyed()

    async def begin_now(self) -> None:
        """Let the run begin, and return when it has: from now on requests are counted, and meet faults."""
        await self._tell(self.begin_order(time.time()))
        with suppress(UsageError):  # it has died; the fleet will notice
            await self._obeyed()

    async def _obeyed(self) -> None:
        with trio.move_on_after(CHANGE_S):
            while self.process.poll() is None:
                if self.has_changed():
                    return
                await trio.sleep(POLL_S)
            raise UsageError(f"it exited with code {self.process.returncode}")
        raise UsageError(f"it did not respond within {CHANGE_S:g} s")

    async def begin(self, wall_epoch_s: float) -> None:
        """Tell when the run's clock begins (UNIX seconds): windows of faults count from there."""
        await self._tell(self.begin_order(wall_epoch_s))

    async def _tell(self, order: bytes) -> None:
        if self.process.stdin is None:
            return
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # it has died; the fleet will notice
            await self.process.stdin.send_all(order)


@asynccontextmanager
async def running_sandbox(
    config: str, factories: Mapping[str, ManufacturerCA], *, keep_log_in: Path, label: str | None = None
) -> AsyncGenerator[Sandbox, None]:
    """Start a sandbox from the text of its configuration; stop it at the end, and keep its exchange log.

    ``label`` is the trust center that the fleet goes to, None for the default one. ``factories`` are authorities made
    for this run, which the configuration names; their certificates, not their keys, go to the sandbox. Raises
    PreflightError when it does not come up, UsageError where there is no room for its folder.
    """
    with sandbox_folder(config, factories) as place:
        process = await _start(place)
        try:
            yield await _announced(process, place, label)
        finally:
            with trio.CancelScope(shield=True):
                await _stop(process)
            place.keep_log(keep_log_in)


async def _start(place: SandboxFolder) -> trio.Process:
    with place.errors.open("wb") as stderr:
        return await trio.lowlevel.open_process(
            place.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # the terminal's Ctrl-C is ours; the sandbox serves until we have drained
        )


async def _announced(process: trio.Process, place: SandboxFolder, label: str | None) -> Sandbox:
    """Wait until the sandbox says where it listens."""
    with trio.move_on_after(START_S):
        while process.poll() is None:
            said = place.announced(label)
            if said is not None:
                return Sandbox(**said, process=process)
            await trio.sleep(POLL_S)
    raise place.failure(process.returncode)


async def _stop(process: trio.Process) -> None:
    """End its input, and its life if that is not enough."""
    if process.stdin is not None:
        await process.stdin.aclose()
    with trio.move_on_after(STOP_S):
        await process.wait()
        return
    process.kill()
    await process.wait()
