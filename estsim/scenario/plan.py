"""A scenario as the engine takes it: frozen values in seconds and parts of one, with every name resolved.

No YAML, no pydantic, no text left to parse. Passwords never show in a repr. Private keys are not kept here: an
authority is named by its files, or made when the run starts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography import x509

from estsim.device.behaviour import Behaviour
from estsim.device.faults import DeviceFault
from estsim.device.identity import RequestedNames
from estsim.device.policy import Policy
from estsim.errors import Doubt
from estsim.est.login import BASIC
from estsim.est.messages import BodyForm
from estsim.est.redirect import Redirects
from estsim.load.arrivals import Arrivals
from estsim.pki.keys import KeyKind
from estsim.record.phases import Stretch
from estsim.scenario.happenings import Happening
from estsim.scenario.target_url import TargetUrl
from estsim.server.config import SandboxConfig
from estsim.units import Distribution

__all__ = [
    "Authority",
    "Bootstrap",
    "Close",
    "Cohort",
    "Demand",
    "Expectation",
    "FileAuthority",
    "Files",
    "Generator",
    "HttpAuth",
    "KeyKind",
    "Keys",
    "MadeAuthority",
    "Manufacturer",
    "Network",
    "NoBootstrap",
    "Operational",
    "Scenario",
    "Shared",
    "Target",
    "Timeouts",
    "Tls",
]


class Close(StrEnum):
    """How a device ends a connection."""

    FIN = "fin"
    RST = "rst"
    VANISH = "vanish"


@dataclass(frozen=True, slots=True)
class MadeAuthority:
    """A certification authority that estsim makes when the run starts."""

    name: str


@dataclass(frozen=True, slots=True)
class FileAuthority:
    """A certification authority whose certificate and key lie in PEM files."""

    name: str
    cert: Path
    key: Path


Authority = MadeAuthority | FileAuthority


@dataclass(frozen=True, slots=True)
class Manufacturer:
    """A device certificate each, minted in memory by an authority; None is the sandbox's own manufacturer."""

    authority: Authority | None


@dataclass(frozen=True, slots=True)
class HttpAuth:
    """A user and a password for HTTP authentication by ``schemes``, on every operation that asks.

    ``preemptive`` sends credentials before a 401.
    """

    user: str
    password: str = field(repr=False)
    preemptive: bool = False
    schemes: frozenset[str] = frozenset({BASIC})


@dataclass(frozen=True, slots=True)
class Shared:
    """The one firmware certificate and key of a product line, which the first enrolment replaces.

    It lies in a PEM file (the key in another one if ``key`` names it), or without one is minted in memory by an
    authority; None is the sandbox's own manufacturer.
    """

    path: Path | None
    authority: Authority | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files with certificate and key for each device, in a folder; devices take them in the order of names."""

    path: Path


@dataclass(frozen=True, slots=True)
class NoBootstrap:
    """Nothing: whoever connects."""


Bootstrap = Manufacturer | Shared | Files | NoBootstrap


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of an exchange: until connected (the name resolved), through the handshake, until the whole answer."""

    connect_s: float = 10.0
    handshake_s: float = 10.0
    answer_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server of somebody else's. ``ca`` None trusts the system's web PKI."""

    url: TargetUrl
    ca: Path | None = None
    authorised_by: str | None = None


@dataclass(frozen=True, slots=True)
class Generator:
    """What the generator offers in its handshakes, and when it calls itself saturated."""

    groups: tuple[str, ...] = ("x25519", "p-256", "p-384")
    max_lag_s: float = 0.02
    max_cpu: float = 0.9
    request_ids: bool = True
    source_addresses: tuple[str, ...] = ()  # connections leave from these in turn; none: the kernel chooses
    workers: int | None = 1  # processes; None: as many as this machine has cores for


@dataclass(frozen=True, slots=True)
class Tls:
    """How a cohort's devices speak TLS: versions as ``1.2``, and how a connection ends.

    ``keep_alive_s`` is how long a device keeps an idle connection for its next exchange; 0 opens one for each.
    ``resume`` offers the session of the connection before. ``send_chain`` sends intermediates beside the device's
    certificate.
    """

    oldest: str = "1.2"
    newest: str = "1.3"
    close: Close = Close.FIN
    keep_alive_s: float = 0.0
    resume: bool = False
    send_chain: bool = True


@dataclass(frozen=True, slots=True)
class Network:
    """What the network does to a device: its round trip (seconds, added to every flight), its bit rate, and its luck.

    ``stall`` and ``reset`` are the shares of connections that stop for good or are torn down under way.
    """

    rtt_s: Distribution | None = None
    rate_bps: float | None = None
    stall: float = 0.0
    reset: float = 0.0


@dataclass(frozen=True, slots=True)
class Keys:
    """Where a cohort's keys come from: so many made before the run, each used once, or a few used again and again."""

    prepare: int = 0
    reuse: int | None = None


@dataclass(frozen=True, slots=True)
class Operational:
    """Devices that own a certificate as the run begins; ``age`` is the share of its life that has passed."""

    age: Distribution


@dataclass(frozen=True, slots=True)
class Expectation:
    """Refusals that are part of the plan: exchanges of these cohorts that end so, in this time, are no failures."""

    cohorts: frozenset[str]
    outcomes: frozenset[str]  # OutcomeClass values
    from_s: float = 0.0
    to_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Cohort:
    """Devices that behave alike. Its devices have the fleet-wide numbers from ``first_device`` on.

    ``subject`` and ``sans`` take such a number; None is the name in each device's bootstrap certificate.
    """

    name: str
    index: int
    devices: int
    first_device: int
    subject: Callable[[int], x509.Name] | None
    sans: Callable[[int], x509.SubjectAlternativeName | None] | None
    key: KeyKind
    bootstrap: Bootstrap
    tls: Tls
    arrivals: Arrivals
    policy: Policy
    behaviour: type[Behaviour] = Behaviour  # decides by the policy; a class of the user's own overrides some of it
    stations: int | None = None  # a closed loop: at most so many devices seek a first certificate at a time
    joins: bool = False  # boots when an event says so, not as the run begins
    keys: Keys = Keys()
    http_auth: HttpAuth | None = None
    start: Operational | None = None
    network: Network | None = None
    skew_s: Distribution | None = None  # by how much each device's clock is ahead
    faults: Mapping[DeviceFault, float] = field(default_factory=dict)  # shares of the cohort's devices

    @property
    def requested(self) -> RequestedNames:
        """The names that its devices enroll for."""
        return RequestedNames(self.subject, self.sans)


@dataclass(frozen=True, slots=True)
class Demand:
    """A threshold; one that aborts is asked each second from ``after_s`` on, and ends the run when it fails.

    A strict one takes no pass that its sample does not support.
    """

    expression: str
    aborts: bool = False
    after_s: float = 0.0
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario. Exactly one of ``target`` and ``sandbox`` is there.

    ``sandbox_label`` is the trust center of the sandbox that the fleet goes to, None for the default one.
    ``resolved`` is the file as run: overrides and defaults in, passwords out. ``document`` is what other processes make
    the same scenario of, see :mod:`estsim.scenario.portable`. ``sandbox_text`` is the ``sandbox:``
    block as a configuration file for ``estsim serve``, passwords in: for a private directory only.
    """

    name: str
    description: str
    seed: int
    duration_s: float
    until_settled: bool
    authorities: Mapping[str, Authority]
    target: Target | None
    sandbox: SandboxConfig | None
    timeouts: Timeouts
    deferral_statuses: frozenset[int]
    generator: Generator
    cohorts: tuple[Cohort, ...]
    thresholds: tuple[Demand, ...]
    source: Path
    resolved: str
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)  # as merged, paths as written, passwords in
    sandbox_text: str = field(default="", repr=False)
    sandbox_label: str | None = None
    events: tuple[Happening, ...] = ()  # in the order of their times
    phases: tuple[Stretch, ...] = ()
    expect: tuple[Expectation, ...] = ()
    warnings: tuple[Doubt, ...] = field(default=(), compare=False)  # what is probably not meant, in file order
    redirects: Redirects = Redirects.SAME_ORIGIN
    body_form: BodyForm = BodyForm.WRAPPED

    @property
    def devices(self) -> int:
        """How many devices the fleet has."""
        return sum(cohort.devices for cohort in self.cohorts)
