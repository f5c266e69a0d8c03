"""``estsim worker``: simulates a share of the fleet for a Locust master."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio
import typer

from estsim import __version__
from estsim.cli.complaints import complain, tell
from estsim.cli.internal_error import telling_bugs
from estsim.cli.worker import PORT
from estsim.errors import EstsimError, UnitError, UsageError
from estsim.est.signing import PrivateKey
from estsim.figures.exits import Exit
from estsim.fleet.assignment import Assignment
from estsim.fleet.demands import secrets_of
from estsim.fleet.destination import OwnDestination
from estsim.fleet.limits import raise_descriptor_limit
from estsim.fleet.link_secret import Secret, secret_for
from estsim.fleet.stop_signals import insists, stop_signals
from estsim.fleet.trust import trust_file
from estsim.locust.worker.acts import End, Ending
from estsim.locust.worker.peer import Peer
from estsim.locust.worker.session import Session
from estsim.locust.worker.socket import MasterAddress, node_name
from estsim.locust.worker.tee import ExchangeListener
from estsim.locust.worker.worker import Worker
from estsim.locust.worker.worker_fleet import WorkerFleet
from estsim.net.openssl import require_openssl
from estsim.pki.keys import make_key, spki_of
from estsim.record.internal_errors import InternalErrors, told
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import KeyKind
from estsim.scenario.target_url import TargetUrl, parse_url
from estsim.units import parse_duration

_LAST_PORT: Final = 65_535
_PROGRESS_S: Final = 5.0
_CODES: Final = {
    Ending.TOLD: Exit.PASSED,
    Ending.INTERRUPTED: Exit.INTERRUPTED,
    Ending.REFUSED: Exit.USAGE,
    Ending.UNREACHABLE: Exit.UNREACHABLE,
}


def work_as_asked(
    scenario: Path,
    master: str,
    url: str | None,
    trust: Path | None,
    patience: str,
    *,
    link_secret: Path | None,
    insecure_link: bool,
) -> None:
    """Work for a master until the end."""
    try:
        require_openssl()
        raise_descriptor_limit()
        address, patience_s = _address(master), _patience_s(patience)
        secret = _secret(address, link_secret, insecure=insecure_link)
        own = load_scenario(found(scenario))
        with telling_bugs(secrets_of(own)):
            make = _FleetMaker(OwnDestination(own, _url(url), trust_file(trust) if trust else None), secret)
            end, bugs = trio.run(_work, make, address, patience_s)
    except* EstsimError as errors:
        complain(errors, Exit.USAGE)
    if end.why:
        _tell(end.why)
    raise typer.Exit(_code(end, bugs))


def _code(end: End, errors: InternalErrors) -> Exit:
    """Return the exit code, and report internal errors, whose tracebacks the master has."""
    code = _CODES[end.how]
    if not errors:
        return code
    first = next(iter(errors.kinds.values()), None)
    _tell(f"{told(errors.count, errors.devices, str(first))}; see errors.log in the master's results folder")
    return code if end.how in (Ending.INTERRUPTED, Ending.UNREACHABLE) else Exit.ERROR


async def _work(make: "_FleetMaker", address: MasterAddress, patience_s: float) -> tuple[End, InternalErrors]:
    """Work for a master until the end or Ctrl-C; returns the internal errors as well."""
    session = Session(master=str(address), patience_s=patience_s, now_s=trio.current_time())
    peer = Peer(make.secret, node_name(), version=__version__, public_key=make.public_key)
    working = Worker(session, peer, address, make, _tell)
    async with trio.open_nursery() as nursery:
        await nursery.start(_take_interrupts, working)
        end = await working.run()
        nursery.cancel_scope.cancel()
    for of_test in make.internal_errors:
        working.errors.merge(of_test)
    return end, working.errors


async def _take_interrupts(working: Worker, *, task_status: trio.TaskStatus[None]) -> None:
    asked = False
    with trio.open_signal_receiver(*stop_signals()) as received:
        task_status.started()
        async for number in received:
            if not asked or insists(number):
                await working.interrupt()
            asked = True


@dataclass(frozen=True, slots=True)
class _FleetMaker:
    """Makes the devices of an assignment, with this machine's own files, passwords and manufacturer's key."""

    destination: OwnDestination
    secret: Secret
    key: PrivateKey = field(default_factory=partial(make_key, KeyKind.EC_P256))
    internal_errors: list[InternalErrors] = field(default_factory=list)  # the internal errors of each test

    @property
    def public_key(self) -> bytes:
        """The public key that the master certifies."""
        return spki_of(self.key)

    async def __call__(self, assignment: Assignment, offset_s: float, heard: ExchangeListener) -> WorkerFleet:
        """Make the devices; raises EstsimError where that is impossible on this machine."""
        own = self.destination.scenario
        worker_fleet = await WorkerFleet.cast(
            self.destination.of(assignment, is_proved=self.secret.is_shared),
            source=own.source,
            own=own,
            own_key=self.key,
            offset_s=offset_s,
            tell=_Progress(),
            heard=heard,
        )
        self.internal_errors.append(worker_fleet.errors)
        return worker_fleet


@dataclass(slots=True)
class _Progress:
    """Reports now and then how many devices are made, for fleets that take long."""

    next_s: float = field(default_factory=lambda: trio.current_time() + _PROGRESS_S)

    def __call__(self, made: int) -> None:
        """Note that ``made`` devices are made."""
        if trio.current_time() >= self.next_s:
            self.next_s = trio.current_time() + _PROGRESS_S
            _tell(f"{made} devices prepared")


def _address(text: str) -> MasterAddress:
    """Read HOST or HOST:PORT; an address of IPv6 with a port is in brackets. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, str(PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) <= _LAST_PORT:
        raise UsageError(f"--master: expected HOST or HOST:PORT, such as 10.0.0.5:{PORT} (got {text})")
    return MasterAddress(host, int(port))


def _secret(master: MasterAddress, file: Path | None, *, insecure: bool) -> Secret:
    """Return the link's secret, and print a warning about it; raises UsageError."""
    where = f"the master is at {master.host}, which is not this machine"
    secret = secret_for(master.host, file=file, insecure=insecure, environment=os.environ, where=where)
    if secret.warning:
        _tell(secret.warning)
    return secret


def _patience_s(text: str) -> float:
    """Read a duration; raises UsageError."""
    try:
        patience_s = parse_duration(text)
    except UnitError as error:
        raise UsageError(f"--patience: {error}") from error
    if patience_s < 0:
        raise UsageError(f"--patience: must be at least 0s (got {text})")
    return patience_s


def _url(text: str | None) -> TargetUrl | None:
    """Read a URL, if there is one; raises UsageError."""
    try:
        return None if text is None else parse_url(text)
    except UnitError as error:
        raise UsageError(f"--url: {error}") from error


def _tell(words: str) -> None:
    tell(f"estsim: {words}")
