"""What a trust center is told of issuing: when a request gets its certificate, and how many a second can be signed.

The ``issue`` and ``capacity`` keys as pydantic models; :mod:`estsim.server.policy` carries them out.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from estsim.fields import Count, DurationRange, PositiveCount, Rate, Section, Share, TenYearRange
from estsim.server.capacity import Overflow
from estsim.units import Constant

_WAITING: Final = 1000
_TEN_YEARS_S: Final = 315_360_000
_Wait = Annotated[Count, Field(le=_TEN_YEARS_S)]  # a date has to be reckoned from it


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
    """What a deferral tells the client to wait."""

    kind: RetryAfterKind = RetryAfterKind.FIXED
    seconds: _Wait = 3
    from_: _Wait | None = Field(default=None, alias="from")
    to: _Wait | None = None
    form: Literal["seconds", "http-date"] = "seconds"

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Self:
        if self.kind is RetryAfterKind.RANDOM:
            if self.from_ is None or self.to is None or self.from_ > self.to:
                raise ValueError("kind: random needs from and to, whole seconds, from not above to")
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
    """When a request that is in order gets its certificate."""

    mode: IssueMode = IssueMode.IMMEDIATE
    share: Share = 1.0
    delay: TenYearRange = Constant(3.0)
    retry_after: RetryAfterConfig = RetryAfterConfig()
    status: Literal[202, 206] = 202
    early: Early = Early.AGAIN

    @model_validator(mode="after")
    def _keys_fit_the_mode(self) -> Self:
        idle = {"share", "delay"} & self.model_fields_set
        if self.mode is not IssueMode.DEFERRED and idle:
            raise ValueError(f"{' and '.join(sorted(idle))} would have no effect without mode: deferred")
        if self.mode is IssueMode.MANUAL and self.retry_after.kind is RetryAfterKind.NEXT_SLOT:
            raise ValueError("retry_after.kind: next_slot cannot be told in mode: manual: nobody knows when")
        return self


class CapacityConfig(Section):
    """How many certificates a second the authority can sign, and what happens beyond.

    Either ``rate``, a token bucket whose tokens sign at once, or ``signers`` that take ``sign_time`` for each. So many
    as ``queue`` says wait on their connections for their turn, by default 1000 with ``overflow: wait`` and none
    otherwise; the rest gets what ``overflow`` says.
    """

    rate: Rate | None = None
    signers: PositiveCount | None = None
    sign_time: DurationRange | None = None
    burst: PositiveCount = 1
    queue: Count | None = None
    overflow: Overflow = Overflow.WAIT
    retry_after: Literal["next_slot", "none"] = "next_slot"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.rate is None) == (self.sign_time is None):
            got = "none of them" if self.rate is None else "both"
            raise ValueError(f"needs either rate, or sign_time with the number of signers (got {got})")
        if self.signers is not None and self.sign_time is None:
            raise ValueError("signers belongs to sign_time: {signers: 2, sign_time: 40ms} is 50 a second")
        if self.sign_time is not None and self.sign_time.high <= 0:
            raise ValueError("sign_time must be greater than 0")
        if self.retry_after == "none" and self.overflow in (Overflow.DEFER, Overflow.DEFER_FORGET):
            raise ValueError("a deferral has its Retry-After; to leave it out is the fault retry_after_missing")
        return self

    @property
    def queue_limit(self) -> int:
        """How many requests wait on their connections."""
        if self.queue is not None:
            return self.queue
        return _WAITING if self.overflow is Overflow.WAIT else 0
