"""The exception tree: what can go wrong on our side, by who has to act on it.

What a server does wrong is an :mod:`estsim.est.outcome`, never an exception. Foreign exceptions are mapped to these
where they enter, with ``from``.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class EstsimError(Exception):
    """The root of everything that estsim raises on purpose; its text is fit for the user to read."""


class UnitError(EstsimError, ValueError):
    """A duration, rate, share, size or distribution that cannot be read; the text names what was expected and came."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake in a configuration, as ``fleet.yaml:12:9: cohorts.meters.boot.rate: must be greater than 0``."""

    line: int
    column: int
    path: str
    message: str
    file: Path

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ScenarioError(EstsimError):
    """A scenario or server configuration that cannot be used; holds every mistake found, in file order."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = sorted(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


class UsageError(EstsimError):
    """Options that do not fit together, or a file that cannot be read or written (exit code 2)."""


class PreflightError(EstsimError):
    """The server could not be reached, verified or set up before the fleet started (exit code 5)."""


class StoreError(EstsimError):
    """A run store that cannot be written or read: a full disk, a foreign file."""


class IllegalTransition(EstsimError):  # noqa: N818 - the name of the idea, as in h11
    """An event that the device's state has no answer to, or a handler that chose a state outside its set: our bug."""


class Phase(StrEnum):
    """The phases of an exchange in which a transport can fail."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    HANDSHAKE = "handshake"
    SEND = "send"
    WAIT = "wait"
    RECEIVE = "receive"


class Trouble(StrEnum):
    """What kind of trouble a transport failure is; retry policies and verdicts ask for it."""

    REFUSED = "refused"  # nobody listens, no route, name unknown
    RESET = "reset"  # the peer cut the connection
    TIMEOUT = "timeout"  # a deadline of ours passed
    TLS = "tls"  # an alert, or a check of ours that failed
    PROTOCOL = "protocol"  # bytes that are not HTTP/1.1
    GENERATOR = "generator"  # our own machine ran out of ports, descriptors or memory
    NETWORK_STALL = "network_stall"  # the scenario's network let nothing pass any more, until a deadline of ours
    NETWORK_RESET = "network_reset"  # the scenario's network tore the connection down


class TransportFailed(EstsimError):  # noqa: N818 - reads as the event it is
    """An exchange that got no whole answer, by phase.

    ``alert`` is the TLS alert's name with underscores (``unknown_ca``) where one was sent or received, and
    ``verify_code`` OpenSSL's verification code where a check of ours failed.
    """

    def __init__(
        self,
        phase: Phase,
        trouble: Trouble,
        reason: str,
        *,
        alert: str | None = None,
        verify_code: int | None = None,
    ) -> None:
        self.phase = phase
        self.trouble = trouble
        self.reason = reason
        self.alert = alert
        self.verify_code = verify_code
        super().__init__(f"{phase.value}: {reason}")
