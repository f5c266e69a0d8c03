"""A cohort as YAML says it: shapes, words and bounds. Its meaning to the engine: :mod:`estsim.scenario.planning`.

What the design knows and this version does not is refused by name: keys through ``not_yet``, values by validators.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from estsim.device.policy import (
    AfterExpiry,
    AfterFailure,
    AfterRenewals,
    Backoff,
    DeferralPolicy,
    EnrollPolicy,
    Fetch,
    Jitter,
    RenewPolicy,
    RetryOn,
    RetryPolicy,
)
from estsim.errors import UnitError
from estsim.fields import (
    Count,
    Duration,
    Flag,
    PositiveCount,
    PositiveDuration,
    PositiveNumber,
    PositiveShare,
    Section,
    ShareRange,
    Text,
    TlsVersions,
)
from estsim.scenario import words
from estsim.scenario.boot_model import BootModel
from estsim.scenario.nature_model import (
    ClockModel,
    FaultsModel,
    KeysModel,
    NetworkModel,
    OnBoot,
    OnBootField,
    StartField,
)
from estsim.scenario.plan import Close
from estsim.server.config import KeyKind
from estsim.units import Distribution, format_duration, shown

# A million devices is the largest fleet the design speaks of; far beyond it, a slip of the finger is likelier.
MOST_DEVICES: Final = 10_000_000

_ENROLL: Final = EnrollPolicy()
_RENEW: Final = RenewPolicy()
_DEFERRAL: Final = DeferralPolicy()
_RETRY: Final = RetryPolicy()


class BootstrapKind(StrEnum):
    """What a device proves itself with before it owns a certificate."""

    MANUFACTURER = "manufacturer"
    SHARED = "shared"
    FILES = "files"
    BASIC = "basic"
    NONE = "none"

    @property
    def tells_devices_apart(self) -> bool:
        """Whether each device has one of its own; with the others a server tells devices by their keys alone."""
        return self in (BootstrapKind.MANUFACTURER, BootstrapKind.FILES)


_PARTS: Final[dict[BootstrapKind, frozenset[str]]] = {
    BootstrapKind.MANUFACTURER: frozenset({"authority"}),
    BootstrapKind.SHARED: frozenset({"path", "authority"}),
    BootstrapKind.FILES: frozenset({"path"}),
    BootstrapKind.BASIC: frozenset({"user", "password", "scheme", "preemptive"}),
    BootstrapKind.NONE: frozenset(),
}


class BootstrapModel(Section):
    """The first credential."""

    kind: BootstrapKind
    authority: Text | None = None
    path: Text | None = None
    user: Text | None = None
    password: Text | None = Field(default=None, repr=False)
    scheme: Literal["basic"] = "basic"
    preemptive: Flag = False

    @field_validator("scheme", mode="before")
    @classmethod
    def _no_digest(cls, value: object) -> object:
        return words.no(value, "digest")

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Self:
        given = self.model_fields_set - {"kind"}
        if strange := sorted(given - _PARTS[self.kind]):
            raise UnitError(f"{', '.join(strange)} does not belong to kind: {self.kind.value}")
        if self.kind is BootstrapKind.BASIC and (self.user is None or self.password is None):
            raise UnitError("kind: basic needs user and password")
        if self.kind is BootstrapKind.FILES and self.path is None:
            raise UnitError("kind: files needs path, a folder with a PEM file for each device")
        if self.path is not None and self.authority is not None:
            raise UnitError("path and authority exclude each other: the key is there, or it is minted")
        # RFC 7617 §2: "a user-id containing a colon character is invalid".
        if self.user is not None and ":" in self.user:
            raise UnitError(f"a user name cannot hold a colon (got {shown(self.user)})")
        return self


class TlsModel(Section):
    """How a device speaks TLS."""

    versions: TlsVersions = ("1.2", "1.3")
    resume: Flag = False
    keep_alive: Duration = 0.0
    close: Close = Close.FIN
    send_chain: Flag = True


class EnrollModel(Section):
    """The first enrolment."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"channel_binding"})

    cacerts: Fetch = _ENROLL.cacerts
    csrattrs: Flag = False
    operation: Annotated[Literal["simpleenroll"], BeforeValidator(words.enroll_operation)] = "simpleenroll"
    deadline: PositiveDuration = _ENROLL.deadline_s
    then: AfterFailure = _ENROLL.then

    @field_validator("csrattrs", mode="before")
    @classmethod
    def _no_attributes(cls, value: object) -> object:
        return words.no(value, True, "csrattrs: true")


class RenewModel(Section):
    """Renewal, at a share of the certificate's life or after a time."""

    at: PositiveShare | None = None
    after: PositiveDuration | None = None
    spread: ShareRange = _RENEW.spread
    rekey: Flag = _RENEW.rekey
    times: Count | None = _RENEW.times
    then: AfterRenewals = _RENEW.then
    retry_every: PositiveShare = _RENEW.retry_every
    lifetime_scale: PositiveNumber = _RENEW.lifetime_scale
    expired: AfterExpiry = _RENEW.expired

    @field_validator("after")
    @classmethod
    def _not_both(cls, after_s: float | None, info: ValidationInfo) -> float | None:
        if after_s is not None and info.data.get("at") is not None:
            raise UnitError(f"at and after exclude each other (got both, after is {format_duration(after_s)})")
        return after_s

    @field_validator("spread")
    @classmethod
    def _within_the_life(cls, spread: Distribution, info: ValidationInfo) -> Distribution:
        at = info.data.get("at") or _RENEW.at
        if info.data.get("after") is None and (at + spread.low < 0 or at + spread.high > 1):
            raise UnitError(f"reaches out of the certificate's life: renewal is at {at:.0%} of it")
        return spread


class DeferralModel(Section):
    """What a device makes of being told to come again."""

    retry_after: Annotated[float, BeforeValidator(words.obedience)] = _DEFERRAL.obedience
    spread: ShareRange = _DEFERRAL.spread
    when_missing: Duration = _DEFERRAL.when_missing_s
    max_polls: PositiveCount = _DEFERRAL.max_polls
    max_wait: PositiveDuration = _DEFERRAL.max_wait_s

    @field_validator("spread")
    @classmethod
    def _never_early_unasked(cls, spread: Distribution, info: ValidationInfo) -> Distribution:
        obeys = info.data.get("retry_after", _DEFERRAL.obedience)
        # RFC 7030 §4.2.3: the client waits "at least the specified 'retry-after' time".
        if obeys >= 1 and spread.low < 0:
            raise UnitError("must be at least 0: an obedient device never comes early; say retry_after: {early: 50%}")
        return spread


class RetryModel(Section):
    """Which failures are tried again, and after what wait."""

    on: frozenset[Annotated[RetryOn, BeforeValidator(words.retry_reason)]] = _RETRY.on
    backoff: Backoff = _RETRY.backoff
    base: PositiveDuration = _RETRY.base_s
    cap: PositiveDuration = _RETRY.cap_s
    jitter: Jitter = _RETRY.jitter
    attempts: Annotated[PositiveCount, BeforeValidator(words.attempts)] = _RETRY.attempts

    @field_validator("cap")
    @classmethod
    def _not_below_base(cls, cap_s: float, info: ValidationInfo) -> float:
        base_s = info.data.get("base", 0.0)
        if cap_s < base_s:
            raise UnitError(f"must be at least base, {format_duration(base_s)} (got {format_duration(cap_s)})")
        return cap_s


class CohortModel(Section):
    """Devices that behave alike."""

    devices: Annotated[PositiveCount, Field(le=MOST_DEVICES)]
    subject: Text = "CN={cohort}-{index:6}"
    sans: tuple[Text, ...] = ()
    key: KeyKind = KeyKind.EC_P256
    bootstrap: BootstrapModel = BootstrapModel(kind=BootstrapKind.MANUFACTURER)
    tls: TlsModel = TlsModel()
    start: StartField = None
    keys: KeysModel = KeysModel()
    on_boot: OnBootField = OnBoot()
    network: NetworkModel | None = None
    clock: ClockModel | None = None
    faults: FaultsModel = FaultsModel()
    boot: BootModel
    enroll: EnrollModel = EnrollModel()
    renew: Annotated[RenewModel | None, BeforeValidator(words.off_or_mapping)] = RenewModel()
    deferral: DeferralModel = DeferralModel()
    retry: RetryModel = RetryModel()

    @model_validator(mode="before")
    @classmethod
    def _in_service_already(cls, value: object) -> object:
        """Let a cohort that is operational leave its ``boot`` out: it has booted before the run begins."""
        if isinstance(value, dict) and "boot" not in value and value.get("start") not in (None, "off"):
            return {**value, "boot": {"at_once": True}}
        return value
