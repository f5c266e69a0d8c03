"""Object identifiers: their dotted text, read from and written to the content octets of DER (X.690 §8.19)."""

from functools import lru_cache
from typing import Final

from estsim.est.der import OBJECT_IDENTIFIER, DERError, encode

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
