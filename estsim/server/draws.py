"""What the sandbox's draws are keyed by: trust center, the device's Subject, operation, ordinal of its request. Pure.

Nothing that is made anew in each run takes part: no key, no CA name, no request id, no order of arrival. So the same
seed is the same server. Requests that carry no name of their own (an anonymous cacerts, one certificate shared by many)
are one sequence: what it meets is the same again, who of them meets it is decided by who comes first.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from estsim.est.operations import Operation

_REMEMBERED: Final = 200_000


@dataclass(frozen=True, slots=True)
class DrawKey:
    """What the draws of a request are keyed by, beside the seed.

    ``who`` stands for trust center, Subject and operation, ``ordinal`` counts their requests from 0, and ``first`` is
    the ordinal of the first request for the same public key: a repeat is no new request.
    """

    who: int = 0
    ordinal: int = 0
    first: int = 0


UNKEYED: Final = DrawKey()  # of what no draw is made for


def who_draws(center: str, name: bytes, operation: Operation) -> int:
    """Return a device at a trust center as a number; ``name`` is its Subject in DER, or what stands for it."""
    named = b"\0".join((center.encode(), operation.value.encode(), name))
    return int.from_bytes(blake2b(named, digest_size=8).digest(), "little", signed=True)


class Ordinals:
    """Counts the requests of each device for each operation; who was not seen for long begins anew.

    Two generations of ``remembered`` devices: the younger one full, the older one is forgotten as a whole.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._young: dict[int, tuple[int, int, bytes]] = {}
        self._old: dict[int, tuple[int, int, bytes]] = {}

    def next(self, who: int, key: bytes = b"") -> DrawKey:
        """Count a request, for a public key if there is one."""
        known = self._young.get(who) or self._old.get(who)
        ordinal = 0 if known is None else known[0] + 1
        first = known[1] if known is not None and known[2] == key else ordinal
        self._young[who] = (ordinal, first, key)
        if len(self._young) >= self._remembered:
            self._young, self._old = {}, self._young
        return DrawKey(who, ordinal, first)
