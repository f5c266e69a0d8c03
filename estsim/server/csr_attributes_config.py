"""The ``csrattrs`` key as a pydantic model; :mod:`estsim.server.csr_attributes` encodes and requires them."""

import re
from enum import StrEnum
from typing import ClassVar, Final, Self

from pydantic import Field, field_validator, model_validator

from estsim.fields import Flag, Section, Text
from estsim.pki.keys import KeyKind

SUBJECT_ATTRIBUTES: Final = {"CN": "2.5.4.3", "O": "2.5.4.10", "OU": "2.5.4.11", "SERIALNUMBER": "2.5.4.5"}
"""The attributes that a template's subject may have, with their OIDs."""

_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,9})){2,20}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")


class AttributesForm(StrEnum):
    """How CSR attributes are written."""

    LIST = "list"  # RFC 8951 §4
    TEMPLATE = "template"  # RFC 9908 §3.4


class RequestHash(StrEnum):
    """The hash of a request's signature."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class CsrAttrsConfig(Section):
    """CSR attributes that clients are told (RFC 7030 §4.5)."""

    short_for: ClassVar[tuple[str, ...]] = ("key",)
    example: ClassVar[str] = "{key: ec-p384, hash: sha384, required: true}"

    form: AttributesForm = Field(
        default=AttributesForm.LIST, description="list (RFC 8951 §4) or template (RFC 9908 §3.4)."
    )
    required: Flag = Field(default=False, description="Refuse requests that do not fulfil them: true.")
    key: KeyKind | None = Field(default=None, description="Key type: ec-p384.")
    hash: RequestHash | None = Field(default=None, description="Hash of the request's signature, list only: sha384.")
    pop: Flag = Field(
        default=False,
        description="List challengePassword, which links requests to the TLS session (RFC 7030 §3.5): true.",
    )
    subject: Text | None = Field(
        default=None,
        description="Subject, template only; without a value the client fills it in: 'O=Example,OU=Meters,CN'.",
    )
    extensions: dict[Text, Text] = Field(
        default={}, description="Extensions by OID with their value, DER in hex: {1.3.6.1.1.1.1.22: '0c0141'}."
    )

    @field_validator("subject")
    @classmethod
    def _known_attributes(cls, subject: str | None) -> str | None:
        for part in (subject or "").split(","):
            if subject is not None and part.partition("=")[0].strip() not in SUBJECT_ATTRIBUTES:
                raise ValueError(f"expected attributes of {', '.join(SUBJECT_ATTRIBUTES)} (got {part.strip()[:40]})")
        return subject

    @field_validator("extensions")
    @classmethod
    def _encoded(cls, extensions: dict[str, str]) -> dict[str, str]:
        for kind, value in extensions.items():
            if _OID.fullmatch(kind) is None:
                raise ValueError(f"expected an OID such as 1.3.6.1.1.1.1.22 (got {kind[:40]})")
            if len(value) % 2 or _HEX.fullmatch(value) is None:
                raise ValueError(f"expected the DER of extension {kind} in hex (got {value[:40]})")
        return extensions

    @model_validator(mode="after")
    def _fits_the_form(self) -> Self:
        if self.form is AttributesForm.TEMPLATE and self.hash is not None:
            raise ValueError("a template has no hash (RFC 9908 §3.4): remove hash, or form: template")
        if self.form is AttributesForm.LIST and self.subject is not None:
            raise ValueError("subject needs form: template")
        if self.hash is not None and self.key in (None, KeyKind.ED25519):
            raise ValueError("hash needs a key of EC or RSA: the signature's algorithm follows from both")
        return self
