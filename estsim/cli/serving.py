"""``estsim serve``: runs the sandbox EST server until it is stopped."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from pydantic import ValidationError
from rich.console import Console

from estsim.cli.complaints import complain, say
from estsim.cli.console import SizedConsole
from estsim.cli.internal_error import telling_by_kind
from estsim.cli.sandbox_view import Sources, draw
from estsim.errors import EstsimError
from estsim.figures.exits import Exit
from estsim.fleet.stop_signals import insists, leave_to_parent, stop_signals
from estsim.scenario.document import Location, dotted
from estsim.scenario.mistakes import shape_mistakes
from estsim.scenario.sandbox_file import read_sandbox
from estsim.server.account import Account, ReadableLines
from estsim.server.announcement import Announcement
from estsim.server.changes import CHANGED_FILE, changed
from estsim.server.clock import SandboxClock
from estsim.server.config import DEFAULT, RequireCertificate, SandboxConfig
from estsim.server.issuing_config import IssueMode
from estsim.server.pki import write_private
from estsim.server.run import Watchers, tune_process
from estsim.server.run import serve as serve_sandbox
from estsim.server.store import Exchange

_STDIN: Final = 0
_CHUNK: Final = 4096
_HELD_S: Final = 1.0
_PKI: Final = "pki"
_MADE: Final = (CHANGED_FILE, "trust.pem", "trust-*.pem", "bootstrap.pem", "bootstrap-*.pem", "lock", ".gitignore")


def serve_as_asked(
    config: Path | None,
    port: int,
    directory: Path,
    host: str,
    names: list[str] | None,
    *,
    with_parent: bool,
    ephemeral: bool,
) -> None:
    """Serve until stopped."""
    try:
        # A configuration from a run has its variables expanded; a ${ in it is literal, as in a password.
        environment = None if ephemeral else os.environ
        sandbox, written = read_sandbox(config, environment) if config else (SandboxConfig(), {})
        if config and ephemeral:
            config.unlink()  # it may hold passwords
        running = _Running(sandbox, written, directory, with_parent=with_parent, for_a_run=ephemeral)
        with telling_by_kind(directory):
            trio.run(_run, running, partial(serve_sandbox, host=host, port=port, names=names or ()))
        if ephemeral:
            _leave_only_the_log(directory)
    except* EstsimError as errors:
        complain(errors, Exit.USAGE)


@dataclass(slots=True)
class _Running:
    """The state of the command. ``written`` is the present configuration as plain data."""

    config: SandboxConfig
    written: dict[str, Any]
    directory: Path
    with_parent: bool
    for_a_run: bool
    console: Console = field(default_factory=SizedConsole)
    lines: ReadableLines = field(default_factory=ReadableLines)
    account: Account = field(default_factory=Account)
    stop: trio.Event = field(default_factory=trio.Event)

    @property
    def is_drawn(self) -> bool:
        """Whether the live view is drawn, on a terminal."""
        return not self.with_parent and self.console.is_terminal and not self.console.is_dumb_terminal

    def say(self, *lines: str) -> None:
        """Print lines, unless a parent process has started us."""
        if not self.with_parent:
            for line in lines:
                say(line)
            sys.stdout.flush()

    def saw(self, exchange: Exchange) -> None:
        """Count an exchange and print its line, within the limit per second."""
        if self.with_parent:
            return
        now_s = time.monotonic()
        self.account.saw(exchange, now_s)
        if not self.is_drawn:
            self.say(*self.lines.of(exchange, now_s))

    def saw_failed_handshake(self, reason: str) -> None:
        """Count a failed handshake and print the reason."""
        self.account.saw_failed_handshake(reason)
        if not self.is_drawn:
            self.say(*self.lines.of_text(f"          handshake failed: {reason}", time.monotonic()))


async def _run(running: _Running, serve: Callable[..., Awaitable[None]]) -> None:
    watchers = Watchers(running.saw, running.saw_failed_handshake)
    here: Announcement | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(_stop_on_signals, running, nursery.cancel_scope)
        async with trio.open_nursery() as serving:
            clock = SandboxClock(begun=not running.for_a_run)
            start = partial(serve, stop=running.stop, watchers=watchers, clock=clock)
            if not (running.directory / _PKI).exists():
                running.say(f"Creating the PKI in {running.directory}")
            here = await serving.start(start, running.config, running.directory)
            tune_process()
            running.say(*_welcome(running.config, here))
            if running.with_parent:
                nursery.start_soon(_obey_parent, running, here)
            elif running.is_drawn:
                sources = Sources(running.config, here, running.account, running.directory, running.stop.is_set)
                nursery.start_soon(draw, running.console, sources)
            else:
                nursery.start_soon(_show_held_back, running)
        nursery.cancel_scope.cancel()
    if here is not None:
        running.say(*running.lines.due(time.monotonic() + _HELD_S), *_last_words(running, here))


def _last_words(running: _Running, here: Announcement) -> list[str]:
    counts, total = here.counts, running.account.total
    failures = [f"{counts.faults} connections ended by internal errors of the sandbox"] if counts.faults else []
    served = (
        f"Stopped after {total.requests} exchanges on {counts.connections} connections:"
        f" {total.issued} certificates issued, {total.deferred} deferrals,"
        f" {counts.failed_handshakes} failed handshakes, {counts.cut} connections cut."
    )
    return [served, *failures, f"Record: {here.database}"]


def _leave_only_the_log(directory: Path) -> None:
    """Remove the PKI with its keys, which was for one run only; files that we did not make stay."""
    for path in directory.iterdir():
        if path.name == _PKI:
            shutil.rmtree(path)
        elif any(fnmatchcase(path.name, pattern) for pattern in _MADE):
            path.unlink()


async def _stop_on_signals(
    running: _Running,
    everything: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Drain at the first signal, cut at the second. A child process ignores Ctrl-C, as its parent stops it."""
    if running.with_parent:
        leave_to_parent()
    signals = (signal.SIGTERM,) if running.with_parent else stop_signals()
    with trio.open_signal_receiver(*signals) as received:
        task_status.started()
        async for number in received:
            if running.stop.is_set() and insists(number):
                everything.cancel()
            running.stop.set()


async def _obey_parent(running: _Running, here: Announcement) -> None:
    """Carry out orders, a line of JSON each, and stop at the end of stdin, when the parent is gone or wants us to."""
    rest = b""
    while received := await trio.to_thread.run_sync(os.read, _STDIN, _CHUNK, abandon_on_cancel=True):
        *lines, rest = (rest + received).split(b"\n")
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):
                await _obey(json.loads(line), running, here)
    running.stop.set()


async def _obey(order: dict[str, Any], running: _Running, here: Announcement) -> None:
    """Carry out ``{"begin": UNIX}``, the clock of a run, or ``{"set": {PATH: VALUE}}``; with ``"number": N``, answer.

    The answer is a file, ``{"number": N, "error": null | TEXT}``; the parent waits for the number.
    """
    if "begin" in order:
        here.clock.begin_at(float(order["begin"]))
    error = await _change(dict(order["set"]), running, here) if "set" in order else None
    if (number := order.get("number")) is None:
        return
    with suppress(OSError):  # a full disk: the parent reports that there was no answer
        write_private(here.database.parent / CHANGED_FILE, json.dumps({"number": number, "error": error}).encode())


async def _change(changes: dict[str, object], running: _Running, here: Announcement) -> str | None:
    """Apply new values, all of them or none; returns the error."""
    try:
        written = changed(running.written, changes)
        await here.change(SandboxConfig.model_validate(written), json.dumps(changes))
    except ValidationError as error:  # without the whole configuration, which may contain passwords
        return "; ".join(shape_mistakes(error, SandboxConfig, _located))
    except EstsimError as error:
        return str(error)
    running.written = written
    return None


def _located(path: Location, message: str) -> str:
    return f"{dotted(path)}: {message}" if path else message


async def _show_held_back(running: _Running) -> None:
    while True:
        await trio.sleep(_HELD_S)
        running.say(*running.lines.due(time.monotonic()))


def _welcome(config: SandboxConfig, here: Announcement) -> list[str]:
    """Return where the sandbox is, and commands to try."""
    pending = [f"  {here.pending} requests pending from an earlier run"] if here.pending else []
    one_line = " -A" if config.base64 == "oneline" else ""
    show = f"openssl base64 -d{one_line} | openssl pkcs7 -inform DER -print_certs"
    curl = f"curl -sS --cacert {here.trust}"
    identity = f"--cert {here.bootstrap}"
    always = config.centers[DEFAULT].clients.require_certificate is RequireCertificate.ALWAYS
    make = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout device.key -subj /CN=device"
    post = "-H 'Content-Type: application/pkcs10' --data-binary @-"
    return [
        f"The sandbox serves EST at {here.url}",
        f"  trust      {here.trust}  (CA certificates, for clients)",
        f"  bootstrap  {here.bootstrap}  (client certificate and key, to enroll with)",
        *_other_places(here),
        f"  record     {here.database}",
        *pending,
        "Fetch the CA certificates:",
        f"  {curl} {identity + ' ' if always else ''}{here.url}/cacerts | {show}",
        "Enroll:",
        f"  {make} -outform DER | openssl base64 |",
        f"    {curl} {identity} {post} {here.url}/simpleenroll | {show}",
        f"Complete script: estsim recipe curl {here.url}",
        *_approval(config, here),
        "Press Ctrl-C to stop.",
    ]


def _other_places(here: Announcement) -> list[str]:
    """Return the URLs of labelled trust centers."""
    return [
        f"  {label}: {place.url}  (trust {place.trust.name}, bootstrap {place.bootstrap.name})"
        for label, place in here.places.items()
        if label != DEFAULT
    ]


def _approval(config: SandboxConfig, here: Announcement) -> list[str]:
    """Return how to approve requests, if approval is needed."""
    if not any(center.issue.mode is IssueMode.MANUAL for center in config.centers.values()):
        return []
    return [f"Requests need approval, list them with: estsim pending list {here.database.parent}"]
