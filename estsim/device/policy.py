"""How a device behaves: frozen settings that the machine reads, one object for a whole cohort.

Spreads are shares (0.05 = 5 %) of what they spread; durations are seconds; ``inf`` means no limit.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from estsim.est.operations import Operation
from estsim.units import Constant, Distribution


class Fetch(StrEnum):
    """When a device fetches the CA certificates."""

    ONCE = "once"
    ALWAYS = "always"
    NEVER = "never"


class Attributes(StrEnum):
    """What a device does about the CSR attributes that a server wishes for (RFC 7030 §4.5)."""

    OFF = "off"
    FETCH = "fetch"  # and note what the request does not fulfil
    OBEY = "obey"  # and refuse what it cannot


class Pop(StrEnum):
    """When a device links its request to the TLS session by a challengePassword (RFC 7030 §3.5)."""

    AUTO = "auto"  # where the CSR attributes that were fetched list challengePassword
    ALWAYS = "always"
    NEVER = "never"


class Names(StrEnum):
    """What a device makes of a certificate whose names are not those that it asked for."""

    NOTE = "note"  # it uses the certificate; that is told and counted
    REQUIRE = "require"  # a failure


class AfterFailure(StrEnum):
    """What a device does when its first enrolment has failed for good."""

    GIVE_UP = "give_up"
    UNTIL_POWER_UP = "until_power_up"


class AfterRenewals(StrEnum):
    """What a device does when it has renewed as often as it was meant to."""

    LEAVE = "leave"
    STAY = "stay"


class AfterExpiry(StrEnum):
    """What a device does when its certificate has expired."""

    ENROLL = "enroll"  # start again with the bootstrap credential
    WAIT = "wait"  # for somebody to come
    GIVE_UP = "give_up"


class RetryOn(StrEnum):
    """The failures that are worth another try; everything else is a refusal."""

    CONNECT = "connect"
    HANDSHAKE = "handshake"
    TIMEOUT = "timeout"
    RESET = "reset"
    SERVER_ERROR = "5xx"
    THROTTLED = "429"


class Backoff(StrEnum):
    """How the wait grows from one failure to the next."""

    EXPONENTIAL = "exponential"
    CONSTANT = "constant"


class Jitter(StrEnum):
    """How much of a backoff is drawn: all of it (0 to the wait), or none."""

    FULL = "full"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class EnrollPolicy:
    """The first enrolment."""

    cacerts: Fetch = Fetch.ONCE
    csrattrs: Attributes = Attributes.OFF
    pop: Pop = Pop.AUTO
    operation: Operation = Operation.SIMPLEENROLL
    deadline_s: float = inf
    then: AfterFailure = AfterFailure.GIVE_UP
    names: Names = Names.NOTE


@dataclass(frozen=True, slots=True)
class RenewPolicy:
    """Renewal: due at ``at`` of the lifetime, or ``after_s`` from the issue, spread by a share of the lifetime.

    ``times`` None renews for ever. ``lifetime_scale`` treats a certificate as living that much faster.
    """

    at: float = 0.66
    after_s: float | None = None
    spread: Distribution = Constant(0.0)
    rekey: bool = True
    times: int | None = None
    then: AfterRenewals = AfterRenewals.STAY
    retry_every: float = 0.04
    lifetime_scale: float = 1.0
    expired: AfterExpiry = AfterExpiry.ENROLL


@dataclass(frozen=True, slots=True)
class DeferralPolicy:
    """What a device makes of a Retry-After: ``obedience`` times the told wait, plus a spread of it.

    1 obeys, 0.5 comes at half the time, 1.2 is a fifth late, 0 ignores it. The spread of an obedient device is never
    negative (RFC 7030 §4.2.3: at least the told wait).
    """

    obedience: float = 1.0
    spread: Distribution = Constant(0.0)
    when_missing_s: float = 30.0
    max_polls: int = 50
    max_wait_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which failures are tried again, how often in a row, and after what wait.

    A ``stubborn`` device takes no failure for final, a refusal neither, and heeds no Retry-After of an overload.
    """

    on: frozenset[RetryOn] = frozenset(RetryOn)
    backoff: Backoff = Backoff.EXPONENTIAL
    base_s: float = 1.0
    cap_s: float = 60.0
    jitter: Jitter = Jitter.FULL
    attempts: int = 5
    stubborn: bool = False


@dataclass(frozen=True, slots=True)
class BootPolicy:
    """What a device that powers up with a certificate does: renew when this share of the lifetime has passed.

    With ``cacerts`` it fetches the CA certificates first, whatever it knows of them; so does one that enrolls.
    """

    renew_if: float | None = None
    cacerts: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """A cohort's whole behaviour."""

    enroll: EnrollPolicy = field(default_factory=EnrollPolicy)
    renew: RenewPolicy | None = field(default_factory=RenewPolicy)
    deferral: DeferralPolicy = field(default_factory=DeferralPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    boot: BootPolicy = field(default_factory=BootPolicy)
