"""The outcome of an exchange: one closed set of values for everything a server may do.

A server's misbehaviour is data. ``OutcomeClass`` names the ten classes that every request falls into exactly one of
(METRICS: requests is the sum of the ten).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from estsim.errors import Phase, Trouble
from estsim.est.challenge import Challenge

if TYPE_CHECKING:
    from estsim.est.authorities import CertificateAuthorities
    from estsim.est.certificate import Certificate


class OutcomeClass(StrEnum):
    """The ten classes of summary.json, in its order."""

    OK = "ok"
    DEFERRED = "deferred"
    OVERLOADED = "overloaded"
    CHALLENGED = "challenged"
    UNAUTHORIZED = "unauthorized"
    REJECTED = "rejected"
    SERVER_ERROR = "server_error"
    MALFORMED = "malformed"
    FAILED = "failed"
    ABANDONED = "abandoned"

    @property
    def is_failure(self) -> bool:
        """Whether it counts as a failure, which success, deferral, a challenge and our own cut are not."""
        return self in _FAILURES


_FAILURES = frozenset(
    {
        OutcomeClass.OVERLOADED,
        OutcomeClass.UNAUTHORIZED,
        OutcomeClass.REJECTED,
        OutcomeClass.SERVER_ERROR,
        OutcomeClass.MALFORMED,
        OutcomeClass.FAILED,
    }
)


class RetryAfterForm(StrEnum):
    """How a Retry-After came (RFC 9110 §10.2.3)."""

    SECONDS = "seconds"
    HTTP_DATE = "http-date"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """A Retry-After as read: ``wait_s`` ≥ 0 from the answer on, or None where none could be read.

    ``past`` marks a date in the past, which is a wait of 0.
    """

    wait_s: float | None
    form: RetryAfterForm
    past: bool = False


NO_RETRY_AFTER = RetryAfter(None, RetryAfterForm.MISSING)


@dataclass(frozen=True, slots=True)
class CACertificates:
    """The CA certificates, newest self-signed root first, the others as they came, and the trust that they make."""

    certificates: "tuple[Certificate, ...]"
    authorities: "CertificateAuthorities | None" = field(default=None, compare=False, repr=False)
    kind: ClassVar[OutcomeClass] = OutcomeClass.OK


@dataclass(frozen=True, slots=True)
class CSRAttributes:
    """The attributes that the server wants in a request, as DER (RFC 7030 §4.5.2).

    ``detail`` says what of it the device does not fulfil, if anything.
    """

    der: bytes
    detail: str = ""
    kind: ClassVar[OutcomeClass] = OutcomeClass.OK


@dataclass(frozen=True, slots=True)
class NoCSRAttributes:
    """The server wants nothing special: 204, 404 or an empty sequence."""

    kind: ClassVar[OutcomeClass] = OutcomeClass.OK


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate. ``others`` came with it, which RFC 7030 §4.2.3 does not allow."""

    certificate: "Certificate | None"  # None only where there is no network: the virtual-time server
    others: "tuple[Certificate, ...]" = ()
    status: int = field(default=200, compare=False)
    kind: ClassVar[OutcomeClass] = OutcomeClass.OK


@dataclass(frozen=True, slots=True)
class Deferred:
    """Come again: 202, or another status that the scenario lists (RFC 7030 §4.2.3)."""

    retry_after: RetryAfter = NO_RETRY_AFTER
    status: int = 202
    kind: ClassVar[OutcomeClass] = OutcomeClass.DEFERRED


@dataclass(frozen=True, slots=True)
class Overloaded:
    """Load shed: 503 or 429, with the text of the server or a proxy."""

    retry_after: RetryAfter = NO_RETRY_AFTER
    status: int = 503
    detail: str = ""
    kind: ClassVar[OutcomeClass] = OutcomeClass.OVERLOADED


@dataclass(frozen=True, slots=True)
class Challenged:
    """A 401 with a challenge that the device can answer; a second exchange follows."""

    scheme: str
    realm: str
    challenge: Challenge | None = field(default=None, repr=False, compare=False)  # the one to answer
    kind: ClassVar[OutcomeClass] = OutcomeClass.CHALLENGED


@dataclass(frozen=True, slots=True)
class Redirected:
    """A redirect that is followed; a second exchange goes to ``location``.

    Its class is that of a challenge: neither a success nor a failure.
    """

    status: int
    location: str
    kind: ClassVar[OutcomeClass] = OutcomeClass.CHALLENGED


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """A 401 that cannot be answered, or whose answer was refused."""

    detail: str
    kind: ClassVar[OutcomeClass] = OutcomeClass.UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server refuses: a 4xx, a 501, a redirect that is not followed."""

    status: int
    detail: str
    kind: ClassVar[OutcomeClass] = OutcomeClass.REJECTED


@dataclass(frozen=True, slots=True)
class ServerError:
    """The server failed: a 5xx other than 501 and 503."""

    status: int
    detail: str
    kind: ClassVar[OutcomeClass] = OutcomeClass.SERVER_ERROR


@dataclass(frozen=True, slots=True)
class Malformed:
    """An answer that breaks the RFC so that it cannot be used; ``rfc_section`` names the rule."""

    reason: str
    rfc_section: str
    kind: ClassVar[OutcomeClass] = OutcomeClass.MALFORMED


@dataclass(frozen=True, slots=True)
class Failed:
    """No complete answer came; ``alert`` is the name of a TLS alert, ``advice`` says what would help."""

    phase: Phase
    trouble: Trouble
    reason: str
    alert: str | None = None
    advice: str = ""
    kind: ClassVar[OutcomeClass] = OutcomeClass.FAILED


@dataclass(frozen=True, slots=True)
class Abandoned:
    """We cut the exchange ourselves, for a power cut or a stop; never the server's fault."""

    why: str
    kind: ClassVar[OutcomeClass] = OutcomeClass.ABANDONED


Outcome = (
    CACertificates
    | CSRAttributes
    | NoCSRAttributes
    | Issued
    | Deferred
    | Overloaded
    | Challenged
    | Redirected
    | Unauthorized
    | Rejected
    | ServerError
    | Malformed
    | Failed
    | Abandoned
)


@dataclass(frozen=True, slots=True)
class NonConformance:
    """A rule that an answer broke while it could still be used, with the section that states the rule.

    ``detail`` describes one case for people; cases of one rule are counted together.
    """

    rule: str
    rfc_section: str
    detail: str = field(default="", compare=False)
