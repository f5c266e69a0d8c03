"""Encodings that were right, damaged blindly: bits flipped, parts cut, doubled, exchanged and put in."""

from collections.abc import Sequence
from typing import Final

from fuzz_draw import Draw

_TELLING: Final = (0x00, 0x01, 0x02, 0x04, 0x0C, 0x13, 0x1E, 0x30, 0x31, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xA0, 0xFF)
_LONGEST_RUN: Final = 64


def mutated(draw: Draw, source: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a damaged copy; ``others`` are encodings that parts may come from."""
    damaged = bytearray(source)
    for _ in range(1 + draw.few()):
        if not damaged:
            return draw.octets(8)
        _damage(draw, damaged, others)
    return bytes(damaged)


def _damage(draw: Draw, damaged: bytearray, others: Sequence[bytes]) -> None:
    """Do one thing to the bytes."""
    at = int(draw.random() * len(damaged))
    match int(draw.random() * 9):
        case 0 | 1:
            damaged[at] ^= 1 << int(draw.random() * 8)
        case 2:
            damaged[at] = draw.one(_TELLING)
        case 3:
            damaged[at] = int(draw.random() * 256)
        case 4:
            del damaged[at:]
        case 5:
            del damaged[at : at + 1 + int(draw.random() * _LONGEST_RUN)]
        case 6:
            run = damaged[at : at + 1 + int(draw.random() * _LONGEST_RUN)]
            damaged[at:at] = run * (1 + draw.few())
        case 7:
            damaged[at:at] = draw.octets(_LONGEST_RUN)
        case _:
            other = draw.one(others) if others else bytes(damaged)
            start = int(draw.random() * (len(other) + 1))
            damaged[at : at + int(draw.random() * _LONGEST_RUN)] = other[start : start + _LONGEST_RUN]
