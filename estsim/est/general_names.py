"""GeneralNames (RFC 5280 §4.2.1.6), read entry by entry: one that is odd leaves the others as good as they are."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from estsim.est.der import OBJECT_IDENTIFIER, SEQUENCE, DERError, children, element, expect
from estsim.est.names import read_name
from estsim.est.oid import dotted

_MAIL: Final = 0x81
DNS_NAME: Final = 0x82
DIRECTORY_NAME: Final = 0xA4
_URI: Final = 0x86
IP_ADDRESS: Final = 0x87
_REGISTERED: Final = 0x88
_OTHER: Final = 0xA0
_EXPLICIT_0: Final = 0xA0
NOBODYS_KINDS: Final = (0xA3, 0xA5)  # x400Address and ediPartyName, which few programs can read
_STRUCTURES: Final = {DIRECTORY_NAME: "dirname", _REGISTERED: "rid", _OTHER: "other"}
_TEXTS: Final = {_MAIL: "email", DNS_NAME: "dns", _URI: "uri"}
_ADDRESS_OCTETS: Final = (4, 16)
_SPACE: Final = 0x20
_DELETE: Final = 0x7F
_MOST_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class AlternativeNames:
    """What a SubjectAltName holds that can be read; ``unreadable`` are its other entries, as text."""

    dns: tuple[bytes, ...] = ()
    addresses: tuple[bytes, ...] = ()
    texts: tuple[str, ...] = ()  # every entry in order, as kind:value
    unreadable: tuple[str, ...] = ()


NO_NAMES: Final = AlternativeNames()


@lru_cache(maxsize=512)
def read_general_names(der: bytes) -> AlternativeNames:
    """Read a SubjectAltName's value; raises :class:`DERError` where it is no SEQUENCE of anything."""
    tag, start, end = element(der, 0)
    if tag != SEQUENCE or end != len(der):
        raise DERError("expected GeneralNames")
    dns: list[bytes] = []
    addresses: list[bytes] = []
    texts: list[str] = []
    unreadable: list[str] = []
    for kind, _, at, after in children(der, start, end):
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
    """Return what can be read of a SubjectAltName, nothing where there is none."""
    try:
        return NO_NAMES if der is None else read_general_names(der)
    except DERError:
        return NO_NAMES


def _entry(kind: int, content: bytes) -> tuple[str, bool]:
    """Return an entry as text, and whether it is what its kind wants."""
    if kind in _TEXTS:
        return f"{_TEXTS[kind]}:{_shown(content)}", _is_plain(content)
    if kind == IP_ADDRESS:
        sound = len(content) in _ADDRESS_OCTETS
        return f"ip:{ip_address(content) if sound else '#' + content[: _MOST_CHARACTERS // 2].hex()}", sound
    try:
        if kind == DIRECTORY_NAME:
            return f"dirname:{read_name(content).text}", True
        if kind == _REGISTERED:
            return f"rid:{dotted(content)}", True
        if kind == _OTHER:
            return f"other:{_other_name(content)}", True
    except DERError:
        return f"{_STRUCTURES[kind]}:#{content[: _MOST_CHARACTERS // 2].hex()}", False
    return f"[{kind & 0x1F}]:#{content[: _MOST_CHARACTERS // 2].hex()}", kind in NOBODYS_KINDS


def _other_name(content: bytes) -> str:
    """Read ``OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }``, its tag taken off."""
    parts = children(content, 0, len(content))
    expect([part[0] for part in parts] == [OBJECT_IDENTIFIER, _EXPLICIT_0], "an OtherName")
    value = content[parts[1][2] : parts[1][3]]
    return f"{dotted(content[parts[0][2] : parts[0][3]])}={value[: _MOST_CHARACTERS // 2].hex()}"


def _is_plain(content: bytes) -> bool:
    """Whether an IA5String that names something is not empty, ASCII, and without control characters and spaces."""
    return bool(content) and content.isascii() and not any(octet <= _SPACE or octet == _DELETE for octet in content)


def _shown(content: bytes) -> str:
    text = content[:_MOST_CHARACTERS].decode("latin-1")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
