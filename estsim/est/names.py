"""Distinguished names as they are encoded: their text for people, and whether two of them are the same name.

Total over foreign bytes. The text is that of RFC 4514, safe for a terminal; what is no string is told as ``#hex``.
Names are compared by value (RFC 5280 §7.1): a CA that writes a PrintableString where the request had a UTF8String means
the same name, and so does one that changes case or doubles a space. The one place for both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from unicodedata import normalize

from estsim.est.der import OBJECT_IDENTIFIER, SEQUENCE, SET, DERError, children, element
from estsim.est.oid import dotted, oid
from estsim.est.outcome import NonConformance
from estsim.est.text import is_string, read_string

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
_REMEMBERED: Final = 512  # a fleet has few issuers; a device's own name is asked for some times in a row

Attribute = tuple[bytes, int, bytes]  # OID, tag and content of the value


@dataclass(frozen=True, slots=True)
class Name:
    """A name taken apart: its RDNs in the order they are encoded. ``value`` is equal for names that are the same."""

    rdns: tuple[tuple[Attribute, ...], ...]
    value: tuple[frozenset[tuple[bytes, str | bytes]], ...]
    oddities: tuple[NonConformance, ...]

    @property
    def text(self) -> str:
        """The name as RFC 4514 writes it, last RDN first, at most 1000 characters."""
        told = ",".join(reversed(self.parts()))
        return told if len(told) <= _MOST_CHARACTERS else f"{told[:_MOST_CHARACTERS]}…"

    def parts(self, called: Mapping[bytes, str] | None = None) -> list[str]:
        """Return each RDN as text, in the order of the encoding; ``called`` are other names of attributes, by OID."""
        return ["+".join(_attribute_text(each, called or _SHORT) for each in rdn) for rdn in self.rdns]


@lru_cache(maxsize=_REMEMBERED)
def read_name(name_der: bytes) -> Name:
    """Take a Name apart; raises :class:`DERError` where it is none."""
    tag, start, end = element(name_der, 0)
    if tag != SEQUENCE or end != len(name_der):
        raise DERError("expected a Name")
    rdns = tuple(_rdn(name_der, kind, at, after) for kind, _, at, after in children(name_der, start, end))
    oddities: list[NonConformance] = []
    value = tuple(frozenset(_value(attribute, oddities) for attribute in rdn) for rdn in rdns)
    return Name(rdns, value, tuple(dict.fromkeys(oddities)))


def name_text(name_der: bytes) -> str:
    """Return a name's text, whatever the bytes are."""
    try:
        return read_name(name_der).text
    except DERError:
        return f"#{name_der[: _MOST_CHARACTERS // 2].hex()}"


def text_parts(text: str) -> frozenset[str]:
    """Return the RDNs of a name's text, as they are written there: what :func:`name_text` returns, taken apart."""
    return frozenset(part[0] for part in _PART.finditer(text))


def same_name(one_der: bytes, other_der: bytes) -> bool:
    """Whether two names are the same by value; what is no name is the same as its like only."""
    return one_der == other_der or name_value(one_der) == name_value(other_der)


def name_value(name_der: bytes) -> object:
    """Return what names that are the same have in common, to look them up by."""
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
    parts = children(source, start, end)
    if len(parts) < 2 or parts[0][0] != OBJECT_IDENTIFIER:  # noqa: PLR2004 - type and value
        raise DERError("expected an AttributeTypeAndValue")
    kind, value = parts[:2]
    return source[kind[2] : kind[3]], value[0], source[value[2] : value[3]]


def _value(attribute: Attribute, oddities: list[NonConformance]) -> tuple[bytes, str | bytes]:
    """Return what is compared of an attribute: its text without case and needless space, or the bytes of no string.

    RFC 5280 §7.1: "caseIgnoreMatch" after the LDAP StringPrep profile (RFC 4518), which maps by NFKC and takes leading,
    trailing and repeated spaces for insignificant. As OpenSSL has it, for every string type and not only the two.
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
    """Escape a value as RFC 4514 §2.4 says, and besides it what a terminal must not see."""
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
