"""CSR attributes: what a server wishes a request to be like (RFC 7030 §4.5.2 as replaced by RFC 8951 §4, RFC 9908).

There are two forms: a list of OIDs and attributes, and a template of the request's content (RFC 9908 §3.4). A client
that knows the template uses it alone. What nobody here knows is kept by its OID, and otherwise ignored.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from estsim.est.csr import CHALLENGE_PASSWORD, EXTENSION_REQUEST
from estsim.est.der import (
    BIT_STRING,
    BOOLEAN,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    DERError,
    Span,
    children,
    dotted,
    expect,
    is_string,
    oid,
    sequence,
    typed,
)

TEMPLATE: Final = oid("1.2.840.113549.1.9.16.2.61")  # id-aa-certificationRequestInfoTemplate
EXTENSION_TEMPLATE: Final = oid("1.2.840.113549.1.9.16.2.62")  # id-aa-extensionReqTemplate
EC: Final = oid("1.2.840.10045.2.1")
RSA: Final = oid("1.2.840.113549.1.1.1")
ED25519: Final = oid("1.3.101.112")
P256: Final = oid("1.2.840.10045.3.1.7")
P384: Final = oid("1.3.132.0.34")

SIGNATURES: Final[dict[bytes, tuple[bytes, str]]] = {
    oid("1.2.840.10045.4.3.2"): (EC, "sha256"),
    oid("1.2.840.10045.4.3.3"): (EC, "sha384"),
    oid("1.2.840.10045.4.3.4"): (EC, "sha512"),
    oid("1.2.840.113549.1.1.11"): (RSA, "sha256"),
    oid("1.2.840.113549.1.1.12"): (RSA, "sha384"),
    oid("1.2.840.113549.1.1.13"): (RSA, "sha512"),
}
"""Signature algorithms that a request can have: the algorithm of the key, and the hash."""

_SIGNATURE_PREFIXES: Final = (oid("1.2.840.10045.4"), oid("1.2.840.10040.4.3"))  # those that no request of ours has
_KEYS: Final = frozenset({EC, RSA})
_PUBLIC_KEY: Final = 0xA0
_ATTRIBUTES: Final = 0xA1
_MOST_MODULUS_OCTETS: Final = 2049  # with a zero before it; longer ones are not made
_MOST: Final = 256  # entries, extensions, parts of a name: there are a handful
_REMEMBERED: Final = 64  # a fleet is told the same by its server


@dataclass(frozen=True, slots=True)
class KeyWish:
    """The key of a request: its algorithm (OID), and the curve (OID) or size of an RSA modulus, if one is wished."""

    algorithm: bytes
    curve: bytes | None = None
    bits: int | None = None


@dataclass(frozen=True, slots=True)
class ExtensionWish:
    """An extension of a request: its OID, and the DER of its value, None where the client is to fill it in."""

    kind: bytes
    value: bytes | None
    critical: bool = False


Part = tuple[bytes, bytes | None]
"""One attribute of a subject: its OID, and the DER of its value, None where the client is to fill it in."""


@dataclass(frozen=True, slots=True)
class CSRWishes:
    """What a server wishes; nothing of it is obligatory by itself.

    ``subject`` is the template's, RDN by RDN; None: no wish. ``others`` are dotted OIDs that estsim does not know.
    """

    keys: tuple[KeyWish, ...] = ()
    signatures: tuple[bytes, ...] = ()
    extensions: tuple[ExtensionWish, ...] = ()
    subject: tuple[tuple[Part, ...], ...] | None = None
    wants_proof: bool = False  # challengePassword: identity and proof of possession linked (RFC 7030 §3.5)
    is_template: bool = False
    others: tuple[str, ...] = field(default=())


@lru_cache(maxsize=_REMEMBERED)
def read_csr_attributes(der: bytes) -> CSRWishes:
    """Read CsrAttrs; raises :class:`DERError` that names the part."""
    wishes = CSRWishes()
    for tag, _, start, end in _few(sequence(der, "CsrAttrs, a SEQUENCE"), "CsrAttrs"):
        expect(tag in (OBJECT_IDENTIFIER, SEQUENCE), "CsrAttrs: an OID or an Attribute")
        if tag == OBJECT_IDENTIFIER:
            wishes = _with_oid(wishes, der[start:end])
            continue
        kind, values = _attribute(der, start, end)
        if kind == TEMPLATE:
            return _template(der, _only(values, "certificationRequestInfoTemplate"))
        wishes = _with_attribute(wishes, der, kind, values)
    return wishes


def _with_oid(wishes: CSRWishes, kind: bytes) -> CSRWishes:
    if kind == CHALLENGE_PASSWORD:
        return replace(wishes, wants_proof=True)
    if kind in SIGNATURES or kind.startswith(_SIGNATURE_PREFIXES):
        return replace(wishes, signatures=(*wishes.signatures, kind))
    if kind in _KEYS or kind == ED25519:
        return replace(wishes, keys=(*wishes.keys, KeyWish(kind)))
    return replace(wishes, others=(*wishes.others, dotted(kind)))


def _with_attribute(wishes: CSRWishes, der: bytes, kind: bytes, values: list[Span]) -> CSRWishes:
    if kind == EXTENSION_REQUEST:
        tag, _, start, end = _only(values, "extensionRequest")
        if tag != SEQUENCE:  # RFC 7030's own example, which RFC 9908 §5.2 declares wrong and servers still have
            return replace(wishes, others=(*wishes.others, dotted(kind)))
        listed = _few(children(der, start, end), "extensions")
        found = tuple(_extension(der, each, open_values=False) for each in listed)
        return _with_extensions(wishes, found)
    if kind == CHALLENGE_PASSWORD:
        return replace(wishes, wants_proof=True)
    if kind in _KEYS:
        return replace(wishes, keys=(*wishes.keys, _key(der, kind, values)))
    return replace(wishes, others=(*wishes.others, dotted(kind)))


def _with_extensions(wishes: CSRWishes, found: tuple[ExtensionWish, ...]) -> CSRWishes:
    extensions = (*wishes.extensions, *found)
    expect(len({each.kind for each in extensions}) == len(extensions), "each extension once (RFC 9908 §3.2)")
    return replace(wishes, extensions=extensions)


def _key(der: bytes, kind: bytes, values: list[Span]) -> KeyWish:
    """Read a key attribute: no value means no more wishes, a curve's OID or a modulus' size (RFC 9908 §3.2)."""
    if not values:
        return KeyWish(kind)
    tag, _, start, end = _only(values, "key type")
    content = der[start:end]
    if kind == EC:
        expect(tag == OBJECT_IDENTIFIER, "ecPublicKey: the OID of a curve")
        return KeyWish(kind, curve=content)
    expect(tag == INTEGER and 0 < len(content) <= 4, "rsaEncryption: the modulus' size in bits")  # noqa: PLR2004
    return KeyWish(kind, bits=int.from_bytes(content, "big"))


def _extension(der: bytes, span: Span, *, open_values: bool) -> ExtensionWish:
    """Read an Extension, or an ExtensionTemplate, whose value may be left open."""
    expect(span[0] == SEQUENCE, "extensions: an Extension")
    kind, rest = typed(der, span[2], span[3], "extensions: an Extension that begins with its OID")
    critical = False
    if rest and rest[0][0] == BOOLEAN:
        critical = der[rest[0][2] : rest[0][3]] == b"\xff"
        rest = rest[1:]
    if not rest and open_values:
        return ExtensionWish(kind, None, critical)
    expect([part[0] for part in rest] == [OCTET_STRING], f"extension {dotted(kind)}: a value in an OCTET STRING")
    return ExtensionWish(kind, der[rest[0][2] : rest[0][3]], critical)


# -- the template (RFC 9908 §3.4)


def _template(der: bytes, span: Span) -> CSRWishes:
    """Read a CertificationRequestInfoTemplate; its attributes may be missing, though the RFC has them obligatory."""
    expect(span[0] == SEQUENCE, "certificationRequestInfoTemplate: a SEQUENCE")
    parts = children(der, span[2], span[3])
    expect(bool(parts) and parts[0][0] == INTEGER and der[parts[0][2] : parts[0][3]] == b"\0", "template: version 0")
    wishes = CSRWishes(is_template=True)
    for part in parts[1:]:
        tag, _, start, end = part
        if tag == SEQUENCE and wishes.subject is None:
            wishes = replace(wishes, subject=tuple(_rdn(der, each) for each in _few(children(der, start, end), "RDNs")))
        elif tag == _PUBLIC_KEY and not wishes.keys:
            wishes = replace(wishes, keys=(_template_key(der, start, end),))
        elif tag == _ATTRIBUTES:
            for each in _few(children(der, start, end), "template: attributes"):
                wishes = _with_template_attribute(wishes, der, each)
        else:
            raise DERError(f"template: expected a subject, a key or attributes (got tag 0x{tag:02x})")
    return wishes


def _with_template_attribute(wishes: CSRWishes, der: bytes, span: Span) -> CSRWishes:
    expect(span[0] == SEQUENCE, "template: an Attribute")
    kind, values = _attribute(der, span[2], span[3])
    if kind != EXTENSION_TEMPLATE:
        return _with_attribute(wishes, der, kind, values)
    tag, _, start, end = _only(values, "extensionReqTemplate")
    expect(tag == SEQUENCE, "extensionReqTemplate: a SEQUENCE")
    found = tuple(_extension(der, each, open_values=True) for each in _few(children(der, start, end), "extensions"))
    return _with_extensions(wishes, found)


def _rdn(der: bytes, span: Span) -> tuple[Part, ...]:
    expect(span[0] == SET, "template: subject: a SET for each RDN")
    found: list[Part] = []
    parts = _few(children(der, span[2], span[3]), "attributes of an RDN")
    expect(bool(parts), "template: subject: an attribute in each RDN")
    for tag, _, start, end in parts:
        expect(tag == SEQUENCE, "template: subject: a type, and a value or none")
        kind, rest = typed(der, start, end, "template: subject: a type that is an OID")
        expect(len(rest) <= 1, f"template: subject: one value of {dotted(kind)}")
        expect(not rest or is_string(rest[0][0]), f"template: subject: a string as the value of {dotted(kind)}")
        found.append((kind, der[rest[0][1] : rest[0][3]] if rest else None))
    return tuple(found)


def _template_key(der: bytes, start: int, end: int) -> KeyWish:
    """Read ``{algorithm, subjectPublicKey OPTIONAL}``; an RSA key is a dummy that has the wanted size."""
    parts = children(der, start, end)
    shape = [part[0] for part in parts]
    expect(shape in ([SEQUENCE], [SEQUENCE, BIT_STRING]), "template: subjectPKInfo: an algorithm, and a key or none")
    kind, parameters = typed(der, parts[0][2], parts[0][3], "template: subjectPKInfo: an algorithm")
    if kind == EC and parameters and parameters[0][0] == OBJECT_IDENTIFIER:
        return KeyWish(kind, curve=der[parameters[0][2] : parameters[0][3]])
    if kind == RSA and len(parts) > 1:
        return KeyWish(kind, bits=_modulus_bits(der[parts[1][2] + 1 : parts[1][3]]))
    return KeyWish(kind)


def _modulus_bits(key: bytes) -> int:
    numbers = sequence(key, "template: subjectPublicKey: an RSAPublicKey")
    expect([part[0] for part in numbers] == [INTEGER, INTEGER], "template: subjectPublicKey: a modulus and an exponent")
    return int.from_bytes(key[numbers[0][2] : numbers[0][3]][:_MOST_MODULUS_OCTETS], "big").bit_length()


def _attribute(der: bytes, start: int, end: int) -> tuple[bytes, list[Span]]:
    """Return an Attribute's type and values; the SET may be empty."""
    kind, rest = typed(der, start, end, "expected an Attribute that begins with its OID")
    expect([part[0] for part in rest] == [SET], f"attribute {dotted(kind)}: a SET of values")
    return kind, children(der, rest[0][2], rest[0][3])


def _few(values: list[Span], what: str) -> list[Span]:
    expect(len(values) <= _MOST, f"{what}: at most {_MOST}, got {len(values)}")
    return values


def _only(values: list[Span], what: str) -> Span:
    expect(len(values) == 1, f"{what}: one value, got {len(values)}")
    return values[0]
