"""Distinguished names and GeneralNames: their text for people, and whether two names are the same.

Distinguished names are compared by value (RFC 5280 §7.1): string type, case and repeated spaces do not count. Their
text is that of RFC 4514, safe for a terminal, with ``#hex`` for what is not a string. GeneralNames (§4.2.1.6) are read
entry by entry, so that a malformed one does not spoil the others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from unicodedata import normalize

from estsim.est.der import (
    OBJECT_IDENTIFIER,
    SET,
    DERError,
    children,
    dotted,
    expect,
    is_string,
    oid,
    read_string,
    sequence,
    typed,
)
from estsim.est.outcome import NonConformance

TEXT_NOT_OF_ITS_TYPE: Final = NonConformance("name text invalid for its string type", "RFC 5280 §4.1.2.4")
COUNTRY_OF_TWO_LETTERS: Final = NonConformance("country not two letters", "RFC 5280 Appendix A.1")

_SHORT: Final = {
    oid("2.5.4.3"): "CN",
    oid("2.5.4.7"): "L",
    oid("2.5.4.8"): "ST",
    oid("2.5.4.10"): "O",
    oid("2.5.4.11"): "OU",
    oid("2.5.4.6"): "C",
    oid("2.5.4.9"): "STREET",
    oid("0.9.2342.19200300.100.1.25"): "DC",
    oid("0.9.2342.19200300.100.1.1"): "UID",
}  # RFC 4514 §3
_COUNTRY: Final = oid("2.5.4.6")
_COUNTRY_LETTERS: Final = 2
_PART: Final = re.compile(r"(?:[^,\\]|\\.)+", re.DOTALL)
_ESCAPED: Final = frozenset('"+,;<>\\')  # RFC 4514 §2.4
_MOST_CHARACTERS: Final = 1000  # of a name's text; rows, logs and screens show it
_REMEMBERED: Final = 512  # a fleet has few issuers; a device's own name is read several times in a row

Attribute = tuple[bytes, int, bytes]  # OID, tag and content of the value
_MAIL: Final = 0x81
DNS_NAME: Final = 0x82
DIRECTORY_NAME: Final = 0xA4
_URI: Final = 0x86
IP_ADDRESS: Final = 0x87
_REGISTERED: Final = 0x88
_OTHER: Final = 0xA0
_EXPLICIT_0: Final = 0xA0
RARE_KINDS: Final = (0xA3, 0xA5)  # x400Address and ediPartyName, which few programs can read
_STRUCTURES: Final = {DIRECTORY_NAME: "dirname", _REGISTERED: "rid", _OTHER: "other"}
_TEXTS: Final = {_MAIL: "email", DNS_NAME: "dns", _URI: "uri"}
_ADDRESS_OCTETS: Final = (4, 16)
_SPACE: Final = 0x20
_DELETE: Final = 0x7F
_MOST_ENTRY_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Name:
    """A distinguished name: its RDNs in the order of the encoding. ``value`` is equal for the same name."""

    rdns: tuple[tuple[Attribute, ...], ...]
    value: tuple[frozenset[tuple[bytes, str | bytes]], ...]
    oddities: tuple[NonConformance, ...]

    @property
    def text(self) -> str:
        """The name as RFC 4514 writes it, last RDN first, at most 1000 characters."""
        text = ",".join(reversed(self.parts()))
        return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"

    def parts(self, called: Mapping[bytes, str] | None = None) -> list[str]:
        """Return each RDN as text, in the order of the encoding; ``called`` renames attributes, by OID."""
        return ["+".join(_attribute_text(each, called or _SHORT) for each in rdn) for rdn in self.rdns]


@lru_cache(maxsize=_REMEMBERED)
def read_name(name_der: bytes) -> Name:
    """Read a Name; raises :class:`DERError`."""
    rdns = tuple(_rdn(name_der, kind, at, after) for kind, _, at, after in sequence(name_der, "a Name"))
    oddities: list[NonConformance] = []
    value = tuple(frozenset(_value(attribute, oddities) for attribute in rdn) for rdn in rdns)
    return Name(rdns, value, tuple(dict.fromkeys(oddities)))


def name_text(name_der: bytes) -> str:
    """Return a name's text; total over bytes."""
    try:
        return read_name(name_der).text
    except DERError:
        return f"#{name_der[: _MOST_CHARACTERS // 2].hex()}"


def text_parts(text: str) -> frozenset[str]:
    """Return the RDNs of what :func:`name_text` returned, as they are written there."""
    return frozenset(part[0] for part in _PART.finditer(text))


def same_name(one_der: bytes, other_der: bytes) -> bool:
    """Whether two names are the same by value; what is not a name is compared byte for byte."""
    return one_der == other_der or name_value(one_der) == name_value(other_der)


def name_value(name_der: bytes) -> object:
    """Return a key that is equal for names that are the same."""
    try:
        return read_name(name_der).value
    except DERError:
        return name_der


def _rdn(source: bytes, tag: int, start: int, end: int) -> tuple[Attribute, ...]:
    """Read ``RelativeDistinguishedName ::= SET SIZE (1..MAX) OF AttributeTypeAndValue``."""
    attributes = children(source, start, end)
    if tag != SET or not attributes:
        raise DERError("expected a RelativeDistinguishedName")
    return tuple(_attribute(source, at, after) for _, _, at, after in attributes)


def _attribute(source: bytes, start: int, end: int) -> Attribute:
    kind, values = typed(source, start, end, "expected an AttributeTypeAndValue")
    expect(bool(values), "an AttributeTypeAndValue")
    return kind, values[0][0], source[values[0][2] : values[0][3]]


def _value(attribute: Attribute, oddities: list[NonConformance]) -> tuple[bytes, str | bytes]:
    """Return what is compared of an attribute: its text without case and extra spaces, or bytes for a non-string.

    RFC 5280 §7.1: "caseIgnoreMatch" after the LDAP StringPrep profile (RFC 4518), which maps by NFKC and takes leading,
    trailing and repeated spaces for insignificant. As in OpenSSL, this applies to every string type.
    """
    kind, tag, content = attribute
    if not is_string(tag):
        return kind, bytes((tag,)) + content
    text, sound = read_string(tag, content)
    if not sound:
        oddities.append(TEXT_NOT_OF_ITS_TYPE)
    if kind == _COUNTRY and not (len(text) == _COUNTRY_LETTERS and text.isascii() and text.isalpha()):
        oddities.append(COUNTRY_OF_TWO_LETTERS)
    if text.isascii():
        return kind, " ".join(text.lower().split())
    return kind, " ".join(normalize("NFKC", text.casefold()).casefold().split())


def _attribute_text(attribute: Attribute, called: Mapping[bytes, str]) -> str:
    kind, tag, content = attribute
    try:
        name = called.get(kind) or dotted(kind)
    except DERError:
        name = f"#{kind.hex()}"
    if not is_string(tag):
        return f"{name}=#{bytes((tag, min(len(content), 0x7F))).hex()}{content[: _MOST_CHARACTERS // 2].hex()}"
    return f"{name}={_escaped(read_string(tag, content)[0][:_MOST_CHARACTERS])}"


def _escaped(text: str) -> str:
    """Escape a value by RFC 4514 §2.4, and also what is unsafe for a terminal."""
    if text.isalnum():
        return text
    last = len(text) - 1
    return "".join(
        f"\\{character}"
        if character in _ESCAPED or (character == "#" and at == 0) or (character == " " and at in (0, last))
        else character
        if character.isprintable()
        else "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))
        for at, character in enumerate(text)
    )


@dataclass(frozen=True, slots=True)
class AlternativeNames:
    """The readable entries of a SubjectAltName; ``unreadable`` are the others, as text."""

    dns: tuple[bytes, ...] = ()
    addresses: tuple[bytes, ...] = ()
    texts: tuple[str, ...] = ()  # every entry in order, as kind:value
    unreadable: tuple[str, ...] = ()


NO_NAMES: Final = AlternativeNames()


@lru_cache(maxsize=512)
def read_general_names(der: bytes) -> AlternativeNames:
    """Read a SubjectAltName's value; raises :class:`DERError` where it is not a SEQUENCE."""
    dns: list[bytes] = []
    addresses: list[bytes] = []
    texts: list[str] = []
    unreadable: list[str] = []
    for kind, _, at, after in sequence(der, "GeneralNames"):
        content = der[at:after]
        text, sound = _entry(kind, content)
        texts.append(text)
        if not sound:
            unreadable.append(text)
        elif kind == DNS_NAME:
            dns.append(content)
        elif kind == IP_ADDRESS:
            addresses.append(content)
    return AlternativeNames(tuple(dns), tuple(addresses), tuple(texts), tuple(unreadable))


def alternative_names(der: bytes | None) -> AlternativeNames:
    """Return what can be read of a SubjectAltName; empty without one."""
    try:
        return NO_NAMES if der is None else read_general_names(der)
    except DERError:
        return NO_NAMES


def _entry(kind: int, content: bytes) -> tuple[str, bool]:
    """Return an entry as text, and whether it is valid for its kind."""
    if kind in _TEXTS:
        return f"{_TEXTS[kind]}:{_shown(content)}", _is_plain(content)
    if kind == IP_ADDRESS:
        sound = len(content) in _ADDRESS_OCTETS
        return f"ip:{ip_address(content) if sound else '#' + content[: _MOST_ENTRY_CHARACTERS // 2].hex()}", sound
    try:
        if kind == DIRECTORY_NAME:
            return f"dirname:{read_name(content).text}", True
        if kind == _REGISTERED:
            return f"rid:{dotted(content)}", True
        if kind == _OTHER:
            return f"other:{_other_name(content)}", True
    except DERError:
        return f"{_STRUCTURES[kind]}:#{content[: _MOST_ENTRY_CHARACTERS // 2].hex()}", False
    return f"[{kind & 0x1F}]:#{content[: _MOST_ENTRY_CHARACTERS // 2].hex()}", kind in RARE_KINDS


def _other_name(content: bytes) -> str:
    """Read the content of ``OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }``."""
    parts = children(content, 0, len(content))
    expect([part[0] for part in parts] == [OBJECT_IDENTIFIER, _EXPLICIT_0], "an OtherName")
    value = content[parts[1][2] : parts[1][3]]
    return f"{dotted(content[parts[0][2] : parts[0][3]])}={value[: _MOST_ENTRY_CHARACTERS // 2].hex()}"


def _is_plain(content: bytes) -> bool:
    """Whether an IA5String is non-empty ASCII without control characters and spaces."""
    return bool(content) and content.isascii() and not any(octet <= _SPACE or octet == _DELETE for octet in content)


def _shown(content: bytes) -> str:
    text = content[:_MOST_ENTRY_CHARACTERS].decode("latin-1")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
