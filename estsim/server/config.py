"""What the sandbox is told to be: its configuration file, or a scenario's ``sandbox:`` block, as a pydantic model.

Keys and values of the design that this version does not support are refused by name (``not_yet``, and validators),
unknown ones too. Nothing is ever ignored.
"""

from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from estsim.fields import Count, DurationRange, PositiveCount, PositiveDuration, Rate, Section, Share, Text
from estsim.server.capacity import Overflow
from estsim.units import Constant

_DAY_S: Final = 86_400.0


class KeyKind(StrEnum):
    """The kinds of key that the sandbox's certification authorities may have."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    ED25519 = "ed25519"


class IssuerConfig(Section):
    """The certification authority: its keys, and how long the certificates it issues live."""

    key: KeyKind = KeyKind.EC_P256
    intermediates: Count = 1
    validity: PositiveDuration = _DAY_S

    @field_validator("intermediates")
    @classmethod
    def _one(cls, count: int) -> int:
        if count != 1:
            raise ValueError(f"anything but 1 is not supported yet (got {count})")
        return count

    @field_validator("validity")
    @classmethod
    def _whole_seconds(cls, validity_s: float) -> float:
        if validity_s < 1:
            raise ValueError(f"must be at least 1s, the resolution of a certificate (got {validity_s:g}s)")
        return validity_s


class UserConfig(Section):
    """A user who may enroll with HTTP authentication."""

    password: Text = Field(repr=False)
    schemes: list[str] = Field(default=["basic"])

    @field_validator("schemes")
    @classmethod
    def _basic_only(cls, schemes: list[str]) -> list[str]:
        for scheme in schemes:
            if scheme == "digest":
                raise ValueError("digest is not supported yet")
            if scheme != "basic":
                raise ValueError(f"must be basic (got {scheme})")
        return schemes


class RequireCertificate(StrEnum):
    """Where a client certificate is demanded."""

    ENROLL = "enroll"  # on every operation that issues
    NEVER = "never"  # a user name will do, or nothing where there are no users; re-enrolment needs one by nature
    ALWAYS = "always"  # already in the handshake, so even for cacerts


class ClientsConfig(Section):
    """Who may enroll."""

    require_certificate: RequireCertificate = RequireCertificate.ENROLL
    bootstrap_cas: list[Path] = Field(default=[])
    users: dict[Text, UserConfig] = Field(default={})
    refuse_at: Literal["handshake", "application"] = "handshake"

    @field_validator("users")
    @classmethod
    def _names_fit_basic(cls, users: dict[str, UserConfig]) -> dict[str, UserConfig]:
        for name in users:
            if ":" in name:
                raise ValueError(f"a user name cannot hold a colon (RFC 7617 §2): {name}")
        return users

    @field_validator("refuse_at")
    @classmethod
    def _handshake_only(cls, where: str) -> str:
        if where != "handshake":
            raise ValueError(f"{where} is not supported yet")
        return where


class IssueMode(StrEnum):
    """Whether a certificate is handed out at the first request."""

    IMMEDIATE = "immediate"
    DEFERRED = "deferred"


class RetryAfterKind(StrEnum):
    """How the told wait is chosen."""

    FIXED = "fixed"
    RANDOM = "random"
    NEXT_SLOT = "next_slot"  # when the certificate is ready, rounded up


class RetryAfterConfig(Section):
    """What a deferral tells the client to wait."""

    kind: RetryAfterKind = RetryAfterKind.FIXED
    seconds: Count = 3
    from_: Count | None = Field(default=None, alias="from")
    to: Count | None = None
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
    delay: DurationRange = Constant(3.0)
    retry_after: RetryAfterConfig = RetryAfterConfig()
    status: Literal[202, 206] = 202
    early: Early = Early.AGAIN

    @field_validator("mode", mode="before")
    @classmethod
    def _not_manual(cls, mode: object) -> object:
        if mode == "manual":
            raise ValueError("manual is not supported yet")
        return mode

    @model_validator(mode="after")
    def _deferral_keys_need_deferral(self) -> Self:
        idle = {"share", "delay"} & self.model_fields_set
        if self.mode is not IssueMode.DEFERRED and idle:
            raise ValueError(f"{' and '.join(sorted(idle))} would have no effect without mode: deferred")
        return self


class CapacityConfig(Section):
    """How many certificates a second the authority can sign, and what happens beyond."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"signers", "sign_time"})

    rate: Rate
    burst: PositiveCount = 1
    queue: Count = 1000
    overflow: Overflow = Overflow.WAIT


class TrustCenterConfig(Section):
    """One trust center: an authority, its clients, and how it issues."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"faults"})

    issuer: IssuerConfig = IssuerConfig()
    clients: ClientsConfig = ClientsConfig()
    issue: IssueConfig = IssueConfig()
    capacity: CapacityConfig | None = None


class SandboxConfig(TrustCenterConfig):
    """The sandbox: keys of the one trust center at the top, or under ``trust_centers: {default: …}``."""

    seed: int = Field(default=1, strict=True)
    base64: Literal["oneline", "wrapped"] = "oneline"
    trust_centers: dict[str, TrustCenterConfig] | None = None

    @field_validator("trust_centers", mode="before")
    @classmethod
    def _only_the_default(cls, centers: object) -> object:
        if isinstance(centers, dict):
            others = [str(name) for name in centers if name != "default"]
            if others:
                raise ValueError(f"trust centers besides `default` are not supported yet: {', '.join(others)}")
            if not centers:
                raise ValueError("must name the trust center `default`")
        return centers

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        doubled = set(TrustCenterConfig.model_fields) & self.model_fields_set
        if self.trust_centers is not None and doubled:
            names = ", ".join(sorted(doubled))
            raise ValueError(f"{names}: give it at the top or under trust_centers.default, not both")
        return self

    @property
    def center(self) -> TrustCenterConfig:
        """The one trust center, wherever its keys stand."""
        return self.trust_centers["default"] if self.trust_centers else self

    def anchored(self, folder: Path) -> "SandboxConfig":
        """Return the same configuration with relative paths taken from ``folder``, where its file lies."""
        clients = self.center.clients
        paths = [folder / path for path in clients.bootstrap_cas]
        center = self.center.model_copy(update={"clients": clients.model_copy(update={"bootstrap_cas": paths})})
        if self.trust_centers:
            return self.model_copy(update={"trust_centers": {"default": center}})
        return self.model_copy(update={"clients": center.clients})
