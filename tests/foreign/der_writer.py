"""DER written by hand, so that a test can write what no library would: any tag, any string type, any date (X.690).

Nothing here checks what it is given. Integers, object identifiers and lengths are right unless raw bytes are given.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final

SEQUENCE: Final = 0x30
SET: Final = 0x31

COMMON_NAME: Final = "2.5.4.3"
COUNTRY: Final = "2.5.4.6"
ORGANIZATION: Final = "2.5.4.10"

_LONG_FORM: Final = 0x80
_UTC_TIME_ENDS: Final = 2050  # RFC 5280 §4.1.2.5


class StringTag(IntEnum):
    """The string types that occur in names (RFC 5280 §4.1.2.4) and texts."""

    UTF8 = 0x0C
    PRINTABLE = 0x13
    TELETEX = 0x14
    IA5 = 0x16
    VISIBLE = 0x1A
    UNIVERSAL = 0x1C
    BMP = 0x1E


_CODECS: Final = {StringTag.UNIVERSAL: "utf-32-be", StringTag.BMP: "utf-16-be", StringTag.TELETEX: "latin-1"}


def length_octets(length: int) -> bytes:
    """Return a length in its shortest definite form."""
    if length < _LONG_FORM:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((_LONG_FORM | len(octets),)) + octets


def tlv(tag: int, *contents: bytes) -> bytes:
    """Return an element of a tag of one octet."""
    content = b"".join(contents)
    return bytes((tag,)) + length_octets(len(content)) + content


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return tlv(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """Return a SET, its parts in the order given."""
    return tlv(SET, *parts)


def explicit(number: int, *parts: bytes) -> bytes:
    """Return a constructed element with the context-specific tag ``[number]``."""
    return tlv(0xA0 | number, *parts)


def implicit(number: int, content: bytes) -> bytes:
    """Return a primitive element with the context-specific tag ``[number]``."""
    return tlv(0x80 | number, content)


def boolean(value: bool) -> bytes:  # noqa: FBT001 - the only argument there is
    """Return a BOOLEAN."""
    return tlv(0x01, b"\xff" if value else b"\x00")


def integer(value: int) -> bytes:
    """Return an INTEGER."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def bit_string(content: bytes) -> bytes:
    """Return a BIT STRING of whole octets."""
    return tlv(0x03, b"\x00", content)


def octet_string(content: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tlv(0x04, content)


def null() -> bytes:
    """Return a NULL."""
    return tlv(0x05)


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *others = map(int, dotted.split("."))
    return tlv(0x06, b"".join(map(_base128, (first * 40 + second, *others))))


def _base128(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))


# -- names


def string(text: str, tag: StringTag = StringTag.UTF8) -> bytes:
    """Return a string in the encoding that goes with its type."""
    return tlv(tag, text.encode(_CODECS.get(tag, "utf-8")))


def attribute(dotted: str, value: bytes) -> bytes:
    """Return an AttributeTypeAndValue with an encoded value, such as :func:`string` returns."""
    return sequence(oid(dotted), value)


def name(*rdns: bytes | Sequence[bytes]) -> bytes:
    """Return a Name of one RDN for each argument: an attribute, or several."""
    return sequence(*(set_of(rdn) if isinstance(rdn, bytes) else set_of(*rdn) for rdn in rdns))


def common_name(text: str, tag: StringTag = StringTag.UTF8) -> bytes:
    """Return a Name of one common name."""
    return name(attribute(COMMON_NAME, string(text, tag)))


def dns_name(host: bytes) -> bytes:
    """Return a GeneralName of kind dNSName."""
    return implicit(2, host)


def ip_address(packed: bytes) -> bytes:
    """Return a GeneralName of kind iPAddress."""
    return implicit(7, packed)


# -- times


def utc_time(text: str) -> bytes:
    """Return a UTCTime with any text."""
    return tlv(0x17, text.encode("ascii"))


def generalized_time(text: str) -> bytes:
    """Return a GeneralizedTime with any text."""
    return tlv(0x18, text.encode("ascii"))


def time_of(moment: datetime) -> bytes:
    """Return a Time in the form that RFC 5280 §4.1.2.5 wants for its year."""
    if moment.year < _UTC_TIME_ENDS:
        return utc_time(moment.strftime("%y%m%d%H%M%SZ"))
    return generalized_time(moment.strftime("%Y%m%d%H%M%SZ"))


def validity(*, begins: timedelta = timedelta(hours=-1), ends: timedelta = timedelta(days=30)) -> bytes:
    """Return a Validity, seen from now."""
    now = datetime.now(UTC)
    return sequence(time_of(now + begins), time_of(now + ends))


# -- extensions

CA_CONSTRAINTS: Final = "2.5.29.19"
SUBJECT_ALT_NAME: Final = "2.5.29.17"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"
CERTIFICATE_POLICIES: Final = "2.5.29.32"


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    """Return an Extension whose value is any DER, or none."""
    return sequence(oid(dotted), *((boolean(True),) if critical else ()), octet_string(value))


IS_CA: Final = extension(CA_CONSTRAINTS, sequence(boolean(True)), critical=True)


def policy_with_text(text: bytes, tag: StringTag = StringTag.VISIBLE) -> bytes:
    """Return certificatePolicies of one policy with a user notice, whose text can be any bytes."""
    notice = sequence(oid("1.3.6.1.5.5.7.2.2"), sequence(tlv(tag, text)))
    return extension(CERTIFICATE_POLICIES, sequence(sequence(oid("1.2.3.4"), sequence(notice))))
