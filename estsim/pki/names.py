"""The names in our own certificates, as encoded."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from estsim.est.der import SEQUENCE, SET, UTF8_STRING, encode, encoded_oid
from estsim.est.names import name_text

EMPTY_NAME: Final = encode(SEQUENCE, b"")


@dataclass(frozen=True, slots=True)
class Names:
    """A Subject, and the value of a SubjectAltName extension, as encoded."""

    subject_der: bytes
    san_der: bytes | None

    @property
    def subject(self) -> str:
        """The Subject as text for people (RFC 4514)."""
        return name_text(self.subject_der)

    @property
    def digest(self) -> bytes:
        """A digest of both, equal for requests of the same names."""
        return sha256(self.subject_der + b"\0" + (self.san_der or b"")).digest()

    @property
    def own(self) -> bytes:
        """The device's own name: its Subject, or its alternative names where that is empty."""
        return self.san_der or b"" if self.san_is_critical else self.subject_der

    @property
    def san_is_critical(self) -> bool:
        """Whether a certificate has alternative names only (RFC 5280 §4.2.1.6)."""
        return self.subject_der == EMPTY_NAME


def common_name(text: str) -> bytes:
    """Return the name ``CN=text`` as DER."""
    value = encode(UTF8_STRING, text.encode())
    return encode(SEQUENCE, encode(SET, encode(SEQUENCE, encoded_oid("2.5.4.3") + value)))
