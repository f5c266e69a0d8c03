"""A scenario for the engine: frozen values in seconds and fractions, with every name resolved.

No YAML, no pydantic, no text left to parse. Passwords never show in a repr. There are no private keys here: an
authority has the names of its files, or is made when the run starts.
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
    """A certification authority with certificate and key in PEM files."""

    name: str
    cert: Path
    key: Path


Authority = MadeAuthority | FileAuthority


@dataclass(frozen=True, slots=True)
class Manufacturer:
    """A certificate per device, issued in memory by an authority; None is the sandbox's own manufacturer."""

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
    """One firmware certificate and key for a product line, which the first enrolment replaces.

    Read from a PEM file (the key from another one if ``key`` is given), or issued in memory by an authority; None is
    the sandbox's own manufacturer.
    """

    path: Path | None
    authority: Authority | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """A folder with a PEM certificate and key for each device, taken in the order of names."""

    path: Path


@dataclass(frozen=True, slots=True)
class NoBootstrap:
    """No credential."""


Bootstrap = Manufacturer | Shared | Files | NoBootstrap


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of an exchange: for resolving and connecting, for the handshake, for the complete answer."""

    connect_s: float = 10.0
    handshake_s: float = 10.0
    answer_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server other than the sandbox. ``ca`` None trusts the system's web PKI."""

    url: TargetUrl
    ca: Path | None = None
    authorised_by: str | None = None


@dataclass(frozen=True, slots=True)
class Generator:
    """The generator's settings: offer in handshakes, limits of saturation, processes."""

    groups: tuple[str, ...] = ("x25519", "p-256", "p-384")
    max_lag_s: float = 0.02
    max_cpu: float = 0.9
    request_ids: bool = True
    source_addresses: tuple[str, ...] = ()  # used in turn; empty: the kernel chooses
    workers: int | None = 1  # processes; None: by the number of cores


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS settings of a cohort's devices: versions as ``1.2``, and how connections end.

    ``keep_alive_s`` is how long a device keeps an idle connection for its next exchange; 0 opens one for each.
    ``resume`` offers the previous connection's session. ``send_chain`` sends intermediates with the device's
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
    """The simulated network of a device: its round trip (seconds, added to every flight), bit rate and failures.

    ``stall`` and ``reset`` are the shares of connections that stall or are reset.
    """

    rtt_s: Distribution | None = None
    rate_bps: float | None = None
    stall: float = 0.0
    reset: float = 0.0


@dataclass(frozen=True, slots=True)
class Keys:
    """A cohort's keys: a number generated before the run, each used once, or a few that all devices share."""

    prepare: int = 0
    reuse: int | None = None


@dataclass(frozen=True, slots=True)
class Operational:
    """Devices with a certificate at the start of the run; ``age`` is the elapsed share of its lifetime."""

    age: Distribution


@dataclass(frozen=True, slots=True)
class Expectation:
    """Expected refusals: exchanges of these cohorts with these outcomes, in this time, are not failures."""

    cohorts: frozenset[str]
    outcomes: frozenset[str]  # OutcomeClass values
    from_s: float = 0.0
    to_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Cohort:
    """Devices with the same behaviour, which have the fleet-wide numbers from ``first_device`` on.

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
    stations: int | None = None  # a closed loop: the maximum number of devices that enroll at a time
    joins: bool = False  # boots by an event, not at the start of the run
    keys: Keys = Keys()
    http_auth: HttpAuth | None = None
    start: Operational | None = None
    network: Network | None = None
    skew_s: Distribution | None = None  # by how much each device's clock is ahead
    faults: Mapping[DeviceFault, float] = field(default_factory=dict)  # shares of the cohort's devices

    @property
    def requested(self) -> RequestedNames:
        """The names that its devices request."""
        return RequestedNames(self.subject, self.sans)


@dataclass(frozen=True, slots=True)
class Demand:
    """A threshold; one that aborts is evaluated each second from ``after_s`` on, and ends the run when it fails.

    A strict one fails where its sample does not support a pass.
    """

    expression: str
    aborts: bool = False
    after_s: float = 0.0
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario. Exactly one of ``target`` and ``sandbox`` is set.

    ``sandbox_label`` is the sandbox's trust center for the fleet, None for the default one. ``resolved`` is the file as
    run, with overrides and defaults and without passwords. ``document`` is the data from which other processes make the
    same scenario, see :mod:`estsim.scenario.portable`. ``sandbox_text`` is the ``sandbox:`` block as a configuration
    file for ``estsim serve``, with passwords: for a private directory only.
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
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)  # merged, with paths as written and passwords
    sandbox_text: str = field(default="", repr=False)
    sandbox_label: str | None = None
    events: tuple[Happening, ...] = ()  # in the order of their times
    phases: tuple[Stretch, ...] = ()
    expect: tuple[Expectation, ...] = ()
    warnings: tuple[Doubt, ...] = field(default=(), compare=False)  # in file order
    redirects: Redirects = Redirects.SAME_ORIGIN
    body_form: BodyForm = BodyForm.WRAPPED

    @property
    def devices(self) -> int:
        """The number of devices in the fleet."""
        return sum(cohort.devices for cohort in self.cohorts)
