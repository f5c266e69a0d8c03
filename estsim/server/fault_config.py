"""The ``faults`` key as a pydantic model; :mod:`estsim.server.faults` injects them."""

from enum import StrEnum
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from estsim.est.operations import Operation
from estsim.fields import Count, Duration, LatencyRange, PositiveDuration, Section, Share, Text
from estsim.units import Constant

_TEN_YEARS_S: Final = 315_360_000
_HOUR_S: Final = 3600.0


class FaultKind(StrEnum):
    """The ways in which a server can fail its clients."""

    LATENCY = "latency"  # the answer comes later, by `add`
    RESET = "reset"  # TCP reset `when` the request has come (before), or instead of the answer to it (after)
    STALL = "stall"  # the request is accepted and not answered `for` a time; then the connection ends
    TRUNCATED_BODY = "truncated_body"  # half of the body, then the end
    GARBAGE = "garbage"  # bytes that are neither base64 nor DER
    PEM_ARMOUR = "pem_armour"  # the body between BEGIN and END lines
    WRAPPED_BASE64 = "wrapped_base64"  # lines of 64 characters where one was to be sent
    WRONG_CONTENT_TYPE = "wrong_content_type"  # text/html
    WRONG_KEY = "wrong_key"  # a certificate for another key than the request's
    EXPIRED_CERTIFICATE = "expired_certificate"  # a certificate that had expired before it was issued
    CHAIN_MISSING = "chain_missing"  # cacerts without the intermediates
    RETRY_AFTER_MISSING = "retry_after_missing"
    RETRY_AFTER_ABSURD = "retry_after_absurd"  # `seconds`, ten years unless said otherwise
    WRONG_STATUS = "wrong_status"  # `status` instead of the right one, with the same body
    WRONG_SERVER_NAME = "wrong_server_name"  # a TLS certificate for another host


class Match(Section):
    """Requests that a fault affects; all given patterns must match."""

    short_for: ClassVar[tuple[str, ...]] = ("operation", "subject")
    example: ClassVar[str] = "{subject: CN=meter-*}"

    subject: Text | None = Field(default=None, description="Pattern of the Subject: CN=meter-*.")
    operation: Operation | None = Field(default=None, description="EST operation: simpleenroll.")


_PARTS: Final[dict[str, FaultKind]] = {
    "add": FaultKind.LATENCY,
    "when": FaultKind.RESET,
    "for_": FaultKind.STALL,
    "seconds": FaultKind.RETRY_AFTER_ABSURD,
    "status": FaultKind.WRONG_STATUS,
}


_ISSUING: Final = frozenset({Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL})
_OPERATIONS: Final = {
    FaultKind.WRONG_KEY: _ISSUING,
    FaultKind.EXPIRED_CERTIFICATE: _ISSUING,
    FaultKind.RETRY_AFTER_MISSING: _ISSUING,
    FaultKind.RETRY_AFTER_ABSURD: _ISSUING,
    FaultKind.CHAIN_MISSING: frozenset({Operation.CACERTS}),
}


class FaultConfig(Section):
    """Injected fault; times are relative to the start of the run, or of a sandbox started alone."""

    short_for: ClassVar[tuple[str, ...]] = ("kind",)
    example: ClassVar[str] = "{kind: reset, rate: 1%}"

    kind: FaultKind = Field(description="Kind of fault.")
    rate: Share = Field(default=1.0, description="Share of affected requests: 0.5%.")
    from_: Duration = Field(default=0.0, alias="from", description="Start of the fault: 60s.")
    to: PositiveDuration | None = Field(default=None, description="End of the fault: 90s.")
    match: Match = Field(default=Match(), description="Affected requests: {subject: 'CN=meter-*'}.")
    add: LatencyRange = Field(default=Constant(1.0), description="latency: additional time: 50ms..80ms.")
    when: Literal["before", "after"] = Field(
        default="before", description="Some kinds: point at which the fault occurs."
    )
    for_: PositiveDuration = Field(default=_HOUR_S, alias="for", description="Some kinds: duration.")
    seconds: Count = Field(default=_TEN_YEARS_S, description="Some kinds: number of seconds.")
    status: int = Field(default=500, strict=True, description="Some kinds: HTTP status.")

    @field_validator("status")
    @classmethod
    def _final(cls, status: int) -> int:
        if not 200 <= status <= 599:  # noqa: PLR2004 - what is a final answer, RFC 9110 §15
            raise ValueError(f"must be a final status from 200 to 599 (got {status})")
        return status

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Self:
        for part in sorted(self.model_fields_set & _PARTS.keys()):
            if self.kind is not _PARTS[part]:
                raise ValueError(
                    f"{part.rstrip('_')} belongs to kind: {_PARTS[part].value} (got kind: {self.kind.value})"
                )
        if self.to is not None and self.to <= self.from_:
            raise ValueError("to must be later than from")
        wanted, asked = _OPERATIONS.get(self.kind), self.match.operation
        if wanted is not None and asked is not None and asked not in wanted:
            raise ValueError(f"kind: {self.kind.value} has no effect on {asked.value}")
        if self.kind is FaultKind.WRONG_SERVER_NAME and "match" in self.model_fields_set:
            raise ValueError(
                "match is not supported here: the server presents its certificate before it knows the client"
            )
        return self
