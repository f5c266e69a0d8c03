"""The sandbox's configuration, from a file or a scenario's ``sandbox:`` block, as a pydantic model.

The whole, its trust centers and their clients; issuing and faults have modules of their own. Unsupported and unknown
keys and values are refused by name; nothing is ignored.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from estsim.est.operations import Operation
from estsim.fields import Count, Flag, PositiveDuration, Section, Text, TlsVersions
from estsim.pki.keys import KeyKind
from estsim.server.capacity import Overflow
from estsim.server.csr_attributes_config import CsrAttrsConfig
from estsim.server.fault_config import FaultConfig, FaultKind
from estsim.server.issuing_config import CapacityConfig, IssueConfig, IssueMode
from estsim.units import shown

DEFAULT: Final = "default"
"""The trust center that is served without a label."""

_DAY_S: Final = 86_400.0
_CA_LIFE_S: Final = 20 * 365 * _DAY_S
_MOST_INTERMEDIATES: Final = 8
_LABEL: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 9110 §5.6.2
_HEADERS_IN_USE: Final = frozenset(
    {"host", "authorization", "connection", "content-length", "content-type", "content-transfer-encoding", "expect"}
    | {"transfer-encoding", "x-request-id"}
)
_OPERATIONS: Final = frozenset(operation.value for operation in Operation)


class IssuerConfig(Section):
    """Issuing CA: its keys, and the lifetime of its certificates."""

    short_for: ClassVar[tuple[str, ...]] = ("key", "validity", "intermediates")
    example: ClassVar[str] = "{key: ec-p256, validity: 24h}"

    key: KeyKind = Field(default=KeyKind.EC_P256, description="Key type.")
    intermediates: Count = Field(default=1, description="Number of CAs between root and issuing CA: 1.")
    validity: PositiveDuration = Field(default=_DAY_S, description="Lifetime of issued certificates: 24h, or seconds.")

    @field_validator("intermediates")
    @classmethod
    def _few(cls, count: int) -> int:
        if count > _MOST_INTERMEDIATES:
            raise ValueError(f"must be at most {_MOST_INTERMEDIATES} (got {count})")
        return count

    @field_validator("validity")
    @classmethod
    def _whole_seconds(cls, validity_s: float) -> float:
        if validity_s < 1:
            raise ValueError(f"must be at least 1s, the resolution of a certificate (got {validity_s:g}s)")
        if validity_s > _CA_LIFE_S:
            raise ValueError(f"must be at most {_CA_LIFE_S / _DAY_S:.0f}d, the CA's own lifetime")
        return validity_s


class HttpScheme(StrEnum):
    """The schemes of HTTP authentication that a user may have (RFC 7617, RFC 7616)."""

    BASIC = "basic"
    DIGEST = "digest"  # with SHA-256
    DIGEST_MD5 = "digest-md5"
    DIGEST_SHA_512_256 = "digest-sha-512-256"


class UserConfig(Section):
    """User for HTTP authentication."""

    short_for: ClassVar[tuple[str, ...]] = ("password",)
    example: ClassVar[str] = "{password: PASSWORD}"

    password: Text = Field(repr=False, description="Password.")
    schemes: list[HttpScheme] = Field(
        default=[HttpScheme.BASIC],
        min_length=1,
        description="Accepted schemes: [digest, basic]; digest is SHA-256, or digest-md5, digest-sha-512-256.",
    )


class RequireCertificate(StrEnum):
    """Where a client certificate is demanded."""

    ENROLL = "enroll"  # on every operation that issues
    NEVER = "never"  # a user name suffices, or nothing where there are no users; re-enrolment always needs one
    ALWAYS = "always"  # on every operation, even cacerts


class RefuseAt(StrEnum):
    """Where a client certificate that will not do is refused.

    The handshake comes before the label: with several trust centers it refuses what none of them would take, and each
    of them refuses the rest as ``application`` does.
    """

    HANDSHAKE = "handshake"  # by a TLS alert
    APPLICATION = "application"  # by 403, or 401 where there are users, with a reason


class ClientsConfig(Section):
    """Client authentication."""

    short_for: ClassVar[tuple[str, ...]] = ("require_certificate", "refuse_at")
    example: ClassVar[str] = "{require_certificate: enroll}"

    require_certificate: RequireCertificate = Field(
        default=RequireCertificate.ENROLL,
        description="Operations that require a client certificate: always (even cacerts), enroll, or never.",
    )
    bootstrap_cas: list[Path] = Field(
        default=[],
        description="Trusted manufacturer CAs, by name or file, in addition to the sandbox's own: [mfg-2026].",
    )
    users: dict[Text, UserConfig] = Field(
        default={}, description="Users for HTTP authentication: {alice: {password: secret}}."
    )
    refuse_at: RefuseAt = Field(
        default=RefuseAt.HANDSHAKE,
        description="Refuse clients in the handshake (TLS alert) or in the application (401, 403 with a reason).",
    )

    @field_validator("users")
    @classmethod
    def _names_fit_basic(cls, users: dict[str, UserConfig]) -> dict[str, UserConfig]:
        for name in users:
            if ":" in name:
                raise ValueError(f"a user name must not contain a colon (RFC 7617 §2): {name}")
        return users


class TlsConfig(Section):
    """TLS settings of the sandbox."""

    short_for: ClassVar[tuple[str, ...]] = ("versions",)
    example: ClassVar[str] = "{versions: 1.2..1.3}"

    versions: TlsVersions = Field(default=("1.2", "1.3"), description="Oldest and newest TLS version: 1.2..1.3.")
    resume: Flag = Field(default=True, description="Offer session resumption: true.")


class PeerHeader(Section):
    """Header with client certificates that trusted proxies forward."""

    example: ClassVar[str] = "{name: X-Client-Cert, trusted: [127.0.0.1]}"

    name: Text = Field(description="Header with the certificate: X-Client-Cert.")
    trusted: list[Text] = Field(
        min_length=1, description="Addresses or networks of the proxies: [127.0.0.1, 10.0.0.0/8]."
    )

    @field_validator("name")
    @classmethod
    def _is_its_own(cls, name: str) -> str:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"must be the name of a header, such as X-Client-Cert (got {shown(name)})")
        if name.lower() in _HEADERS_IN_USE:
            raise ValueError(f"must be a header without another meaning (got {name})")
        return name

    @field_validator("trusted")
    @classmethod
    def _are_addresses(cls, trusted: list[str]) -> list[str]:
        for address in trusted:
            try:
                ip_network(address, strict=False)
            except ValueError:
                raise ValueError(f"must be addresses or networks, such as 10.0.0.0/8 (got {shown(address)})") from None
        return trusted

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The trusted networks; a single address is a network of one."""
        return tuple(ip_network(address, strict=False) for address in self.trusted)


class TrustCenterConfig(Section):
    """Trust center: CA, client authentication, issuing policy, capacity and faults."""

    issuer: IssuerConfig = Field(default=IssuerConfig(), description="Issuing CA.")
    clients: ClientsConfig = Field(default=ClientsConfig(), description="Client authentication.")
    issue: IssueConfig = Field(default=IssueConfig(), description="When certificates are issued.")
    capacity: CapacityConfig | None = Field(default=None, description="Signing capacity: {rate: 50/s}.")
    csrattrs: CsrAttrsConfig | None = Field(
        default=None, description="CSR attributes; without them, csrattrs answers 204: {key: ec-p384}."
    )
    faults: tuple[FaultConfig, ...] = Field(default=(), description="Injected faults: [{kind: reset, rate: 0.5%}].")

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> Self:
        """Refuse keys without effect: they are mistakes, such as a forgotten mode."""
        defers = self.issue.mode is not IssueMode.IMMEDIATE or (
            self.capacity is not None and self.capacity.overflow in (Overflow.DEFER, Overflow.DEFER_FORGET)
        )
        idle = sorted({"retry_after", "early", "status"} & self.issue.model_fields_set)
        if idle and not defers:
            raise ValueError(
                f"issue.{idle[0]} would have no effect: nothing is deferred"
                " (mode: deferred or manual, or capacity with overflow: defer)"
            )
        if not self.issuer.intermediates and any(fault.kind is FaultKind.CHAIN_MISSING for fault in self.faults):
            raise ValueError("the fault chain_missing would have no effect with intermediates: 0")
        return self

    def anchored(self, folder: Path) -> "TrustCenterConfig":
        """Return the same trust center with relative paths taken from ``folder``."""
        paths = [folder / path for path in self.clients.bootstrap_cas]
        return self.model_copy(update={"clients": self.clients.model_copy(update={"bootstrap_cas": paths})})


class SandboxConfig(TrustCenterConfig):
    """The sandbox: keys of its only trust center at the top, or several under ``trust_centers``, by label."""

    seed: int = Field(
        default=1, strict=True, ge=0, lt=2**63, description="Random seed of faults and waits, drawn per device: 1."
    )
    base64: Literal["oneline", "wrapped"] = Field(
        default="oneline", description="Line breaks in response bodies: oneline or wrapped."
    )
    bodies: Literal["text", "empty"] = Field(
        default="text", description="Bodies of 202 and 401: text, or empty for clients that do not read them."
    )
    tls: TlsConfig = Field(default=TlsConfig(), description="TLS settings.")
    peer_from_header: PeerHeader | None = Field(
        default=None,
        description="Client certificates forwarded by proxies: {name: X-Client-Cert, trusted: [10.0.0.0/8]}.",
    )
    trust_centers: dict[str, TrustCenterConfig] | None = Field(
        default=None, description="Several trust centers, by label; default has no label."
    )

    @field_validator("trust_centers", mode="before")
    @classmethod
    def _labels(cls, centers: object) -> object:
        if not isinstance(centers, Mapping):
            return centers
        if DEFAULT not in centers:
            named = ", ".join(map(shown, centers)) or "none"
            raise ValueError(f"must include one named {DEFAULT}, which is served without a label (got {named})")
        for name in centers:
            if not isinstance(name, str) or not _LABEL.fullmatch(name) or name in (".", ".."):
                raise ValueError(f"a label is one path segment of letters, digits and . _ ~ - (got {shown(name)})")
            # RFC 7030 §3.2.2: "The <label> MUST NOT be the same as any of the defined path segments."
            if name in _OPERATIONS:
                raise ValueError(f"a label may not be the name of an operation (got {name})")
        return centers

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        doubled = set(TrustCenterConfig.model_fields) & self.model_fields_set
        if self.trust_centers is not None and doubled:
            names = ", ".join(sorted(doubled))
            raise ValueError(f"{names}: set it at the top level or under trust_centers.{DEFAULT}, not both")
        return self

    @model_validator(mode="after")
    def _faults_can_show(self) -> Self:
        for label, center in self.centers.items():
            kinds = {fault.kind for fault in center.faults}
            if FaultKind.WRONG_SERVER_NAME in kinds and label != DEFAULT:
                raise ValueError(
                    f"the fault wrong_server_name belongs under {DEFAULT}: all trust centers share one TLS certificate"
                )
            if FaultKind.WRAPPED_BASE64 in kinds and self.base64 == "wrapped":
                raise ValueError("the fault wrapped_base64 would have no effect with base64: wrapped")
        return self

    @property
    def centers(self) -> Mapping[str, TrustCenterConfig]:
        """The trust centers by label, including the default one, wherever their keys are."""
        return self.trust_centers if self.trust_centers is not None else {DEFAULT: self}

    def anchored(self, folder: Path) -> "SandboxConfig":
        """Return the same configuration with relative paths taken from ``folder``, where its file lies."""
        if self.trust_centers is not None:
            centers = {name: center.anchored(folder) for name, center in self.trust_centers.items()}
            return self.model_copy(update={"trust_centers": centers})
        return self.model_copy(update={"clients": super().anchored(folder).clients})
