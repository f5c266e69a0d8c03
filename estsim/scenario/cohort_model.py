"""The keys of a cohort: types, words and bounds. :mod:`estsim.scenario.planning` makes the plan of them.

Planned but unsupported keys and values are refused by name: keys by ``not_yet``, values by validators.
"""

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from estsim.device.policy import (
    AfterExpiry,
    AfterFailure,
    AfterRenewals,
    Attributes,
    Backoff,
    DeferralPolicy,
    EnrollPolicy,
    Fetch,
    Jitter,
    Names,
    Pop,
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
from estsim.pki.keys import KeyKind
from estsim.scenario import words
from estsim.scenario.boot_model import BootModel
from estsim.scenario.bootstrap_model import BootstrapKind, BootstrapModel, HttpAuthModel
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
from estsim.units import Distribution, format_duration

# A million devices is the largest fleet of the design; far more are probably a typo.
MOST_DEVICES: Final = 10_000_000

_ENROLL: Final = EnrollPolicy()
_RENEW: Final = RenewPolicy()
_DEFERRAL: Final = DeferralPolicy()
_RETRY: Final = RetryPolicy()


class TlsModel(Section):
    """TLS settings of the devices."""

    short_for: ClassVar[tuple[str, ...]] = ("versions",)
    example: ClassVar[str] = "{versions: 1.2..1.3}"

    versions: TlsVersions = Field(default=("1.2", "1.3"), description="Oldest and newest TLS version: 1.2..1.3.")
    resume: Flag = Field(default=False, description="Resume the previous TLS session: true.")
    keep_alive: Duration = Field(
        default=0.0,
        description="How long an idle connection stays open for the next exchange: 30s; 0s closes it at once.",
    )
    close: Close = Field(
        default=Close.FIN,
        description="How devices close connections: fin, rst, or vanish (leaves the server half-open).",
    )
    send_chain: Flag = Field(
        default=True, description="Send intermediate certificates with the device certificate: true."
    )


class EnrollModel(Section):
    """First enrolment."""

    short_for: ClassVar[tuple[str, ...]] = ("operation", "cacerts", "deadline")
    example: ClassVar[str] = "{cacerts: once, deadline: 10m}"

    cacerts: Fetch = Field(
        default=_ENROLL.cacerts, description="Fetch the CA certificates before enrolling: once, always or never."
    )
    csrattrs: Annotated[Attributes, BeforeValidator(words.attributes)] = Field(
        default=_ENROLL.csrattrs,
        description="CSR attributes, once per boot: off, fetch (report what is not fulfilled), or obey (or fail).",
    )
    pop: Pop = Field(
        default=_ENROLL.pop,
        description="Link requests to the TLS session (RFC 7030 §3.5): auto (if CSR attributes ask), always or never.",
    )
    operation: Annotated[Literal["simpleenroll"], BeforeValidator(words.enroll_operation)] = Field(
        default="simpleenroll", description="EST operation: simpleenroll."
    )
    deadline: PositiveDuration = Field(
        default=_ENROLL.deadline_s, description="Maximum time until the certificate is issued: 10m."
    )
    names: Names = Field(
        default=_ENROLL.names,
        description="Other names in the certificate than requested: note (use and report it) or require (reject it).",
    )
    then: AfterFailure = Field(
        default=_ENROLL.then,
        description="Action after the deadline: give_up, or until_power_up (wait for the next power-up).",
    )


class RenewModel(Section):
    """Renewal at a share of the certificate's lifetime, or after a time."""

    short_for: ClassVar[tuple[str, ...]] = ("at", "after")
    example: ClassVar[str] = "{at: 66%}"

    at: PositiveShare | None = Field(
        default=None, description="Time of renewal as a share of the certificate's lifetime: 66%."
    )
    after: PositiveDuration | None = Field(default=None, description="Time of renewal after issue, instead of at: 30s.")
    spread: ShareRange = Field(
        default=_RENEW.spread, description="Variation per device, as a share of the lifetime: -5%..5%."
    )
    rekey: Flag = Field(default=_RENEW.rekey, description="Renew with a new key: true.")
    times: Count | None = Field(default=_RENEW.times, description="Maximum number of renewals: 3.")
    then: AfterRenewals = Field(default=_RENEW.then, description="After the last renewal: stay, or leave service.")
    retry_every: PositiveShare = Field(
        default=_RENEW.retry_every,
        description="Interval between attempts after a refused renewal, as a share of the lifetime: 4%.",
    )
    lifetime_scale: PositiveNumber = Field(
        default=_RENEW.lifetime_scale, description="Factor by which certificates age faster: 60."
    )
    expired: AfterExpiry = Field(
        default=_RENEW.expired, description="After expiry: enroll (with the bootstrap credential), wait, or give_up."
    )

    @field_validator("after")
    @classmethod
    def _not_both(cls, after_s: float | None, info: ValidationInfo) -> float | None:
        if after_s is not None and info.data.get("at") is not None:
            raise UnitError(f"at and after are mutually exclusive (got both, after is {format_duration(after_s)})")
        return after_s

    @field_validator("spread")
    @classmethod
    def _within_the_life(cls, spread: Distribution, info: ValidationInfo) -> Distribution:
        at = info.data.get("at") or _RENEW.at
        if info.data.get("after") is None and (at + spread.low < 0 or at + spread.high > 1):
            raise UnitError(f"exceeds the certificate's lifetime: renewal is at {at:.0%} of it")
        return spread


class DeferralModel(Section):
    """Reaction to a deferral (202 with Retry-After)."""

    short_for: ClassVar[tuple[str, ...]] = ("retry_after",)
    example: ClassVar[str] = "{retry_after: obey}"

    retry_after: Annotated[float, BeforeValidator(words.obedience)] = Field(
        default=_DEFERRAL.obedience, description="Reaction to Retry-After: obey, ignore, {early: 50%} or {late: 20%}."
    )
    spread: ShareRange = Field(
        default=_DEFERRAL.spread, description="Additional wait, as a share of Retry-After: 0%..10%."
    )
    when_missing: Duration = Field(default=_DEFERRAL.when_missing_s, description="Wait if Retry-After is missing: 30s.")
    max_polls: PositiveCount = Field(default=_DEFERRAL.max_polls, description="Maximum number of polls: 50.")
    max_wait: PositiveDuration = Field(default=_DEFERRAL.max_wait_s, description="Maximum total wait: 1h.")

    @field_validator("spread")
    @classmethod
    def _never_early_unasked(cls, spread: Distribution, info: ValidationInfo) -> Distribution:
        obeys = info.data.get("retry_after", _DEFERRAL.obedience)
        # RFC 7030 §4.2.3: the client waits "at least the specified 'retry-after' time".
        if obeys >= 1 and spread.low < 0:
            raise UnitError("must be at least 0; use retry_after: {early: 50%} for early polls")
        return spread


class RetryModel(Section):
    """Retries after failures."""

    short_for: ClassVar[tuple[str, ...]] = ("attempts",)
    example: ClassVar[str] = "{attempts: 5}"

    on: frozenset[Annotated[RetryOn, BeforeValidator(words.retry_reason)]] = Field(
        default=_RETRY.on, description="Failures to retry: [connect, handshake, timeout, reset, 5xx, 429]."
    )
    backoff: Backoff = Field(default=_RETRY.backoff, description="exponential or constant.")
    base: PositiveDuration = Field(default=_RETRY.base_s, description="First wait: 1s.")
    cap: PositiveDuration = Field(default=_RETRY.cap_s, description="Longest wait: 60s.")
    jitter: Jitter = Field(default=_RETRY.jitter, description="full (random between 0 and the wait) or none.")
    attempts: Annotated[int, Field(strict=True, gt=0), BeforeValidator(words.attempts)] = Field(
        default=_RETRY.attempts, description="Maximum number of consecutive failures: 5, or unlimited."
    )

    @field_validator("cap")
    @classmethod
    def _not_below_base(cls, cap_s: float, info: ValidationInfo) -> float:
        base_s = info.data.get("base", 0.0)
        if cap_s < base_s:
            raise UnitError(f"must be at least base, {format_duration(base_s)} (got {format_duration(cap_s)})")
        return cap_s


class CohortModel(Section):
    """Devices with the same behaviour."""

    short_for: ClassVar[tuple[str, ...]] = ("devices",)
    example: ClassVar[str] = "{devices: 100, boot: {burst: 5s}}"

    devices: Annotated[PositiveCount, Field(le=MOST_DEVICES)] = Field(description="Number of devices: 3000.")
    subject: Text = Field(
        default="CN={cohort}-{index:6}",
        description="CN=meter-{index:6},O=Example; placeholders {index} {index:6} {cohort} {hex:8}; in DER order. "
        "Defaults to the certificate's with bootstrap files.",
    )
    sans: tuple[Text, ...] = Field(
        default=(),
        description="Subject alternative names: ['dns:meter-{index}.example']. With bootstrap files, see subject.",
    )
    key: KeyKind = Field(default=KeyKind.EC_P256, description="Key type.")
    bootstrap: BootstrapModel = Field(
        default=BootstrapModel(kind=BootstrapKind.MANUFACTURER), description="Credential for the first enrolment."
    )
    http_auth: HttpAuthModel | None = Field(
        default=None,
        description="HTTP authentication in addition to bootstrap, sent on request: {user: alice, password: secret}.",
    )
    tls: TlsModel = Field(default=TlsModel(), description="TLS settings of the devices.")
    start: StartField = Field(
        default=None, description="Initial state: off, or {operational: {age: 0%..100%}} (already enrolled)."
    )
    keys: KeysModel = Field(default=KeysModel(), description="Key generation: {prepare: 1000}.")
    on_boot: OnBootField = Field(default=OnBoot(), description="Actions at every power-up: [cacerts, {renew_if: 50%}].")
    network: NetworkModel | None = Field(
        default=None, description="Simulated network of each device: {rtt: 40ms..120ms}."
    )
    clock: ClockModel | None = Field(default=None, description="Clock error of the devices: {skew: -30s..30s}.")
    faults: FaultsModel = Field(default=FaultsModel(), description="Shares of faulty devices: {unknown_ca: 1%}.")
    boot: BootModel = Field(
        description="Arrival of devices; required unless start is operational: {burst: 5s}, {rate: 24/min}, …"
    )
    enroll: EnrollModel = Field(default=EnrollModel(), description="First enrolment.")
    renew: Annotated[RenewModel | None, BeforeValidator(words.off_or_mapping)] = Field(
        default=RenewModel(), description="Renewal, or off."
    )
    deferral: DeferralModel = Field(
        default=DeferralModel(), description="Reaction to a deferral (202 with Retry-After)."
    )
    retry: RetryModel = Field(default=RetryModel(), description="Retries after failures.")
    behaviour: Annotated[str | None, BeforeValidator(words.behaviour_class)] = Field(
        default=None,
        description="Python class that decides for the devices, imported only with --allow-code: mypkg.mod:Class.",
    )

    @property
    def has_own_subject(self) -> bool:
        """Whether each device enrolls for the Subject of its own certificate."""
        return self.bootstrap.kind is BootstrapKind.FILES and "subject" not in self.model_fields_set

    @property
    def has_own_sans(self) -> bool:
        """Whether each device enrolls for the SubjectAltName of its own certificate too."""
        return self.has_own_subject and "sans" not in self.model_fields_set

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.http_auth is not None and self.bootstrap.kind is BootstrapKind.BASIC:
            raise UnitError("bootstrap: {kind: basic} and http_auth are mutually exclusive")
        return self

    @model_validator(mode="before")
    @classmethod
    def _in_service_already(cls, value: object) -> object:
        """Make ``boot`` optional for an operational cohort, which has booted before the run."""
        if isinstance(value, dict) and "boot" not in value and value.get("start") not in (None, "off"):
            return {**value, "boot": {"at_once": True}}
        return value
