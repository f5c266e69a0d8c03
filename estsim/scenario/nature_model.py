"""What devices are by nature, as YAML says it: their keys, network and clock, what is wrong with them, their start."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from estsim.device.faults import DeviceFault
from estsim.errors import UnitError
from estsim.fields import (
    Bitrate,
    Count,
    DurationRange,
    Flag,
    PositiveCount,
    PositiveShare,
    Section,
    Share,
    ShareRange,
    SignedDurationRange,
)
from estsim.units import Constant, format_share, shown


class KeysModel(Section):
    """Where the keys of a cohort come from."""

    prepare: Count = Field(
        default=0, description="So many are made before the run, each used once; then on demand: 1000."
    )
    reuse: PositiveCount | None = Field(
        default=None, description="So few are used again and again, as no real fleet does: 10."
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.prepare and self.reuse:
            raise UnitError("prepare and reuse exclude each other")
        return self


class NetworkModel(Section):
    """What the network does to a device; times of it lie inside service and response times."""

    rtt: DurationRange | None = Field(
        default=None, description="Round trip, added to each flight, drawn per device: 40ms..1s."
    )
    rate: Bitrate | None = Field(default=None, description="Bit rate in each direction: 64kbit/s.")
    stall: Share = Field(default=0.0, description="Share of connections in which nothing passes any more: 0.5%.")
    reset: Share = Field(default=0.0, description="Share of connections that are torn down under way: 0.1%.")

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.stall + self.reset > 1:
            raise UnitError(f"stall and reset together exceed 100% (got {format_share(self.stall + self.reset)})")
        return self


class ClockModel(Section):
    """The devices' clocks."""

    skew: SignedDurationRange = Field(
        default=Constant(0.0), description="By how much each is ahead of the time: -30s..30s."
    )


class Operational(Section):
    """Devices that own a certificate as the run begins; the sandbox's CA has issued it."""

    age: ShareRange = Field(
        default=Constant(0.0), description="Share of the certificate's life that has passed: 0%..100%."
    )

    @model_validator(mode="after")
    def _within_a_life(self) -> Self:
        if self.age.low < 0 or self.age.high > 1:
            raise UnitError("age must lie within 0%..100%")
        return self


class StartModel(Section):
    """How the devices are as the run begins."""

    operational: Operational = Field(description="They own a certificate: {age: 0%..100%}.")


class OnBoot(Section):
    """What a device does whenever it powers up."""

    cacerts: Flag = Field(default=False, description="Fetch the CA certificates.")
    renew_if: PositiveShare | None = Field(
        default=None, description="Renew if this share of the certificate's life is over."
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
            raise UnitError(f"names {twice[0]} twice")
        read |= part
    return read


def start(value: object) -> object:
    """Return None for ``off``, and the mapping of ``operational``."""
    if value == "off":
        return None
    if value == "operational":
        return {"operational": {}}
    if value is None:
        raise UnitError("expected off or {operational: {age: 0%..100%}} (got nothing)")
    return value


class FaultsModel(Section):
    """Shares of the devices that have something wrong with them, exact counts, chosen by seed; one fault a device."""

    expired_bootstrap: Share = Field(default=0.0, description="Their bootstrap certificate has expired: 1%.")
    unknown_ca: Share = Field(default=0.0, description="Their manufacturer is one that nobody trusts: 1%.")
    wrong_eku: Share = Field(default=0.0, description="Their bootstrap certificate is for servers only: 1%.")
    bad_csr_signature: Share = Field(default=0.0, description="The signature of their CSR is wrong: 1%.")
    wrong_subject_on_renew: Share = Field(
        default=0.0, description="They renew under another name (RFC 7030 §4.2.2): 1%."
    )
    garbage_body: Share = Field(default=0.0, description="They send a body that is no CSR: 1%.")
    oversized_body: Share = Field(default=0.0, description="They send a body of a megabyte: 1%.")
    retries_at_once: Share = Field(default=0.0, description="They try again at once after every failure, for ever: 1%.")
    impatient: Share = Field(default=0.0, description="They poll at once, whatever they were told: 1%.")

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        total = sum(self.shares.values())
        if total > 1 + 1e-9:
            raise UnitError(f"a device has one fault: together at most 100% (got {format_share(round(total, 6))})")
        return self

    @property
    def shares(self) -> dict[DeviceFault, float]:
        """The shares that are not zero."""
        return {fault: share for fault in DeviceFault if (share := getattr(self, fault.value)) > 0}


OnBootField = Annotated[OnBoot, BeforeValidator(on_boot)]
StartField = Annotated[StartModel | None, BeforeValidator(start)]
