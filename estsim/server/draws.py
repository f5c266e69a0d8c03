"""The keys of the sandbox's random draws: trust center, device Subject, operation, ordinal of the request. Pure.

Nothing that differs between runs takes part: no key, CA name, request id or order of arrival. So the same seed gives
the same server. Requests without a name of their own (an anonymous cacerts, a shared certificate) are one sequence: its
draws are the same again, and the order of arrival decides which request gets which.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from estsim.est.operations import Operation

_REMEMBERED: Final = 200_000


@dataclass(frozen=True, slots=True)
class DrawKey:
    """The key of a request's draws, in addition to the seed.

    ``who`` stands for trust center, Subject and operation, ``ordinal`` counts their requests from 0, and ``first`` is
    the ordinal of the first request for the same public key: a repeat is no new request.
    """

    who: int = 0
    ordinal: int = 0
    first: int = 0


UNKEYED: Final = DrawKey()  # for requests without draws


def who_draws(center: str, name: bytes, operation: Operation) -> int:
    """Return a number for a device at a trust center; ``name`` is its Subject in DER, or a stand-in."""
    named = b"\0".join((center.encode(), operation.value.encode(), name))
    return int.from_bytes(blake2b(named, digest_size=8).digest(), "little", signed=True)


class Ordinals:
    """Counts the requests of each device and operation; devices not seen for long start again at 0.

    Two generations of ``remembered`` devices: when the younger one is full, the older one is dropped.
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
