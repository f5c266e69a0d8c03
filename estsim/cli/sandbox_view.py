"""The live view of ``estsim serve``: collects the figures, and draws them twice a second."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Final

import trio
from rich.console import Console
from rich.live import Live

from estsim.cli.console import lending_screen
from estsim.server.account import Account, CenterAccount
from estsim.server.announcement import Announcement, CenterReading
from estsim.server.capacity import Overflow
from estsim.server.config import SandboxConfig
from estsim.server.issuing_config import CapacityConfig
from estsim.terminal.ink import Frame
from estsim.terminal.serving import CenterFigures, ServingSnapshot, serving_view
from estsim.units import Constant, format_duration, format_rate

_DRAW_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of the figures."""

    config: SandboxConfig
    here: Announcement
    account: Account
    directory: Path
    is_stopping: Callable[[], bool]


async def draw(console: Console, sources: Sources) -> None:
    """Draw the live view twice a second until cancelled; the screen is always restored."""
    began_s = time.monotonic()
    drawing = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    with drawing as live, lending_screen(console):
        while True:
            width, height = console.size
            picture = serving_view(snapshot(sources, time.monotonic() - began_s), width=width, height=height)
            # In a thread, because drawing may be slow and clients are waiting.
            await trio.to_thread.run_sync(_show, live, picture, abandon_on_cancel=True)
            await trio.sleep(_DRAW_S)


def _show(live: Live, picture: Frame) -> None:
    with suppress(OSError, SystemExit):  # the sandbox goes on without a terminal
        live.update(picture, refresh=True)


def snapshot(sources: Sources, elapsed_s: float) -> ServingSnapshot:
    """Return the present figures for the view."""
    here, account = sources.here, sources.account
    requests, certificates = account.per_second(time.monotonic())
    return ServingSnapshot(
        url=here.url,
        elapsed_s=elapsed_s,
        open_connections=here.open_connections(),
        connections=here.counts.connections,
        failed_handshakes=here.counts.failed_handshakes,
        requests_per_s=requests,
        certificates_per_s=certificates,
        centers=tuple(_figures(sources, reading) for reading in here.read()),
        refusals=tuple(account.reasons.most_common()),
        recent=tuple(account.recent),
        trouble=_trouble(here),
        stopping=sources.is_stopping(),
        directory=quote(str(sources.directory)),
    )


def _trouble(here: Announcement) -> str | None:
    why = here.trouble()
    return None if why is None else f"the store cannot be written: {why}"


def _figures(sources: Sources, reading: CenterReading) -> CenterFigures:
    served = sources.account.centers.get(reading.label, CenterAccount())
    return CenterFigures(
        label=reading.label,
        requests=served.requests,
        issued=served.issued,
        deferred=served.deferred,
        pending=reading.pending,
        awaiting_approval=reading.undecided,
        refused=served.refused,
        early_repeats=served.early,
        faults=served.faults,
        queue=reading.backlog,
        capacity=capacity_in_words(sources.config.centers[reading.label].capacity),
    )


def capacity_in_words(capacity: CapacityConfig | None) -> str:
    """Return ``50/s``, ``2 signers 40ms refuse`` or ``no limit``."""
    if capacity is None:
        return "no limit"
    rule = "" if capacity.overflow is Overflow.WAIT else f" {capacity.overflow.value}"
    if capacity.sign_time is None:
        return f"{format_rate(capacity.rate or 0.0)}{rule}"
    low, high = capacity.sign_time.low, capacity.sign_time.high
    constant = isinstance(capacity.sign_time, Constant)
    spread = format_duration(low) if constant else f"{format_duration(low)}..{format_duration(high)}"
    signers = capacity.signers or 1
    return f"{signers} signer{'s' if signers > 1 else ''} {spread}{rule}"
