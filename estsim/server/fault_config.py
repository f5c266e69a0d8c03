"""What a sandbox is told to do wrong: the ``faults`` key as a pydantic model. :mod:`estsim.server.faults` does it."""

from enum import StrEnum
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from estsim.est.operations import Operation
from estsim.fields import Count, Duration, DurationRange, PositiveDuration, Section, Share, Text
from estsim.units import Constant

_TEN_YEARS_S: Final = 315_360_000
_HOUR_S: Final = 3600.0


class FaultKind(StrEnum):
    """The ways in which a server can fail its clients."""

    LATENCY = "latency"  # the answer comes later, by `add`
    RESET = "reset"  # TCP reset `when` the request has come (before), or instead of the answer to it (after)
    STALL = "stall"  # the request is taken and nothing is answered `for` a time; then the connection ends
    TRUNCATED_BODY = "truncated_body"  # half of the body, then the end
    GARBAGE = "garbage"  # bytes that are neither base64 nor DER
    PEM_ARMOUR = "pem_armour"  # the body between BEGIN and END lines
    WRAPPED_BASE64 = "wrapped_base64"  # lines of 64 characters where one was to be sent
    WRONG_CONTENT_TYPE = "wrong_content_type"  # text/html
    WRONG_KEY = "wrong_key"  # a certificate for another key than the request's
    EXPIRED_CERTIFICATE = "expired_certificate"  # a certificate that was over before it came
    CHAIN_MISSING = "chain_missing"  # cacerts without the intermediates
    RETRY_AFTER_MISSING = "retry_after_missing"
    RETRY_AFTER_ABSURD = "retry_after_absurd"  # `seconds`, ten years unless said otherwise
    WRONG_STATUS = "wrong_status"  # `status` instead of the right one, with the same body
    WRONG_SERVER_NAME = "wrong_server_name"  # a TLS certificate for another host


class Match(Section):
    """Which requests a fault concerns: all that fit everything said here."""

    subject: Text | None = None
    operation: Operation | None = None


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
    """One fault: what, how often, when (from the start of the sandbox, or of the run that started it), to whom."""

    kind: FaultKind
    rate: Share = 1.0
    from_: Duration = Field(default=0.0, alias="from")
    to: PositiveDuration | None = None
    match: Match = Match()
    add: DurationRange = Constant(1.0)
    when: Literal["before", "after"] = "before"
    for_: PositiveDuration = Field(default=_HOUR_S, alias="for")
    seconds: Count = _TEN_YEARS_S
    status: int = Field(default=500, strict=True)

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
            raise ValueError(f"kind: {self.kind.value} has nothing to act on in {asked.value}")
        if self.kind is FaultKind.WRONG_SERVER_NAME and "match" in self.model_fields_set:
            raise ValueError("match cannot be told here: the server shows its certificate before it knows who asks")
        return self
