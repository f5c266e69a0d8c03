"""The ``issue`` and ``capacity`` keys as pydantic models; :mod:`estsim.server.policy` applies them."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from estsim.fields import Count, LatencyRange, PositiveCount, Rate, Section, Share, TenYearRange
from estsim.server.capacity import Overflow
from estsim.units import Constant

_WAITING: Final = 1000
_TEN_YEARS_S: Final = 315_360_000
_Wait = Annotated[Count, Field(le=_TEN_YEARS_S)]  # a date is calculated from it


class IssueMode(StrEnum):
    """Whether a certificate is handed out at the first request."""

    IMMEDIATE = "immediate"
    DEFERRED = "deferred"
    MANUAL = "manual"  # when a person has approved it, with `estsim pending`


class RetryAfterKind(StrEnum):
    """How the told wait is chosen."""

    FIXED = "fixed"
    RANDOM = "random"
    NEXT_SLOT = "next_slot"  # when the certificate is ready, rounded up


class RetryAfterConfig(Section):
    """Retry-After of deferrals."""

    short_for: ClassVar[tuple[str, ...]] = ("seconds", "kind")
    example: ClassVar[str] = "{seconds: 3}"

    kind: RetryAfterKind = Field(default=RetryAfterKind.FIXED, description="fixed, random {from, to}, or next_slot.")
    seconds: _Wait = Field(default=3, description="fixed: value in seconds: 3.")
    from_: _Wait | None = Field(default=None, alias="from", description="random: shortest wait in seconds: 2.")
    to: _Wait | None = Field(default=None, description="random: longest wait in seconds: 8.")
    form: Literal["seconds", "http-date"] = Field(
        default="seconds", description="Format of the header: seconds, or http-date."
    )

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Self:
        if self.kind is RetryAfterKind.RANDOM:
            if self.from_ is None or self.to is None or self.from_ > self.to:
                raise ValueError("kind: random requires from and to in whole seconds, from not above to")
        elif self.from_ is not None or self.to is not None:
            raise ValueError(f"from and to belong to kind: random (got kind: {self.kind.value})")
        if "seconds" in self.model_fields_set and self.kind is not RetryAfterKind.FIXED:
            raise ValueError(f"seconds belongs to kind: fixed (got kind: {self.kind.value})")
        return self


class Early(StrEnum):
    """What a repeat before the told time gets."""

    AGAIN = "again"  # another deferral, or the certificate if it is ready
    FORBID = "forbid"
    THROTTLE = "throttle"


class IssueConfig(Section):
    """When valid requests get their certificates."""

    short_for: ClassVar[tuple[str, ...]] = ("mode", "delay")
    example: ClassVar[str] = "{mode: deferred}"

    mode: IssueMode = Field(
        default=IssueMode.IMMEDIATE, description="immediate, deferred, or manual (approved with estsim pending)."
    )
    share: Share = Field(default=1.0, description="Share of new requests that are deferred: 20%.")
    delay: TenYearRange = Field(
        default=Constant(3.0), description="Time until a deferred certificate is ready: 2s..4s."
    )
    retry_after: RetryAfterConfig = Field(
        default=RetryAfterConfig(), description="Retry-After of deferrals: {kind: fixed, seconds: 3}."
    )
    status: Literal[202, 206] = Field(default=202, description="Status of deferrals: 202 or 206.")
    early: Early = Field(
        default=Early.AGAIN,
        description="Response to a poll before Retry-After: again (defer), forbid (403) or throttle (429).",
    )

    @model_validator(mode="after")
    def _keys_fit_the_mode(self) -> Self:
        idle = {"share", "delay"} & self.model_fields_set
        if self.mode is not IssueMode.DEFERRED and idle:
            raise ValueError(f"{' and '.join(sorted(idle))} would have no effect without mode: deferred")
        if self.mode is IssueMode.MANUAL and self.retry_after.kind is RetryAfterKind.NEXT_SLOT:
            raise ValueError(
                "retry_after.kind: next_slot is not supported in mode: manual: the approval time is unknown"
            )
        return self


class CapacityConfig(Section):
    """Signing capacity of the CA, and its reaction to overload.

    Either ``rate``, a token bucket, or ``signers`` that take ``sign_time`` per signature. Up to ``queue`` requests wait
    on their connections (defaults to 1000 with ``overflow: wait``, else to 0); ``overflow`` applies to all others.
    """

    short_for: ClassVar[tuple[str, ...]] = ("rate", "sign_time")
    example: ClassVar[str] = "{rate: 50/s}"

    rate: Rate | None = Field(default=None, description="Certificates per time: 50/s.")
    signers: PositiveCount | None = Field(default=None, description="Number of signers, each busy for sign_time: 2.")
    sign_time: LatencyRange | None = Field(default=None, description="Duration of a signature: 20ms.")
    burst: PositiveCount = Field(default=1, description="Certificates that can be issued at once: 10.")
    queue: Count | None = Field(default=None, description="Maximum number of queued requests: 1000.")
    overflow: Overflow = Field(
        default=Overflow.WAIT,
        description="When the queue is full: wait, defer (kept), defer_forget, refuse (503) or throttle (429).",
    )
    retry_after: Literal["next_slot", "none"] = Field(
        default="next_slot", description="none omits Retry-After from 503 and 429."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.rate is None) == (self.sign_time is None):
            got = "neither" if self.rate is None else "both"
            raise ValueError(f"requires either rate, or sign_time with the number of signers (got {got})")
        if self.signers is not None and self.sign_time is None:
            raise ValueError("signers requires sign_time: {signers: 2, sign_time: 40ms} is 50 per second")
        if self.sign_time is not None and self.sign_time.high <= 0:
            raise ValueError("sign_time must be greater than 0")
        if self.retry_after == "none" and self.overflow in (Overflow.DEFER, Overflow.DEFER_FORGET):
            raise ValueError("a deferral always has a Retry-After; use the fault retry_after_missing to omit it")
        return self

    @property
    def queue_limit(self) -> int:
        """The maximum number of requests that wait on their connections."""
        if self.queue is not None:
            return self.queue
        return _WAITING if self.overflow is Overflow.WAIT else 0
