"""The extensions of a certificate that estsim uses (RFC 5280 §4.2), each read on its own.

A duplicate or unreadable one is noted and skipped; the others and the certificate stay usable. Most are the same in all
certificates of a CA, so each encoding is read once and cached.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from estsim.est.der import (
    BIT_STRING,
    BOOLEAN,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    DERError,
    Span,
    children,
    dotted,
    expect,
    is_string,
    oid,
    read_string,
)
from estsim.est.names import read_general_names
from estsim.est.outcome import NonConformance

DOUBLED_EXTENSION: Final = NonConformance("duplicate extension", "RFC 5280 §4.2")
UNREADABLE_EXTENSION: Final = NonConformance("unreadable extension", "RFC 5280 §4.2")
TEXT_IN_EXTENSION: Final = NonConformance("extension text invalid for its string type", "RFC 5280 §4.2")
ODD_SAN: Final = NonConformance("unreadable subjectAltName", "RFC 5280 §4.2.1.6")
NO_EXTENSIONS: Final = NonConformance("empty extensions field", "RFC 5280 §4.1.2.9")
PATH_LENGTH_OF_NO_CA: Final = NonConformance("path length in a non-CA certificate", "RFC 5280 §4.2.1.9")

_SAN: Final = oid("2.5.29.17")
_BASIC_CONSTRAINTS: Final = oid("2.5.29.19")
_KEY_USAGE: Final = oid("2.5.29.15")
_EXTENDED_KEY_USAGE: Final = oid("2.5.29.37")
_AUTHORITY_KEY: Final = oid("2.5.29.35")
_SUBJECT_KEY: Final = oid("2.5.29.14")
_STANDARD: Final = (oid("2.5.29.1")[:2], oid("1.3.6.1.5.5.7.1"))  # whose values are known to be DER
_KEY_IDENTIFIER: Final = 0x80
_CONSTRUCTED: Final = 0x20
_MOST_DEPTH: Final = 16
_MOST_PATH: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Extensions:
    """The values of the extensions. ``purposes`` are the OIDs of ExtendedKeyUsage, None without one."""

    san_der: bytes | None = None
    is_ca: bool = False
    path_length: int | None = None
    purposes: tuple[bytes, ...] | None = None
    authority_key: bytes | None = None
    subject_key: bytes | None = None
    oddities: tuple[NonConformance, ...] = ()


@dataclass(frozen=True, slots=True)
class _Extension:
    """One extension: its OID, the fields of :class:`Extensions` that it sets, the rules that it breaks."""

    kind: bytes
    says: dict[str, object] = field(default_factory=dict)
    oddities: tuple[NonConformance, ...] = ()


NONE: Final = Extensions()


def read_extensions(source: bytes, start: int, end: int) -> Extensions:
    """Read the content of ``[3] EXPLICIT Extensions``; raises :class:`DERError` where it is not a sequence of them."""
    holder = children(source, start, end)
    if len(holder) != 1 or holder[0][0] != SEQUENCE:
        raise DERError("expected a SEQUENCE of extensions")
    says: dict[str, object] = {}
    seen: set[bytes] = set()
    oddities: list[NonConformance] = []
    for tag, at, _, after in children(source, *holder[0][2:]):
        if tag != SEQUENCE:
            raise DERError("expected an extension in a SEQUENCE")
        extension = _read(source[at:after])
        if extension.kind in seen:
            oddities.append(replace(DOUBLED_EXTENSION, detail=_called(extension.kind)))
            continue
        seen.add(extension.kind)
        says.update(extension.says)
        oddities += extension.oddities
    if not seen:
        oddities.append(NO_EXTENSIONS)
    return Extensions(**says, oddities=tuple(oddities))  # type: ignore[arg-type]


@lru_cache(maxsize=1024)
def _read(encoded: bytes) -> _Extension:
    """Read ``Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue OCTET STRING }``."""
    (holder,) = children(encoded, 0, len(encoded))
    kind = b""
    try:
        first, *others = children(encoded, *holder[2:])
        shaped = first[0] == OBJECT_IDENTIFIER and bool(others) and others[-1][0] == OCTET_STRING
        expect(shaped, "an OID and an OCTET STRING")
        kind = encoded[first[2] : first[3]]
        value = encoded[others[-1][2] : others[-1][3]]
        reader = _READERS.get(kind)
        says = reader(value) if reader else {}
        return _Extension(kind, says, _oddities(kind, value))
    except (DERError, ValueError, IndexError) as error:
        return _Extension(kind, {}, (replace(UNREADABLE_EXTENSION, detail=f"{_called(kind)}: {error}"),))


def _basic_constraints(value: bytes) -> dict[str, object]:
    parts = _sequence(value)
    is_ca = bool(parts) and parts[0][0] == BOOLEAN and any(value[parts[0][2] : parts[0][3]])
    lengths = [value[at:end] for tag, _, at, end in parts if tag == INTEGER]
    length = min(int.from_bytes(lengths[0][:8], "big", signed=True), _MOST_PATH) if lengths else None
    return {"is_ca": is_ca, "path_length": length}


def _key_identifier(value: bytes) -> dict[str, object]:
    """``AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] OPTIONAL, … }``."""
    found = [value[at:end] for tag, _, at, end in _sequence(value) if tag == _KEY_IDENTIFIER]
    return {"authority_key": found[0]} if found else {}


def _subject_key(value: bytes) -> dict[str, object]:
    ((tag, _, at, end),) = children(value, 0, len(value))
    if tag != OCTET_STRING:
        raise DERError("expected a key identifier")
    return {"subject_key": value[at:end]}


def _purposes(value: bytes) -> dict[str, object]:
    return {"purposes": tuple(value[at:end] for tag, _, at, end in _sequence(value) if tag == OBJECT_IDENTIFIER)}


def _alternative_names(value: bytes) -> dict[str, object]:
    return {"san_der": value}  # raw: it is compared and requested again as it is


_READERS: Final = {
    _SAN: _alternative_names,
    _BASIC_CONSTRAINTS: _basic_constraints,
    _AUTHORITY_KEY: _key_identifier,
    _SUBJECT_KEY: _subject_key,
    _EXTENDED_KEY_USAGE: _purposes,
}


def _oddities(kind: bytes, value: bytes) -> tuple[NonConformance, ...]:
    if kind == _SAN:
        names = _names_of(value)
        return () if names is not None and not names else (replace(ODD_SAN, detail=", ".join(names or ())[:200]),)
    if kind == _BASIC_CONSTRAINTS:
        says = _basic_constraints(value)
        return (PATH_LENGTH_OF_NO_CA,) if says["path_length"] is not None and not says["is_ca"] else ()
    if not kind.startswith(_STANDARD):
        return ()
    return () if _is_sound(value, 0, len(value), 0) else (replace(TEXT_IN_EXTENSION, detail=_called(kind)),)


def _names_of(value: bytes) -> tuple[str, ...] | None:
    """Return the unreadable entries of a SubjectAltName, None where it has none at all."""
    try:
        names = read_general_names(value)
    except DERError:
        return None
    return names.unreadable if names.texts else None  # "SIZE (1..MAX)"


def _is_sound(source: bytes, start: int, end: int, depth: int) -> bool:
    """Whether every string in a value is valid for its type; raises :class:`DERError` where it is not DER."""
    if depth > _MOST_DEPTH:
        raise DERError(f"nested deeper than {_MOST_DEPTH} levels")
    sound = True
    for tag, _, at, after in children(source, start, end):
        if tag & _CONSTRUCTED:
            sound = _is_sound(source, at, after, depth + 1) and sound
        elif is_string(tag):
            sound = read_string(tag, source[at:after])[1] and sound
        elif tag == BIT_STRING and at == after:
            raise DERError("expected a BIT STRING of at least one octet")
    return sound


def _sequence(value: bytes) -> list[Span]:
    ((tag, _, at, end),) = children(value, 0, len(value))
    if tag != SEQUENCE:
        raise DERError("expected a SEQUENCE")
    return children(value, at, end)


def _called(kind: bytes) -> str:
    names = {_SAN: "subjectAltName", _BASIC_CONSTRAINTS: "basicConstraints", _KEY_USAGE: "keyUsage"}
    try:
        return names.get(kind) or dotted(kind)
    except DERError:
        return "an extension without an OID"
