"""The names in our own certificates, as encoded."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.x509.oid import NameOID

from estsim.est.der import SEQUENCE, SET, UTF8_STRING, encode, encoded_oid, oid
from estsim.est.names import name_text, read_name

EMPTY_NAME: Final = encode(SEQUENCE, b"")
ATTRIBUTES: Final = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
    "EMAILADDRESS": NameOID.EMAIL_ADDRESS,
    "E": NameOID.EMAIL_ADDRESS,
    "GN": NameOID.GIVEN_NAME,
    "SN": NameOID.SURNAME,
    "TITLE": NameOID.TITLE,
}
_FIRST: Final = {oid(kind.dotted_string): name for name, kind in reversed(ATTRIBUTES.items())}
_LAST: Final = {oid(kind.dotted_string): name for name, kind in ATTRIBUTES.items()}
_SPELLINGS: Final = (_FIRST, _LAST)  # no attribute has more than two names


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


def spellings(name_der: bytes) -> list[list[str]]:
    """Return a name's parts as scenarios write them, in the order of the encoding: ``CN=meter-1``, ``O=Example``.

    In every way to write them: ``EMAILADDRESS=`` is ``E=`` too.
    """
    return [read_name(name_der).parts(names) for names in _SPELLINGS]
