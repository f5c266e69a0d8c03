"""DER: elements, object identifiers and character strings, read and written (X.690).

Keys are read by the cryptography library. Certificates, requests and the messages that carry them are walked here: the
library's own objects read lazily, raise late and warn the whole process, and RFC 7030 §4.2.2 requires raw encodings to
be compared. Walking tags and lengths is enough; tags above 30 do not occur.
"""

from functools import lru_cache
from typing import Final

from estsim.errors import EstsimError

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31

_CONSTRUCTED: Final = 0x20
_HIGH_TAG: Final = 0x1F
_INDEFINITE: Final = 0x80
_END_OF_CONTENTS: Final = b"\x00\x00"
_MAX_LENGTH_OCTETS: Final = 4
_MAX_DEPTH: Final = 32  # a certificate nests to ten; deeper is an attack on the stack
_MAX_CHILDREN: Final = 1 << 14  # of one element: a megabyte holds a quarter of that in certificates
_MAX_ELEMENTS: Final = 1 << 16  # of a BER message in all: a certificate has some sixty


Span = tuple[int, int, int, int]
"""An element: its tag, where it starts, where its content starts, and where it ends."""


class DERError(EstsimError):
    """Bytes that are not the DER (or BER) they should be."""


def expect(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Raise :class:`DERError` where a structure is not what it should be."""
    if not holds:
        raise DERError(f"expected {what}")


def element(source: bytes, at: int) -> tuple[int, int, int]:
    """Return tag, content start and end of the DER element at ``at``; its encoding is ``source[at:end]``."""
    try:
        tag = source[at]
        length = source[at + 1]
    except IndexError:
        raise DERError(f"expected an element at byte {at}, but there are only {len(source)}") from None
    start = at + 2
    if length >= _INDEFINITE:
        octets = length & 0x7F
        start += octets
        length = int.from_bytes(source[at + 2 : start], "big")
        if not 0 < octets <= _MAX_LENGTH_OCTETS or length < max(0x80, 1 << 8 * (octets - 1)):
            raise DERError(f"the length at byte {at + 1} is not in the shortest definite form, which DER requires")
    end = start + length
    if end > len(source):
        raise DERError(f"the element at byte {at} ends at {end}, but there are only {len(source)} bytes")
    return tag, start, end


def children(source: bytes, start: int, end: int) -> list[Span]:
    """Return the elements between two offsets, which they fill exactly."""
    found: list[Span] = []
    at, last = start, end - 1
    while at < end:
        # Most elements are short, and a call for each is half the cost of reading a certificate.
        if at < last and (length := source[at + 1]) < _INDEFINITE:
            tag, content = source[at], at + 2
            after = content + length
        else:
            tag, content, after = element(source, at)
        found.append((tag, at, content, after))
        if len(found) > _MAX_CHILDREN:
            raise DERError(f"the element that ends at byte {end} contains more than {_MAX_CHILDREN} others")
        at = after
    if at != end:
        raise DERError(f"the element at byte {found[-1][1]} extends past the end of its container at byte {end}")
    return found


def sequence(source: bytes, what: str) -> list[Span]:
    """Return the elements of the one SEQUENCE that ``source`` is; raises :class:`DERError` that expected ``what``."""
    tag, start, end = element(source, 0)
    if tag != SEQUENCE or end != len(source):
        raise DERError(f"expected {what}")
    return children(source, start, end)


def typed(source: bytes, start: int, end: int, otherwise: str) -> tuple[bytes, list[Span]]:
    """Return the OID that a structure begins with, as an AlgorithmIdentifier does, and the elements after it.

    Raises :class:`DERError`, whose text is ``otherwise``, where it begins with anything else.
    """
    parts = children(source, start, end)
    if not parts or parts[0][0] != OBJECT_IDENTIFIER:
        raise DERError(otherwise)
    return source[parts[0][2] : parts[0][3]], parts[1:]


def encode(tag: int, content: bytes) -> bytes:
    """Return the DER encoding of an element."""
    length = len(content)
    if length < _INDEFINITE:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def ber_end(source: bytes, at: int) -> int:
    """Return where the BER element at ``at`` ends."""
    return _BerReader(source).reencoded(at, len(source), 0)[1]


def from_ber(source: bytes) -> bytes:
    """Return the first BER element re-encoded with definite, shortest lengths.

    Bytes after it are kept, what is DER already comes out unchanged, and segmented strings stay segmented.
    """
    der, end = _BerReader(source).reencoded(0, len(source), 0)
    return der + source[end:]


class _BerReader:
    """Re-encodes the elements of a message, up to a limited number."""

    __slots__ = ("_left", "_source")

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._left = _MAX_ELEMENTS

    def reencoded(self, at: int, limit: int, depth: int) -> tuple[bytes, int]:
        """Return the element at ``at`` as DER, and where it ended."""
        source = self._source
        if depth > _MAX_DEPTH or at + 2 > limit or source[at] & _HIGH_TAG == _HIGH_TAG:
            raise DERError(f"no BER element can be read at byte {at}")
        if self._left == 0:
            raise DERError(f"more than {_MAX_ELEMENTS} BER elements")
        self._left -= 1
        tag, length = source[at], source[at + 1]
        at += 2
        end: int | None = None
        if length != _INDEFINITE:
            octets = length & 0x7F if length > _INDEFINITE else 0
            if octets:
                length = int.from_bytes(source[at : at + octets], "big")
            at += octets
            end = at + length
            if end > limit:
                raise DERError(f"a BER element ends at byte {end}, past the end of its container at byte {limit}")
            if not tag & _CONSTRUCTED:
                return encode(tag, source[at:end]), end
        elif not tag & _CONSTRUCTED:
            raise DERError(f"a primitive element of indefinite length at byte {at - 2}")
        content, end = self._contents(at, end, limit, depth)
        return encode(tag, content), end

    def _contents(self, at: int, end: int | None, limit: int, depth: int) -> tuple[bytes, int]:
        """Return the elements up to ``end``, or to the end-of-contents octets where that is None, as DER."""
        parts: list[bytes] = []
        while at != end:
            if end is None and self._source[at : at + 2] == _END_OF_CONTENTS:
                at += 2
                break
            part, at = self.reencoded(at, limit if end is None else end, depth + 1)
            parts.append(part)
        return b"".join(parts), at


_MOST_OCTETS: Final = 64  # longer ones are nobody's; the arithmetic stays small


@lru_cache(maxsize=1024)
def dotted(content: bytes) -> str:
    """Return the dotted text of an OID's content octets; raises :class:`DERError`."""
    if not content or len(content) > _MOST_OCTETS or content[-1] & 0x80:
        raise DERError("expected an object identifier, got one that is empty, truncated or too long")
    arcs: list[int] = []
    value = 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


@lru_cache(maxsize=1024)
def oid(text: str) -> bytes:
    """Return the content octets of a dotted OID."""
    first, second, *rest = map(int, text.split("."))
    return b"".join(map(_base_128, (40 * first + second, *rest)))


def encoded_oid(text: str) -> bytes:
    """Return a dotted OID as a DER element."""
    return encode(OBJECT_IDENTIFIER, oid(text))


def _base_128(arc: int) -> bytes:
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(0x80 | arc & 0x7F)
    return bytes(reversed(octets))


# Character strings are read leniently: certificates of the field hold Latin-1 in a UTF8String, an "@" in a
# PrintableString and old string types. People are to see the text all the same, and two encodings of one text are to
# compare equal (RFC 5280 §7.1).
UTF8_STRING: Final = 0x0C
NUMERIC_STRING: Final = 0x12
PRINTABLE_STRING: Final = 0x13
TELETEX_STRING: Final = 0x14
IA5_STRING: Final = 0x16
VISIBLE_STRING: Final = 0x1A
UNIVERSAL_STRING: Final = 0x1C
BMP_STRING: Final = 0x1E

_CODECS: Final = {
    UTF8_STRING: "utf-8",
    NUMERIC_STRING: "ascii",
    PRINTABLE_STRING: "ascii",
    TELETEX_STRING: "latin-1",  # T.61 as everybody writes and reads it; the real one is dead
    IA5_STRING: "ascii",
    VISIBLE_STRING: "ascii",
    UNIVERSAL_STRING: "utf-32-be",
    BMP_STRING: "utf-16-be",
}
_PRINTABLE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
_ALPHABETS: Final = {PRINTABLE_STRING: _PRINTABLE, NUMERIC_STRING: frozenset(b"0123456789 ")}


def is_string(tag: int) -> bool:
    """Whether a tag is that of a character string."""
    return tag in _CODECS


def read_string(tag: int, content: bytes) -> tuple[str, bool]:
    """Return a string's text and whether it is valid for its type; text that is not is read as Latin-1.

    Total for the tags that :func:`is_string` takes.
    """
    try:
        text = content.decode(_CODECS[tag])
    except UnicodeDecodeError:
        return content.decode("latin-1"), False
    alphabet = _ALPHABETS.get(tag)
    return text, alphabet is None or alphabet.issuperset(content)
