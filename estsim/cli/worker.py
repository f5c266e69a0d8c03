"""``estsim worker``: play a part of the fleet for a Locust master, on this machine."""

import signal
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import trio
import typer
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim import __version__
from estsim.cli.complaints import complain
from estsim.device.identity import PrivateKey
from estsim.engine.limits import raise_descriptor_limit
from estsim.errors import EstsimError, UnitError, UsageError
from estsim.fleet.briefing import Briefing
from estsim.fleet.trust import Trust, trust_file
from estsim.link.acts import End, Ending
from estsim.link.messages import Hello
from estsim.link.overheard import Heard
from estsim.link.session import Session
from estsim.link.socket import MasterAddress
from estsim.link.troupe import Troupe
from estsim.link.worker import Worker
from estsim.measure.exits import Exit
from estsim.net.openssl import require_openssl
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import KeyKind, Scenario
from estsim.scenario.target_url import parse_url
from estsim.server.ca import make_key
from estsim.units import parse_duration

_LAST_PORT: Final = 65_535
_PROGRESS_S: Final = 5.0
_SCENARIO: Final = "The master's scenario: a file, or the name of one that comes with estsim."
_URL: Final = "The EST server as this machine reaches it, if not as the master does."
_TRUST: Final = "PEM file of the server's CA certificates, if not the master's."
PORT: Final = 5557  # where a Locust master listens unless told otherwise
_CODES: Final = {
    Ending.TOLD: Exit.PASSED,
    Ending.INTERRUPTED: Exit.INTERRUPTED,
    Ending.REFUSED: Exit.USAGE,
    Ending.UNREACHABLE: Exit.UNREACHABLE,
}


def worker(
    scenario: Annotated[
        Path,
        typer.Argument(help=_SCENARIO, show_default=False),
    ],
    master: Annotated[
        str,
        typer.Option(metavar="HOST[:PORT]", help=f"Its port is {PORT} unless told.", show_default=False),
    ],
    url: Annotated[str | None, typer.Option(help=_URL)] = None,
    trust: Annotated[Path | None, typer.Option(help=_TRUST)] = None,
    patience: Annotated[str, typer.Option(help="How long to look for a master before giving up.")] = "60s",
) -> None:
    r"""Play a part of a fleet for a Locust master, which starts, scales, stops and charts it over many machines.

    The master sends its scenario. Files of keys are this machine's own, passwords are those of the scenario here, and
    no private key travels. A master that is gone stops the fleet, and the worker waits for the next. Ctrl-C leaves in
    order, a second Ctrl-C at once.

    \b
    Exit codes:
      0    the master ended it
      5    no master was there, or none came back
      2    a mistake in the scenario or in the options, or the master and this worker do not fit together
      130  interrupted, everything handed on

    \b
    Examples:
      estsim worker fleet.yaml --master 10.0.0.5
      estsim worker fleet.yaml --master load.example.com:5557 --patience 10m
      locust --master -f locustfile.py --scenario fleet.yaml
    """
    try:
        require_openssl()
        raise_descriptor_limit()
        address, patience_s = _address(master), _patience_s(patience)
        own = load_scenario(found(scenario))
        cast = _Casting(own, _url(url), trust_file(trust) if trust else None)
        end = trio.run(_work, cast, address, patience_s)
    except* EstsimError as errors:
        complain(errors, Exit.USAGE)
    if end.why:
        _tell(end.why)
    raise typer.Exit(_CODES[end.how])


async def _work(cast: "_Casting", address: MasterAddress, patience_s: float) -> End:
    """Work for a master until the end, Ctrl-C included."""
    hello = Hello(__version__, cast.public_key)
    session = Session(hello, master=str(address), patience_s=patience_s, now_s=trio.current_time())
    working = Worker(session, address, cast, _tell)
    async with trio.open_nursery() as nursery:
        await nursery.start(_take_interrupts, working)
        end = await working.run()
        nursery.cancel_scope.cancel()
    return end


async def _take_interrupts(working: Worker, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        task_status.started()
        async for _ in received:
            await working.interrupt()


@dataclass(frozen=True, slots=True)
class _Casting:
    """Makes the devices of a briefing, with what is this machine's own: files, passwords, and a manufacturer's key."""

    own: Scenario
    url: str | None
    trust: Trust | None
    key: PrivateKey = field(default_factory=partial(make_key, KeyKind.EC_P256))

    @property
    def public_key(self) -> bytes:
        """What the master certifies."""
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    async def __call__(self, briefing: Briefing, offset_s: float, heard: Heard) -> Troupe:
        """Make them; raises EstsimError where they cannot be had here."""
        if self.url is not None:
            briefing = replace(briefing, url=self.url)
        if self.trust is not None:
            briefing = replace(briefing, anchors=self.trust.anchors, explicit=self.trust.explicit)
        return await Troupe.cast(
            briefing,
            source=self.own.source,
            own=self.own,
            own_key=self.key,
            offset_s=offset_s,
            tell=_Progress(),
            heard=heard,
        )


@dataclass(slots=True)
class _Progress:
    """Tells now and then how many devices are made; most fleets are ready before it says a word."""

    next_s: float = field(default_factory=lambda: trio.current_time() + _PROGRESS_S)

    def __call__(self, made: int) -> None:
        """Take note that there are so many."""
        if trio.current_time() >= self.next_s:
            self.next_s = trio.current_time() + _PROGRESS_S
            _tell(f"{made} devices are made")


def _address(text: str) -> MasterAddress:
    """Read HOST or HOST:PORT; an address of IPv6 with a port is in brackets. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, str(PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) <= _LAST_PORT:
        raise UsageError(f"--master: expected HOST or HOST:PORT, such as 10.0.0.5:{PORT} (got {text})")
    return MasterAddress(host, int(port))


def _patience_s(text: str) -> float:
    """Read a duration; raises UsageError."""
    try:
        patience_s = parse_duration(text)
    except UnitError as error:
        raise UsageError(f"--patience: {error}") from error
    if patience_s < 0:
        raise UsageError(f"--patience: must be at least 0s (got {text})")
    return patience_s


def _url(text: str | None) -> str | None:
    """Read a URL, if there is one; raises UsageError."""
    try:
        return None if text is None else str(parse_url(text))
    except UnitError as error:
        raise UsageError(f"--url: {error}") from error


def _tell(words: str) -> None:
    typer.echo(f"estsim: {words}", err=True)
