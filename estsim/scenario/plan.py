"""A scenario as the engine takes it: frozen values in seconds and parts of one, with every name resolved.

No YAML, no pydantic, no text left to parse. Passwords never show in a repr. Private keys are not kept here: an
authority is named by its files, or made when the run starts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from estsim.device.policy import Policy
from estsim.load.arrivals import Arrivals
from estsim.scenario.target_url import TargetUrl
from estsim.server.config import KeyKind, SandboxConfig

__all__ = [
    "Authority",
    "Basic",
    "Bootstrap",
    "Close",
    "Cohort",
    "Demand",
    "FileAuthority",
    "Generator",
    "KeyKind",
    "MadeAuthority",
    "Manufacturer",
    "NoBootstrap",
    "Scenario",
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
class Basic:
    """HTTP Basic: after a challenge, or with the first request."""

    user: str
    password: str = field(repr=False)
    preemptive: bool = False


@dataclass(frozen=True, slots=True)
class NoBootstrap:
    """Nothing: whoever connects."""


Bootstrap = Manufacturer | Basic | NoBootstrap


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


@dataclass(frozen=True, slots=True)
class Tls:
    """How a cohort's devices speak TLS: versions as ``1.2``, and how a connection ends. Each exchange opens its own."""

    oldest: str = "1.2"
    newest: str = "1.3"
    close: Close = Close.FIN


@dataclass(frozen=True, slots=True)
class Cohort:
    """Devices that behave alike. Its devices have the fleet-wide numbers from ``first_device`` on.

    ``subject`` and ``sans`` take such a number.
    """

    name: str
    index: int
    devices: int
    first_device: int
    subject: Callable[[int], x509.Name]
    sans: Callable[[int], x509.SubjectAlternativeName | None]
    key: KeyKind
    bootstrap: Bootstrap
    tls: Tls
    arrivals: Arrivals
    policy: Policy


@dataclass(frozen=True, slots=True)
class Demand:
    """A threshold; one that aborts is asked each second from ``after_s`` on, and ends the run when it fails."""

    expression: str
    aborts: bool = False
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario. Exactly one of ``target`` and ``sandbox`` is there.

    ``sandbox_label`` is the trust center of the sandbox that the fleet goes to, None for the default one.
    ``resolved`` is the file as run: overrides and defaults in, passwords out. ``sandbox_text`` is the ``sandbox:``
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
    sandbox_text: str = field(default="", repr=False)
    sandbox_label: str | None = None

    @property
    def devices(self) -> int:
        """How many devices the fleet has."""
        return sum(cohort.devices for cohort in self.cohorts)
