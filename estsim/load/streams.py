"""Seeded draws without generator objects: a draw is a hash of (seed, device, purpose, counter).

The same numbers give the same draw in every process and driver, so a fleet does not depend on how it is split over
workers or in which order its devices wake. blake2b costs half a microsecond, a device one small counter.
"""

from enum import IntEnum
from hashlib import blake2b
from struct import Struct
from typing import Final


class Purpose(IntEnum):
    """What a draw is for; draws of different purposes never share a value."""

    ARRIVAL = 1
    RENEWAL = 2
    DEFERRAL = 3
    BACKOFF = 4
    SELECTION = 5
    SERVER = 6
    SUBJECT = 7
    FAULT = 8
    CLOCK = 9
    AGE = 10
    EVENT = 11
    DISTANCE = 12
    MISHAP = 13
    BEHAVIOUR = 14  # of a user's own code


_KEY: Final = Struct("<qqqq")
_TO_UNIT: Final = 2.0**-53


def uniform(seed: int, device: int, purpose: int, counter: int) -> float:
    """Draw from the uniform distribution on [0, 1)."""
    digest = blake2b(_KEY.pack(seed, device, purpose, counter), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * _TO_UNIT
