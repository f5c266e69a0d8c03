"""The keys of device properties: key generation, network, clock, faults, initial state, actions at power-up."""

from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from estsim.device.faults import DeviceFault
from estsim.errors import UnitError
from estsim.fields import (
    Bitrate,
    Count,
    Flag,
    LatencyRange,
    PositiveCount,
    PositiveShare,
    Section,
    Share,
    ShareRange,
    SignedDurationRange,
)
from estsim.scenario.scalar_advice import is_no, is_yes
from estsim.units import Constant, format_share, shown


class KeysModel(Section):
    """Key generation."""

    short_for: ClassVar[tuple[str, ...]] = ("prepare",)
    example: ClassVar[str] = "{prepare: 100}"

    prepare: Count = Field(
        default=0, description="Number of keys generated before the run, each used once; further keys on demand: 1000."
    )
    reuse: PositiveCount | None = Field(
        default=None, description="Number of keys that all devices share, unlike a real fleet: 10."
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.prepare and self.reuse:
            raise UnitError("prepare and reuse are mutually exclusive")
        return self


class NetworkModel(Section):
    """Simulated network; its delays are part of service and response times."""

    short_for: ClassVar[tuple[str, ...]] = ("rtt", "rate")
    example: ClassVar[str] = "{rtt: 40ms..120ms, rate: 64kbit/s}"

    rtt: LatencyRange | None = Field(default=None, description="Round-trip time, drawn per device: 40ms..1s.")
    rate: Bitrate | None = Field(default=None, description="Bit rate in each direction: 64kbit/s.")
    stall: Share = Field(default=0.0, description="Share of connections that stall: 0.5%.")
    reset: Share = Field(default=0.0, description="Share of connections that are reset: 0.1%.")

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.stall + self.reset > 1:
            raise UnitError(f"stall and reset together exceed 100% (got {format_share(self.stall + self.reset)})")
        return self


class ClockModel(Section):
    """Clock error of the devices."""

    short_for: ClassVar[tuple[str, ...]] = ("skew",)
    example: ClassVar[str] = "{skew: -30s..30s}"

    skew: SignedDurationRange = Field(
        default=Constant(0.0), description="Offset of each clock, positive if fast: -30s..30s."
    )


class Operational(Section):
    """Devices that have a certificate of the sandbox's CA when the run starts."""

    short_for: ClassVar[tuple[str, ...]] = ("age",)
    example: ClassVar[str] = "{age: 0%..100%}"

    age: ShareRange = Field(
        default=Constant(0.0), description="Age of the certificate as a share of its lifetime: 0%..100%."
    )

    @model_validator(mode="after")
    def _within_a_life(self) -> Self:
        if self.age.low < 0 or self.age.high > 1:
            raise UnitError("age must be within 0%..100%")
        return self


class StartModel(Section):
    """Initial state of the devices."""

    example: ClassVar[str] = "{operational: {age: 0%..100%}}"

    operational: Operational = Field(description="Devices have a certificate: {age: 0%..100%}.")


class OnBoot(Section):
    """Actions at every power-up."""

    cacerts: Flag = Field(default=False, description="Fetch the CA certificates.")
    renew_if: PositiveShare | None = Field(
        default=None, description="Renew if the certificate is older than this share of its lifetime: 50%."
    )


def on_boot(value: object) -> object:
    """Read ``[cacerts, {renew_if: 50%}]``."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        raise UnitError(f"expected a list such as [cacerts, {{renew_if: 50%}}] (got {shown(value)})")
    read: dict[str, object] = {}
    for entry in value:
        part = {entry: True} if entry == "cacerts" else entry
        if not isinstance(part, dict) or set(part) - {"cacerts", "renew_if"} or not part:
            raise UnitError(f"expected cacerts or {{renew_if: 50%}} (got {shown(entry)})")
        if twice := sorted(set(part) & set(read)):
            raise UnitError(f"duplicate entry {twice[0]}")
        read |= part
    return read


def start(value: object) -> object:
    """Return None for ``off``, and the mapping of ``operational``."""
    if value == "off":
        return None
    if value == "operational":
        return {"operational": {}}
    expected = "expected off or {operational: {age: 0%..100%}}"
    if value is None:
        raise UnitError(f"{expected} (got nothing)")
    if is_no(value):
        raise UnitError(f"{expected}: write off (got {shown(value)})")
    if is_yes(value):
        raise UnitError(f"{expected}: write operational (got {shown(value)})")
    return value


class FaultsModel(Section):
    """Shares of faulty devices; each device has at most one fault."""

    example: ClassVar[str] = "{unknown_ca: 1%}"

    expired_bootstrap: Share = Field(default=0.0, description="Expired bootstrap certificate: 1%.")
    unknown_ca: Share = Field(default=0.0, description="Bootstrap certificate from an unknown manufacturer CA: 1%.")
    wrong_eku: Share = Field(default=0.0, description="Bootstrap certificate with the EKU of a server: 1%.")
    bad_csr_signature: Share = Field(default=0.0, description="Invalid CSR signature: 1%.")
    wrong_subject_on_renew: Share = Field(
        default=0.0, description="Different Subject on renewal (RFC 7030 §4.2.2): 1%."
    )
    garbage_body: Share = Field(default=0.0, description="Request body that is not a CSR: 1%.")
    oversized_body: Share = Field(default=0.0, description="Request body of one megabyte: 1%.")
    retries_at_once: Share = Field(default=0.0, description="Retries immediately and forever after each failure: 1%.")
    impatient: Share = Field(default=0.0, description="Polls immediately, ignoring Retry-After: 1%.")

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        total = sum(self.shares.values())
        if total > 1 + 1e-9:
            raise UnitError(f"shares must add up to at most 100% (got {format_share(round(total, 6))})")
        return self

    @property
    def shares(self) -> dict[DeviceFault, float]:
        """The shares that are not zero."""
        return {fault: share for fault in DeviceFault if (share := getattr(self, fault.value)) > 0}


OnBootField = Annotated[OnBoot, BeforeValidator(on_boot)]
StartField = Annotated[StartModel | None, BeforeValidator(start)]
