"""The ``bootstrap`` and ``http_auth`` keys of a cohort: credentials for the first enrolment, and HTTP passwords."""

from enum import StrEnum
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from estsim.errors import UnitError
from estsim.fields import Flag, Section, Text
from estsim.units import shown


class BootstrapKind(StrEnum):
    """What a device proves itself with before it owns a certificate."""

    MANUFACTURER = "manufacturer"
    SHARED = "shared"
    FILES = "files"
    BASIC = "basic"
    NONE = "none"

    @property
    def tells_devices_apart(self) -> bool:
        """Whether each device has its own; otherwise a server distinguishes devices by their keys only."""
        return self in (BootstrapKind.MANUFACTURER, BootstrapKind.FILES)


_PARTS: Final[dict[BootstrapKind, frozenset[str]]] = {
    BootstrapKind.MANUFACTURER: frozenset({"authority"}),
    BootstrapKind.SHARED: frozenset({"path", "cert", "key", "authority"}),
    BootstrapKind.FILES: frozenset({"path"}),
    BootstrapKind.BASIC: frozenset({"user", "password", "scheme", "preemptive"}),
    BootstrapKind.NONE: frozenset(),
}


class BootstrapModel(Section):
    """Credential for the first enrolment."""

    short_for: ClassVar[tuple[str, ...]] = ("kind",)
    example: ClassVar[str] = "{kind: manufacturer}"

    kind: BootstrapKind = Field(
        description="manufacturer: a certificate per device · shared: one for all · files: a PEM each · basic · none."
    )
    authority: Text | None = Field(
        default=None, description="Manufacturer CA that issues the certificate, by name; defaults to the sandbox's own."
    )
    path: Text | None = Field(
        default=None,
        description="shared: PEM with certificate and key. files: folder with NAME.pem, or NAME.crt and NAME.key.",
    )
    cert: Text | None = Field(
        default=None, description="shared: certificate and chain, PEM, if the key is in another file: firmware.crt."
    )
    key: Text | None = Field(default=None, description="shared: private key, PEM without a password: firmware.key.")
    user: Text | None = Field(default=None, description="basic: user name.")
    password: Text | None = Field(default=None, repr=False, description="basic: password: ${EST_PASSWORD}.")
    scheme: Literal["auto", "basic", "digest"] = Field(
        default="basic", description="basic: authentication scheme: basic, digest, or auto (what the server requests)."
    )
    preemptive: Flag = Field(
        default=False, description="basic: send the password with the first request, before a 401: true."
    )

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Self:
        given = self.model_fields_set - {"kind"}
        if strange := sorted(given - _PARTS[self.kind]):
            raise UnitError(f"{', '.join(strange)} cannot be used with kind: {self.kind.value}")
        if self.kind is BootstrapKind.BASIC and (self.user is None or self.password is None):
            raise UnitError("kind: basic needs user and password")
        if self.kind is BootstrapKind.FILES and self.path is None:
            raise UnitError("kind: files needs path, a folder with a PEM file per device")
        if self.path is not None and self.authority is not None:
            raise UnitError("path and authority are mutually exclusive")
        if (self.cert is None) != (self.key is None):
            raise UnitError(
                f"cert and key require each other; use path for one file with both (got only {_given(self)})"
            )
        if self.cert is not None and (self.path is not None or self.authority is not None):
            other = "path" if self.path is not None else "authority"
            raise UnitError(f"cert and key are mutually exclusive with {other}")
        if self.user is not None:
            _user_name(self.user)
        return self

    @property
    def has_files(self) -> bool:
        """Whether certificate and key are read from files."""
        return self.path is not None or self.cert is not None

    @property
    def http_auth(self) -> "HttpAuthModel | None":
        """What ``kind: basic`` is short for."""
        if self.kind is not BootstrapKind.BASIC or self.user is None or self.password is None:
            return None
        return HttpAuthModel(user=self.user, password=self.password, scheme=self.scheme, preemptive=self.preemptive)


def _given(bootstrap: BootstrapModel) -> str:
    return "cert" if bootstrap.cert is not None else "key"


class HttpAuthModel(Section):
    """HTTP authentication in addition to TLS client authentication (RFC 7030 §3.2.3)."""

    example: ClassVar[str] = "{user: NAME, password: PASSWORD}"

    user: Text = Field(description="User name.")
    password: Text = Field(repr=False, description="Password: ${EST_PASSWORD}.")
    scheme: Literal["auto", "basic", "digest"] = Field(
        default="auto", description="basic, digest, or auto: what the server requests, digest before basic."
    )
    preemptive: Flag = Field(
        default=False,
        description="Send credentials with every request, before a 401 (digest: once a nonce is known): true.",
    )

    @field_validator("user")
    @classmethod
    def _fits_basic(cls, user: str) -> str:
        return _user_name(user)


def _user_name(user: str) -> str:
    """Return a user name; raises UnitError. "A user-id containing a colon character is invalid" (RFC 7617 §2)."""
    if ":" in user:
        raise UnitError(f"a user name cannot contain a colon (got {shown(user)})")
    return user
