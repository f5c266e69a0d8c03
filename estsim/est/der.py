"""The little of DER that estsim reads itself: where an element starts and ends (X.690 §8.1, §10.1).

Certificates, keys and signatures are read by the cryptography library. What it does not give is the raw encoding of a
Subject or a SubjectAltName, which RFC 7030 §4.2.2 has compared, and a certs-only message without a process-wide warning
where the server wrote BER. Both need no more than walking tags and lengths. Tags above 30 do not occur there.
"""

from typing import Final

from estsim.errors import EstsimError

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31

_CONSTRUCTED: Final = 0x20
_HIGH_TAG: Final = 0x1F
_INDEFINITE: Final = 0x80
_END_OF_CONTENTS: Final = b"\x00\x00"
_MAX_LENGTH_OCTETS: Final = 4
_MAX_DEPTH: Final = 32  # a certificate nests to ten; deeper is an attack on the stack


class DERError(EstsimError):
    """Bytes that are not the DER (or BER) they should be."""


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
            raise DERError(f"the length at byte {at + 1} is not the shortest definite form, as DER wants")
    end = start + length
    if end > len(source):
        raise DERError(f"the element at byte {at} ends at {end}, but there are only {len(source)} bytes")
    return tag, start, end


def children(source: bytes, start: int, end: int) -> list[tuple[int, int, int, int]]:
    """Return (tag, start, content start, end) of each element between two offsets, which they fill exactly."""
    found: list[tuple[int, int, int, int]] = []
    at = start
    while at < end:
        tag, content, after = element(source, at)
        found.append((tag, at, content, after))
        at = after
    if at != end:
        raise DERError(f"the element at byte {found[-1][1]} runs over the end of what holds it, at {end}")
    return found


def encode(tag: int, content: bytes) -> bytes:
    """Return the DER encoding of an element."""
    length = len(content)
    if length < _INDEFINITE:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def from_ber(source: bytes) -> bytes:
    """Return the first BER element re-encoded with definite, shortest lengths.

    Bytes after it are kept, what is DER already comes out unchanged, and segmented strings stay segmented.
    """
    der, end = _reencoded(source, 0, len(source), 0)
    return der + source[end:]


def _reencoded(source: bytes, at: int, limit: int, depth: int) -> tuple[bytes, int]:
    """Return the element at ``at`` as DER, and where it ended."""
    if depth > _MAX_DEPTH or at + 2 > limit or source[at] & _HIGH_TAG == _HIGH_TAG:
        raise DERError(f"no BER element can be read at byte {at}")
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
            raise DERError(f"a BER element ends at byte {end}, past what holds it, which ends at {limit}")
        if not tag & _CONSTRUCTED:
            return encode(tag, source[at:end]), end
    elif not tag & _CONSTRUCTED:
        raise DERError(f"a primitive element of indefinite length at byte {at - 2}")
    content, end = _reencoded_contents(source, at, end, limit, depth)
    return encode(tag, content), end


def _reencoded_contents(source: bytes, at: int, end: int | None, limit: int, depth: int) -> tuple[bytes, int]:
    """Return the elements up to ``end``, or to the end-of-contents octets where that is None, as DER."""
    parts: list[bytes] = []
    while at != end:
        if end is None and source[at : at + 2] == _END_OF_CONTENTS:
            at += 2
            break
        part, at = _reencoded(source, at, limit if end is None else end, depth + 1)
        parts.append(part)
    return b"".join(parts), at
