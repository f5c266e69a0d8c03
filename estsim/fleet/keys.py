"""Device keys: made before the run, made when needed, or a few used again and again (``keys`` of a cohort).

RSA keys take 30 ms to seconds, so they are made beside whatever else a process does; the others on the spot. Keys wait
as DER: a tenth of what a loaded one takes.
"""

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Final

from estsim.est.signing import PrivateKey
from estsim.net.io import Io
from estsim.pki.keys import dump_key, load_key, make_key
from estsim.scenario.plan import KeyKind, Keys

SLOW: Final = frozenset({KeyKind.RSA_2048, KeyKind.RSA_3072, KeyKind.RSA_4096})
_BATCH: Final = 256  # cheap keys, 10 ms of work


class KeyRing:
    """Where the keys of a cohort's devices come from. ``births`` are the keys that they are born with.

    ``plan.prepare`` keys are used once each, in the order of need, then keys are made on demand. With ``plan.reuse``
    so many go round for ever, as in tests of servers that a key's making would outweigh.
    """

    __slots__ = ("_ready", "_reuse", "_round", "_to_prepare", "kind")

    def __init__(self, kind: KeyKind, plan: Keys = Keys(), *, births: int = 0) -> None:  # noqa: B008 - frozen
        self.kind = kind
        self._ready: deque[bytes] = deque()
        self._to_prepare = plan.prepare + (births if kind in SLOW else 0)
        self._reuse = plan.reuse or 0
        self._round: deque[PrivateKey] = deque()

    def born(self) -> PrivateKey:
        """Return a key that a device is born with; a slow one was prepared, if anything was."""
        if self.kind in SLOW and self._ready:
            return load_key(self._ready.popleft())
        return make_key(self.kind)

    def ready(self) -> PrivateKey | None:
        """Return a key for a request, None where one has to be made for it."""
        if self._reuse and not self.lacks:
            self._round.rotate(-1)
            return self._round[-1]
        return load_key(self._ready.popleft()) if self._ready and not self._reuse else None

    @property
    def lacks(self) -> int:
        """How many of the keys that go round are still to be made."""
        return self._reuse - len(self._round)

    def go_round(self, key: PrivateKey) -> None:
        """Take a key that goes round; one too many is not kept."""
        if self.lacks:
            self._round.append(key)

    def batches(self) -> Iterable["Batch"]:
        """Cut what is to be prepared into pieces of work, once."""
        size = 1 if self.kind in SLOW else _BATCH
        left, self._to_prepare = self._to_prepare, 0
        while left > 0:
            yield Batch(self, min(size, left))
            left -= size

    def add(self, keys: Iterable[bytes]) -> None:
        """Take prepared keys."""
        self._ready.extend(keys)


class Batch:
    """A few keys to be made for a ring, in any thread."""

    __slots__ = ("_count", "ring")

    def __init__(self, ring: KeyRing, count: int) -> None:
        self.ring = ring
        self._count = count

    def make(self) -> list[bytes]:
        """Return new keys, which are then to be given to the ring."""
        return [dump_key(make_key(self.ring.kind)) for _ in range(self._count)]


async def take_key(ring: KeyRing, io: Io, kind: KeyKind | None = None) -> PrivateKey:
    """Return a key for a request, made now if it has to be; one of another ``kind`` than the ring's is always made."""
    if kind is not None and kind is not ring.kind:
        return await _made(kind, io)
    if ring.lacks:
        await fill(ring, io)
    return ring.ready() or await _made(ring.kind, io)


async def fill(ring: KeyRing, io: Io) -> None:
    """Make the keys that go round."""
    while ring.lacks:
        ring.go_round(await _made(ring.kind, io))


async def _made(kind: KeyKind, io: Io) -> PrivateKey:
    """Return a new key: made on the spot where that costs microseconds."""
    return await io.run(partial(make_key, kind)) if kind in SLOW else make_key(kind)
